"""The folder ``figures/``, with what the notebooks drew and measured, and the tables of the README made from it."""

import json
from pathlib import Path

from ..results.files import write
from ..results.tables import table
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
    ladder = json.loads((figures / "demo-phantom" / "06_ladder.json").read_text(encoding="utf-8"))
    real = [json.loads(path.read_text(encoding="utf-8")) for path in (figures / "real-cines").glob("*.json")]
    real.sort(key=lambda result: result["psnr"]["mean"])
    tables = {
        f"ladder {name}": table({row["method"]: row for row in result["rows"]})
        + f"\n\n{result['n_cines']} cines; {result['machine']}; {result['date']}."
        for name, result in {"phantom": ladder, "real": {**real[-1], "rows": real}}.items()
    }
    tables["bench"] = (figures / "benchmark.md").read_text(encoding="utf-8").strip()
    for name, content in tables.items():
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        if begin in text:
            before, rest = text.split(begin)
            text = before + begin + content + end + rest.split(end)[1]
    return text
