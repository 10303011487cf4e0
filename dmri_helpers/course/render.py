"""Rendering: Sphinx makes a site of the pages, and Chromium prints them as PDFs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from .notebooks import ReportError

PDF = "dynamic-mri-reconstruction.pdf"
"""The whole course as one book."""
PAPER = "report.pdf"
"""The report that one hands in."""
MATHJAX = "tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions"
"""What pages load of MathJax, whose other forms, languages and menus would be 8 MB of 10."""
NO_FILES = """document.querySelectorAll('a[href]').forEach(link => {
    if (link.protocol === 'file:' && link.pathname !== location.pathname) link.removeAttribute('href')
})"""
"""Links to other files would name folders of this machine in the PDF; those within the page stay."""


def render_pages(pages: Path, target: Path, builder: str) -> None:
    """Let Sphinx render a folder of pages with one of its builders; its warnings go to stderr."""
    print(f"rendering the site ({builder})", file=sys.stderr)
    doctrees = pages.with_name(f"doctrees-{builder}")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", builder, "-d", doctrees, pages, target]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"}
    )
    messages = done.stderr.replace(f"{pages}{os.sep}", "").strip()
    if done.returncode:
        raise ReportError(f"Sphinx: {messages}")
    if messages and builder == "html":  # the other builder repeats the same warnings
        print(messages, file=sys.stderr)


def find_browser() -> str | None:
    """The path of Chromium; where none is installed, Playwright's own: an empty path, since Playwright knows its place.

    Playwright downloads its Chromium once, into its cache; without a network there is None, and no PDF.
    """
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found:
        return found
    print("Chromium is not installed: trying `playwright install --only-shell chromium`", file=sys.stderr)
    command = [sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=600)
    except subprocess.TimeoutExpired:
        return None
    return "" if done.returncode == 0 else None


def print_pdf(pages: Path, target: Path, browser: str | None, name: str = PDF) -> Path | None:
    """All pages as one PDF, printed by Chromium; None, and a word on standard error, where there is none."""
    if browser is None:
        print("no PDF: for it, install Chromium (Debian, Ubuntu: the package chromium)", file=sys.stderr)
        return None
    render_pages(pages, target, "singlehtml")
    small = "font-size:8px;width:100%;text-align:center;color:#555"
    return to_pdf(
        target / "index.html",
        target / name,
        browser,
        format="A4",
        margin=dict.fromkeys(("top", "bottom", "left", "right"), "18mm"),
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=f"<div style='{small}'><span class='pageNumber'></span></div>",
    )


def to_pdf(html: Path, pdf: Path, browser: str, **options: Any) -> Path | None:
    """Print a page from disk, with everything unfolded; None, and a word on standard error, if that fails.

    The options are those of Playwright's ``page.pdf``.
    """
    from playwright.sync_api import Error, sync_playwright

    print(f"printing {pdf.name}", file=sys.stderr)
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser or None, args=["--no-sandbox"])
            page = chromium.new_page()
            page.goto(html.as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
            page.evaluate(NO_FILES)
            page.evaluate("window.MathJax && MathJax.startup.promise")
            page.emulate_media(media="print", color_scheme="light")
            page.pdf(path=pdf, print_background=True, outline=True, tagged=True, **options)
            chromium.close()
    except Error as error:
        name = browser or "Playwright's Chromium"
        print(f"no PDF: {name} does not print ({error.message.splitlines()[0]})", file=sys.stderr)
        return None
    return pdf


def page_count(pdf: Path) -> int:
    """The number of pages of a PDF that Chromium printed."""
    return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))


def replace_report(out: Path, rendered: Path, pdfs: list[Path | None], stamp: str) -> None:
    """Replace the last report by a rendered site and its PDFs; the last one stays if anything fails before."""
    fresh, old = out.with_name(f"{out.name}.new"), out.with_name(f"{out.name}.old")
    for path in (fresh, old):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(rendered, fresh, ignore=shutil.ignore_patterns("mathjax", "*.map", "locales"))
    for part in MATHJAX:
        there, here = (folder / "_static" / "mathjax" / part for folder in (rendered, fresh))
        here.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(there, here) if there.is_file() else shutil.copytree(there, here)
    for pdf in filter(None, pdfs):
        shutil.copy(pdf, fresh)
    (fresh / ".stamp").write_text(stamp)
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)
