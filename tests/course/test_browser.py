"""Sliders in a real browser: from disk without a network, without scripts, and in JupyterLab."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import EXPLORERS, beating_disk, page_on_disk

from dmri_helpers import widgets

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
FRAME = 'input[aria-label="frame"]'
PIXELS = "nodes => nodes.map(node => node.toDataURL())"
MASK, KSPACE, CONSISTENCY, RECONSTRUCTION, COILS = 3, 4, 5, 6, 7  # places on the page


def listen(page, errors):
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    cine = torch.from_numpy(beating_disk())
    titles = {"reference": cine, "<i>noisy</i>": cine * 0.7, "third": cine, "fourth": cine}

    def make():
        viewers = [
            widgets.cine_viewer(titles, errors_against="reference", column=24, frame=1),
            widgets.cine_viewer({"other": cine}),
            widgets.cine_viewer({"other": cine}),  # twice the same on one page
        ]
        return viewers + [make() for make in EXPLORERS]

    return page_on_disk(tmp_path_factory.mktemp("page"), make)


def slider_on(page, address, place=0):
    """Open the page and scroll to one of its sliders; it is loaded then, and not before."""
    if page.url != address:
        page.goto(address)
    slider = page.locator(".dmri-live").nth(place)
    slider.scroll_into_view_if_needed()
    slider.locator(".dmri-view").wait_for()
    return slider


def settled(slider):
    """Wait until every method has answered the last request; return what they found."""
    columns = slider.locator(".dmri-column")
    slider.page.wait_for_function(
        "node => [...node.querySelectorAll('.dmri-column')].every(one => one.dataset.done)",
        arg=slider.element_handle(),
    )
    return [json.loads(column.get_attribute("data-result") or "null") for column in columns.all()]


def test_mouse_keys_and_play_from_disk(page, address):
    slider = slider_on(page, address)
    frame, canvases = slider.locator(FRAME), slider.locator("canvas")
    assert canvases.count() == 4 * 3  # image, profile and error of each cine; the scale for the first error
    assert frame.get_attribute("aria-valuetext") == "frame 1 / 7"
    assert "<i>noisy</i>" in slider.locator("figcaption").all_inner_texts()
    assert not slider.locator(".dmri-poster").is_visible()

    before = canvases.evaluate_all(PIXELS)
    others = slider_on(page, address, 1).locator("canvas")
    untouched = others.evaluate_all(PIXELS)
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + box["height"] / 2)
    dragged = canvases.evaluate_all(PIXELS)
    at = int(frame.input_value())
    assert at > 1 and dragged[0] != before[0] and dragged[5] != before[5]
    page.keyboard.press("ArrowRight")
    assert frame.input_value() == str(at + 1) and canvases.evaluate_all(PIXELS)[0] != dragged[0]

    column = slider.locator('input[aria-label="column x"]')
    profile = canvases.evaluate_all(PIXELS)[1]
    column.focus()
    page.keyboard.press("ArrowLeft")
    assert column.input_value() == "23" and canvases.evaluate_all(PIXELS)[1] != profile

    slider.get_by_role("button", name="Play").click()
    page.wait_for_function(
        "([node, old]) => node.value != old", arg=[frame.element_handle(), frame.input_value()]
    )
    slider.get_by_role("button", name="Pause").click()
    stopped = frame.input_value()
    page.wait_for_timeout(200)
    assert frame.input_value() == stopped and others.evaluate_all(PIXELS) == untouched


def test_the_pixels_are_those_of_the_cine(page, address):
    slider = slider_on(page, address, 1)
    slider.locator(FRAME).fill("4")
    shown = slider.locator("canvas").evaluate(
        "node => Array.from(node.getContext('2d').getImageData(0, 0, node.width, node.height).data)"
    )
    image = torch.tensor(shown).reshape(48, 48, 4)[..., 0] / 255
    assert (image - torch.from_numpy(beating_disk())[4]).abs().mean() < 0.02


def test_level_and_window(page, address):
    slider = slider_on(page, address)
    canvases = slider.locator("canvas")
    read = "node => Array.from(node.getContext('2d').getImageData(0, 24, 20, 1).data).filter((v, i) => i % 4 == 0)"
    slider.locator(FRAME).fill("0")
    before, plain = canvases.evaluate_all(PIXELS), canvases.nth(0).evaluate(read)
    slider.locator('input[aria-label="level"]').fill("30")  # 0.3
    slider.locator('input[aria-label="window"]').fill("9")  # 0.2
    after, toned = canvases.evaluate_all(PIXELS), canvases.nth(0).evaluate(read)
    expected = [min(max(((value / 255 - 0.3) / 0.2 + 0.5) * 255, 0), 255) for value in plain]
    assert max(abs(a - b) for a, b in zip(toned, expected, strict=True)) <= 1
    changed = [old != new for old, new in zip(before, after, strict=True)]
    assert changed == [True, True, False] + 3 * [True, True, False]  # image, profile; not scale and errors
    slider.get_by_role("button", name="Reset").click()
    assert canvases.evaluate_all(PIXELS) == before


def test_a_click_moves_the_cursors(page, address):
    slider = slider_on(page, address)
    canvases = slider.locator("canvas")
    box = canvases.nth(0).bounding_box()
    canvases.nth(0).click(position={"x": 0.26 * box["width"], "y": 5})
    assert slider.locator('input[aria-label="column x"]').input_value() == "12"
    box = canvases.nth(1).bounding_box()
    canvases.nth(1).click(position={"x": 0.9 * box["width"], "y": 5})
    assert slider.locator(FRAME).input_value() == "7"


@pytest.mark.parametrize("place", [MASK, KSPACE, CONSISTENCY, RECONSTRUCTION, COILS])
def test_every_control_of_an_explorer_changes_its_pictures(page, address, place):
    slider = slider_on(page, address, place)
    settled(slider)
    controls = slider.locator(".dmri-controls").first.locator("input, select")
    assert controls.count() >= 2 and not slider.locator(".dmri-poster").is_visible()
    for n in range(controls.count()):
        control, name = controls.nth(n), controls.nth(n).get_attribute("aria-label")
        before = slider.locator("canvas").evaluate_all(PIXELS)
        if control.evaluate("node => node.tagName") == "SELECT":
            control.select_option("1")
        else:
            control.focus()
            page.keyboard.press("ArrowLeft" if name == "coils" else "ArrowRight")
        settled(slider)
        assert slider.locator("canvas").evaluate_all(PIXELS) != before, name
    assert (
        not slider.locator(".dmri-alert").first.is_visible()
        or not slider.locator(".dmri-alert").first.inner_text()
    )


def test_what_an_explorer_says_is_what_its_poster_says(page, address):
    for place in (KSPACE, CONSISTENCY):
        slider = slider_on(page, address, place)
        assert slider.locator(".dmri-told").inner_text() == slider.locator(".dmri-poster").get_attribute(
            "alt"
        )
    coils = slider_on(page, address, COILS)
    zero_filled = coils.locator(".dmri-poster").get_attribute("alt").split(", ")[-1]
    coils.get_by_label("noise").press("Home")
    assert zero_filled in coils.locator(".dmri-told").inner_text()
    coils.get_by_label("coils").press("Home")
    assert "of the body cannot be unfolded" in coils.locator(".dmri-told").inner_text()
    slider = slider_on(page, address, RECONSTRUCTION)
    said = slider.locator(".dmri-poster").get_attribute("alt")
    shared, varied = settled(slider)
    assert said.startswith(slider.locator(".dmri-told").first.inner_text())
    assert f"view sharing {shared['psnr']:.2f} dB; kt tv {varied['psnr']:.2f} dB" in said


def test_impossible_settings_are_a_sentence_and_pass(page, address):
    slider = slider_on(page, address, MASK)
    settled(slider)
    acceleration, alert = slider.get_by_label("acceleration"), slider.get_by_role("alert")
    acceleration.press("End")
    assert alert.inner_text() == (
        "Not possible: 9 centre lines do not fit: acceleration 12 leaves 8 of 96 lines per frame; "
        "possible are 0 to 8 centre lines, or an acceleration of at most 10.67"
    )
    acceleration.press("Home")
    settled(slider)
    assert alert.inner_text() == "" and "96 of 96 lines" in slider.locator(".dmri-told").inner_text()


def test_the_newest_request_wins(page, address):
    slider = slider_on(page, address, RECONSTRUCTION)
    seed = slider.get_by_label("seed")
    for value in range(1, 12):
        seed.fill(str(value))
    rapid = settled(slider)
    seed.fill("12")
    seed.fill("11")
    assert settled(slider)[1]["psnr"] == rapid[1]["psnr"]


def test_a_mask_by_hand_is_scored_and_kept(page, address):
    slider = slider_on(page, address, RECONSTRUCTION)
    settled(slider)
    slider.get_by_text("Draw the mask by hand").click()
    slider.get_by_role("button", name="Draw by hand").click()
    slider.get_by_role("button", name="Empty").click()
    assert "nothing to reconstruct" in slider.get_by_role("alert").first.inner_text()
    mask = slider.locator(".dmri-draw")
    mask.focus()
    for _ in range(9):  # the budget: a fifth of 48 lines
        page.keyboard.press(" ")
        page.keyboard.press("ArrowDown")
    found = settled(slider)
    verdict = slider.locator("details").first.get_by_role("status").inner_text()
    assert slider.locator(".dmri-told").first.inner_text().startswith("9 of 48 lines")
    assert (
        f"9 of 9 lines in the fullest frame: {found[0]['psnr']:.2f} dB by view sharing; our mask: " in verdict
    )
    assert slider.get_by_role("button", name=f"{found[0]['psnr']:.2f} dB").count() >= 1
    box = mask.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 5, box["y"] + 20)
    page.mouse.up()
    assert "9 lines are drawn: take one away first" in slider.locator("details").first.inner_text()
    slider.get_by_role("button", name="Back to the rule").click()
    assert "9 of 48 lines" in slider.locator(".dmri-told").first.inner_text()


def test_a_lesion_is_looked_for(page, address):
    slider = slider_on(page, address, RECONSTRUCTION)
    slider.get_by_label("acceleration").press("Home")
    slider.get_by_text("Hide a lesion in the heart").click()
    slider.get_by_role("button", name="Drop a lesion").click()
    whole = settled(slider)
    assert [round(one["contrast"], 2) for one in whole] == [1, 1]  # all lines were measured
    slider.get_by_label("acceleration").fill("10")
    less = settled(slider)
    assert all(abs(one["contrast"] - 1) > 0.002 for one in less), less
    box = slider.locator("canvas").first.bounding_box()
    slider.locator("canvas").first.click(position={"x": 0.5 * box["width"], "y": 0.3 * box["height"]})
    assert slider.get_by_label("lesion y").input_value() == "14"
    slider.get_by_role("button", name="Take it out").click()
    assert "lesion" not in " ".join(slider.locator(".dmri-score").all_inner_texts())


@pytest.mark.parametrize("kind", ["complex64 packed", "uint16", "float64 .npy"])
def test_a_cine_of_ones_own(page, address, tmp_path, kind):
    cine = beating_disk(6, 50)[:, :, :40]
    path = tmp_path / ("own.npy" if "npy" in kind else "own.npz")
    if kind == "uint16":
        np.savez(path, dataset=np.stack([cine[::-1], cine]).__mul__(4000).astype(np.uint16))
    elif "npy" in kind:
        np.save(path, cine.astype(np.float64))
    else:
        np.savez_compressed(path, dataset=(cine * np.exp(1j)).astype(np.complex64), groups=np.arange(1))
    slider = slider_on(page, address, RECONSTRUCTION)
    settled(slider)
    slider.get_by_text("Open a cine of your own").click()
    slider.locator("input[type=file]").set_input_files(path)
    page.wait_for_function("node => node.textContent.includes('of 50 lines')", arg=slider.element_handle())
    if kind == "uint16":
        slider.get_by_label("cine").fill("1")
    slider.get_by_label("acceleration").press("Home")
    assert min(one["psnr"] for one in settled(slider)) > 60  # every line is there
    slider.get_by_role("button", name="Back to the course's cine").click()
    assert "of 48 lines" in slider.locator(".dmri-told").first.inner_text()


REFUSED = [
    ({"other": np.ones((2, 3, 4))}, "found the keys 'other'; expected the key 'dataset'"),
    (
        {"dataset": np.full((2, 3, 4), np.nan)},
        "found 24 values that are NaN or infinite in cine 0; expected finite",
    ),
    (
        {"dataset": np.ones((2, 3, 4))},
        "found a constant cine (number 0, 1 everywhere); expected an image that",
    ),
    ({"dataset": np.ones((3, 4))}, "found 2 dimensions, shape (3, 4); expected (n, t, y, x) or (t, y, x)"),
]


def test_no_cine_of_ones_own(page, address, tmp_path):
    slider = slider_on(page, address, RECONSTRUCTION)
    slider.get_by_text("Open a cine of your own").click()
    problem = slider.locator("details").nth(2).get_by_role("alert")
    for n, (arrays, said) in enumerate(REFUSED):
        np.savez(tmp_path / f"own{n}.npz", **arrays)
        slider.locator("input[type=file]").set_input_files(tmp_path / f"own{n}.npz")
        page.wait_for_function(
            "([node, name]) => node.textContent.includes(name)", arg=[problem.element_handle(), f"own{n}"]
        )
        assert said in problem.inner_text()
    (tmp_path / "text.npz").write_text("no zip")
    slider.locator("input[type=file]").set_input_files(tmp_path / "text.npz")
    page.wait_for_function("node => node.textContent.includes('no .npy array')", arg=problem.element_handle())


@pytest.mark.parametrize("width, scheme", [(1100, "light"), (375, "dark")])
def test_widths_and_themes(browser, address, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    for place in (0, MASK, CONSISTENCY, RECONSTRUCTION):
        slider = slider_on(page, address, place)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert slider.locator("canvas").first.bounding_box()["width"] >= 140
    color = page.locator("figcaption").first.evaluate("node => getComputedStyle(node).color")
    assert color == ("rgb(0, 0, 0)" if scheme == "light" else "rgb(255, 255, 255)")
    page.close()


def test_every_control_has_a_name(page, address):
    for place in (0, RECONSTRUCTION):
        slider = slider_on(page, address, place)
        nameless = slider.locator("input, select, button, canvas, progress").evaluate_all(
            "nodes => nodes.filter(n => !(n.ariaLabel || n.textContent.trim() || n.closest('label'))).length"
        )
        assert nameless == 0


def test_a_poster_without_scripts_and_on_paper(browser, page, address):
    plain = browser.new_context(offline=True, java_script_enabled=False).new_page()
    plain.goto(address)
    poster = plain.locator(".dmri-poster").first
    assert (
        poster.is_visible() and poster.bounding_box()["width"] > 200 and plain.locator("canvas").count() == 0
    )
    plain.context.close()
    slider = slider_on(page, address)
    page.emulate_media(media="print")
    assert slider.locator(".dmri-poster").is_visible() and not slider.locator("canvas").first.is_visible()


NOTEBOOK = """
import torch
from dmri_helpers import widgets
side, t = torch.linspace(-1, 1, 48), torch.arange(8)
radius = side[:, None] ** 2 + side ** 2
cine = ((0.3 + 0.02 * t)[:, None, None] > radius).float()
widgets.cine_viewer({"reference": cine, "half": cine / 2}, errors_against="reference")
---
explorer = widgets.mask_explorer(cine, acceleration=4, center_lines=5)
explorer
---
print("the kernel knows", explorer.state)
"""


@pytest.fixture
def lab(tmp_path):
    """A JupyterLab of its own, with nothing of the reader's settings; yields the notebook's address."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed: the slider was not tested in it")
    cells = [
        {
            "cell_type": "code",
            "id": f"cell-{n}",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": source.strip(),
        }
        for n, source in enumerate(NOTEBOOK.split("---"))
    ]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    (tmp_path / "page.ipynb").write_text(
        json.dumps({"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {
        name: str(tmp_path / name.lower())
        for name in (
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_DATA_DIR",
            "JUPYTER_RUNTIME_DIR",
            "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
            "IPYTHONDIR",
        )
    }
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    log = open(tmp_path / "lab.log", "w+")
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            f"--port={port}",
            "--port-retries=0",
            "--IdentityProvider.token=browser-test",
            f"--ServerApp.root_dir={tmp_path}",
            "--LabApp.news_url=None",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ],
        env={**os.environ, **own, "PYTHONPATH": path},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if server.poll() is not None or probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        if server.poll() is not None:
            log.seek(0)
            pytest.fail(f"JupyterLab did not start:\n{log.read()[-2000:]}")
        yield f"http://127.0.0.1:{port}/lab/tree/page.ipynb?token=browser-test"
    finally:
        server.terminate()  # it shuts its kernels down
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        log.close()


def test_sliders_in_jupyterlab(browser, lab):
    """The same module with a kernel, which sends the cines and hears what the reader chooses."""
    errors = []
    context = browser.new_context(viewport={"width": 1300, "height": 2400})
    context.route(
        lambda url: "127.0.0.1" not in url and not url.startswith(("data:", "blob:")),
        lambda route: route.abort(),
    )
    page = context.new_page()
    page.goto(lab)
    page.wait_for_selector("text=/\\| Idle/", timeout=60_000)
    page.wait_for_timeout(2_000)  # a run ordered earlier is lost
    listen(page, errors)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()

    viewer, explorer = page.locator(".dmri-live").nth(0), page.locator(".dmri-live").nth(1)
    viewer.locator(".dmri-view").wait_for(timeout=60_000)
    frame, canvas = viewer.locator(FRAME), viewer.locator("canvas").first
    before = canvas.evaluate("node => node.toDataURL()")
    box = frame.bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2)
    moved, at = canvas.evaluate("node => node.toDataURL()"), int(frame.input_value())
    assert at > 0 and moved != before
    page.keyboard.press("ArrowRight")
    assert frame.input_value() == str(at + 1) and canvas.evaluate("node => node.toDataURL()") != moved

    explorer.locator(".dmri-view").wait_for(timeout=30_000)
    settled(explorer)
    for name in ("acceleration", "centre lines", "seed", "frame"):
        before = explorer.locator("canvas").evaluate_all(PIXELS)
        explorer.get_by_label(name, exact=True).focus()
        page.keyboard.press("ArrowRight")
        settled(explorer)
        assert explorer.locator("canvas").evaluate_all(PIXELS) != before, name
    page.locator(".jp-CodeCell").nth(2).click()
    page.keyboard.press("Control+Enter")
    page.get_by_text("'acceleration': 4.5").wait_for(timeout=30_000)
    assert not errors
    context.close()
