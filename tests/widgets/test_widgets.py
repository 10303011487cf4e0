"""The slider's forms, its size and its refusals; the explorer's messages and speed."""

import base64
import io
import re
from unittest.mock import ANY

import numpy as np
import pytest
import torch
from builders import (
    EXPLORERS,
    KSPACE,
    beating_disk,
    consistency_explorer,
    kspace_explorer,
    mask_explorer,
    reconstruction_explorer,
)
from PIL import Image

from dmri_helpers import widgets
from dmri_helpers.fourier import ifft2c
from dmri_helpers.sampling import ky_t_mask
from dmri_helpers.widgets import panels
from dmri_helpers.widgets.page import BUDGET

CINE = beating_disk()
CINES = {"fully sampled": CINE, "zero-filled": torch.from_numpy(CINE)[None] * 0.8j}


def size(slider: widgets.CineViewer) -> int:
    return sum(len(content) for content in slider._repr_mimebundle_().values())


def test_three_forms():
    bundle = widgets.cine_viewer(CINES, frame=2)._repr_mimebundle_()
    assert list(bundle) == ["text/html", "image/png", "text/plain"]
    assert bundle["text/plain"] == "2 cines of 8 frames, 48 x 48 pixels: fully sampled, zero-filled"
    strip = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert strip.format == "PNG" and strip.width > 2 * 132
    assert "http" not in bundle["text/html"].replace("data:", "")
    for needed in (
        "data-lm-suppress-shortcuts",
        "aria-label",
        '<img class="dmri-poster"',
        'alt="2 cines',
        "@media print",
    ):
        assert needed in bundle["text/html"], needed


def test_the_same_cines_give_the_same_bytes_and_others_another_id():
    def identity(slider):
        return re.search(r'id="(dmri-[0-9a-f]{12})"', slider.html)[1]

    one, again, other = (widgets.cine_viewer(CINES, frame=frame) for frame in (0, 0, 1))
    assert one._repr_mimebundle_() == again._repr_mimebundle_()
    assert identity(one) != identity(other)


def test_titles_are_escaped():
    html = widgets.cine_viewer({"<b>&\"'</script><script>alert(1)</script>": CINE}).html
    assert html.count("<script>") == html.count("</script>") == 1 and "<b>" not in html
    assert "&lt;b&gt;&amp;&quot;" in html


@pytest.mark.parametrize("errors", [None, "0"])
@pytest.mark.parametrize("content", ["smooth", "noise"])
def test_at_most_300_kB(content, errors):
    cine = beating_disk(20, 192)
    if content == "noise":
        cine = np.random.default_rng(0).random(cine.shape, dtype=np.float32)
    slider = widgets.cine_viewer({str(n): cine * (1 - 0.1 * n) for n in range(4)}, errors_against=errors)
    assert size(slider) <= 300_000
    assert ("shown as one" in slider.text) == (content == "noise")


@pytest.mark.parametrize("shape", [(1, 20, 33), (3, 1, 1), (120, 192, 192)])
def test_unusual_sizes(shape):
    slider = widgets.cine_viewer({"only": np.zeros(shape)}, column=0)
    assert size(slider) <= 300_000


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: widgets.cine_viewer({}), "found none"),
        (
            lambda: widgets.cine_viewer({"one": CINE, "other": CINE[1:]}),
            r"'one' \(8, 48, 48\), 'other' \(7, 48, 48\)",
        ),
        (
            lambda: widgets.cine_viewer({"image": CINE[0]}),
            r"image: expected one cine .* found shape \(48, 48\)",
        ),
        (lambda: widgets.cine_viewer(CINES, frame=8), "frame 8 is out of range"),
        (lambda: widgets.cine_viewer(CINES, column=48), "column 48 is out of range"),
        (lambda: widgets.cine_viewer(CINES, window=(1, 1)), "black < white"),
        (lambda: widgets.cine_viewer(CINES, error_scale=0), "error_scale > 0"),
        (lambda: widgets.cine_viewer(CINES, errors_against="nobody"), "'nobody' is not among the cines"),
    ],
)
def test_what_cannot_be_shown_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("make", EXPLORERS)
def test_an_explorer_is_a_widget_a_page_and_a_picture(make):
    explorer = make()
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {
        "application/vnd.jupyter.widget-view+json",
        "text/html",
        "image/png",
        "text/plain",
    }
    assert sum(len(bundle[kind]) for kind in ("text/html", "image/png", "text/plain")) <= BUDGET
    assert "http" not in bundle["text/html"].replace("data:", "")
    assert bundle == {**make()._repr_mimebundle_(), "application/vnd.jupyter.widget-view+json": ANY}


@pytest.mark.parametrize("make", EXPLORERS)
def test_every_control_changes_the_picture(make):
    explorer = make()
    page = explorer.html
    for name, control in explorer.controls.items():
        values = [value for _, value in control.options]
        before, here = explorer.picture.value, control.value
        control.value = next(value for value in values if value != control.value)
        assert explorer.picture.value != before, name
        assert "Not possible" not in explorer.picture.value
        control.value = here
    assert explorer.html == page  # that of the first settings


def test_impossible_settings_are_a_message_and_pass():
    explorer = mask_explorer()
    explorer.controls["acceleration"].value = 12
    assert "Not possible" in explorer.picture.value and 'role="alert"' in explorer.picture.value
    assert "Not possible" in explorer.html  # in the grid, too
    explorer.controls["acceleration"].value = 4
    assert "Not possible" not in explorer.picture.value


def test_impossible_settings_to_start_from_are_an_error():
    for wrong in ({"acceleration": 0.5}, {"frame": 20}, {"density": "nobody's"}):
        with pytest.raises(ValueError):
            mask_explorer(**wrong)
    with pytest.raises(ValueError, match="centre lines|lines: 97 to start from"):
        widgets.kspace_explorer(lambda part, lines: KSPACE[0], ifft2c(KSPACE[0]), lines=97)


def test_what_an_explorer_says_is_true():
    explorer = kspace_explorer()
    explorer.controls["lines"].value = 96
    assert "96 of 96 lines, 100.0 % of the energy" in explorer.picture.value
    explorer = consistency_explorer()
    assert "100.00 % on measured" not in explorer.picture.value
    explorer.controls["weight"].value = np.inf
    assert " 0.00 % on measured lines" in explorer.picture.value
    explorer.controls["start_from"].value = "nothing"
    assert " 0.00 % on measured lines" in explorer.picture.value
    mask = ky_t_mask((20, 96, 96), 4, 9, seed=0)
    error = (ifft2c(KSPACE[0] * mask[0, 0]).abs() - ifft2c(KSPACE[0]).abs()).square().mean()
    assert (
        f"24 of 96 lines, acceleration 4.00 achieved; zero-filled frame 0: {-10 * error.log10():.1f} dB"
        in (mask_explorer().picture.value)
    )


def test_a_reconstruction_is_computed_once():
    asked = []
    explorer = reconstruction_explorer(lambda *settings: asked.append(settings) or CINE * settings[1])
    assert sorted(asked) == [(m, a) for m in ("by guess", "by hand") for a in (0.5, 0.8)]
    explorer.controls["method"].value = "by guess"
    explorer.controls["acceleration"].value = 0.8
    assert len(asked) == 4 and "by guess at acceleration 0.8" in explorer.picture.value


def test_a_grid_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(panels, "BUDGET", 20_000)
    noise = np.random.default_rng(0).integers(0, 255, (128, 128), dtype=np.uint8)
    with pytest.raises(ValueError, match="do not fit one explorer"):
        widgets.explorer(
            lambda n: (str(n), [widgets.Panel("noise", "", np.roll(noise, n))]),
            {"n": range(40)},
            {"n": 0},
            {"n": list(range(40))},
        )


def test_viewer_takes_cines_in_a_row_with_titles():
    assert widgets.cine_viewer(list(CINES.values()), list(CINES)).html == widgets.cine_viewer(CINES).html
    for titles in (None, ["one"], ["same", "same"]):
        with pytest.raises(ValueError, match="title of its own for each of 2 cines"):
            widgets.cine_viewer(list(CINES.values()), titles)
