"""The report: built from small notebooks, opened from disk without network, kept when a build fails."""

import base64
import io
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from dmri_helpers.course import render
from dmri_helpers.course import site as report
from dmri_helpers.course.notebooks import ReportError, _smaller, write_notebooks
from dmri_helpers.course.render import PAPER, PDF, page_count

SITE = Path(__file__).resolve().parents[2] / "site"
FIRST = """# %% [markdown]
# # A small notebook
#
# Does the answer to $6 \\times 7$ show?
#
# $$ b = F^{-1} U F m $$

# ## A section
#
# And its text.

# %% [markdown] tags=["report"]
# ## 1.1 A section with a number (3 min)
#
# A sentence for the [report](../site/conventions.md#term-cine).
#
# > **Predict 1.1.** Nothing for the report.

# %% tags=["nbval-check-output"]
import os
print("profile", os.environ["DMRI_PROFILE"], os.environ["DMRI_DATA"])

# %%
import matplotlib.pyplot as plt
import numpy as np
from dmri_helpers.widgets import cine_viewer
plt.figure(figsize=(2, 1)).gca().plot([1, 2]);

# %% [markdown]
# **Figure 1.1.** A line that *climbs*. As Figure 1.1 shows:
#
# > **Assignment, part a.** *Draw a line.*
#
# There it is, in [the space of lines](../site/conventions.md#term-k-space).

# %% [markdown]
# <details><summary>Answer to 1.1</summary>
#
# The line *climbs* by $1$.
#
# </details>

# %% [markdown] tags=["deeper"]
# ### Deeper: another line
#
# Few need it.

# %% tags=["deeper"]
print("a line beyond")

# %% [markdown]
# ## A last section
#
# Exercises:

# %% tags=["hide-cell", "solution"]
# Solution 1.1
def answer():
    "The answer."
    return "a line of code that is far too long for a page of paper, but has to be read there to its very end " * 2

# %% [markdown] tags=["solution"]
# It is 42.

# %%
cine_viewer({"one": np.eye(8)[None].repeat(3, 0), "other": np.eye(8)[None, ::-1].repeat(3, 0)})

# %%
from dmri_helpers.widgets import mask_explorer
mask_explorer(np.eye(24)[None].repeat(3, 0), acceleration=2, center_lines=4)
"""
LAST = """# %% [markdown]
# # A small ladder
#
# Which rung is higher?

# %%
import json
import os
import sys
from pathlib import Path
print("loud", file=sys.stderr)
folder = Path("../build/results") / f"{os.environ['DMRI_PROFILE']}-{os.environ['DMRI_DATA']}"
folder.mkdir(parents=True, exist_ok=True)
value = {"mean": 23.04, "std": 1.88}
magnitude = {"zero_filled": {"psnr_volume": value, "ssim_volume": value, "seconds_per_cine": 0.01},
             "unrolled": {"psnr_volume": {"mean": 38, "std": 2}, "seconds_per_cine": 3.0}}
worlds = {"magnitude": magnitude, "phase": {"unrolled": {"psnr_volume": {"mean": 29.5, "std": None}}}}
about = {"profile": "tiny", "data": "phantom", "date": "2026-01-31", "machine": "2 cores"}
(folder / "06_ladder.json").write_text(json.dumps(about | {"worlds": worlds}));
"""
REPORT = """# A small report

The rung is {{06_ladder worlds/magnitude/unrolled/psnr_volume .1f}} dB high.

{{Figure 1.1}}

{{cells 1.1}}
"""


class Course:
    """A copy of the course with two small notebooks, and with the pages of the site or with a landing page alone."""

    def __init__(self, folder: Path, pages: bool = False) -> None:
        self.folder, self.out = folder, folder / "build" / "report"
        self.site = SITE
        if not pages:
            self.site = folder / "site"
            shutil.copytree(SITE, self.site, ignore=lambda _, names: [n for n in names if n.endswith(".md")])
            parts = "".join(
                f"```{{include}} generated/{name}.md\n```\n" for name in ("ladder", "paper", "chapters")
            )
            (self.site / "index.md").write_text(f"# A course\n\n{parts}")
        self.notebooks = folder / "notebooks"
        self.notebooks.mkdir()
        (self.notebooks / "01_small.py").write_text(FIRST)
        (self.notebooks / "06_ladder.py").write_text(LAST)
        if pages:
            (self.notebooks / "report.md").write_text(REPORT)

    def build(self) -> Path:
        places = {"notebooks": self.notebooks, "site": self.site, "build": self.folder / "build"}
        return report.build_report(self.out, "phantom", "tiny", **places)

    def executed(self, name: str) -> nbformat.NotebookNode:
        folder = self.folder / "build" / "notebooks" / "tiny-phantom"
        return nbformat.read(folder / f"{name}.ipynb", as_version=4)


@pytest.fixture(scope="module", autouse=True)
def no_download() -> Iterator[None]:
    """Tests fetch no browser: where Playwright would download one, nobody answers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYWRIGHT_DOWNLOAD_HOST", "http://127.0.0.1:9")
        yield


@pytest.fixture(scope="module")
def course(no_download, tmp_path_factory) -> Course:
    made = Course(tmp_path_factory.mktemp("course"), pages=True)
    made.build()
    return made


def test_environment_reaches_the_notebook(course):
    (printed,) = course.executed("01_small").cells[2].outputs
    assert printed.text == "profile tiny phantom\n"


def test_second_call_does_nothing_and_prints_the_ladder(course, capfd):
    before = {path: path.stat().st_mtime_ns for path in course.out.rglob("*.html")}
    assert course.build() == course.out / "index.html"
    assert {path: path.stat().st_mtime_ns for path in course.out.rglob("*.html")} == before
    printed, progress = capfd.readouterr()
    assert progress == "01_small: unchanged\n06_ladder: unchanged\n"
    assert str(course.out / "index.html") in printed
    assert re.search(r"^zero-filled +23\.04 ± 1\.88 +23\.040 ± 1\.880 +– +– +0\.01$", printed, re.MULTILINE)
    assert re.search(r"^unrolled +38\.00 ± 2\.00 +– +29\.50 +– +3$", printed, re.MULTILINE)


def test_pages_load_nothing_from_elsewhere(course):
    for path in course.out.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"([^\"]+)", text)
        loaded += re.findall(r"<link[^>]*href=\"([^\"]+)", text)
        assert not [address for address in loaded if re.match(r"(\w+:)?//", address)], path


def test_site_results_and_executed_notebooks_name_no_machine(course):
    kept = [course.out, *(course.folder / "build").glob("results"), course.folder / "build" / "notebooks"]
    files = [path for folder in kept for path in folder.rglob("*") if path.is_file()]
    assert {".html", ".ipynb", ".pdf", ".js"} <= {path.suffix for path in files}
    names = str(course.folder), str(course.folder.resolve()), f"{Path.home()}/", socket.gethostname()
    for path in files:
        content = path.read_bytes()
        assert not [name for name in names if len(name) > 4 and name.encode() in content], path


def test_failing_cell_is_named_and_the_last_report_stays(tmp_path):
    course = Course(tmp_path)
    (course.notebooks / "01_small.py").unlink()
    course.build()
    page = (course.out / "index.html").read_bytes()
    (course.notebooks / "06_ladder.py").write_text(LAST + "\n# %%\n1 / 0\n")
    with pytest.raises(ReportError) as error:
        course.build()
    assert str(error.value) == "06_ladder.py, code cell 2 of 2 (1 / 0): ZeroDivisionError: division by zero"
    assert (course.out / "index.html").read_bytes() == page
    assert not list(course.out.parent.glob("report.*"))


def test_bad_requests_are_refused(course, tmp_path):
    with pytest.raises(ValueError, match=r"profile 'huge'.*tiny, demo, full"):
        report.build_report(tmp_path / "out", "phantom", "huge")
    with pytest.raises(ValueError, match=r"nowhere\.npz: no such file"):
        report.build_report(tmp_path / "out", "nowhere.npz", "tiny")
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="no report"):
        report.build_report(tmp_path, "phantom", "tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_stored_notebooks_are_the_same_every_time(course, tmp_path):
    again = Course(tmp_path)
    stored = []
    for one in (course, again):
        write_notebooks("tiny", one.notebooks, one.folder / "build")
        stored.append([path.read_text() for path in sorted(one.notebooks.glob("*.ipynb"))])
    assert stored[0] == stored[1] and len(stored[0]) == 2
    last = json.loads(stored[0][1])
    assert [output for cell in last["cells"] for output in cell.get("outputs", [])] == []  # stderr alone
    assert last["metadata"]["language_info"].get("version") is None


# What prints a PDF itself stands before the tests with a browser: there is one Playwright in a process.
def test_without_chromium_and_without_network_there_is_a_site_and_a_word(tmp_path, monkeypatch, capfd):
    course = Course(tmp_path)
    (course.notebooks / "01_small.py").unlink()
    monkeypatch.setattr(render.shutil, "which", lambda name: None)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "browsers"))  # nothing was fetched before
    course.build()
    assert (course.out / "index.html").exists() and not (course.out / PDF).exists()
    assert PDF not in (course.out / "index.html").read_text(encoding="utf-8")
    told = capfd.readouterr().err
    assert told.count("playwright install --only-shell chromium") == 1
    assert "no PDF: for it, install Chromium" in told and "127.0.0.1" not in told


def test_a_chromium_that_fails_costs_the_pdf_alone(tmp_path, monkeypatch, capfd):
    course = Course(tmp_path)
    (course.notebooks / "01_small.py").unlink()
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(report, "find_browser", lambda: str(broken))
    course.build()
    assert (course.out / "index.html").exists() and not (course.out / PDF).exists()
    assert f"no PDF: {broken} does not print" in capfd.readouterr().err


def test_chromium_that_playwright_fetched_prints(tmp_path, monkeypatch):
    """A Chromium where Playwright keeps its own stands in for a download; `playwright install` finds it there."""
    real = render.find_browser() or pytest.skip("no Chromium here")
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "browsers"))
    command = [sys.executable, "-m", "playwright", "install", "--dry-run", "--only-shell", "chromium"]
    planned = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for place in map(Path, re.findall(r"Install location: +(.+)", planned)):
        place.mkdir(parents=True)
        (place / "INSTALLATION_COMPLETE").touch()
    (shell,) = (tmp_path / "browsers").glob("chromium_headless_shell-*")
    (shell / "chrome-headless-shell-linux64").mkdir()
    (shell / "chrome-headless-shell-linux64" / "chrome-headless-shell").symlink_to(real)
    pages = tmp_path / "source"
    pages.mkdir()
    (pages / "conf.py").touch()
    (pages / "index.rst").write_text("A page\n======\n\nA sentence.\n")
    monkeypatch.setattr(render.shutil, "which", lambda name: None)
    pdf = render.print_pdf(pages, tmp_path / "single", render.find_browser())
    assert pdf is not None and pdf.read_bytes().startswith(b"%PDF")


@pytest.mark.browser
def test_landing_page_shows_ladder_and_cards(course, page):
    page.goto((course.out / "index.html").as_uri())
    assert page.locator(".ladder tbody tr").count() == 2
    assert page.locator(".ladder-bar").count() == 3 and page.locator(".ladder-bar.phase").count() == 1
    assert "volume PSNR (dB), with a phase" in page.locator(".ladder thead").inner_text()
    assert "2026-01-31" in page.locator(".ladder-note").inner_text()
    assert "tiny" in page.locator(".admonition.warning").inner_text()
    assert page.locator(".sd-card").count() == 2
    page.locator(".sd-card", has_text="A small notebook").click()
    page.wait_for_url("**/chapters/01_small.html")


@pytest.mark.browser
def test_formulas_and_slider_live_without_network(course, page):
    page.goto((course.out / "chapters" / "01_small.html").as_uri())
    page.wait_for_selector("mjx-container svg, mjx-container mjx-math")
    assert page.locator("mjx-container").count() >= 2
    assert page.locator("mjx-merror").count() == 0
    slider = page.locator(".dmri-live").first
    slider.scroll_into_view_if_needed()
    slider.locator("canvas").nth(1).wait_for()


@pytest.mark.browser
def test_explorer_moves_without_a_kernel(course, page):
    page.goto((course.out / "chapters" / "01_small.html").as_uri())
    explorer = page.locator(".dmri-live").nth(1)
    explorer.scroll_into_view_if_needed()
    explorer.get_by_label("acceleration").fill("0")
    assert "24 of 24 lines, acceleration 1.00 achieved" in explorer.locator(".dmri-told").inner_text()


@pytest.mark.browser
def test_landing_page_measures_a_heart_again_at_every_move(course, page):
    page.goto((course.out / "index.html").as_uri())
    heart = page.locator(".dmri-live")
    heart.scroll_into_view_if_needed()
    heart.locator(".dmri-column").nth(2).wait_for()
    assert heart.get_by_role("button", name="Pause").is_visible()  # it beats
    heart.get_by_label("acceleration").press("Home")
    assert "192 of 192 lines" in heart.locator(".dmri-told").inner_text()


def test_landing_page_measures_a_heart_in_firefox(course, firefox):
    """No request and no complaint either, as the fixture watches."""
    firefox.open((course.out / "index.html").as_uri())
    scores = """(async () => {
      const heart = document.querySelector(".dmri-live"), columns = () => [...heart.querySelectorAll(".dmri-column")];
      heart.scrollIntoView();
      const settled = async () => {
        while (!columns().length || !columns().every(one => one.dataset.done))
          await new Promise(go => setTimeout(go, 20));
        return columns().map(one => JSON.parse(one.dataset.result).psnr).join(" ");
      };
      const before = await settled(), slider = heart.querySelector("input[aria-label=acceleration]");
      slider.value = 0;
      slider.dispatchEvent(new Event("input"));
      return `${before} ${await settled()}`;
    })()"""
    found = [float(score) for score in firefox.evaluate(scores).split()]
    assert (
        len(found) == 6 and max(found[:3]) < 45 and min(found[3:]) > 60
    )  # every line is measured at the end


def test_assets_stand_once_and_only_what_pages_ask_for(course):
    folder = course.out / "_static" / "live"
    names = {path.name for path in folder.iterdir()}
    assert {"shim.js", "live.css", "module.js", "ort.wasm.9.js", "residual.js", "unrolled.1.js"} < names
    asked = "".join(path.read_text(encoding="utf-8") for path in course.out.rglob("*.html"))
    assert all(name.partition(".")[0] in asked for name in names if re.match(r"(cine|film|image)", name))
    assert sum(path.stat().st_size for path in folder.iterdir()) < 9_000_000


def test_the_download_is_the_notebook_as_people_run_it(course):
    notebook = nbformat.read(course.out / "_sources" / "chapters" / "01_small.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert [cell.source for cell in notebook.cells] == [
        cell.source for cell in course.executed("01_small").cells
    ]
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in data for data in outputs) == 3 and not any(
        "text/html" in data for data in outputs
    )


def test_only_what_pages_load_is_there(course):
    assert not list(course.out.rglob("*.map")) and not (course.out / "_static" / "locales").exists()
    mathjax = course.out / "_static" / "mathjax"
    assert sum(path.stat().st_size for path in mathjax.rglob("*") if path.is_file()) < 2_500_000


@pytest.mark.browser
def test_figures_formulas_solutions_and_the_assignment(course, page):
    page.goto((course.out / "chapters" / "01_small.html").as_uri())
    assert page.locator('img[alt="Figure 1.1. A line that climbs. As Figure 1.1 shows:"]').count() == 1
    page.locator("a.reference", has_text="Figure 1.1").click()
    assert page.url.endswith("#figure-1-1") and page.locator("#figure-1-1").count() == 1
    assert page.locator(".eqno").first.inner_text().startswith("(1)")
    assert "Draw a line." in page.locator(".admonition.margin.assignment").inner_text()
    code, words = page.get_by_text("The answer.").first, page.get_by_text("It is 42.")
    assert not code.is_visible() and not words.is_visible()
    beyond = (
        page.get_by_text("The line climbs by"),
        page.get_by_text("Few need it."),
        page.get_by_text("a line beyond", exact=True),
    )
    assert not any(part.is_visible() for part in beyond) and page.get_by_text("Exercises:").is_visible()
    assert page.get_by_role("heading", name="Deeper: another line").is_visible()
    page.locator("summary", has_text="Answer to 1.1").click()
    page.locator("summary", has_text="Beyond the main line").click()
    assert all(part.is_visible() for part in beyond)
    page.locator("summary", has_text="Solution").click()
    page.locator("summary", has_text="What comes out").click()
    assert code.is_visible() and words.is_visible()
    page.locator("a.reference", has_text="the space of lines").click()
    page.wait_for_url("**/conventions.html#term-k-space")
    assert page.locator("#term-k-space").count() == 1


@pytest.mark.browser
def test_pdf_holds_everything_within_its_margins(course, browser):
    page = browser.new_page()  # this page is for paper: it may look for a search index that it has not
    pdf = course.out / PDF
    assert pdf.read_bytes().startswith(b"%PDF") and pdf.stat().st_size > 50_000
    page.set_viewport_size({"width": 658, "height": 900})  # A4 without margins
    page.emulate_media(media="print")
    page.goto((course.folder / "build/site/tiny-phantom/single/index.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert (
        page.get_by_text("to its very end").first.is_visible() and page.get_by_text("It is 42.").is_visible()
    )
    assert page.get_by_text("a line beyond", exact=True).is_visible()
    assert page.locator("a", has_text="the space of lines").get_attribute("href") == "#term-k-space"
    assert page.locator("section .cell .dmri-live").count() == 0  # their pictures instead
    wide = """nodes => nodes.filter(node => node.getBoundingClientRect().right > innerWidth + 1
        || node.scrollWidth > node.clientWidth + 1).map(node => node.outerHTML.slice(0, 200))"""
    assert not page.locator(".bd-article pre, .bd-article img, .bd-article table").evaluate_all(wide)
    page.close()


@pytest.mark.browser
def test_report_on_paper(course, page):
    assert page_count(course.out / PAPER) == 1 < page_count(course.out / PDF)
    page.goto((course.out / "index.html").as_uri())
    assert page.locator(f'a[href="{PAPER}"], a[href="{PDF}"]').count() == 2
    pages = (course.folder / "build/site/tiny-phantom/paper/source/index.md").read_text(encoding="utf-8")
    assert "The rung is 38.0 ± 2.0 dB high." in pages and "A sentence for the report." in pages
    assert "**Figure 1.** A line that *climbs*." in pages and "Predict" not in pages


def test_large_pictures_of_stored_notebooks_keep_256_colours():
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 4), dtype=np.uint8)
    noise[..., 3] = 255
    png = io.BytesIO()
    Image.fromarray(noise).save(png, "PNG")
    whole = base64.b64encode(png.getvalue()).decode()
    small = _smaller(whole)
    assert len(small) < 0.6 * len(whole) and _smaller(small) == small
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(small))).convert("RGB")).astype(int)
    assert abs(shown - noise[..., :3]).mean() < 25


@pytest.mark.browser
def test_search_works_from_disk(course, page):
    page.goto((course.out / "search.html").as_uri() + "?q=undersampling")
    page.wait_for_selector("#search-results li a[href*='conventions.html']")


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize(
    "name", ["index", "conventions", "api", "bench", "figures/tries/README", "training", "chapters/01_small"]
)
def test_pages_fit_the_window(course, page, width, name):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto((course.out / f"{name}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_report_can_be_moved(course, tmp_path):
    moved = shutil.copytree(course.out, tmp_path / "elsewhere")
    assert str(course.out) not in (moved / "index.html").read_text(encoding="utf-8")
