"""Execution of the notebooks, each only if something that it depends on has changed since the last time.

People edit the source ``NN_name.py``. The executed notebook lies in ``build/``, its tidied copy ``NN_name.ipynb`` next
to the source.
"""

import base64
import hashlib
import io
import json
import os
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

from .. import profiles
from ..results.files import write

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent
"""The clone of the repository, where notebooks/, site/ and the lock are."""


class ReportError(RuntimeError):
    """The report could not be built; the message says which cell, or which program, failed and how."""


def write_notebooks(
    profile: str = "demo", notebooks: Path = ROOT / "notebooks", build: Path = ROOT / "build"
) -> None:
    """Execute every source on the phantom and write the tidied notebook next to it, to be committed."""
    run = Build(profile, "phantom", build)
    for source in sources(notebooks):
        notebook = tidy(nbformat.read(execute_notebook(source, run), as_version=4))
        write(source.with_suffix(".ipynb"), (nbformat.writes(notebook) + "\n").encode())


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Copy a notebook without what differs between equal runs or means nothing to a reader.

    Cells are named after their source. Standard error (progress bars) is left out, and so are views of widgets, whose
    kernel is gone, where the output has another form. Large pictures are reduced to 256 colours.
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
    """Reduce a picture to 256 colours, which halves its bytes and can hardly be seen."""
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    if image.mode == "P":
        return png
    buffer = io.BytesIO()
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return min(png, base64.b64encode(buffer.getvalue()).decode("ascii"), key=len)


class Build:
    """One combination of profile and data, and the folders of what is made from it."""

    def __init__(self, profile: str | None, data: str | None, build: Path) -> None:
        known = [known_profile.name for known_profile in (profiles.TINY, profiles.DEMO, profiles.FULL)]
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
        self.assets = (self.executed / "assets").resolve()

    def record(self, source: Path) -> dict[str, Any]:
        """Return stamp, time and date of the last execution of a notebook; empty if there was none."""
        path = self.executed / f"{source.stem}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def stamp(self, source: Path) -> str:
        """Hash all that the outputs of a notebook depend on: source, lock, package, data, Python and profile."""
        unused = {PACKAGE / "course", PACKAGE / "cli"}
        files = [path for path in package_files() if not unused & {path, *path.parents}]
        about = [sys.version, self.profile, self.data]
        if self.data != "phantom":
            state = Path(self.data).stat()
            about += [str(state.st_size), str(state.st_mtime_ns)]
        lock = [path for path in [ROOT / "requirements.lock"] if path.exists()]
        return digest([source, *lock, *files], *about)


def package_files() -> list[Path]:
    """List all files of the package, weights included."""
    files = PACKAGE.rglob("*")
    return sorted(path for path in files if path.is_file() and "__pycache__" not in path.parts)


def sources(folder: Path) -> list[Path]:
    """List the sources of the notebooks in their order; raise a `ReportError` if there are none."""
    found = sorted(folder.glob("[0-9][0-9]_*.py"))
    if not found:
        raise ReportError(f"{folder}: no notebooks here; the report is built in a clone of the repository")
    return found


def digest(files: Iterable[Path], *words: str) -> str:
    """Hash these words and the names and contents of these files."""
    state = hashlib.sha256("\n".join(words).encode())
    for path in files:
        state.update(f"{path.name}\n".encode())
        state.update(path.read_bytes())
    return state.hexdigest()


def execute_notebook(source: Path, run: Build) -> Path:
    """Execute a notebook if something that it depends on has changed; return the path of the executed one."""
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
    environment = os.environ | {
        "DMRI_PROFILE": run.profile,
        "DMRI_DATA": run.data,
        "DMRI_LIVE": str(run.assets),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count())),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
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
