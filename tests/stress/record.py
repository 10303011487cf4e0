"""How the measurements of this folder are kept: a file in figures/reliability/, and a table of site/reliability.md."""

import json
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def record(name: str, command: str, said: str, header: list[str], rows: list[list], result: dict) -> None:
    """Write the result with machine and date to ``NAME.json``, and the rows between the page's markers of that name."""
    sys.path[:0] = [str(ROOT)]
    from dmri_helpers.course.figures import fill
    from dmri_helpers.results.files import write_text
    from dmri_helpers.results.records import machine
    from dmri_helpers.results.tables import render

    result = {"command": command, **machine(), **result}
    write_text(ROOT / f"figures/reliability/{name}.json", json.dumps(result, indent=1) + "\n")
    said = f"{said}, {result['machine']}, {date.today()}: `{command}`"
    page = ROOT / "site" / "reliability.md"
    filled = {name: f"{said}\n\n{render(header, rows, 'pipe')}"}
    write_text(page, fill(page.read_text(encoding="utf-8"), filled))
