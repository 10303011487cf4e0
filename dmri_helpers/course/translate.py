"""Notebooks in another language: the text of every Markdown cell is a message of a gettext catalogue.

``notebooks/locale/de/01_sampling.po`` holds the German texts of notebook 01. Any editor of such files can edit it. Code
cells always come from the source, so they cannot drift. ``python -m dmri_helpers.course.translate de 01_sampling``
brings the catalogue up to date with the source, says what has changed since, and writes the translated notebook.
"""

import io
import sys
from pathlib import Path

import jupytext
import nbformat
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from nbformat import NotebookNode

from ..results.files import write
from .notebooks import ROOT

HEADER = 'msgid ""\nmsgstr ""\n"Language: {}\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'


def messages(notebook: NotebookNode) -> Catalog:
    """The texts of a notebook in their order, not yet translated."""
    catalog = Catalog(fuzzy=False)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            catalog.add(cell.source)
    return catalog


def translated(notebook: NotebookNode, catalog: Catalog) -> NotebookNode:
    """Copy a notebook with the texts of a catalogue; a text that it lacks, or marks as doubtful, stays as it is."""
    copy = nbformat.from_dict(notebook)
    for cell in copy.cells:
        found = catalog.get(cell.source) if cell.cell_type == "markdown" else None
        if found is not None and found.string and not found.fuzzy:
            cell.source = found.string
    return copy


def outdated(notebook: NotebookNode, catalog: Catalog) -> list[str]:
    """Begin of every text that was translated, and that the notebook no longer has in this form."""
    known = messages(notebook)
    return [
        str(message.id).strip().split("\n")[0][:60]
        for message in catalog
        if message.id and message.string and (message.fuzzy or message.id not in known)
    ]


def translate(
    language: str, name: str, notebooks: Path = ROOT / "notebooks", out: Path | None = None
) -> Path:
    """Update the catalogue of a notebook in a language, and write the notebook with its texts.

    A text that has changed since it was translated keeps its old translation in the catalogue, marked as *fuzzy*, and
    is shown in its new original until somebody removes the mark.
    """
    source = notebooks / f"{name}.py"
    if not source.exists():
        names = ", ".join(path.stem for path in sorted(notebooks.glob("[0-9][0-9]_*.py")))
        raise ValueError(f"{name}: no such notebook; expected one of {names}")
    notebook, path = jupytext.read(source), notebooks / "locale" / language / f"{name}.po"
    catalog = Catalog(fuzzy=False)
    if path.exists():
        with path.open("rb") as file:
            catalog = read_po(file, locale=language)
    for begin in outdated(notebook, catalog):
        print(f"{path}: the original has changed since it was translated: {begin}", file=sys.stderr)
    catalog.update(messages(notebook), update_creation_date=False)
    content = io.BytesIO()
    write_po(content, catalog, width=0, no_location=True, omit_header=True)
    write(path, HEADER.format(language).encode() + content.getvalue())
    target = (out or ROOT / "build" / language) / f"{name}.ipynb"
    write(target, (nbformat.writes(translated(notebook, catalog)) + "\n").encode())
    done = sum(bool(message.id and message.string and not message.fuzzy) for message in catalog)
    print(f"{target}: {done} of {len(catalog)} texts in {language}")
    return target


if __name__ == "__main__":
    try:
        translate(*sys.argv[1:3])
    except (ValueError, TypeError) as error:
        sys.exit(f"python -m dmri_helpers.course.translate LANGUAGE NOTEBOOK: {error}")
