"""The slider's forms, its size and its refusals; the explorer's messages and speed."""

import base64
import io
import re
import time

import numpy as np
import pytest
import torch
from PIL import Image

from dmri_helpers import widgets
from dmri_helpers.fourier import fft2c, ifft2c
from dmri_helpers.sampling import ky_t_mask


def beating(frames: int = 8, side: int = 48) -> np.ndarray:
    """A disk that grows and shrinks, shape ``(frames, side, side)``, in [0, 1]."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    radius = 0.25 + 0.08 * np.cos(2 * np.pi * np.arange(frames) / frames)
    return (1 / (1 + np.exp((np.hypot(y, x) - radius[:, None, None]) * side))).astype(np.float32)


CINE = beating()
CINES = {"fully sampled": CINE, "zero-filled": torch.from_numpy(CINE)[None] * 0.8j}


def size(slider: widgets.FrameSlider) -> int:
    return sum(len(content) for content in slider._repr_mimebundle_().values())


def test_three_forms():
    bundle = widgets.frame_slider(CINES, frame=2)._repr_mimebundle_()
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

    one, again, other = (widgets.frame_slider(CINES, frame=frame) for frame in (0, 0, 1))
    assert one._repr_mimebundle_() == again._repr_mimebundle_()
    assert identity(one) != identity(other)


def test_titles_are_escaped():
    html = widgets.frame_slider({"<b>&\"'</script><script>alert(1)</script>": CINE}).html
    assert html.count("<script>") == html.count("</script>") == 1 and "<b>" not in html
    assert "&lt;b&gt;&amp;&quot;" in html


@pytest.mark.parametrize("errors", [None, "0"])
@pytest.mark.parametrize("content", ["smooth", "noise"])
def test_at_most_300_kB(content, errors):
    cine = beating(20, 192)
    if content == "noise":
        cine = np.random.default_rng(0).random(cine.shape, dtype=np.float32)
    slider = widgets.frame_slider({str(n): cine * (1 - 0.1 * n) for n in range(4)}, errors_against=errors)
    assert size(slider) <= 300_000
    assert ("shown as one" in slider.text) == (content == "noise")


@pytest.mark.parametrize("shape", [(1, 20, 33), (3, 1, 1), (120, 192, 192)])
def test_unusual_sizes(shape):
    slider = widgets.frame_slider({"only": np.zeros(shape)}, column=0)
    assert size(slider) <= 300_000


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: widgets.frame_slider({}), "found none"),
        (
            lambda: widgets.frame_slider({"one": CINE, "other": CINE[1:]}),
            r"'one' \(8, 48, 48\), 'other' \(7, 48, 48\)",
        ),
        (
            lambda: widgets.frame_slider({"image": CINE[0]}),
            r"image: expected one cine .* found shape \(48, 48\)",
        ),
        (lambda: widgets.frame_slider(CINES, frame=8), "frame 8 is out of range"),
        (lambda: widgets.frame_slider(CINES, column=48), "column 48 is out of range"),
        (lambda: widgets.frame_slider(CINES, window=(1, 1)), "black < white"),
        (lambda: widgets.frame_slider(CINES, error_scale=0), "error_scale > 0"),
        (lambda: widgets.frame_slider(CINES, errors_against="nobody"), "'nobody' is not among the cines"),
    ],
)
def test_what_cannot_be_shown_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.fixture
def explorer():
    kspace = fft2c(torch.from_numpy(beating(20, 96)).to(torch.complex64))

    def make_mask(acceleration, center_lines, density, seed):
        return ky_t_mask((20, 96, 96), acceleration, center_lines, density, seed=seed)

    return widgets.mask_explorer(
        make_mask, lambda mask, frame: ifft2c(kspace[frame] * mask[0, frame]), acceleration=4, center_lines=9
    )


def test_the_explorer_is_a_widget_and_a_picture(explorer):
    bundle = explorer._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} == set(bundle)
    explorer.controls["seed"].value = 3
    assert (
        explorer._repr_mimebundle_()["image/png"] == bundle["image/png"]
    )  # the picture shows the first settings


def test_every_control_changes_the_picture(explorer):
    for name, value in (
        ("acceleration", 6),
        ("center_lines", 5),
        ("density", "gaussian"),
        ("seed", 7),
        ("frame", 3),
    ):
        before = explorer.image.value
        explorer.controls[name].value = value
        assert explorer.image.value != before, name


def test_impossible_settings_are_a_message_and_pass(explorer):
    explorer.controls["acceleration"].value = 12
    assert "Not possible" in explorer.message.value and explorer.image.layout.visibility == "hidden"
    explorer.controls["acceleration"].value = 4
    assert explorer.message.value == "" and explorer.image.layout.visibility == "visible"


def test_impossible_settings_to_start_from_are_an_error():
    with pytest.raises(ValueError, match="acceleration"):
        widgets.mask_explorer(
            lambda **settings: ky_t_mask((4, 32, 32), **settings), lambda mask, frame: mask, acceleration=0.5
        )


def test_a_redraw_is_quick(explorer):
    times = []
    for seed in range(1, 8):
        start = time.perf_counter()
        explorer.controls["seed"].value = seed
        times.append(time.perf_counter() - start)
    assert sorted(times)[len(times) // 2] < 0.1
