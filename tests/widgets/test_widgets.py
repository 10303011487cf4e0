"""The forms of every slider, its size and its refusals; what its poster says is true."""

import base64
import html
import io
import json
import re
from unittest.mock import ANY

import numpy as np
import pytest
import torch
from builders import EXPLORERS, beating_disk, consistency_explorer, mask_explorer, reconstruction_explorer
from PIL import Image

from dmri_helpers import widgets
from dmri_helpers.classical import view_sharing
from dmri_helpers.metrics import cine_metrics
from dmri_helpers.operators import ForwardModel
from dmri_helpers.sampling import ky_t_mask
from dmri_helpers.widgets import live

CINE = beating_disk()
CINES = {"fully sampled": CINE, "zero-filled": torch.from_numpy(CINE)[None] * 0.8j}
FORMS = {"application/vnd.jupyter.widget-view+json", "text/html", "image/png", "text/plain"}
WIDGET = "application/vnd.jupyter.widget-view+json"


def viewer() -> live.Live:
    return widgets.cine_viewer(CINES, frame=2, errors_against="fully sampled")


def settings_in(page: str) -> dict:
    return json.loads(html.unescape(re.search(r'data-settings="([^"]+)"', page)[1]))


@pytest.mark.parametrize("make", [viewer, *EXPLORERS])
def test_a_widget_a_page_a_picture_and_words(make):
    slider = make()
    bundle = slider._repr_mimebundle_()
    assert set(bundle) == FORMS
    assert sum(len(bundle[kind]) for kind in FORMS - {WIDGET}) < 150_000  # the cine is not in the notebook
    assert "http" not in bundle["text/html"] and "<script" not in bundle["text/html"]
    assert (
        '<img class="dmri-poster" src="data:image/webp' in bundle["text/html"]
        and 'alt="' in bundle["text/html"]
    )
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert picture.format == "PNG" and picture.width > 250
    assert settings_in(slider.html) == json.loads(json.dumps(slider.settings))
    assert {**make()._repr_mimebundle_(), WIDGET: ANY} == {**bundle, WIDGET: ANY}  # the same every time


def test_words_and_titles_of_a_viewer_are_escaped():
    assert (
        viewer().text
        == "2 cines of 8 frames, 48 x 48 pixels: fully sampled, zero-filled; errors against fully sampled"
    )
    page = widgets.cine_viewer({"<b>&\"'</script><script>alert(1)</script>": CINE}).html
    assert "<script" not in page and "<b>" not in page
    assert settings_in(page)["titles"] == ["<b>&\"'</script><script>alert(1)</script>"]


def test_a_kernel_sends_what_the_page_asks_for(monkeypatch):
    explorer, sent = mask_explorer(), []
    monkeypatch.setattr(explorer, "send", lambda content, buffers: sent.append((content["name"], buffers[0])))
    for name in (explorer.settings["cine"], "residual", "unrolled", "nobody's", "../secret"):
        explorer._answer(explorer, {"want": name}, [])
    names, contents = zip(*sent, strict=True)
    assert names == (explorer.settings["cine"], "residual", "unrolled")
    weights = live.HERE.parent / "weights" / "unrolled" / "best.safetensors"
    assert contents[2] == weights.read_bytes()


def test_assets_lie_beside_a_page_where_a_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(live.FOLDER, str(tmp_path))
    explorer = reconstruction_explorer()
    (path,) = tmp_path.iterdir()
    assert path.stem == explorer.settings["cine"] and path.read_text().startswith(
        f'dmriAsset("{path.stem}", "'
    )


@pytest.mark.parametrize("shape", [(1, 20, 33), (3, 1, 1), (120, 192, 192)])
def test_unusual_sizes(shape):
    slider = widgets.cine_viewer({"only": np.zeros(shape)}, column=0)
    step = slider.settings["step"]
    assert ("shown as one" in slider.text) == (shape[0] == 120) == (step == 2)
    sprite = Image.open(io.BytesIO(slider.own[slider.settings["sprite"]]))
    high, wide = slider.settings["cell"]
    assert (sprite.width, sprite.height) == (shape[0] * wide, high)


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
        (lambda: mask_explorer(acceleration=0.5), "acceleration 0.5 is impossible"),
        (lambda: mask_explorer(acceleration=12), "9 centre lines do not fit"),
        (lambda: mask_explorer(frame=20), "frame 20 is out of range"),
        (lambda: mask_explorer(density="nobody's"), "density is"),
        (lambda: reconstruction_explorer(columns=["dual_unet"]), "the page knows no such method"),
        (lambda: widgets.kspace_explorer(CINE[0], lines=49), "lines: 49 to start from"),
        (
            lambda: widgets.coil_explorer(CINE[0], CINE, acceleration=5),
            r"5 does not suit 48 lines.*1, 2, 3, 4",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_a_poster_says_is_true():
    levels = torch.from_numpy((beating_disk() * 255).round() / 255)
    A = ForwardModel(ky_t_mask(levels.shape, 5, 5, seed=0))
    image = view_sharing(A(levels[None].to(torch.complex64)), A)[0]
    said = reconstruction_explorer().text
    assert said.startswith("9 of 48 lines, acceleration 5.33 achieved; ")
    assert f"view sharing {cine_metrics(image, levels)['psnr']:.2f} dB" in said
    assert re.search(r"[1-9]\.\d\d % on measured lines", consistency_explorer().text)
    whole = widgets.kspace_explorer(CINE[0], lines=48).text
    assert "48 of 48 lines, 100.0 % of the energy" in whole


def test_viewer_takes_cines_in_a_row_with_titles():
    assert widgets.cine_viewer(list(CINES.values()), list(CINES)).html == widgets.cine_viewer(CINES).html
    for titles in (None, ["one"], ["same", "same"]):
        with pytest.raises(ValueError, match="title of its own for each of 2 cines"):
            widgets.cine_viewer(list(CINES.values()), titles)
