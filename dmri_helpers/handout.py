"""Student forms of the notebooks: the same sources without their solutions, and a zip for a course platform."""

import ast
import os
import re
import zipfile
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
"""The clone."""


def write_handout(out: str | Path = ROOT / "build" / "handout", notebooks: Path = ROOT / "notebooks") -> Path:
    """Write the student notebooks and, beside the folder, a zip of them with all that they need to run.

    Parameters
    ----------
    out
        folder of the notebooks; those in it are replaced
    notebooks
        folder of the sources ``NN_name.py``

    Returns
    -------
        the zip
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    archive, beside = out.with_suffix(".zip"), out.with_name(f".{out.name}.{os.getpid()}")
    sources = sorted(notebooks.glob("[0-9][0-9]_*.py"))
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as file:
        for source in sources:
            text = nbformat.writes(student_form(jupytext.read(source))) + "\n"
            (out / f"{source.stem}.ipynb").write_text(text, encoding="utf-8")
            file.writestr(f"dynamic-mri/notebooks/{source.stem}.ipynb", text)
        for path in _needed():
            file.write(path, Path("dynamic-mri") / path.relative_to(ROOT))
    beside.replace(archive)
    print(f"{len(sources)} student notebooks: {out}\nwith all that they need: {archive}")
    return archive


def student_form(notebook: NotebookNode) -> NotebookNode:
    """A copy without what is tagged ``solution``: functions keep signature and docstring, the rest goes.

    Parameters
    ----------
    notebook
        as read from its source
    """
    student = nbformat.from_dict(notebook)
    cells = []
    for number, cell in enumerate(student.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {}
        if "solution" in notebook.cells[number].metadata.get("tags", []):
            if cell.cell_type == "markdown" or not (stub := stub_of(cell.source)):
                continue
            cell.source = stub
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        cells.append(cell)
    student.cells = cells
    student.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return student


def stub_of(solution: str) -> str:
    """The imports of a solution and its functions without bodies; empty if it is not ``# Solution N.M`` itself."""
    titled = re.fullmatch(r"# Solution (\d\.\d)", solution.strip().splitlines()[0].strip())
    if not titled:
        return ""
    kept = [f"# Exercise {titled[1]}: your answer"]
    for node in ast.parse(solution).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            kept.append(ast.unparse(node))
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            functions = [part for part in ast.walk(node) if isinstance(part, ast.FunctionDef)]
            for function in functions if isinstance(node, ast.ClassDef) else [node]:
                described = function.body[:1] if ast.get_docstring(function) else []
                function.body = [*described, ast.parse("raise NotImplementedError").body[0]]
            kept.append(f"\n\n{ast.unparse(node)}")
    return "\n".join(kept)


def _needed() -> list[Path]:
    """What the notebooks need beside themselves."""
    names = ("README.md", "LICENSE", "pyproject.toml", "requirements.lock", "environment.yml")
    package = (
        path
        for path in (ROOT / "dmri_helpers").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    return [*(ROOT / name for name in names), *sorted(package)]
