"""The README says what is there: its ladders, its make targets, its files, its commands."""

import json
import re
import shlex
from pathlib import Path

import pytest

from dmri_helpers import cli, methods
from dmri_helpers.course.figures import readme_with_tables
from dmri_helpers.course.notebooks import ROOT
from dmri_helpers.data.phantom import phantom

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ladders_are_those_of_figures():
    assert readme_with_tables(README) == README, "run `make figures`"


def test_targets_and_links_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(
        re.findall(r"make ([a-z]+)\b", "\n".join(re.findall(r"`[^`]+`|^make.*", README, re.MULTILINE)))
    ):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("line", re.findall(r"^dmri (.+?)(?:  +#.*)?$", README, re.MULTILINE))
def test_commands_and_flags_exist(line, capsys):
    command, *words = shlex.split(line)
    assert cli.main([command, "--help"]) == 0
    explained = capsys.readouterr().out
    assert all(word in explained for word in words if word.startswith("--"))


def test_weights_fit_the_repository():
    files = [path for path in Path(methods.WEIGHTS).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10e6
    assert all((path.parent / "config.json").exists() for path in files if path.suffix == ".safetensors")


def test_transfer_in_the_readme_is_the_measured_one():
    measured = json.loads((ROOT / "figures/transfer/transfer.json").read_text(encoding="utf-8"))
    for trained_on in ("phantom", "real"):
        assert f"{measured[trained_on]['psnr_volume']['mean']:.2f} dB" in README
    assert measured["gap_psnr_volume"] < 1
    assert measured["version_of_the_phantom"] == phantom.VERSION, "measure the transfer anew"
