"""The handout: the notebooks without their solutions, and a zip with all that they need, for a course platform."""

import ast
import io
import re
import zipfile
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from ..results.files import write
from .notebooks import ROOT, package_files, sources

START = """# Dynamic MRI reconstruction: student notebooks

    make lab

sets everything up (Python 3.10 or newer; some minutes, once) and opens the first notebook in JupyterLab. Without make:

    python -m venv .venv
    .venv/bin/python -m pip install -r requirements.lock
    .venv/bin/python -m pip install --no-deps --no-build-isolation -e .
    .venv/bin/python -m jupyter lab notebooks/01_sampling.ipynb

In an exercise, write the function, run the check below it, and read what it says. `notebooks-core/` has the same
notebooks without the sections that the main line does not need.
"""


def write_handout(out: str | Path = ROOT / "build" / "handout", notebooks: Path = ROOT / "notebooks") -> Path:
    """Write the student notebooks into a folder and, next to it, a zip of them with all that they need to run.

    A second folder, whose name ends in ``-core``, holds them without the sections that the main line does not need.

    Parameters
    ----------
    out
        folder of the student notebooks; older ones in it are replaced
    notebooks
        folder of the sources ``NN_name.py``

    Returns
    -------
        path of the zip
    """
    out, content = Path(out), io.BytesIO()
    archive, top = out.with_suffix(".zip"), Path("dynamic-mri")
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for source in sources(notebooks):
            for without, ending in ((("solution",), ""), (("solution", "deeper"), "-core")):
                text = nbformat.writes(student_form(jupytext.read(source), without)) + "\n"
                write(out.with_name(out.name + ending) / f"{source.stem}.ipynb", text.encode())
                file.writestr(str(top / f"notebooks{ending}" / f"{source.stem}.ipynb"), text)
        file.writestr(str(top / "README.md"), START)
        names = ("LICENSE", "Makefile", "pyproject.toml", "requirements.lock", "environment.yml")
        for path in [*(ROOT / name for name in names), ROOT / "site" / "conventions.md", *package_files()]:
            file.write(path, top / path.relative_to(ROOT))
    write(archive, content.getvalue())
    print(f"student notebooks: {out}\nwith all that they need: {archive}")
    return archive


def student_form(notebook: NotebookNode, without: tuple[str, ...] = ("solution",)) -> NotebookNode:
    """Copy a notebook without the cells of these tags; of a solution in code its stub remains, see `stub_of`."""
    student = nbformat.from_dict(notebook)
    student.metadata = {"kernelspec": notebook.metadata.kernelspec}
    student.cells = []
    for number, cell in enumerate(notebook.cells):
        source, tags = cell.source, set(cell.metadata.get("tags", [])) & set(without)
        if tags:
            source = stub_of(source) if tags == {"solution"} and cell.cell_type == "code" else ""
        if source:
            new = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
            student.cells.append(new(source, id=f"cell-{number}"))
    return student


def stub_of(solution: str) -> str:
    """Reduce a solution to its imports and to its functions with signature and docstring.

    The stub is empty if the cell does not start with ``# Solution N.M``, since it then belongs to a solution above it.
    """
    titled = re.match(r"# Solution (\d\.\d)\n", solution)
    if not titled:
        return ""
    kept = [f"# Exercise {titled[1]}: your answer"]
    for node in ast.parse(solution).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            kept.append(ast.unparse(node))
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            functions = node.body if isinstance(node, ast.ClassDef) else [node]
            for function in functions:
                if isinstance(function, ast.FunctionDef):
                    described = function.body[:1] if ast.get_docstring(function) else []
                    function.body = [*described, ast.parse("raise NotImplementedError").body[0]]
            kept.append(f"\n\n{ast.unparse(node)}")
    return "\n".join(kept)
