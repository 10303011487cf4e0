"""Slides: one deck per notebook, made of what the executed notebooks hold, so that nothing is written twice.

A deck has the question and the goals, every prediction with its answer on the next slide, every displayed equation,
every figure and table with the first words of its caption, the exercises by name and the summary. Deeper sections and
solutions are left out. A deck is one HTML file that loads nothing; printed, every slide is a page.
"""

import html
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from ..results.files import write
from .notebooks import ROOT, ReportError
from .render import find_browser, page_count, to_pdf
from .text import (
    ANSWERED,
    ASKED,
    CAPTION,
    EQUATION,
    Cell,
    cells_of,
    paragraphs,
    pictures,
    printed,
    tables,
    without_links,
)

WORDS = 40
"""A slide has at most about so many words."""
ROWS = 9
"""A table of more rows is set smaller."""
LINES = 12
"""More printed lines than this are left to the notebook."""
_MARKDOWN = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, renderer=html.escape)
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
<script>MathJax = {{tex: {{inlineMath: [], displayMath: [], processEscapes: false}},
svg: {{fontCache: "local"}}, options: {{enableMenu: false}},
startup: {{pageReady: () => typeset()}}}}</script>
<script>{script}</script>
<script>{mathjax}</script>
<body>
{slides}
</body></html>
"""


class Slide(NamedTuple):
    """A slide: its kind, which is a class of the style sheet, the heading above it, and its HTML."""

    kind: str
    heading: str
    body: str


def write_slides(
    out: str | Path = ROOT / "build" / "slides", notebooks: Path = ROOT / "notebooks"
) -> list[Path]:
    """Write a deck for every executed notebook into a folder, and a PDF of it where there is a Chromium."""
    executed = sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))
    if not executed:
        raise ReportError(
            f"{notebooks}: no executed notebooks here; expected NN_name.ipynb, see `make notebooks`"
        )
    browser, written = find_browser(), []
    for notebook in executed:
        deck = Path(out) / f"{notebook.stem}.html"
        slides = slides_of(notebook)
        write(deck, page(slides).encode())
        written.append(deck)
        print(f"{deck}: {len(slides)} slides")
        if browser is not None:
            pdf = to_pdf(deck, deck.with_suffix(".pdf"), browser, prefer_css_page_size=True)
            if pdf and page_count(pdf) != len(slides):
                raise ReportError(
                    f"{pdf.name}: {page_count(pdf)} pages; expected {len(slides)}, one per slide"
                )
    return written


def page(slides: list[Slide]) -> str:
    """One HTML file of these slides, with its style, its script and MathJax inside."""
    folder = Path(__file__).parent
    mathjax = Path(str(find_spec("sphinx-mathjax-offline").origin)).parent / "static/mathjax/tex-svg.js"
    sections = [
        f'<section class="slide {one.kind}" id="{number}"><h2>{_inline(one.heading)}</h2>'
        f'<div class="body">{one.body}</div><footer>{number} / {len(slides)}</footer></section>'
        for number, one in enumerate(slides, 1)
    ]
    return _PAGE.format(
        title=html.escape(slides[0].heading),
        style=(folder / "slides.css").read_text(encoding="utf-8"),
        script=(folder / "slides.js").read_text(encoding="utf-8"),
        mathjax=mathjax.read_text(encoding="utf-8").replace("</script", "<\\/script"),
        slides="\n".join(sections),
    )


def slides_of(notebook: Path) -> list[Slide]:
    """All slides of an executed notebook, in its order; an answer comes right behind its prediction."""
    cells = [cell for cell in cells_of(notebook) if not cell.tags & {"deeper", "solution"}]
    first = next(cell.content.source for cell in cells if re.search("^# ", cell.content.source, re.MULTILINE))
    title = re.findall(r"^# (.+)$", first, re.MULTILINE)[0]
    goals = re.search(r"\*\*When you are through.*\n\n((?:(?:\d\.|  ) .+\n?)+)", first)
    slides = [Slide("title", title, _html(paragraphs(first)[0]))]
    slides += _several("goals", "When you are through, you can", goals[1] if goals else "")
    answers, last, exercises = _answers(cells), None, []
    for cell in cells:
        if cell.content.cell_type == "code":
            last = cell
            continue
        text = cell.content.source
        exercises += re.findall(r"^### (Exercise .+)$", text, re.MULTILINE)
        if cell.title == "Summary":
            if points := "\n\n".join(paragraphs(text)):
                slides += _several("exercises", "Exercises", "\n".join(f"- {name}" for name in exercises))
                slides += _several("summary", "Summary", points)
        elif cell.title != "References" and not text.startswith(("<details>", "### Exercise")):
            slides += _equations(cell)
            slides += [
                _display(cell, last, *caption) for caption in CAPTION.findall(text) if last is not None
            ]
            number, question = _question(text)
            if question:
                slides += _several("question", f"{cell.title} · Predict {number}", question) + answers.get(
                    number, []
                )
    return slides


def _question(text: str) -> tuple[str, str]:
    """The number of the prediction that a cell asks for, and its words; both empty if it asks for none."""
    found = ASKED.search(text)
    return (found[1], re.sub(r"^> ?", "", found[2], flags=re.MULTILINE).strip()) if found else ("", "")


def _answers(cells: list[Cell]) -> dict[str, list[Slide]]:
    """The answers to all predictions, with what was printed in their section since the question."""
    answers: dict[str, list[Slide]] = {}
    since: list[Cell] = []
    for cell in cells:
        found = ANSWERED.match(cell.content.source)
        if found:
            answers[found[1]] = _several("answer", f"{cell.title} · Answer to {found[1]}", found[2].strip())
            told = [printed(one.content) for one in since if one.section == cell.section]
            lines = "\n".join(filter(None, told)).splitlines()
            if 0 < len(lines) <= LINES:
                first = answers[found[1]][0]
                pre = f"<pre>{html.escape(chr(10).join(lines))}</pre>"
                answers[found[1]][0] = first._replace(body=pre + first.body)
        elif _question(cell.content.source)[1]:
            since = []
        elif cell.content.cell_type == "code":
            since.append(cell)
    return answers


def _display(cell: Cell, shown: Cell, name: str, caption: str) -> Slide:
    """A figure, a table or a slider, with the first sentences of its caption."""
    words = _html(_chunks(f"**{name}.** {without_links(' '.join(caption.split()))}")[0])
    parts = [
        f'<div class="table{" long" if part.count(chr(10)) > ROWS else ""}">{_html(without_links(part))}</div>'
        for part in tables(shown.content)
    ]
    for output in shown.content.get("outputs", []):
        made = output.get("data", {})
        if "image/png" in made:
            png = f'<img alt="" src="data:image/png;base64,{"".join(made["image/png"]).strip()}">'
            live = "".join(made.get("text/html", ""))
            parts.append(f'<div class="live">{live}</div><div class="paper">{png}</div>' if live else png)
    if not parts:
        parts = [f"<pre>{html.escape(printed(shown.content))}</pre>"]
    several = " several" if len(pictures(shown.content)) > 1 else ""
    return Slide("display" + several, cell.title, f'<div class="shown">{"".join(parts)}</div>{words}')


def _equations(cell: Cell) -> Iterator[Slide]:
    """The displayed equations of a cell, each with the sentence before it."""
    before = ""
    for part in paragraphs(cell.content.source):
        if EQUATION.fullmatch(part):
            yield Slide("equation", cell.title, _html(f"{before}\n\n{part}"))
            before = ""
        else:
            before = _end_of(part)


def _several(kind: str, heading: str, text: str) -> list[Slide]:
    """As many slides as a text needs."""
    return [Slide(kind, heading, _html(chunk)) for chunk in _chunks(without_links(text))] if text else []


def _units(text: str) -> list[tuple[str, str]]:
    """The sentences of a text, and the points of its lists, each with what stands before it."""
    units = []
    for block in re.split(r"\n\s*\n|\n(?=(?:- |\d\. ))", text.strip()):
        joined = " ".join(block.split())
        whole = re.match(r"- |\d\. |\(\w\)|\$\$", joined)
        units += [
            (one, " " if k else "\n\n") for k, one in enumerate([joined] if whole else _sentences(joined))
        ]
    return units


def _chunks(text: str) -> list[str]:
    """Cut a text between its sentences, and between the points of a list, into parts of at most `WORDS` words."""
    chunks: list[str] = []
    for unit, glue in _units(text):
        if chunks and _words(chunks[-1]) + _words(unit) <= WORDS:
            chunks[-1] += glue + unit
        else:
            chunks.append(unit)
    return chunks


def _end_of(text: str) -> str:
    """The last sentences of a text, at most `WORDS` words."""
    units = _units(text)
    while len(units) > 1 and sum(_words(unit) for unit, _ in units) > WORDS:
        units = units[1:]
    return "".join(glue + unit for unit, glue in units).strip()


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?:])\s+(?=[A-Z*`$(])(?![^$]*\$(?:[^$]*\$[^$]*\$)*[^$]*\Z)", text)


def _words(text: str) -> int:
    """How many words a text has; a formula counts as one."""
    return len(re.sub(r"\$\$.+?\$\$|\$[^$]+\$", "x", text, flags=re.DOTALL).split())


def _html(text: str) -> str:
    return str(_MARKDOWN.render(text))


def _inline(text: str) -> str:
    return str(_MARKDOWN.renderInline(text))
