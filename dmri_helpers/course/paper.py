"""The report that one hands in: chosen figures, tables and paragraphs of the notebooks, without code, on paper.

Its text between them is ``notebooks/report.md``. A line in double braces there stands for something of the notebooks:

- ``{{Figure 4.2}}`` or ``{{Table 4.1}}``: the figure or table, with its caption and a number of the report;
- ``{{cells 4.3}}``: what is tagged ``report`` in section 4.3, paragraphs without their headings and what code printed;
- ``{{06_ladder worlds/phase/unrolled/psnr .1f}}``: a number of the file ``06_ladder.json`` of this run, by its name.
"""

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .notebooks import ReportError
from .text import CAPTION, Cell, cells_of, numbered, paragraphs, pictures, printed, tables, without_links

TEMPLATE = "report.md"
MOST_PAGES = 40
"""A report without code has at most so many pages."""
TALL = 0.75
"""A picture that is higher than so many times its width may take more of a page."""
_PLACE = re.compile(r"\{\{(\w+) ([^{}]+)\}\}")
_MENTION = re.compile(r"(?<![{*\w])(Figure|Table|section) (\d\.\d+)")


def paper_pages(template: Path, executed: list[Path], results: Path, code: bool = False) -> dict[str, bytes]:
    """The report as one page, and its pictures.

    Parameters
    ----------
    template
        the text between the parts of the notebooks
    executed
        the executed notebooks
    results
        folder of the JSON files that they wrote
    code
        whether the code that made a figure, a table or a line stands before it

    Raises
    ------
    ReportError
        if the template or a paragraph names a figure, a section or a number that there is not
    """
    page = _Page([cell for path in executed for cell in cells_of(path)], results, code)
    text = template.read_text(encoding="utf-8")
    page.count(text)
    try:
        text = _PLACE.sub(lambda found: page.filled(found[1], found[2].strip()), text)
        text = _MENTION.sub(lambda found: page.mention(*found.groups()), text)
    except KeyError as error:
        raise ReportError(f"{template.name}: {error.args[0]}") from None
    return {"index.md": text.encode(), **page.images}


class _Page:
    """What the template can name, the numbers of its figures and tables, and the pictures that it needs."""

    def __init__(self, cells: list[Cell], results: Path, code: bool) -> None:
        self.cells, self.results, self.code = cells, results, code
        self.numbers: dict[str, int] = {}
        # section of a notebook -> heading of the report that it stands below
        self.headings: dict[str, str] = {}
        self.images: dict[str, bytes] = {}
        self.shown = {}  # name -> the cell that shows it, and its caption
        last = None
        for cell in cells:
            if cell.content.cell_type == "code":
                last = cell
            else:
                captions = CAPTION.findall(cell.content.source)
                self.shown |= {name: (last, caption) for name, caption in captions}

    def count(self, template: str) -> None:
        """Number the figures and the tables in the order of the template, and note where each section stands."""
        of_kind, heading = {"Figure": 0, "Table": 0}, ""
        for title, kind, rest in re.findall(rf"^#+ (.+)$|{_PLACE.pattern}", template, re.MULTILINE):
            heading = title or heading
            if kind in of_kind:
                of_kind[kind] += 1
                self.numbers[f"{kind} {rest.strip()}"] = of_kind[kind]
            elif kind == "cells":
                self.headings[rest.strip()] = heading

    def filled(self, kind: str, rest: str) -> str:
        """What stands in place of one pair of braces."""
        if kind == "cells":
            return self.section(rest)
        if kind in ("Figure", "Table"):
            return self.display(kind, rest)
        return self.number(kind, *rest.rsplit(" ", 1))

    def mention(self, kind: str, number: str) -> str:
        """A link to a figure or table of the report, or the name of the section that holds one of a notebook."""
        if number in self.headings and kind == "section":
            return f"section “{self.headings[number]}”"
        if f"{kind} {number}" not in self.numbers:
            raise KeyError(f"{kind} {number} is mentioned; expected it in braces somewhere, too")
        number = str(self.numbers[f"{kind} {number}"])
        return f"[{kind} {number}](#{kind.lower()}-{number})"

    def section(self, number: str) -> str:
        """The paragraphs, and the printed lines, of a section that are tagged."""
        marked = [cell for cell in self.cells if cell.section == number and "report" in cell.tags]
        if not marked:
            raise KeyError(f"cells {number}: no such section, or none of its cells is tagged 'report'")
        parts = []
        for cell in marked:
            if cell.content.cell_type == "markdown":
                parts += [numbered(part) for part in paragraphs(cell.content.source)]
            else:
                made = tables(cell.content) or [_lines(cell)]
                parts += [*self.source(cell), *(without_links(part) for part in made)]
        return "\n\n".join(parts)

    def display(self, kind: str, number: str) -> str:
        """A figure or a table with its caption, which stay on one page."""
        name = f"{kind} {number}"
        cell, caption = self.shown.get(name, (None, ""))
        if cell is None:
            raise KeyError(f"{name}: no notebook has it")
        new = f"{kind} {self.numbers[name]}"
        anchor, caption = new.lower().replace(" ", "-"), without_links(" ".join(caption.split()))
        parts, shape = [f"({anchor})="], "tabular"
        if kind == "Table":
            parts += [f"**{new}.** {caption}", *tables(cell.content)]
        else:
            drawn = [base64.b64decode(picture) for picture in pictures(cell.content)]
            files = {f"images/{anchor}-{k}.png": png for k, png in enumerate(drawn)}
            self.images |= files
            parts += [f"```{{image}} {path}\n:alt: {new}\n```" for path in files] or [_lines(cell)]
            parts.append(f"**{new}.** {caption}")
            shape = f"picture {_shape(drawn)}"
        body = "\n\n".join(parts)
        return "\n\n".join([*self.source(cell), f":::::{{div}} unit {shape}\n{body}\n:::::"])

    def source(self, cell: Cell) -> list[str]:
        return [f"```python\n{cell.content.source}\n```"] if self.code else []

    def number(self, file: str, path: str, form: str) -> str:
        """A number of a file of results; what has a mean and a deviation is written with both."""
        source = self.results / f"{file}.json"
        if not source.exists():
            raise KeyError(f"{source.name}: no such file of results in this run")
        value: Any = json.loads(source.read_text(encoding="utf-8"))
        for key in path.split("/"):
            if not isinstance(value, Mapping) or key not in value:
                raise KeyError(f"{source.name} has no {path}")
            value = value[key]
        if not isinstance(value, Mapping):
            return _written(value, form)
        mean, deviation = (value.get(key) for key in ("mean", "std"))
        return _written(mean, form) + (f" ± {_written(deviation, form)}" if deviation is not None else "")


def _lines(cell: Cell) -> str:
    """What a cell printed, line by line."""
    return f"```text\n{printed(cell.content)}\n```"


def _shape(drawn: list[bytes]) -> str:
    """Whether these are several pictures, or a tall one."""
    sizes = [(int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")) for png in drawn]
    if len(sizes) > 1:
        return "several"
    return "tall" if any(height > TALL * width for width, height in sizes) else ""


def _written(value: Any, form: str) -> str:
    return "–" if value is None else format(value, "" if isinstance(value, str) else form)
