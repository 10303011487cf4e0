"""Translations: code stays the original's, and a text that has changed is said and shown in its original."""

import io

import jupytext
import nbformat
import pytest
from babel.messages.pofile import read_po

from dmri_helpers.course import translate
from dmri_helpers.course.notebooks import ROOT

SOURCE = """# %% [markdown]
# # One heart
#
# It beats.

# %%
print("beat")

# %% [markdown]
# It rests.
"""


def code(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def texts(path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks" / "locale").glob("*/*.po")), ids=lambda path: path.stem
)
def test_committed_translations_keep_the_code_and_fit_their_notebook(path):
    notebook = jupytext.read(ROOT / "notebooks" / f"{path.stem}.py")
    catalog = read_po(io.BytesIO(path.read_bytes()), locale=path.parent.name)
    other = translate.translated(notebook, catalog)
    assert code(other) == code(notebook) and len(other.cells) == len(notebook.cells)
    assert translate.outdated(notebook, catalog) == [], "the original has changed since it was translated"
    changed = [a.source for a, b in zip(notebook.cells, other.cells, strict=True) if a.source != b.source]
    assert changed and all(len(other.cells[i].source) > 20 for i in range(2))


def test_a_changed_original_is_said_and_shown(tmp_path, capsys):
    notebooks, out = tmp_path / "notebooks", tmp_path / "out"
    notebooks.mkdir()
    (notebooks / "01_small.py").write_text(SOURCE)
    translate.translate("de", "01_small", notebooks, out)
    path = notebooks / "locale" / "de" / "01_small.po"
    po = path.read_text(encoding="utf-8")
    german = po.replace('"It beats."\nmsgstr ""', '"It beats."\nmsgstr "# Ein Herz\\n\\nEs schlägt."')
    assert german != po
    path.write_text(german, encoding="utf-8")
    target = translate.translate("de", "01_small", notebooks, out)
    assert texts(target) == ["# Ein Herz\n\nEs schlägt.", "It rests."]
    assert code(nbformat.read(target, as_version=4)) == ['print("beat")']
    assert capsys.readouterr().err == ""

    (notebooks / "01_small.py").write_text(
        SOURCE.replace("It beats.", "It beats fast.").replace('"beat"', '"beats"')
    )
    for _ in range(2):  # it says so until somebody has looked
        target = translate.translate("de", "01_small", notebooks, out)
        assert (
            "01_small.po: the original has changed since it was translated: # One heart"
            in capsys.readouterr().err
        )
        assert texts(target)[0] == "# One heart\n\nIt beats fast."
        assert code(nbformat.read(target, as_version=4)) == ['print("beats")']
    path.write_text(path.read_text(encoding="utf-8").replace("#, fuzzy\n", ""), encoding="utf-8")
    assert texts(translate.translate("de", "01_small", notebooks, out))[0] == "# Ein Herz\n\nEs schlägt."
    assert capsys.readouterr().err == ""


def test_an_unknown_notebook_is_refused_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="08_none: no such notebook; expected one of 01_sampling, "):
        translate.translate("de", "08_none", out=tmp_path)
