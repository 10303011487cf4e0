"""The figures: each has a title and axis labels, is shown once, and refuses what it cannot draw."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from dmri_helpers import plotting
from dmri_helpers.studies import fingerprint

T, Y, X = 6, 24, 20
generator = torch.Generator().manual_seed(0)
CINE = torch.rand(T, Y, X, generator=generator)
COMPLEX = torch.polar(CINE, torch.rand(T, Y, X, generator=generator))
MASK = torch.rand(1, T, Y, 1, generator=generator) < 0.4
CINES = {"fully sampled": CINE, "zero-filled": COMPLEX[None] * 0.9, "numpy": CINE.numpy() * 0.8}
LOG = [
    {
        "epoch": e,
        "train_loss": 1 / e,
        "val_loss": 1.2 / e,
        "val_psnr": None if e % 2 else 20.0 + e,
        "learning_rate": 1e-4 / e,
    }
    for e in range(1, 9)
]
ROWS = [
    {"method": "zero_filled", "psnr": {"mean": 23.0, "std": 2.0}, "ssim": {"mean": 0.55, "std": 0.05}},
    {"method": "a run", "psnr": {"mean": 36.0, "std": None}, "seconds_per_cine": 0.1},
]
WORLDS = {
    "magnitude": {row["method"]: row for row in ROWS},
    "phase": {"a run": {"psnr": {"mean": 29.2, "std": 3.4}, "ssim": {"mean": float("nan"), "std": None}}},
}
REAL = {
    name: {"panel": panel, "label": f"row {name}", "mean": 1.0, "std": 0.5, "values": [0.5, 1.0, 1.5]}
    for name, panel in {"a": "images", "b": "images", "c": "motion"}.items()
}
STATISTICS = {"a": [1.0, 1.2, 9.0], "b": torch.tensor([1.0, float("nan"), 1.1]), "c": [float("nan")]}
BLOCKS = [
    {"name": "a.in", "shape": (6, 24, 20), "branch": "real"},
    {"name": "a.down", "shape": (12, 12, 10), "branch": "real", "level": 1, "parameters": 1_500},
    {"name": "a.up", "shape": (6, 24, 20), "branch": "real", "skips": ["a.in"], "parameters": 2_000_000},
    {"name": "b.in", "shape": (6, 24, 20), "branch": "imaginary"},
    {
        "name": "merge",
        "label": "3-D ResNet",
        "shape": (1, 6, 24, 20),
        "branch": "both",
        "inputs": ["a.up", "b.in"],
    },
]

FIGURES = {
    "masks": lambda: plotting.masks(MASK, frame=1, density=torch.linspace(0, 1, Y)),
    "cine_comparison": lambda: plotting.cine_comparison(CINES, 2, mask=MASK),
    "cine_comparison with errors": lambda: plotting.cine_comparison(
        CINES,
        2,
        reference="fully sampled",
        scores={"zero-filled": {"psnr": 23.4, "ssim": 0.57}, "numpy": "text"},
    ),
    "xt_profiles": lambda: plotting.xt_profiles(CINES, column=7),
    "maps": lambda: plotting.maps({"one": CINE[0], "two": COMPLEX[1]}, "a quantity", (0, 1)),
    "kspace": lambda: plotting.kspace(COMPLEX),
    "several kspaces": lambda: plotting.kspace({"full": COMPLEX, "sampled": COMPLEX * MASK[0]}),
    "loss_curves": lambda: plotting.loss_curves(LOG),
    "loss_curves of several runs": lambda: plotting.loss_curves({"L1": LOG, "L2": LOG}),
    "ladder": lambda: plotting.ladder(ROWS),
    "ladder of two worlds": lambda: plotting.ladder(WORLDS),
    "quality_against": lambda: plotting.quality_against(
        [1, 2], {"psnr": [{"mean": 30.0, "std": 1.0}, {"mean": 31.0, "std": 1.0}], "memory (MiB)": [100, 200]}
    ),
    "curves": lambda: plotting.curves(range(3), {"volume (mL)": torch.tensor([3.0, 1.0, 2.0])}, "frame"),
    "curves, several lines and panels": lambda: plotting.curves(
        [1, 2],
        {"PSNR (dB)": {"one": [30.0, 31.0], "other": [29.0, 33.0]}, "change": [0.1, 0.01]},
        "iteration",
    ),
    "fingerprint": lambda: fingerprint.figure(STATISTICS, REAL),
    "paired_scores": lambda: plotting.paired_scores([20.0, 21.0, 22.0], torch.tensor([30.0, 31.0, 33.0])),
}


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(plt.Text))


@pytest.mark.parametrize("name", FIGURES)
def test_every_panel_has_a_title_and_labels(name):
    figure = FIGURES[name]()
    assert isinstance(figure, Figure)
    panels = [ax for ax in figure.axes if ax.axison and ax.get_title()]
    assert panels and any(ax.get_ylabel() or ax.get_yticklabels() for ax in panels)
    assert all(
        ax.get_xlabel() or not any(tick.label1.get_visible() for tick in ax.xaxis.get_major_ticks())
        for ax in panels
    )
    assert min(text.get_fontsize() for text in figure.findobj(plt.Text) if text.get_text()) >= 12


@pytest.mark.parametrize("name", FIGURES)
def test_pyplot_forgets_the_figure_and_its_style(name):
    mine = plt.figure()
    before = dict(plt.rcParams)
    FIGURES[name]()
    assert plt.get_fignums() == [mine.number] and dict(plt.rcParams) == before
    plt.close(mine)


def test_a_refused_figure_is_forgotten_too():
    with pytest.raises(ValueError, match="density of shape"):
        plotting.masks(MASK, density=[1.0])
    assert plt.get_fignums() == []


def test_magnitude_of_anything():
    expected = CINE.numpy()
    for values in (COMPLEX, COMPLEX.numpy(), COMPLEX.conj(), COMPLEX.clone().requires_grad_()):
        np.testing.assert_allclose(plotting.magnitude(values), expected, rtol=1e-5)
    assert plotting.magnitude(MASK).dtype == np.float32


def test_errors_are_taken_against_the_reference():
    figure = plotting.cine_comparison(CINES, 2, reference="fully sampled", error_scale=4)
    images = [
        image for ax in figure.axes for image in ax.images if image.get_cmap().name == plotting.ERROR_MAP
    ]
    np.testing.assert_allclose(images[-1].get_array(), 0.2 * CINE[2].numpy(), atol=1e-6)
    assert images[-1].get_clim() == (0, 0.25)


def test_curves_leave_out_what_was_not_measured():
    figure = plotting.loss_curves(LOG)
    losses, psnr, rate = figure.axes
    assert losses.get_yscale() == "log" and len(losses.lines) == 2
    assert list(psnr.lines[0].get_xdata()) == [2, 4, 6, 8] and psnr.get_ylabel() == "validation PSNR (dB)"
    columns = {name: [row[name] for row in LOG] for name in LOG[0]}
    same = plotting.loss_curves(columns)
    assert list(same.axes[2].lines[0].get_ydata()) == list(rate.lines[0].get_ydata())
    assert len(plotting.loss_curves([{"epoch": 1, "train_loss": 1.0}]).axes) == 1


def test_the_fingerprint_shows_what_is_far_away():
    figure = fingerprint.figure(STATISTICS, REAL, name="mine")
    images, motion = figure.axes
    assert (images.get_title(), motion.get_title()) == ("Images", "Motion")
    weights = {text.get_text(): text.get_weight() for text in images.texts + motion.texts}
    assert weights == {"+5.47": "bold", "+0.10": "normal", "–": "normal"}
    drawn = {
        line.get_marker(): np.asarray(line.get_xdata()).tolist()
        for line in images.lines
        if np.unique(line.get_ydata()).tolist() == [0.2] and len(line.get_xdata())
    }
    assert drawn == {"o": [0.0, pytest.approx(0.4)], ">": [4], "D": [4]}  # 16 sd away: at the edge
    with pytest.raises(ValueError, match="no row"):
        fingerprint.figure({"d": [1.0]}, REAL)


def test_the_ladder_writes_its_numbers():
    written = texts(plotting.ladder(ROWS))
    assert (
        "23.0 ± 2.0" in written
        and "0.550 ± 0.050" in written
        and "zero-filled" in written
        and "a run" in written
    )


def test_the_ladder_of_two_worlds_writes_the_numbers_of_both():
    written = texts(plotting.ladder(WORLDS))
    for text in ("36.0", "29.2 ± 3.4", "magnitudes", "with a phase"):
        assert text in written, text
    assert "nan" not in written


def test_the_architecture_is_drawn_from_the_blocks():
    written = texts(plotting.architecture(BLOCKS))
    for text in (
        "a.down",
        "12 channels",
        "12×10",
        "1.5 k par.",
        "3-D ResNet",
        "6×24×20",
        "imaginary",
        "2 M",
        "dashed",
    ):
        assert text in written, text


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plotting.masks(MASK, frame=T), "frame 6 is out of range, there are 6"),
        (lambda: plotting.masks(CINE), r"found shape \(1, 6, 24, 20\)"),
        (lambda: plotting.cine_comparison({}), "found none"),
        (
            lambda: plotting.cine_comparison({"one": CINE, "other": CINE[:, 1:]}),
            r"'one' \(6, 24, 20\), 'other' \(6, 23, 20\)",
        ),
        (
            lambda: plotting.cine_comparison({"two cines": torch.zeros(2, T, Y, X)}),
            r"two cines: .* found shape \(2, 6",
        ),
        (
            lambda: plotting.cine_comparison(CINES, mask=MASK[:, :, 1:]),
            r"mask of shape \(6, 24, 1\), found \(6, 23, 1\)",
        ),
        (lambda: plotting.cine_comparison(CINES, reference="nobody"), "'nobody' is not among the cines"),
        (lambda: plotting.xt_profiles(CINES, column=X), "column 20 is out of range"),
        (
            lambda: plotting.maps({"one": CINE[0], "other": CINE[0, 1:]}, "a quantity", (0, 1)),
            r"of one shape, found \[\(24, 20\), \(23, 20\)\]",
        ),
        (lambda: plotting.ladder([{"method": "one"}]), "no row has any of the metrics"),
        (lambda: plotting.quality_against([1, 2], {"psnr": [1]}), "psnr: 1 values for 2 of cascades"),
        (lambda: plotting.curves([1, 2], {"PSNR (dB)": [1]}, "frame"), "1 values for 2 of frame"),
        (lambda: plotting.curves([1, 2], {}, "frame"), "at least one panel"),
        (lambda: plotting.curves([1, 2], {"volume": {"one": [1]}}, "frame"), "one: 1 values for 2 of frame"),
        (lambda: plotting.paired_scores([1.0], [1.0, 2.0]), "found 1 and 2"),
        (lambda: plotting.architecture([]), "found none"),
        (lambda: plotting.architecture([BLOCKS[0], BLOCKS[0]]), "'a.in' comes twice"),
        (lambda: plotting.architecture(BLOCKS[2:]), "'a.in' names no earlier block"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert plt.get_fignums() == []


def test_save_makes_folders_and_leaves_nothing_else(tmp_path):
    figure = plotting.masks(MASK)
    path = plotting.save(figure, tmp_path / "new" / "deep" / "mask.png")
    first = path.read_bytes()
    assert first.startswith(b"\x89PNG") and [file.name for file in path.parent.iterdir()] == ["mask.png"]
    assert plotting.save(figure, path).read_bytes() == first
    with pytest.raises(AttributeError):
        plotting.save(None, path)
    assert path.read_bytes() == first and [file.name for file in path.parent.iterdir()] == ["mask.png"]


def test_gallery_shows_every_image_under_its_title():
    images = np.random.default_rng(0).random((5, 12, 8))
    figure = plotting.gallery(images, list("abcde"), across=3)
    shown = [ax for ax in figure.axes if ax.get_images()]
    assert [ax.get_title() for ax in shown] == list("abcde")
    for ax, image in zip(shown, images, strict=True):
        np.testing.assert_array_equal(ax.get_images()[0].get_array(), image)
    with pytest.raises(ValueError, match="4 for 5"):
        plotting.gallery(images, list("abcd"))
