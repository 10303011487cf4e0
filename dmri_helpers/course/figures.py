"""The folder ``figures/``, with what the notebooks drew and measured, and the tables of the README made from it."""

import json
from pathlib import Path
from typing import Any

from ..results.files import write
from ..results.tables import ladder
from .notebooks import ROOT, Build, execute_notebook, sources


def write_figures(
    profile: str | None = None, figures: Path = ROOT / "figures", build: Path = ROOT / "build"
) -> None:
    """Copy what the notebooks drew and measured on phantoms to ``figures/<profile>-phantom``.

    Notebooks that changed are executed first. Pictures of other data are left out, since we may not be allowed to
    publish them. On the demo profile, the tables of the README are brought up to date as well.
    """
    run = Build(profile, "phantom", build)
    for source in sources(ROOT / "notebooks"):
        execute_notebook(source, run)
    for path in sorted(run.results.glob("*")):
        write(figures / run.name / path.name, path.read_bytes())
    print(f"{figures / run.name}")
    if run.profile == "demo":
        write_readme(figures)


def write_readme(figures: Path = ROOT / "figures") -> None:
    """Bring the tables of the README and of the site's page on the bench up to date."""
    for page in (ROOT / "README.md", ROOT / "site" / "bench.md"):
        write(page, readme_with_tables(page.read_text(encoding="utf-8"), figures).encode())


def readme_with_tables(text: str, figures: Path = ROOT / "figures") -> str:
    """The README or a page of the site with its tables as ``figures`` has them; each with machine and date.

    A table is written between its markers, for example ``<!-- bench -->`` and ``<!-- end of bench -->``; tables whose
    markers the text does not have are left out.
    """
    phantom = json.loads((figures / "demo-phantom" / "06_ladder.json").read_text(encoding="utf-8"))
    tables = {
        "ladder phantom": f"{ladder(phantom['worlds'])}\n\n{phantom['n_cines']} cines; {_made([phantom])}.",
        "ladder real": _real_ladder(figures / "real-cines"),
    }
    tables["bench"] = (figures / "benchmark.md").read_text(encoding="utf-8").strip()
    return fill(text, tables)


def fill(text: str, tables: dict[str, str]) -> str:
    """The text with other tables between their markers."""
    for name, content in tables.items():
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        if begin in text:
            before, rest = text.split(begin)
            text = before + begin + content + end + rest.split(end)[1]
    return text


def _real_ladder(folder: Path) -> str:
    """The ladder of real cines: ``METHOD.json`` on magnitudes, ``METHOD.phase.json`` on the same cines with a phase."""
    worlds: dict[str, dict[str, Any]] = {"magnitude": {}, "phase": {}}
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        worlds["phase" if path.name.endswith(".phase.json") else "magnitude"][result["method"]] = result
    magnitude = worlds["magnitude"]
    rising = sorted(magnitude, key=lambda method: magnitude[method]["psnr_volume"]["mean"])
    worlds["magnitude"] = {method: magnitude[method] for method in rising}
    results = [result for world in worlds.values() for result in world.values()]
    counts = " to ".join(map(str, sorted({result["n_cines"] for result in results})))
    return f"{ladder(worlds)}\n\n{counts} cines; {_made(results)}."


def _made(results: list[dict[str, Any]]) -> str:
    """Machines and dates of results, each pair once."""
    return " and ".join(sorted({f"{result['machine']}; {result['date']}" for result in results}))
