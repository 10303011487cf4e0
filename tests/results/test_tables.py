"""Tables of results: alignment, missing numbers, one cine alone, one spelling."""

import json
import statistics

import numpy as np
import pytest

from dmri_helpers import methods
from dmri_helpers.metrics import METRICS as MEASURED
from dmri_helpers.metrics import summarise
from dmri_helpers.results.names import METRICS, NAMES
from dmri_helpers.results.tables import half_width, ladder, render, score, table

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
    rungs = {"zero_filled": summarise(ROWS) | {"seconds_per_cine": 0.0123456}, "a run": summarise(ROWS[1:])}
    lines = table(rungs, style="simple").splitlines()
    assert lines[0].split()[-1] == "n" and len({len(line) for line in lines}) == 1
    assert "0.0123" in lines[2] and "–" in lines[3]
    assert lines[2].startswith("zero-filled ") and lines[3].startswith("a run ")


def test_worlds_are_blocks_of_columns_and_the_time_stands_once():
    scored = summarise(ROWS) | {"seconds_per_cine": 2.0}
    worlds = {
        "magnitude": {"kt_tv": scored, "unrolled": scored},
        "phase": {"kt_tv": summarise(ROWS[:2]) | {"seconds_per_cine": 9.0}},
    }
    head, _, *lines = map(columns, ladder(worlds, ("psnr", "seconds_per_cine", "nmse")).splitlines())
    nmse = ["NMSE, magnitudes", "NMSE, with a phase"]
    assert head == [
        "method",
        "PSNR (dB), magnitudes",
        nmse[0],
        "PSNR (dB), with a phase",
        nmse[1],
        "time per cine (s)",
        "n",
    ]
    assert lines[0] == ["k-t TV", "33.25 ± 3.68", "–", "31.25 ± 1.77 (n = 2)", "–", "2", "3"]
    assert lines[1] == ["unrolled", "33.25 ± 3.68", "–", "–", "–", "2", "3"]


def test_a_world_that_was_not_measured_is_a_column_of_dashes():
    head, _, line = map(
        columns,
        ladder(
            {"magnitude": {"kt_tv": {"psnr": {"mean": 30.0}}}, "phase": {}}, ("psnr", "ssim")
        ).splitlines(),
    )
    assert head == ["method", "PSNR (dB), magnitudes", "PSNR (dB), with a phase"]
    assert line == ["k-t TV", "30.00", "–"]


def test_a_method_of_one_world_alone_has_its_line():
    lines = ladder({"magnitude": {}, "a new world": {"kt_tv": summarise(ROWS)}}, ("psnr",)).splitlines()
    assert columns(lines[0])[1:3] == ["PSNR (dB), magnitudes", "PSNR (dB), a new world"]
    assert columns(lines[2]) == ["k-t TV", "–", "33.25 ± 3.68", "3"]


def test_numbers_stay_as_they_were_written():
    assert "1e3" in render(["a", "b"], [["x", "1e3"]], "simple") and "007" in render(["a"], [["007"]])


def test_every_method_and_metric_has_one_spelling():
    assert methods.CLASSICAL.keys() | methods.NETWORKS.keys() <= NAMES.keys()
    assert set(MEASURED) <= METRICS.keys()
    assert len(set(NAMES.values())) == len(NAMES)
    assert len({metric.heading for metric in METRICS.values()}) == len(METRICS)
    with pytest.raises(KeyError):
        table({"kt_tv": {"bpm": 60}}, ["bpm"])
