"""Tables of results: alignment, missing numbers, one cine alone, one spelling."""

import json
import statistics

import numpy as np
import pytest

from dmri_helpers import methods
from dmri_helpers.metrics import METRICS as MEASURED
from dmri_helpers.metrics import summarise
from dmri_helpers.results.names import METRICS, NAMES
from dmri_helpers.results.tables import half_width, render, score, table

VALUES = 30.0, 32.5, 37.25
ROWS = [{"psnr": value, "ssim": value / 40, "psnr_dynamic": value - 5} for value in VALUES]
ROWS[0]["psnr_dynamic"] = float("nan")  # nothing moves in it


def columns(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_markdown_has_mean_and_deviation_of_the_sample_and_n():
    head, sides, line = map(columns, table({"kt_tv": summarise(ROWS)}, ("psnr", "psnr_dynamic")).splitlines())
    assert head == ["method", "PSNR (dB)", "dynamic PSNR (dB)", "n"]
    assert [side.endswith(":") for side in sides] == [False, True, True, True]
    mean, std = statistics.mean(VALUES), statistics.stdev(VALUES)
    moving = [value - 5 for value in VALUES[1:]]
    few = f"{statistics.mean(moving):.2f} ± {statistics.stdev(moving):.2f} (n = 2)"
    assert line == ["k-t TV", f"{mean:.2f} ± {std:.2f}", few, "3"]


def test_what_is_not_known_is_a_dash():
    alone = json.loads(json.dumps(summarise(ROWS[:1])), parse_constant=lambda name: None)
    assert alone["psnr"] == {"mean": 30, "std": None, "n": 1} and half_width(alone["psnr"]) == 0
    assert score(alone["psnr"], 2) == "30.00" and score(alone["psnr_dynamic"], 2) == "–"
    assert score(summarise(ROWS[:1])["psnr"], 2) == "30.00" and score(None, 2) == score(np.nan, 2) == "–"


def test_the_ladder_as_text_is_aligned():
    ladder = {"zero_filled": summarise(ROWS) | {"seconds_per_cine": 0.0123456}, "a run": summarise(ROWS[1:])}
    lines = table(ladder, style="simple").splitlines()
    assert lines[0].split()[-1] == "n" and len({len(line) for line in lines}) == 1
    assert "0.0123" in lines[2] and "–" in lines[3]
    assert lines[2].startswith("zero-filled ") and lines[3].startswith("a run ")


def test_numbers_stay_as_they_were_written():
    assert "1e3" in render(["a", "b"], [["x", "1e3"]], "simple") and "007" in render(["a"], [["007"]])


def test_every_method_and_metric_has_one_spelling():
    assert methods.CLASSICAL.keys() | methods.NETWORKS.keys() <= NAMES.keys()
    assert set(MEASURED) <= METRICS.keys()
    assert len(set(NAMES.values())) == len(NAMES)
    assert len({metric.heading for metric in METRICS.values()}) == len(METRICS)
    with pytest.raises(KeyError):
        table({"kt_tv": {"bpm": 60}}, ["bpm"])
