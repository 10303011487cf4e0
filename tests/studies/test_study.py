"""Studies: paired intervals, runs that are kept, area changes and lesions."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dmri_helpers.studies import heart, study


def rows_of(differences, world="magnitudes") -> list[dict]:
    """Runs of a reference of 30 dB and of a row that differs by so much, ``(seed, cine)``."""
    differences = np.asarray(differences, float)
    rows = []
    for seed, one in enumerate(differences):
        for name, values in (("reference", 30 + 0 * one), ("row", 30 + one)):
            worlds = {w: {"psnr_volume": values.tolist()} for w in study.WORLDS}
            rows.append({"row": name, "seed": seed, "worlds": worlds})
    return rows


@pytest.mark.parametrize(
    "differences, verdict",
    [
        (np.full((3, 8), 0.5), "better"),
        (np.full((3, 8), -0.5), "worse"),
        (np.array([[1.0] * 8, [1.0] * 8, [-1.0] * 8]), "cannot tell"),
        (np.random.default_rng(0).normal(0, 1, (3, 8)), "cannot tell"),
    ],
)
def test_a_difference_is_one_only_if_interval_and_seeds_agree(differences, verdict):
    found = study.compare(rows_of(differences), "reference")
    row = next(one for one in found if one["row"] == "row")
    assert row["verdict"] == verdict and row["mean"] == pytest.approx(np.mean(differences))
    assert row["low"] <= row["mean"] <= row["high"] and (row["seeds"], row["cines"]) == (3, 8)
    assert next(one for one in found if one["row"] == "reference")["verdict"] == "reference"
    assert f"| {verdict}" in study.table(found)
    study.figure(found)


def test_every_row_is_trained_once_and_the_control_is_tested_with_a_step_behind_it(tmp_path, monkeypatch):
    chosen = study.STUDIES["consistency"]
    rows = {
        name: replace(chosen.rows[name], cascades=1, features=2)
        for name in ("hard data step", "no data step")
    }
    small = replace(
        chosen,
        rows=rows,
        shape=(4, 64, 24),
        cines=(2, 1, 2),
        training=replace(chosen.training, epochs=1, crop=8),
    )
    found = study.run(small, [0], tmp_path)
    assert [row["row"] for row in found] == [
        "hard data step",
        "start: view sharing",
        "no data step",
        "no data step, but one at the end",
    ]
    monkeypatch.setattr(study, "_train_one", lambda *_: pytest.fail("trained again"))
    assert study.run(small, [0], tmp_path) == found
    study.write(small, found, "command", *(tmp_path / f"a.{kind}" for kind in ("json", "md", "png")))
    written = json.loads((tmp_path / "a.json").read_text())
    assert len(written["compared"]) == 8 and written["machine"]


def test_the_result_in_the_package_is_that_of_the_figures():
    """And its differences follow from the runs."""
    full = json.loads((Path(__file__).resolve().parents[2] / "figures/study/consistency.json").read_text())
    runs = full.pop("runs")
    assert study.measured("consistency") == full
    assert study.compare(runs, full["reference"]) == full["compared"]


def disk(radius: float, size: int = 40) -> torch.Tensor:
    y, x = (torch.arange(size) - size / 2 for _ in range(2))
    return (y[:, None] ** 2 + x[None] ** 2).sqrt() < radius


def test_area_change_of_disks_and_a_lesion_in_muscle():
    radii = (10, 8, 5, 8)
    labels = torch.stack([2 * disk(16).int() - disk(r).int() for r in radii])
    cine = torch.tensor([0.0, 0.9, 0.3])[labels.long()]
    areas = [float((one == 1).sum()) for one in labels]
    assert heart.area_change(cine, labels) == pytest.approx(100 * (1 - min(areas) / max(areas)))
    assert heart.area_change(cine.mean(0).expand_as(cine), labels) == 0, "nothing moves in a mean over time"
    weights = heart.lesion_weights(labels)
    assert weights.max() == 1 and not weights[disk(10)].gt(0.99).any() and 8 < weights.sum() < 30
    assert heart.lesion_weights(labels * (labels == 1)) is None
