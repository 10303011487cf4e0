"""The README and the pages of the site say what is there: tables, targets, files, commands, options, versions."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

from dmri_helpers import cli, methods
from dmri_helpers.course.figures import readme_with_tables
from dmri_helpers.course.notebooks import ROOT
from dmri_helpers.data.phantom import phantom

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "site").glob("*.md"))]
NUMBERS = [*sorted((ROOT / "figures").glob("*/README.md")), methods.WEIGHTS / "README.md"]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands() -> list[str]:
    """Every line ``dmri ...`` of a code block, without its comment, whole where it goes on below."""
    texts = (re.sub(r" *\\\n *", " ", text_of(page)) for page in PAGES + NUMBERS)
    return [line for text in texts for line in re.findall(r"^ *dmri (.+?)(?:  +#.*)?$", text, re.MULTILINE)]


@pytest.mark.parametrize("page", ["README.md", "site/bench.md"])
def test_tables_are_those_of_figures(page):
    text = text_of(ROOT / page)
    assert readme_with_tables(text) == text, "run `make figures`"


def test_every_table_has_one_place():
    text = "".join(map(text_of, PAGES))
    for name in ("ladder phantom", "ladder real", "bench"):
        assert text.count(f"<!-- {name} -->\n") == text.count(f"\n<!-- end of {name} -->") == 1


def test_readme_is_one_screen():
    assert len(text_of(README).splitlines()) <= 150


def test_moving_picture_is_small_and_loops():
    path = ROOT / "figures" / "readme" / "heart.webp"
    with Image.open(path) as picture:
        assert picture.n_frames == 20 and picture.info["loop"] == 0
    assert path.stat().st_size < 1e6
    assert f"({name_of(path)})" in text_of(README)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_targets_and_links_exist(page):
    text = text_of(page)
    makefile = text_of(ROOT / "Makefile")
    for target in re.findall(
        r"make ([a-z]+)\b", "\n".join(re.findall(r"`[^`]+`|^make.*", text, re.MULTILINE))
    ):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for link in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in link and not link.startswith("chapters/"):  # executed notebooks, in the site alone
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("line", commands())
def test_commands_and_flags_exist(line, capsys):
    command, *words = shlex.split(line)
    model = words[words.index("--model") :][:2] if "--model" in words else []  # each has options of its own
    assert cli.main([command, *model, "--help"]) == 0
    explained = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert explained >= {word for word in words if word.startswith("--")}


def test_weights_fit_the_repository():
    files = [path for path in Path(methods.WEIGHTS).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10e6
    assert all((path.parent / "config.json").exists() for path in files if path.suffix == ".safetensors")


def test_transfer_in_the_page_on_the_phantom_is_the_measured_one():
    measured = json.loads(text_of(ROOT / "figures" / "transfer" / "transfer.json"))
    for trained_on in ("phantom", "real"):
        mean = measured[trained_on]["psnr_volume"]["mean"]
        assert f"{mean:.2f} dB" in text_of(ROOT / "site" / "phantom.md")
    assert measured["gap_psnr_volume"] < 1
    assert measured["version_of_the_phantom"] == phantom.VERSION, "measure the transfer anew"


def test_version_is_the_same_everywhere():
    version = re.findall(r'^version = "(.+)"$', text_of(ROOT / "pyproject.toml"), re.MULTILINE)[0]
    assert re.search(rf"^version: {re.escape(version)}$", text_of(ROOT / "CITATION.cff"), re.MULTILINE)
    released = re.findall(r"^## (\d\S+)", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert released[0] == version


def test_ladder_of_real_cines_has_both_worlds_and_dashes(tmp_path):
    def measured(name: str, psnr: float, date: str, method: str = "kt_tv") -> None:
        scores = {
            "psnr_volume": {"mean": psnr, "std": 2.0, "n": 5},
            "ssim_volume": {"mean": 0.9, "std": None, "n": 5},
        }
        about = {"method": method, "n_cines": 5, "machine": "2 cores", "date": date}
        (folder / f"{name}.json").write_text(json.dumps(about | scores | {"seconds_per_cine": 0.5}))

    folder = tmp_path / "real-cines"
    shutil.copytree(ROOT / "figures" / "demo-phantom", tmp_path / "demo-phantom")
    shutil.copy(ROOT / "figures" / "benchmark.md", tmp_path)
    folder.mkdir()
    measured("unrolled", 39, "2026-01-31", "unrolled")
    measured("kt_tv", 36.5, "2026-01-31")
    measured("kt_tv.phase", 35.5, "2026-02-01")
    text = readme_with_tables("<!-- ladder real -->\n\n<!-- end of ladder real -->", tmp_path)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[3:5]]
    assert lines[0] == ["k-t TV", "36.50 ± 2.00", "0.900", "35.50 ± 2.00", "0.900", "0.5", "5"]
    assert lines[1] == ["unrolled", "39.00 ± 2.00", "0.900", "–", "–", "0.5", "5"]
    assert "\n5 cines; 2 cores; 2026-01-31 and 2 cores; 2026-02-01.\n" in text
