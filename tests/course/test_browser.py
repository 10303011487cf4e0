"""Sliders in a real browser: from disk without a network, without scripts, and in JupyterLab."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from builders import EXPLORERS, beating_disk

from dmri_helpers import widgets

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
FRAME = 'input[aria-label="frame"]'
PIXELS = "nodes => nodes.map(node => node.toDataURL())"


@pytest.fixture
def errors():
    """What the page complained about; a test that leaves anything here fails."""
    found: list[str] = []
    yield found
    assert not found


def listen(page, errors):
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)


@pytest.fixture(scope="module")
def page_on_disk(tmp_path_factory):
    cine = torch.from_numpy(beating_disk())
    sliders = [
        widgets.cine_viewer(
            {"reference": cine, "<i>noisy</i>": cine * 0.7, "third": cine, "fourth": cine},
            errors_against="reference",
            column=24,
            frame=1,
        ),
        widgets.cine_viewer({"other": cine}),
        widgets.cine_viewer({"other": cine}),  # twice the same on one page
    ]
    sliders += [make() for make in EXPLORERS]
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(
        '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<style>:root{color-scheme:light dark}</style>" + "\n".join(slider.html for slider in sliders),
        encoding="utf-8",
    )
    return path.as_uri()


def open_page(browser, url, errors, **options):
    context = browser.new_context(offline=True, **options)
    page = context.new_page()
    listen(page, errors)
    page.goto(url)
    page.wait_for_selector('.dmri-slider[data-ready="true"]')
    return page


def test_mouse_keys_and_play_from_disk(browser, page_on_disk, errors):
    page = open_page(browser, page_on_disk, errors)
    slider = page.locator(".dmri-slider").first
    frame, canvases = slider.locator(FRAME), slider.locator("canvas")
    assert page.locator('.dmri-slider[data-ready="true"]').count() == 3
    assert (
        canvases.count() == 4 * 3
    )  # image, profile and error of each cine; the scale in place of the first error
    assert frame.input_value() == "1" and "<i>noisy</i>" in slider.locator("figcaption").all_inner_texts()
    assert not slider.locator(".dmri-poster").is_visible()

    before, others = canvases.evaluate_all(PIXELS), page.locator(".dmri-slider").nth(1).locator("canvas")
    untouched = others.evaluate_all(PIXELS)
    box = frame.bounding_box()
    page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + box["height"] / 2)
    dragged = canvases.evaluate_all(PIXELS)
    assert frame.input_value() not in ("0", "1") and dragged[0] != before[0] and dragged[5] != before[5]
    at = int(frame.input_value())
    page.keyboard.press("ArrowRight")
    assert frame.input_value() == str(at + 1) and canvases.evaluate_all(PIXELS)[0] != dragged[0]
    assert frame.get_attribute("aria-valuetext") == f"frame {at + 1} of 7"

    column = slider.locator('input[aria-label="column x"]')
    profile = canvases.evaluate_all(PIXELS)[1]
    column.focus()
    page.keyboard.press("ArrowLeft")
    assert column.input_value() == "23" and canvases.evaluate_all(PIXELS)[1] != profile

    play = slider.get_by_role("button", name="Play")
    play.click()
    page.wait_for_function(
        "([node, old]) => node.value != old", arg=[frame.element_handle(), frame.input_value()]
    )
    slider.get_by_role("button", name="Pause").click()
    stopped = frame.input_value()
    page.wait_for_timeout(200)
    assert frame.input_value() == stopped and others.evaluate_all(PIXELS) == untouched
    page.context.close()


def test_the_pixels_are_those_of_the_cine(browser, page_on_disk, errors):
    page = open_page(browser, page_on_disk, errors)
    slider = page.locator(".dmri-slider").nth(1)
    slider.locator(FRAME).fill("4")
    shown = slider.locator("canvas").evaluate(
        "node => Array.from(node.getContext('2d').getImageData(0, 0, node.width, node.height).data)"
    )
    image = torch.tensor(shown).reshape(48, 48, 4)[..., 0] / 255
    assert (image - torch.from_numpy(beating_disk())[4]).abs().mean() < 0.02
    page.context.close()


def test_level_and_window(browser, page_on_disk, errors):
    page = open_page(browser, page_on_disk, errors)
    slider = page.locator(".dmri-slider").first
    canvases = slider.locator("canvas")
    read = "node => Array.from(node.getContext('2d').getImageData(0, 24, 20, 1).data).filter((v, i) => i % 4 == 0)"
    slider.locator(FRAME).fill("0")
    before, plain = canvases.evaluate_all(PIXELS), canvases.nth(0).evaluate(read)
    slider.locator('input[aria-label="level"]').fill("0.3")
    slider.locator('input[aria-label="window"]').fill("0.2")
    after, toned = canvases.evaluate_all(PIXELS), canvases.nth(0).evaluate(read)
    expected = [min(max(((value / 255 - 0.3) / 0.2 + 0.5) * 255, 0), 255) for value in plain]
    assert max(abs(a - b) for a, b in zip(toned, expected, strict=True)) <= 1
    changed = [old != new for old, new in zip(before, after, strict=True)]
    assert changed == [True, True, False] + 3 * [True, True, False]  # image, profile; not scale and errors
    slider.get_by_role("button", name="Reset").click()
    assert canvases.evaluate_all(PIXELS) == before
    page.context.close()


def test_a_click_moves_the_cursors(browser, page_on_disk, errors):
    page = open_page(browser, page_on_disk, errors)
    slider = page.locator(".dmri-slider").first
    canvases = slider.locator("canvas")
    box = canvases.nth(0).bounding_box()
    canvases.nth(0).click(position={"x": 0.26 * box["width"], "y": 5})
    assert slider.locator('input[aria-label="column x"]').input_value() == "12"
    box = canvases.nth(1).bounding_box()
    canvases.nth(1).click(position={"x": 0.9 * box["width"], "y": 5})
    assert slider.locator(FRAME).input_value() == "7"
    page.context.close()


@pytest.mark.parametrize("place", range(len(EXPLORERS)))
def test_explorers_without_a_kernel(browser, page_on_disk, errors, place):
    page = open_page(browser, page_on_disk, errors)
    explorer = page.locator(".dmri-explorer").nth(place)
    pictures, sentence = explorer.locator("figure img"), explorer.locator(".dmri-told")
    assert not explorer.locator(".dmri-poster").is_visible() and sentence.inner_text()
    controls = explorer.locator("input, select")
    assert controls.count() >= 2
    for n in range(controls.count()):
        control = controls.nth(n)
        before = [image.get_attribute("src") for image in pictures.all()], sentence.inner_text()
        at = control.input_value()
        control.focus()
        page.keyboard.press("ArrowRight" if at == "0" else "ArrowLeft")
        if control.evaluate("node => node.tagName") == "SELECT":
            control.select_option("1" if at == "0" else "0")
        assert control.input_value() != at, control.get_attribute("aria-label")
        after = [image.get_attribute("src") for image in pictures.all()], sentence.inner_text()
        assert after != before, control.get_attribute("aria-label")
        assert pictures.evaluate_all("nodes => nodes.every(node => node.alt && node.decode)")
    page.context.close()


@pytest.mark.parametrize("width, scheme", [(1100, "light"), (800, "dark"), (375, "dark")])
def test_widths_and_themes(browser, page_on_disk, errors, width, scheme):
    page = open_page(
        browser, page_on_disk, errors, viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    panel = page.locator(".dmri-slider canvas").first.bounding_box()["width"]
    assert panel >= (220 if width > 500 else 150)
    color = page.locator(".dmri-slider figcaption").first.evaluate("node => getComputedStyle(node).color")
    assert color == ("rgb(0, 0, 0)" if scheme == "light" else "rgb(255, 255, 255)")
    page.context.close()


def test_a_poster_without_scripts_and_on_paper(browser, page_on_disk, errors):
    page = browser.new_context(offline=True, java_script_enabled=False).new_page()
    page.goto(page_on_disk)
    poster = page.locator(".dmri-poster").first
    assert (
        poster.is_visible() and poster.bounding_box()["width"] > 200 and page.locator("canvas").count() == 0
    )
    page.context.close()
    page = open_page(browser, page_on_disk, errors)
    page.emulate_media(media="print")
    assert page.locator(".dmri-poster").first.is_visible() and not page.locator("canvas").first.is_visible()
    page.context.close()


NOTEBOOK = """
import torch
from dmri_helpers import fourier, sampling, widgets
side, t = torch.linspace(-1, 1, 48), torch.arange(8)
radius = side[:, None] ** 2 + side ** 2
cine = ((0.3 + 0.02 * t)[:, None, None] > radius).float()
widgets.cine_viewer({"reference": cine, "half": cine / 2}, errors_against="reference")
---
kspace = fourier.fft2c(cine.to(torch.complex64))
make_mask = lambda **settings: sampling.ky_t_mask(tuple(cine.shape), **settings)
undersample = lambda mask, frame: fourier.ifft2c(kspace[frame] * mask[0, frame])
widgets.mask_explorer(make_mask, undersample, cine, acceleration=4, center_lines=5)
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


def test_slider_and_explorer_in_jupyterlab(browser, lab, errors):
    context = browser.new_context(viewport={"width": 1300, "height": 1400})
    context.route(
        lambda url: "127.0.0.1" not in url and not url.startswith("data:"), lambda route: route.abort()
    )
    page = context.new_page()
    page.goto(lab)
    page.wait_for_selector("text=/\\| Idle/", timeout=40_000)
    page.wait_for_timeout(2_000)  # a run ordered earlier is lost
    listen(page, errors)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()

    page.wait_for_selector('.dmri-slider[data-ready="true"]', timeout=30_000)
    frame, canvas = page.locator(FRAME), page.locator(".dmri-slider canvas").first
    before = canvas.evaluate("node => node.toDataURL()")
    box = frame.bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2)
    moved, at = canvas.evaluate("node => node.toDataURL()"), int(frame.input_value())
    assert at > 0 and moved != before
    page.keyboard.press("ArrowRight")
    assert frame.input_value() == str(at + 1) and canvas.evaluate("node => node.toDataURL()") != moved

    picture = page.locator(".widget-html-content:has(img)")
    picture.wait_for(timeout=20_000)
    for name in ("acceleration", "centre lines", "seed", "frame"):
        before = picture.inner_html()
        page.locator(".widget-slider", has_text=name).locator(".noUi-handle").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function(
            "([node, old]) => node.innerHTML != old", arg=[picture.element_handle(), before]
        )
    before = picture.inner_html()
    page.locator(".widget-dropdown select").select_option("gaussian")
    page.wait_for_function("([node, old]) => node.innerHTML != old", arg=[picture.element_handle(), before])
    centre = page.locator(".widget-slider", has_text="centre lines").locator(".noUi-handle")
    centre.focus()
    page.keyboard.press("End")
    page.get_by_role("alert").filter(has_text="Not possible").wait_for()
    assert not page.locator(".widget-html-content img").count()
    context.close()
