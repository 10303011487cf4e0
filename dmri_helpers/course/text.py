"""The text of the notebooks, as the site, the report and the slides read it."""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

CAPTION = re.compile(r"^\*\*((?:Figure|Table) \d\.\d+)\.\*\*\s*(.+?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
"""A caption: the name of a figure or table, and the paragraph after it."""
EQUATION = re.compile(r"^\$\$(?:(?!\$\$).)+\$\$$", re.MULTILINE | re.DOTALL)
ASKED = re.compile(r"^> \*\*Predict (\d\.\d+)\.\*\*(.*(?:\n>.*)*)", re.MULTILINE)
"""A prediction: its number, and the question with its marks."""
ANSWERED = re.compile(r"<details><summary>Answer to (\d\.\d+)</summary>\n\n(.+)\n\n</details>\Z", re.DOTALL)
"""A cell with the answer to a prediction: its number and its text."""
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Cell(NamedTuple):
    """A cell, and the section of its notebook that it stands in: its number and its title; empty before the first."""

    section: str
    title: str
    content: NotebookNode

    @property
    def tags(self) -> set[str]:
        return set(self.content.metadata.get("tags", []))


def cells_of(notebook: Path) -> list[Cell]:
    """All cells of a notebook; a section without a number belongs to the numbered one before it."""
    section, title, found = "", "", []
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "markdown":
            heading = re.search(r"^## (?:(\d\.\d+) )?(.+?)(?: \(\d+ min\))?$", cell.source, re.MULTILINE)
            if heading:
                section, title = heading[1] or section, heading[2]
        found.append(Cell(section, title, cell))
    return found


def numbered(text: str) -> str:
    """Give every displayed equation a label, so that Sphinx numbers it."""

    def labelled(found: re.Match) -> str:
        return f"{found[0]} (eq-{hashlib.sha256(found[0].encode()).hexdigest()[:8]})"

    return EQUATION.sub(labelled, text)


def without_links(text: str) -> str:
    """The text, with the words of a link in place of the link."""
    return re.sub(r"\[([^\]]+)\]\([^)\s]+\)", r"\1", text)


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a cell, without headings, boxes (``>``), captions, what is folded and "(notebook 3)"."""
    text = CAPTION.sub("", re.sub(r"<details>.*?</details>", "", HEADING.sub("", text), flags=re.DOTALL))
    text = re.sub(r"^>.*\n?", "", without_links(text), flags=re.MULTILINE)
    text = re.sub(r"\s\(notebook \d\)", "", text)
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]


def pictures(cell: NotebookNode) -> list[str]:
    """The PNG pictures that a cell shows, in base64."""
    shown = [output.get("data", {}).get("image/png") for output in cell.get("outputs", [])]
    return ["".join(png) for png in shown if png]


def tables(cell: NotebookNode) -> list[str]:
    """The Markdown that a cell shows."""
    shown = [output.get("data", {}).get("text/markdown") for output in cell.get("outputs", [])]
    return ["".join(text) for text in shown if text]


def printed(cell: NotebookNode) -> str:
    """The lines that a cell prints."""
    streams = [output for output in cell.get("outputs", []) if output.get("name") == "stdout"]
    return "".join(output.text for output in streams).rstrip()
