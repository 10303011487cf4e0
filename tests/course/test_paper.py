"""The report that one hands in: its sections, its numbers, and what it refuses to leave out."""

import json
import re
from pathlib import Path

import pytest

from dmri_helpers.course.notebooks import ReportError
from dmri_helpers.course.paper import MOST_PAGES, TEMPLATE, paper_pages

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "figures" / "demo-phantom"
TEMPLATE_FILE = ROOT / "notebooks" / TEMPLATE


@pytest.fixture(scope="module")
def report(executed) -> dict[str, bytes]:
    return paper_pages(TEMPLATE_FILE, executed, RESULTS)


@pytest.fixture(scope="module")
def text(report) -> str:
    return report["index.md"].decode()


def test_sections_stand_in_order(text):
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert sections == ["Question", "Data and measures", "Methods", "Results", "Discussion", "References"]
    titles = re.findall(r"^### (.+)$", text, re.MULTILINE)
    wanted = [
        "Sampling",
        "Aliasing",
        "The network",
        "Training",
        "Dropout and learning rate",
        "L1 or L2",
        "The cascade",
    ]
    assert [title for title in titles if title in wanted] == wanted  # parts a to e of the assignment


def test_figures_and_tables_are_numbered_and_there(report, text):
    for kind in ("Figure", "Table"):
        numbers = [int(number) for number in re.findall(rf"^\*\*{kind} (\d+)\.\*\* ", text, re.MULTILINE)]
        assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 8
    pictures = re.findall(r"```\{image\} (\S+)", text)
    assert set(pictures) == report.keys() - {"index.md"}
    assert all(report[name].startswith(b"\x89PNG") for name in pictures)
    for target in re.findall(r"\]\(#((?:figure|table)-\d+)\)", text):
        assert f"({target})=" in text


def test_numbers_are_those_of_the_files(text):
    worlds = json.loads((RESULTS / "06_ladder.json").read_text(encoding="utf-8"))["worlds"]
    abstract = " ".join(text.split("## Question")[0].split())
    for world, method in (("magnitude", "view_sharing"), ("magnitude", "unrolled"), ("phase", "dual_unet")):
        score = worlds[world][method]["psnr_volume"]
        assert f"{score['mean']:.1f} ± {score['std']:.1f} dB" in abstract
    template = TEMPLATE_FILE.read_text(encoding="utf-8")
    assert not re.search(r"\d dB|\d ± \d", template), "a number is typed by hand"


def test_it_is_a_report_and_no_lesson(text):
    assert "{{" not in text and "```python" not in text
    assert not re.search(r"Predict|Exercise|slider|\bsection \d|<details|\]\(\.\./", text)


def test_it_is_short_enough_for_forty_pages(text):
    """About 350 words, or two pictures and a half, are a page; `make report` counts the pages themselves."""
    formulas = text.count("$$") // 2
    words = len(re.sub(r"\$\$.+?\$\$|```.+?```", "", text, flags=re.DOTALL).split())
    assert words / 350 + text.count("```{image}") / 2.5 + formulas / 12 < MOST_PAGES


def test_code_is_shown_on_request(executed):
    text = paper_pages(TEMPLATE_FILE, executed, RESULTS, code=True)["index.md"].decode()
    assert "```python\nmask = sampling.ky_t_mask(" in text


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{{06_ladder worlds/phase/magic/psnr .1f}}", "06_ladder.json has no worlds/phase/magic/psnr"),
        ("{{08_moon n_cines d}}", "08_moon.json: no such file of results"),
        ("{{Figure 9.9}}", "Figure 9.9: no notebook has it"),
        ("{{cells 1.8}}", "cells 1.8: no such section, or none of its cells is tagged 'report'"),
        ("As Table 2.1 shows.", "Table 2.1 is mentioned"),
    ],
)
def test_what_is_missing_is_named(executed, tmp_path, line, told):
    (tmp_path / TEMPLATE).write_text(f"# A report\n\n{line}\n")
    with pytest.raises(ReportError, match=f"^{TEMPLATE}: {re.escape(told)}"):
        paper_pages(tmp_path / TEMPLATE, executed, RESULTS)
