"""Execute the notebooks and render them, with a landing page, as one site that needs no network.

Only what changed is done again: ``build/notebooks/<profile>-<data>/`` keeps every executed notebook with the
stamp of all it depends on, ``build/site/<profile>-<data>/`` what Sphinx reads and has read.
"""

import base64
import hashlib
import html
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image
from tqdm import tqdm

from . import profiles

ROOT = Path(__file__).resolve().parents[1]
"""The clone: notebooks/, site/ and the lock lie beside the package."""

PDF = "dynamic-mri-reconstruction.pdf"
LABELS = {
    "zero_filled": "zero-filled",
    "temporal_mean": "temporal mean",
    "view_sharing": "view sharing",
    "conjugate_view_sharing": "view sharing, conjugates",
    "low_rank_sparse": "low rank + sparse",
    "kt_tv": "k-t total variation",
    "bart": "BART, temporal TV + wavelets",
    "dual_unet": "dual U-Net",
    "dual_unet_long": "dual U-Net, trained longer",
    "dual_unet_view_sharing": "dual U-Net, fed with view sharing",
    "cascades_5": "5 cascades, trained in class",
    "unrolled": "unrolled network",
}
COLUMNS = {  # metric -> heading, digits
    "psnr": ("PSNR / dB", 2),
    "ssim": ("SSIM", 3),
    "psnr_dynamic": ("dynamic PSNR / dB", 2),
    "psnr_volume": ("volume PSNR / dB", 2),
}


class ReportError(RuntimeError):
    """The report could not be built; the message is what its reader needs to know."""


def build_report(
    out: str | Path = ROOT / "build" / "report",
    data: str | None = None,
    profile: str | None = None,
    *,
    notebooks: Path = ROOT / "notebooks",
    site: Path = ROOT / "site",
    build: Path = ROOT / "build",
) -> Path:
    """Execute the notebooks, render the site, print where it is, the times and the results ladder.

    Parameters
    ----------
    out
        folder of the site; an earlier report there is replaced once the new one is complete
    data
        ``phantom`` or the path of a file of cines; by default what ``DMRI_DATA`` names
    profile
        ``tiny``, ``demo`` or ``full``; by default what ``DMRI_PROFILE`` names
    notebooks
        folder of the sources ``NN_name.py``
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
        if there is no such profile or data, or if ``out`` holds something that is no report
    ReportError
        if a cell fails or Sphinx does; the earlier report stays
    """
    run = _Run(profile, data, build)
    out = Path(out)
    if out.exists() and not (out / "searchindex.js").exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: holds something that is no report; choose another folder")
    executed = [_execute(source, run) for source in sources(notebooks)]

    browser = _browser()
    pages = build / "site" / run.name / "source"
    _write_all(_pages(site, executed, run, browser), pages)
    files = sorted(path for path in pages.rglob("*") if path.is_file())
    stamp = _digest([*files, *package_files()], str(out.resolve()))  # the API is read from the package
    if not (out / ".stamp").exists() or (out / ".stamp").read_text() != stamp:
        _render(pages, pages.with_name("html"), "html")
        pdf = _print(pages, pages.with_name("single"), browser)
        _replace(out, pages.with_name("html"), pdf, stamp)

    print(f"\nReport: {out / 'index.html'}   (profile {run.profile}, data {run.source})")
    if (out / PDF).exists():
        print(f"   PDF: {out / PDF}")
    print()
    width = max(len(path.stem) for path in executed)
    for path in executed:
        print(f"  {path.stem:{width}}  {run.record(path)['seconds']:6.0f} s")
    ladder = _ladder(run)
    print("\n" + ladder_table(ladder) if ladder else "\nNo results ladder: 06 has written none for this run.")
    return out / "index.html"


def write_notebooks(
    profile: str = "demo", notebooks: Path = ROOT / "notebooks", build: Path = ROOT / "build"
) -> None:
    """Write ``NN_name.ipynb`` beside every source, executed on the phantom and tidy: for the repository."""
    run = _Run(profile, "phantom", build)
    for source in sources(notebooks):
        notebook = tidy(nbformat.read(_execute(source, run), as_version=4))
        write(source.with_suffix(".ipynb"), (nbformat.writes(notebook) + "\n").encode())


def write_figures(
    profile: str | None = None, figures: Path = ROOT / "figures", build: Path = ROOT / "build"
) -> None:
    """Copy what the notebooks drew and measured on phantoms to ``figures/<profile>-phantom``; execute what changed.

    Only of phantoms: pictures of other data may not be ours to publish. On the demo profile the ladders of the
    README are written anew, too: that of the notebooks, and that of the numbers in ``figures/real-cines``.
    """
    run = _Run(profile, "phantom", build)
    for source in sources(ROOT / "notebooks"):
        _execute(source, run)
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
        f"ladder {name}": _markdown(result)
        + f"\n\n{result['n_cines']} cines; {result['machine']}; {result['date']}."
        for name, result in {"phantom": ladder, "real": {**real[-1], "rows": real}}.items()
    }
    tables["bench"] = (figures / "benchmark.md").read_text(encoding="utf-8").strip()
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        if begin in text:
            before, rest = text.split(begin)
            text = before + begin + table + end + rest.split(end)[1]
    return text


def _markdown(ladder: dict[str, Any]) -> str:
    rows = [["method", *(COLUMNS[name][0] for name in _measured(ladder)), "s per cine"]]
    rows.append(["---", *["---:"] * (len(rows[0]) - 1)])
    for row in ladder["rows"]:
        values = [_number(row.get(name), COLUMNS[name][1]) for name in _measured(ladder)]
        rows.append([LABELS.get(row["method"], row["method"]), *values, _seconds(row)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Leave out what differs between equal runs or means nothing to a reader: a copy to commit.

    Cells are named after their source, standard error (progress bars) goes, and so do views of widgets whose
    kernel is gone where the output has another form. Large pictures keep 256 colours.
    """
    tidied = nbformat.from_dict(notebook)
    tidied.metadata = nbformat.from_dict(
        {name: tidied.metadata[name] for name in ("jupytext", "kernelspec") if name in tidied.metadata}
        | {"language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}}
    )
    names: dict[str, int] = {}
    for cell in tidied.cells:
        name = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        names[name] = names.get(name, 0) + 1
        cell.id = name if names[name] == 1 else f"{name}-{names[name]}"
        cell.metadata = {key: value for key, value in cell.metadata.items() if key in ("tags", "mystnb")}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                if {"text/html", "image/png"} & set(output.get("data", {})):
                    output.data.pop("application/vnd.jupyter.widget-view+json", None)
                if len(output.get("data", {}).get("image/png", "")) > 50_000:
                    output.data["image/png"] = _smaller(output.data["image/png"])
    return tidied


def _smaller(png: str) -> str:
    """The same picture with 256 colours: half the bytes, and hard to tell from the other."""
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    if image.mode == "P":
        return png
    buffer = io.BytesIO()
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return min(png, base64.b64encode(buffer.getvalue()).decode("ascii"), key=len)


def ladder_table(ladder: dict[str, Any]) -> str:
    """Align the results ladder as text: a line per method, mean ± standard deviation over the test cines."""
    rows = [["method", *(COLUMNS[name][0] for name in _measured(ladder)), "s / cine"]]
    for row in ladder["rows"]:
        values = [_number(row.get(name), COLUMNS[name][1]) for name in _measured(ladder)]
        rows.append([LABELS.get(row["method"], row["method"]), *values, _seconds(row)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


class _Run:
    """One combination of profile and data, and where what it makes lies."""

    def __init__(self, profile: str | None, data: str | None, build: Path) -> None:
        known = [one.name for one in (profiles.TINY, profiles.DEMO, profiles.FULL)]
        self.profile = profile or profiles.current().name
        if self.profile not in known:
            raise ValueError(f"profile {self.profile!r}: expected one of {', '.join(known)}")
        self.data = data or profiles.data_source()
        if self.data != "phantom":
            if not Path(self.data).exists():
                raise ValueError(f"{self.data}: no such file; expected 'phantom' or a file of cines")
            self.data = str(Path(self.data).resolve())
        self.source = Path(self.data).name
        self.name = f"{self.profile}-{Path(self.data).stem}"
        self.results = build / "results" / self.name
        self.executed = build / "notebooks" / self.name

    def record(self, source: Path) -> dict[str, Any]:
        """What is known of the last execution of a notebook: its stamp, time and date."""
        path = self.executed / f"{source.stem}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def stamp(self, source: Path) -> str:
        """A hash of all that the outputs of a notebook depend on."""
        files = [path for path in package_files() if path.name not in ("report.py", "handout.py", "cli.py")]
        about = [sys.version, self.profile, self.data]
        if self.data != "phantom":
            state = Path(self.data).stat()
            about += [str(state.st_size), str(state.st_mtime_ns)]
        lock = [path for path in [ROOT / "requirements.lock"] if path.exists()]
        return _digest([source, *lock, *files], *about)


def package_files() -> list[Path]:
    """All files of the package, weights included."""
    files = Path(__file__).parent.rglob("*")
    return sorted(path for path in files if path.is_file() and "__pycache__" not in path.parts)


def sources(folder: Path) -> list[Path]:
    """The notebooks' sources, in their order; a `ReportError` where there are none."""
    found = sorted(folder.glob("[0-9][0-9]_*.py"))
    if not found:
        raise ReportError(f"{folder}: no notebooks here; the report is built in a clone of the repository")
    return found


def _digest(files: Iterable[Path], *words: str) -> str:
    digest = hashlib.sha256("\n".join(words).encode())
    for path in files:
        digest.update(f"{path.name}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write(path: Path, content: bytes) -> None:
    """Write whole or not at all, and nothing where nothing changed."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(path)


def _execute(source: Path, run: _Run) -> Path:
    """Execute a notebook, unless nothing it depends on has changed since; say where the result lies."""
    target, stamp = run.executed / f"{source.stem}.ipynb", run.stamp(source)
    if target.exists() and run.record(source).get("stamp") == stamp:
        print(f"{source.stem}: unchanged", file=sys.stderr)
        return target
    notebook = jupytext.read(source)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    at = {"cell": cells[0]}
    live = sys.stderr.isatty()
    bar = tqdm(total=len(cells), desc=source.stem, unit="cell", mininterval=0.1 if live else 20)

    def begin(cell: NotebookNode, cell_index: int) -> None:
        at["cell"] = cell
        bar.set_postfix_str(_first_line(cell)[:40], refresh=live)

    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        resources={"metadata": {"path": str(source.parent)}},
        on_cell_execute=begin,
        on_cell_executed=lambda **_: bar.update(),
    )
    environment = (
        os.environ
        | {
            "DMRI_PROFILE": run.profile,
            "DMRI_DATA": run.data,
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count())),
            "OMP_WAIT_POLICY": "passive",  # threads that spin while they wait are ten times slower on a busy machine
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
    )
    start = time.perf_counter()
    try:
        client.execute(env=environment)
    except (CellExecutionError, DeadKernelError) as error:
        number = next(i for i, cell in enumerate(cells, 1) if cell is at["cell"])
        reason = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else str(error)
        where = f"{source.name}, code cell {number} of {len(cells)} ({_first_line(at['cell'])})"
        raise ReportError(f"{where}: {reason}") from None
    finally:
        bar.close()
    write(target, nbformat.writes(notebook).encode())
    record = {"stamp": stamp, "seconds": time.perf_counter() - start, "date": date.today().isoformat()}
    write(run.executed / f"{source.stem}.json", json.dumps(record).encode())
    return target


def _first_line(cell: NotebookNode) -> str:
    return cell.source.strip().partition("\n")[0]


def _pages(site: Path, executed: list[Path], run: _Run, browser: str | None) -> dict[str, bytes]:
    """All that Sphinx reads: pages of the site, executed notebooks, and what is generated from this run."""
    files = [path for path in sorted(site.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    pages = _with_linked_files({path.relative_to(site).as_posix(): path.read_bytes() for path in files})
    pages |= {f"chapters/{path.name}": _chapter(path) for path in executed}
    pages["generated/heart.md"] = _heart_page(executed[-1]).encode()
    for picture in run.results.glob("06_ladder.png"):
        pages[f"generated/{picture.name}"] = picture.read_bytes()
    paper = f'<p>On paper: <a href="{PDF}">the whole course as one PDF</a>.</p>\n'
    pages["generated/paper.md"] = paper.encode() if browser is not None else b""
    pages["generated/chapters.md"] = _cards(executed).encode()
    pages["generated/ladder.md"] = _ladder_page(_ladder(run), run).encode()
    pages["generated/run.md"] = _run_page(executed, run).encode()
    return pages


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
    """A notebook as the site shows it: linked figures with alternative texts, numbered equations, parts of the
    assignment in the margin, solutions folded away."""
    notebook = nbformat.read(executed, as_version=4)
    for before, cell in zip([None, *notebook.cells], notebook.cells, strict=False):
        if cell.cell_type != "markdown":
            if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
                drawn = f"drawn by {cell.source.strip().splitlines()[-1]}"
                cell.metadata.setdefault("mystnb", {}).setdefault("image", {})["alt"] = drawn
            if "solution" in cell.metadata.get("tags", []):
                prompts = {"code_prompt_show": "Solution", "code_prompt_hide": "Hide the solution"}
                cell.metadata.setdefault("mystnb", {}).update(prompts)
            continue
        caption = re.match(r"\*\*(?:Figure|Table) \d\.\d+\.\*\*\s*(.+?)(?=\n\n|\Z)", cell.source, re.DOTALL)
        if caption and before is not None and before.cell_type == "code":
            words = re.sub(r"[*`$\\]", "", " ".join(caption[0].split()))
            before.metadata.setdefault("mystnb", {}).setdefault("image", {})["alt"] = words
        text = re.sub(
            r"^\*\*(Figure|Table) (\d)\.(\d+)\.\*\*",
            lambda found: f"({_anchor(found)})=\n{found[0]}",
            cell.source,
            flags=re.MULTILINE,
        )
        text = re.sub(
            r"(?<!\*)\b(Figure|Table) (\d)\.(\d+)", lambda found: f"[{found[0]}](#{_anchor(found)})", text
        )
        text = re.sub(
            r"^\$\$(?:(?!\$\$).)+\$\$$",
            lambda found: f"{found[0]} (eq-{hashlib.sha256(found[0].encode()).hexdigest()[:8]})",
            text,
            flags=re.MULTILINE | re.DOTALL,
        )
        text = re.sub(
            r"^> \*\*Assignment, (part \w)\.\*\*(.*(?:\n>.*)*)", _in_the_margin, text, flags=re.MULTILINE
        )
        if "solution" in cell.metadata.get("tags", []):
            text = f":::::{{dropdown}} What comes out\n{text}\n:::::"
        cell.source = text
    return nbformat.writes(notebook).encode()


def _anchor(found: re.Match) -> str:
    return "-".join(found.groups()).lower()


def _in_the_margin(found: re.Match) -> str:
    text = re.sub(r"^> ?", "", found[2], flags=re.MULTILINE).strip()
    return f"::::{{admonition}} Assignment, {found[1]}\n:class: margin assignment\n{text}\n::::\n"


def _heart_page(last: Path) -> str:
    """The last viewer of the course, playing: for the landing page."""
    outputs = [o for cell in nbformat.read(last, as_version=4).cells for o in cell.get("outputs", [])]
    viewers = [
        o.data["text/html"] for o in outputs if "dmri-slider" in o.get("data", {}).get("text/html", "")
    ]
    if not viewers:
        return ""
    play = """<script>addEventListener("load", () => matchMedia("(prefers-reduced-motion: reduce)").matches ||
document.querySelector(".dmri-slider button").click())</script>"""
    return f"```{{raw}} html\n{viewers[-1]}\n{play}\n```\n"


def _write_all(pages: dict[str, bytes], folder: Path) -> None:
    for name, content in pages.items():
        write(folder / name, content)
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in pages:
            path.unlink()


def _title(notebook: Path) -> tuple[str, str]:
    """Title and question: the first heading of a notebook and the paragraph below it."""
    cells = nbformat.read(notebook, as_version=4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    found = re.search(r"^# +(.+?)\s*$\s*(.*?)(?=\n\s*\n|\n#|\Z)", text, re.MULTILINE | re.DOTALL)
    question = " ".join(found[2].split()).removeprefix("**Question.** ") if found else ""
    return (found[1] if found else notebook.stem), question


def _cards(executed: list[Path]) -> str:
    """One card per chapter, from the notebook itself, and the table of contents."""
    lines = ["::::{grid} 1 2 2 3", ":gutter: 3", ""]
    for path in executed:
        title, question = _title(path)
        lines += [f":::{{grid-item-card}} {title}", f":link: chapters/{path.stem}", ":link-type: doc"]
        lines += [question, ":::"]
    lines += ["::::", "", "```{toctree}", ":hidden:", ":caption: Notebooks", ""]
    return "\n".join([*lines, *(f"chapters/{path.stem}" for path in executed), "```", ""])


def _ladder(run: _Run) -> dict[str, Any]:
    path = run.results / "06_ladder.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _measured(ladder: dict[str, Any]) -> list[str]:
    return [name for name in COLUMNS if any(name in row for row in ladder["rows"])]


def _number(value: dict[str, float] | None, digits: int) -> str:
    return f"{value['mean']:.{digits}f} ± {value['std']:.{digits}f}" if value else "–"


def _seconds(row: dict[str, Any]) -> str:
    return f"{row['seconds_per_cine']:.3g}" if row.get("seconds_per_cine") is not None else "–"


def _ladder_page(ladder: dict[str, Any], run: _Run) -> str:
    """The results ladder of this very run as a table with bars."""
    if not ladder:
        return "```{note}\nThis run has not measured a ladder: the last notebook writes it.\n```\n"
    shown = _measured(ladder)
    best, least = (f(row["psnr"]["mean"] for row in ladder["rows"] if "psnr" in row) for f in (max, min))
    heads = "".join(f"<th>{COLUMNS[name][0]}</th>" for name in shown)
    body = ""
    for row in ladder["rows"]:
        cells = "".join(f"<td>{_number(row.get(name), COLUMNS[name][1])}</td>" for name in shown)
        share = 8 + 92 * (row["psnr"]["mean"] - least) / max(best - least, 1e-9)
        bar = f'<span class="ladder-bar" style="width:{share:.0f}%"></span>'
        label = html.escape(LABELS.get(row["method"], row["method"]))
        body += f"<tr><th>{label}{bar}</th>{cells}<td>{_seconds(row)}</td></tr>\n"
    facts = (f"profile {ladder['profile']}", f"data {ladder['data']}", ladder["machine"], ladder["date"])
    about = html.escape(" · ".join(map(str, facts)))
    fast = f"""```{{admonition}} Fast-mode output
:class: warning
These numbers come from the `{run.profile}` profile: small networks, trained briefly. They show how methods
are compared, not what networks can do. `DMRI_PROFILE=full make report` trains in full.
```

"""
    picture = ""
    if (run.results / "06_ladder.png").exists():
        told = "; ".join(
            f"{row['method']} {row['psnr']['mean']:.1f} dB" for row in ladder["rows"] if "psnr" in row
        )
        picture = f"```{{image}} /generated/06_ladder.png\n:alt: the ladder, PSNR by method: {told}\n```\n"
    return f"""{fast if run.profile != "full" else ""}{picture}<div class="ladder">
<table><thead><tr><th>method</th>{heads}<th>s / cine</th></tr></thead>
<tbody>
{body}</tbody></table>
</div>
<p class="ladder-note">{about}. Mean ± standard deviation over the test cines; bars: PSNR.</p>
"""


def _run_page(executed: list[Path], run: _Run) -> str:
    """Time and date of every notebook of this run."""
    lines = ["| notebook | executed | seconds |", "|---|---|--:|"]
    for path in executed:
        record = run.record(path)
        lines.append(f"| [](chapters/{path.stem}.ipynb) | {record['date']} | {record['seconds']:.0f} |")
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    return "\n".join([f"Profile `{run.profile}`, data `{run.source}`, {machine}.", "", *lines, ""])


def _render(pages: Path, target: Path, builder: str) -> None:
    print(f"rendering the site ({builder})", file=sys.stderr)
    doctrees = pages.with_name(f"doctrees-{builder}")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", builder, "-d", doctrees, pages, target]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"}
    )
    told = done.stderr.replace(f"{pages}{os.sep}", "").strip()
    if done.returncode:
        raise ReportError(f"Sphinx: {told}")
    if told and builder == "html":  # the other builder says the same again
        print(told, file=sys.stderr)


def _browser() -> str | None:
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


def _print(pages: Path, target: Path, browser: str | None) -> Path | None:
    """All pages as one PDF, printed by Chromium; None, and a word on standard error, where there is none."""
    if browser is None:
        print("no PDF: for it, install Chromium (Debian, Ubuntu: the package chromium)", file=sys.stderr)
        return None
    from playwright.sync_api import Error, sync_playwright

    _render(pages, target, "singlehtml")
    print("printing the PDF", file=sys.stderr)
    small = "font-size:8px;width:100%;text-align:center;color:#555"
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser or None, args=["--no-sandbox"])
            page = chromium.new_page()
            page.goto((target / "index.html").as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            page.evaluate("window.MathJax && MathJax.startup.promise")
            page.emulate_media(media="print", color_scheme="light")
            page.pdf(
                path=target / PDF,
                format="A4",
                margin=dict.fromkeys(("top", "bottom", "left", "right"), "18mm"),
                print_background=True,
                outline=True,
                tagged=True,
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=f"<div style='{small}'><span class='pageNumber'></span></div>",
            )
            chromium.close()
    except Error as error:
        name = browser or "Playwright's Chromium"
        print(f"no PDF: {name} does not print ({error.message.splitlines()[0]})", file=sys.stderr)
        return None
    return target / PDF


def _replace(out: Path, rendered: Path, pdf: Path | None, stamp: str) -> None:
    """Put a rendered site where the last one is, complete or not at all."""
    fresh, old = out.with_name(f"{out.name}.new"), out.with_name(f"{out.name}.old")
    for path in (fresh, old):
        shutil.rmtree(path, ignore_errors=True)
    unused = ("mml-*.js", "tex-svg*.js", "tex-mml-*.js", "tex-chtml-*.js", "node-main.js")  # of MathJax
    shutil.copytree(rendered, fresh, ignore=shutil.ignore_patterns(*unused))
    if pdf:
        shutil.copy(pdf, fresh / PDF)
    (fresh / ".stamp").write_text(stamp)
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)
