"""The notebooks with their outputs, for what is made of them."""

from pathlib import Path

import jupytext
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))


@pytest.fixture(scope="session")
def executed(tmp_path_factory) -> list[Path]:
    """Every source with the outputs of its stored notebook: the text is that of today, also before `make notebooks`."""
    folder, made = tmp_path_factory.mktemp("executed"), []
    for source in SOURCES:
        notebook, stored = jupytext.read(source), nbformat.read(source.with_suffix(".ipynb"), as_version=4)
        outputs = {cell.source: cell.outputs for cell in stored.cells if cell.cell_type == "code"}
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = outputs.get(cell.source, [])
        made.append(folder / f"{source.stem}.ipynb")
        nbformat.write(notebook, made[-1])
    return made
