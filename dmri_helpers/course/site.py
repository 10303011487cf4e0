"""The executed notebooks as chapters of one site, with a landing page, that needs no network; and two PDFs.

Only what changed is done again. ``build/notebooks/<profile>-<data>/`` keeps every executed notebook with the stamp of
all that it depends on, and ``build/site/<profile>-<data>/`` keeps the pages that Sphinx reads and what it made of them.
"""

import html
import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

import nbformat

from ..data import open_cine
from ..results.files import write
from ..results.names import NAMES, WORLDS
from ..results.tables import cells, ladder, render, score
from ..widgets.explorers import laboratory
from ..widgets.live import Live, page_files, scripts
from .lecturer import goals_text
from .notebooks import ROOT, Build, digest, execute_notebook, package_files, sources, tidy
from .paper import MOST_PAGES, TEMPLATE, paper_pages
from .quizzes import quiz_text
from .render import PAPER, PDF, find_browser, page_count, print_pdf, render_pages, replace_report
from .text import CAPTION, numbered


def build_report(
    out: str | Path = ROOT / "build" / "report",
    data: str | None = None,
    profile: str | None = None,
    *,
    code: bool = False,
    notebooks: Path = ROOT / "notebooks",
    site: Path = ROOT / "site",
    build: Path = ROOT / "build",
) -> Path:
    """Execute the notebooks, render the site, print the report and the book; say how long each notebook took.

    Parameters
    ----------
    out
        folder of the site; an earlier report there is replaced when the new one is complete
    data
        ``phantom`` or the path of a file of cines; by default what the variable ``DMRI_DATA`` names
    profile
        ``tiny``, ``demo`` or ``full``; by default what the variable ``DMRI_PROFILE`` names
    code
        whether the report on paper shows the code of its figures and tables
    notebooks
        folder of the sources ``NN_name.py`` and of the text of the report, `paper.TEMPLATE`
    site
        folder of the Sphinx sources
    build
        folder of everything generated on the way

    Returns
    -------
        path of the landing page

    Raises
    ------
    ValueError
        if there is no such profile or data, or if ``out`` holds something that is not a report
    ReportError
        if a cell or Sphinx fails; the earlier report stays
    """
    run = Build(profile, data, build)
    out = Path(out)
    if out.exists() and not (out / "searchindex.js").exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: holds something that is no report; choose another folder")
    executed = [execute_notebook(source, run) for source in sources(notebooks)]

    browser = find_browser()
    pages, paper = (build / "site" / run.name / name / "source" for name in (".", "paper"))
    template = notebooks / TEMPLATE
    _write_all(_pages(site, executed, run, browser, template.exists()), pages)
    if template.exists():
        _write_all(_paper(site, paper_pages(template, executed, run.results, code)), paper)
    files = sorted(path for folder in (pages, paper) for path in folder.rglob("*") if path.is_file())
    stamp = digest([*files, *package_files()], str(out.resolve()))  # the API is read from the package
    if not (out / ".stamp").exists() or (out / ".stamp").read_text() != stamp:
        render_pages(pages, pages.with_name("html"), "html")
        pdfs = [print_pdf(pages, pages.with_name("single"), browser)]
        if template.exists() and browser is not None:
            pdfs.append(print_pdf(paper, paper.with_name("single"), browser, PAPER))
        for path in executed:
            write(pages.with_name("html") / "_sources" / "chapters" / path.name, _download(path))
        replace_report(out, pages.with_name("html"), pdfs, stamp)

    print(f"\nSite: {out / 'index.html'}   (profile {run.profile}, data {run.source})")
    for name, what in ((PAPER, "the report"), (PDF, "the course as a book")):
        if (out / name).exists():
            pages_of = page_count(out / name)
            print(f" PDF: {out / name}   ({what}, {pages_of} pages)")
            if name == PAPER and pages_of > MOST_PAGES and not code:
                print(f"{name}: {pages_of} pages; expected at most {MOST_PAGES}", file=sys.stderr)
    print()
    times = [[path.stem, f"{run.record(path)['seconds']:.0f}"] for path in executed]
    print(render(["notebook", "time (s)"], times, "simple"))
    measured = _ladder(run)
    print(
        "\n" + ladder(measured["worlds"], style="simple")
        if measured
        else "\nNo results ladder: 06 has written none for this run."
    )
    return out / "index.html"


def _pages(
    site: Path, executed: list[Path], run: Build, browser: str | None, report: bool
) -> dict[str, bytes]:
    """All that Sphinx reads: pages of the site, executed notebooks, and what is generated from this run."""
    pages = _with_linked_files(_files(site))
    pages |= {f"chapters/{path.name}": _chapter(path) for path in executed}
    pages |= _live(executed, run)
    for picture in run.results.glob("06_ladder.png"):
        pages[f"generated/{picture.name}"] = picture.read_bytes()
    book = f'<a href="{PDF}">the whole course as a book</a>'
    paper = f'<a href="{PAPER}">the report that one hands in</a>, and {book}' if report else book
    pages["generated/paper.md"] = f"<p>On paper: {paper}.</p>\n".encode() if browser is not None else b""
    pages["generated/chapters.md"] = _cards(executed).encode()
    pages["generated/goals.md"] = goals_text().encode()
    pages["generated/ladder.md"] = _ladder_page(_ladder(run), run).encode()
    pages["generated/run.md"] = _run_page(executed, run).encode()
    return pages


def _files(site: Path) -> dict[str, bytes]:
    """The files of the site, by their names below it."""
    files = [path for path in sorted(site.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(site).as_posix(): path.read_bytes() for path in files}


def _paper(site: Path, pages: dict[str, bytes]) -> dict[str, bytes]:
    """The pages of the report, with the style, the settings and the references of the site."""
    return {name: content for name, content in _files(site).items() if not name.endswith(".md")} | pages


def _with_linked_files(pages: dict[str, bytes]) -> dict[str, bytes]:
    """The pages, and copies of the files of the clone that they link to.

    A page in ``site/`` links to ``../figures/benchmark.png`` or ``../notebooks/01_sampling.ipynb``, so that a forge
    can follow the link. On the site the copied file, or the executed notebook, lies below the page.
    """
    linked = {}
    for name in [name for name in pages if name.endswith(".md")]:
        text = pages[name].decode().replace("](../notebooks/", "](chapters/")
        linked |= {path: (ROOT / path).read_bytes() for path in re.findall(r"\]\(\.\./([^)#]+)", text)}
        pages[name] = text.replace("](../", "](").encode()
    return pages | linked


def _chapter(executed: Path) -> bytes:
    """Turn an executed notebook into a chapter, with alternative texts of figures, folded solutions and a quiz."""
    notebook = tidy(nbformat.read(executed, as_version=4))
    if quiz := quiz_text(executed.stem):
        notebook.cells.append(nbformat.v4.new_markdown_cell(f"## Five questions\n\n{quiz}", id="quiz"))
    for before, cell in zip([None, *notebook.cells], notebook.cells, strict=False):
        is_solution = "solution" in cell.metadata.get("tags", [])
        if cell.cell_type == "markdown":
            caption = CAPTION.match(cell.source)
            if caption and before is not None and before.cell_type == "code":
                words = re.sub(r"[*`$\\]", "", " ".join(caption[0].split()))
                before.metadata.setdefault("mystnb", {}).setdefault("image", {})["alt"] = words
            cell.source = _chapter_text(cell.source)
            if is_solution:
                cell.source = f":::::{{dropdown}} What comes out\n{cell.source}\n:::::"
            continue
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            drawn = f"drawn by {cell.source.strip().splitlines()[-1]}"
            cell.metadata.setdefault("mystnb", {}).setdefault("image", {})["alt"] = drawn
        if is_solution:
            prompts = {"code_prompt_show": "Solution", "code_prompt_hide": "Hide the solution"}
            cell.metadata.setdefault("mystnb", {}).update(prompts)
    return nbformat.writes(notebook).encode()


def _download(executed: Path) -> bytes:
    """The notebook behind a page's download button: as people run it, and sliders as pictures until they do."""
    notebook = tidy(nbformat.read(executed, as_version=4))
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data.pop("text/html", None)
    return nbformat.writes(notebook).encode()


def _chapter_text(text: str) -> str:
    """Link figures to their captions and terms to the glossary, number equations, move the assignment to the margin.

    In the notebooks, a link to a page or term leads to `site/`, so that a forge and JupyterLab can follow it.
    """
    text = text.replace("](../site/", "](../")
    text = re.sub(
        r"^\*\*(Figure|Table) (\d)\.(\d+)\.\*\*",
        lambda found: f"({_anchor(found)})=\n{found[0]}",
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(
        r"(?<!\*)\b(Figure|Table) (\d)\.(\d+)", lambda found: f"[{found[0]}](#{_anchor(found)})", text
    )
    return re.sub(
        r"^> \*\*Assignment, (part \w)\.\*\*(.*(?:\n>.*)*)",
        _in_the_margin,
        numbered(text),
        flags=re.MULTILINE,
    )


def _anchor(found: re.Match) -> str:
    return "-".join(found.groups()).lower()


def _in_the_margin(found: re.Match) -> str:
    text = re.sub(r"^> ?", "", found[2], flags=re.MULTILINE).strip()
    return f"::::{{admonition}} Assignment, {found[1]}\n:class: margin assignment\n{text}\n::::\n"


def _live(executed: list[Path], run: Build) -> dict[str, bytes]:
    """What the explorers of these chapters load, as files beside the pages, and the landing page's own explorer."""
    heart = landing()
    pages = scripts(heart.own)
    asked = {
        name
        for path in executed
        for name in re.findall(r"(?:cine|film|images?)-[0-9a-f]{12}", path.read_text())
    }
    for path in run.assets.glob("*.js"):
        if path.name.partition(".")[0] in asked:
            pages[path.name] = path.read_bytes()
    files = {f"_static/live/{name}": content for name, content in (pages | page_files()).items()}
    return files | {"generated/heart.md": f"```{{raw}} html\n{heart.html}\n```\n".encode()}


def landing() -> Live:
    """The course in one minute: a phantom that beats, one slider of acceleration, three methods and their errors."""
    heart = open_cine("phantom", n=1)[0]
    columns = "zero_filled", "view_sharing", "kt_tv"
    options = {"controls": ["acceleration"], "panels": ["truth", "mask"], "start": {"acceleration": 5}}
    return laboratory(heart, columns, profile=False, play=True, **options)


def _write_all(pages: dict[str, bytes], folder: Path) -> None:
    """Write the pages into a folder and remove every other file from it."""
    for name, content in pages.items():
        write(folder / name, content)
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in pages:
            path.unlink()


def _title(notebook: Path) -> tuple[str, str]:
    """Return title and question of a notebook: its first heading and the paragraph below."""
    cells = nbformat.read(notebook, as_version=4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    found = re.search(r"^# +(.+?)\s*$\s*(.*?)(?=\n\s*\n|\n#|\Z)", text, re.MULTILINE | re.DOTALL)
    question = " ".join(found[2].split()).removeprefix("**Question.** ") if found else ""
    return (found[1] if found else notebook.stem), question


def _cards(executed: list[Path]) -> str:
    """Write a card for every chapter, with title and question of the notebook, and the table of contents."""
    lines = ["::::{grid} 1 2 2 3", ":gutter: 3", ""]
    for path in executed:
        title, question = _title(path)
        lines += [f":::{{grid-item-card}} {title}", f":link: chapters/{path.stem}", ":link-type: doc"]
        lines += [question, ":::"]
    lines += ["::::", "", "```{toctree}", ":hidden:", ":caption: Notebooks", ""]
    return "\n".join([*lines, *(f"chapters/{path.stem}" for path in executed), "```", ""])


def _ladder(run: Build) -> dict[str, Any]:
    """Read the results ladder that notebook 06 of this run wrote; empty if there is none."""
    path = run.results / "06_ladder.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _ladder_page(measured: dict[str, Any], run: Build) -> str:
    """Write the results ladder of this run as a table with bars."""
    if not measured:
        return "```{note}\nThis run has not measured a ladder: notebook 06 writes it.\n```\n"
    worlds = measured["worlds"]
    headings, rows = cells(worlds)
    heads, body = "".join(f"<th>{heading}</th>" for heading in headings), ""
    for row, bars in zip(rows, _bars(worlds), strict=True):
        values = "".join(f"<td>{cell}</td>" for cell in row[1:])
        body += f"<tr><th>{html.escape(row[0])}{bars}</th>{values}</tr>\n"
    about = html.escape(
        " · ".join(
            (
                f"profile {measured['profile']}",
                f"data {measured['data']}",
                measured["machine"],
                measured["date"],
            )
        )
    )
    fast = f"""```{{admonition}} Fast-mode output
:class: warning
These numbers come from the `{run.profile}` profile: small networks, trained briefly. They show how methods
are compared, not what networks can do. `DMRI_PROFILE=full make report` trains in full.
```

"""
    picture = ""
    if (run.results / "06_ladder.png").exists():
        values = "; ".join(
            f"{NAMES.get(method, method)} {score(summary.get('psnr'), 1)} dB{_in_world(world)}"
            for world, summaries in worlds.items()
            for method, summary in summaries.items()
        )
        picture = f"```{{image}} /generated/06_ladder.png\n:alt: the ladder, PSNR by method: {values}\n```\n"
    return f"""{fast if run.profile != "full" else ""}{picture}<div class="ladder">
<table><thead><tr>{heads}</tr></thead>
<tbody>
{body}</tbody></table>
</div>
<p class="ladder-note">{about}. Mean ± standard deviation over the test cines; bars: volume PSNR.</p>
"""


def _bars(worlds: dict[str, dict[str, Any]]) -> list[str]:
    """For each method one bar per world, as long as its volume PSNR is high; none where it is not known."""
    means = {
        world: {
            method: (summary.get("psnr_volume") or {}).get("mean") for method, summary in summaries.items()
        }
        for world, summaries in worlds.items()
    }
    known = [mean for of_world in means.values() for mean in of_world.values() if mean is not None] or [0]
    least, reach = min(known), max(max(known) - min(known), 1e-9)
    bars = dict.fromkeys((method for of_world in means.values() for method in of_world), "")
    for world, of_world in means.items():
        for method, mean in of_world.items():
            if mean is not None:
                width = 8 + 92 * (mean - least) / reach
                bars[method] += f'<span class="ladder-bar {world}" style="width:{width:.0f}%"></span>'
    return list(bars.values())


def _in_world(world: str) -> str:
    return f" ({WORLDS.get(world, world)})" if world else ""


def _run_page(executed: list[Path], run: Build) -> str:
    """Time and date of every notebook of this run."""
    records = [(path.stem, run.record(path)) for path in executed]
    rows = [[f"[](chapters/{name}.ipynb)", made["date"], f"{made['seconds']:.0f}"] for name, made in records]
    times = render(["notebook", "executed", "time (s)"], rows, left=2)
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    source = " ".join(
        run.source.replace("`", "'").split()
    )  # whatever the file is called, it stays code and is text
    return "\n".join([f"Profile `{run.profile}`, data `{source}`, {machine}.", "", times, ""])
