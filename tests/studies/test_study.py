"""Studies: paired intervals, runs that are kept, area changes and lesions."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dmri_helpers import methods
from dmri_helpers.cli.output import UsageError
from dmri_helpers.cli.studies import Study
from dmri_helpers.data import UndersampledCines, open_cine
from dmri_helpers.operators import ForwardModel
from dmri_helpers.sampling import ky_t_mask
from dmri_helpers.studies import failures, grids, heart, rivals, robustness, study
from dmri_helpers.unrolled import DataConsistency


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


def test_rows_are_compared_over_the_seeds_that_they_share():
    rows = rows_of(np.array([[1.0, 2.0], [3.0, 4.0]]))
    rows = [row for row in rows if row["row"] == "reference" or row["seed"] == 1]
    row = next(one for one in study.compare(rows, "reference") if one["row"] == "row")
    assert row["mean"] == 3.5 and row["seeds"] == 1 and row["verdict"] == "one seed"


def tiny(name: str, *rows: str) -> study.Study:
    """A study of the grid with these rows, cascades of one turn, and one short epoch."""
    chosen = grids.STUDIES[name]
    small = {}
    for title in rows:
        row = chosen.rows[title]
        smaller = {} if callable(row.network) else {"cascades": 1, "features": 2}
        small[title] = row if callable(row.network) else replace(row, network=replace(row.network, **smaller))
    training = replace(chosen.training, epochs=1, crop=8)
    return replace(chosen, rows=small, shape=(4, 64, 24), cines=(4, 1, 2), training=training)


def test_every_row_is_trained_once_and_the_control_is_tested_with_a_step_behind_it(tmp_path, monkeypatch):
    small = tiny("consistency", "hard data step", "no data step")
    found = study.run(small, [0], tmp_path)
    assert [row["row"] for row in found] == [
        "hard data step",
        "start: view sharing",
        "no data step",
        "no data step, but one at the end",
    ]
    monkeypatch.setattr(study, "_train_one", lambda *_: pytest.fail("trained again"))
    assert study.run(small, [0], tmp_path) == found
    assert study.run(small, [], tmp_path, ["hard data step"]) == found, "runs of earlier calls are there"
    study.write(small, found, "command", *(tmp_path / f"a.{kind}" for kind in ("json", "md", "png")))
    written = json.loads((tmp_path / "a.json").read_text())
    assert len(written["compared"]) == 8 and written["machine"]


def test_the_first_seed_chooses_the_rate(tmp_path, monkeypatch):
    tried = []

    def trained(_, row, cines, config):
        tried.append((config.seed, config.learning_rate))
        return (
            (lambda kspace, A: A.adjoint(kspace)),
            [{"val_psnr": -config.learning_rate, "seconds": 1}],
            config,
        )

    monkeypatch.setattr(study, "_trained", trained)
    monkeypatch.setattr(study, "_size", lambda model: 0)
    small = replace(tiny("arena", "k-t NEXT (Qin 2019)"), reference="k-t NEXT (Qin 2019)", rates=(2e-3, 5e-4))
    study.run(small, [0, 1], tmp_path)
    assert tried == [(0, 2e-3), (0, 5e-4), (1, 5e-4)]


def test_time_sets_the_epochs(monkeypatch):
    monkeypatch.setattr(study, "_seconds_of_a_step", lambda *_: 2.5)
    monkeypatch.setattr(study, "fit", lambda model, training, validation, config: [])
    small = replace(tiny("consistency", "hard data step"), seconds=30.0)
    row = small.rows["hard data step"]
    *_, config = study._trained(small, row, study.phantoms(small), small.training)
    assert config.epochs == 3, "30 s, 4 steps of 2.5 s an epoch"


@pytest.mark.parametrize("name", [name for name in rivals.RIVALS if "deepinv" not in name])
def test_rivals_begin_with_their_data_and_keep_them(name):
    """Untrained, every network returns an image that agrees with data without noise; all have about one size."""
    torch.manual_seed(0)
    network, cine = rivals.RIVALS[name](), torch.randn(1, 4, 64, 8, dtype=torch.complex64)
    A = ForwardModel(ky_t_mask(cine.shape, 4, 3, seed=0))
    image = network(A(cine), A)
    torch.testing.assert_close(A(image), A(cine), atol=1e-4, rtol=1e-4)
    image.abs().mean().backward()
    assert all(p.grad is not None for p in network.parameters() if p.ndim > 1), "all of it is used"
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(66e3, rel=0.1)


def test_learning_without_a_truth_looks_at_no_truth_and_judges_lines_that_were_not_given():
    given = []

    def network(kspace, A):
        given.append(A.mask)
        return A.adjoint(kspace)

    cines = UndersampledCines(open_cine("phantom", n=2, shape=(4, 64, 24)), 3, 5, training=True)
    learner = grids.WithoutTruth(network).train()
    for kspace, A, target in grids.TargetZero(cines).batches(1):
        assert not target.any()
        error = learner(kspace, A)
        judged = A.mask & ~given[-1]
        assert 0.2 < judged.sum() / A.mask.sum() < 0.4 and not (given[-1] & ~A.mask).any()
        torch.testing.assert_close(error, -kspace * judged, atol=1e-6, rtol=1e-5)


def test_mistakes_are_what_they_say():
    image = torch.randn(1, 16, 64, 8, dtype=torch.complex64)
    unet = grids.STUDIES["mistakes"].rows
    built = {name: row.alter(methods.build(row.network)).network for name, row in unet.items()}
    assert not built["no residual path"](image).any(), "an untrained residual is zero"
    assert built["no residual path, a sigmoid at the end"](image).real.min() > 0
    torch.testing.assert_close(built["frames as channels of the temporal stage"](image), image)
    assert not built["magnitude before the temporal stage"](image).imag.any()
    kspace = ForwardModel(mask := ky_t_mask(image.shape, seed=0))(image)
    step = grids.OtherMask(DataConsistency())
    redrawn = step(image, ForwardModel(mask).adjoint(kspace), ForwardModel(mask))
    assert (redrawn - image).abs().max() > 0.1, "lines that were never measured are emptied"


def test_slices_of_a_patient_share_the_chest_and_only_one_row_trains_on_test_patients():
    rows = grids.STUDIES["leakage"].rows
    small = replace(grids.STUDIES["leakage"], shape=(2, 64, 64), cines=(6, 1, 2))
    others, same = (row.cines(small) for row in rows.values())
    assert np.array_equal(others[2][:], same[2][:]) and len(others[0]) == len(same[0]) == 6

    def nearest(train, test):
        return min(abs(np.asarray(a) - np.asarray(b)).mean() for a in train[:] for b in test[:])

    assert nearest(same[0], same[2]) < 0.5 * nearest(others[0], others[2])


MEASURED = sorted(path.stem for path in Path(study.__file__).with_name("measured").glob("*.json"))


@pytest.mark.parametrize("name", MEASURED)
def test_results_in_the_package_are_those_of_the_figures(name):
    """And differences and means follow from the runs."""
    folder = Path(__file__).resolve().parents[2] / "figures/study"
    full = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    runs = full.pop("runs", None) or full.pop("rows")
    assert study.measured(name) == full
    if "compared" in full:
        again, written = study.compare(runs, full["reference"]), full["compared"]
    else:
        again, written = {"heart": heart, "failures": failures}[name].summarise(runs), full["summary"]
    assert json.loads(json.dumps(again)) == written
    assert full["command"] in (folder / f"{name}.md").read_text(encoding="utf-8")


def disk(radius: float, size: int = 40) -> torch.Tensor:
    y, x = (torch.arange(size) - size / 2 for _ in range(2))
    return (y[:, None] ** 2 + x[None] ** 2).sqrt() < radius


@pytest.fixture
def beating():
    """Labels of a heart whose cavity shrinks and grows again."""
    return torch.stack([2 * disk(16).int() - disk(r).int() for r in (10, 8, 5, 8)])


def test_area_change_of_disks(beating):
    cine = torch.tensor([0.0, 0.9, 0.3])[beating.long()]
    true = [float((one == 1).sum()) for one in beating]
    largest, smallest = heart.areas(cine, beating)
    assert (largest, smallest) == (max(true), min(true))
    assert heart.area_change((largest, smallest)) == pytest.approx(100 * (1 - min(true) / max(true)))
    still = heart.areas(cine.mean(0).expand_as(cine), beating)
    assert heart.area_change(still) == 0, "nothing moves in a mean over time"
    assert heart.thickening((largest, smallest), beating) == pytest.approx(100 * (11 / 6 - 1), abs=3), (
        "radii 16, 10, 5"
    )


def test_agreement_is_for_all_and_for_every_group():
    rows = [
        {
            "world": world,
            "method": name,
            "group": group,
            "psnr": 30.0,
            **dict.fromkeys(
                (
                    "area_change_full",
                    "area_change_labels",
                    "largest_full",
                    "smallest_full",
                    "thickening_full",
                ),
                50.0,
            ),
            "area_change": 50.0 + shift,
            "thickening": 51.0,
            "largest": 50.0,
            "smallest": 55.0,
        }
        for world in study.WORLDS
        for name in heart.METHODS
        for group, shift in (("normal", -1), ("normal", 1), ("dilated", 3), ("dilated", 3))
    ]
    summary = {one["group"]: one for one in heart.summarise(rows)}
    assert summary["normal"]["bias"] == 0 and summary["normal"]["limits"] == pytest.approx(1.96 * 2**0.5)
    assert summary["dilated"]["bias"] == 3 and summary["all"]["bias"] == 1.5 and summary["all"]["n"] == 4
    assert summary["all"]["bias_thickening"] == 1 and summary["all"]["limits_thickening"] == 0
    assert summary["all"]["bias_largest"] == 0 and summary["all"]["bias_smallest"] == pytest.approx(10)


def test_a_lesion_moves_with_the_wall(beating):
    track = failures.wall(beating, 0.0)
    assert track[:, 1].tolist() == pytest.approx([20 + (r + 16) / 2 for r in (10, 8, 5, 8)], abs=0.8)
    assert track[:, 0].tolist() == pytest.approx([20] * 4, abs=0.8)
    shape = failures.disk(track, 2.0, (40, 40))
    assert all(12 < one.sum() < 25 for one in shape) and (shape[0] != shape[2]).any()
    assert failures.wall((beating == 1).int(), 0.0) is None, "no muscle"
    expected = 0.3 * shape
    assert failures._seen(expected, expected) == pytest.approx(1) and failures._seen(0 * shape, expected) == 0


def test_the_wall_of_an_image_that_is_not_square(beating):
    higher = torch.nn.functional.pad(beating, (0, 0, 30, 0))
    places = failures.wall(higher, 0.0)
    torch.testing.assert_close(places, failures.wall(beating, 0.0) + torch.tensor([30.0, 0.0]))


@pytest.mark.parametrize(
    "options, said",
    [
        ({"name": "heart", "only": ("ours",)}, "--only ours: expected a study of networks"),
        ({"name": "arena", "only": ("theirs",)}, "--only theirs: expected some of ours, "),
        ({"name": "heart", "data": "cines.npz"}, "--data cines.npz: expected the study robustness"),
        ({"name": "arena"}, "needs the package deepinv"),
    ],
)
def test_options_of_another_study_are_refused_before_anything_is_made(options, said, tmp_path, monkeypatch):
    monkeypatch.setattr("dmri_helpers.cli.studies.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=re.escape(said)):
        Study(**options, out=tmp_path / "out")()
    assert not (tmp_path / "out").exists()


def test_scans_that_go_wrong_are_wrong_on_the_lines_that_are_late():
    cines = open_cine("phantom", n=1, shape=(8, 192, 24))
    scans = failures._scans_of(cines, 0)
    planned, A, target = scans["as planned, acceleration 5"]
    for name, late in (
        ("a longer beat in a quarter of the lines", 48),
        ("half of the lines after a movement", 96),
    ):
        kspace, B, reference = scans[name]
        assert torch.equal(B.mask, A.mask) and torch.equal(reference, target)
        changed = (kspace - planned).abs().amax((0, 1, 3)) > 1e-6
        assert 0 < changed.sum() <= late


@pytest.mark.parametrize("name", ["zero_filled", "cg_sense"])
def test_methods_that_know_no_direction_return_the_same_mean_of_four(name):
    cines = open_cine("phantom", n=1, shape=(6, 96, 32))
    kspace, A, _ = UndersampledCines(cines, phase=1, coils=3)[0]
    method = methods.load(name)
    turned = [methods.turned(method, kspace, A, axes) for axes in methods.FOUR]
    for one in turned:
        torch.testing.assert_close(one, turned[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(methods.mean_of_four(method)(kspace, A), sum(turned) / 4)


def test_failures_are_summarised_and_drawn():
    rows = {
        "lesions": [
            {
                "phantom": i,
                "acceleration": R,
                "method": name,
                "radius": r,
                "contrast": c,
                "survives": 0.5 + i,
                "appears": 0,
            }
            for i in range(2)
            for R in failures.ACCELERATIONS
            for name in failures.METHODS
            for r in failures.RADII
            for c in failures.CONTRASTS
        ],
        "scans": [{"phantom": 0, "scan": "a", "method": "kt_tv", "psnr": 30.0, "psnr_dynamic": 20.0}],
        "spread": [
            {"holds": 0.5, "factor": 2.0, "correlation": 0.3},
            {"holds": 0.7, "factor": 2.0, "correlation": 0.3, "holds_scaled": 0.9},
        ],
    }
    summary = failures.summarise(rows)
    assert summary["lesions"][0]["survives"] == 1.0 and summary["spread"][0]["holds"] == pytest.approx(0.6)
    tables = failures.tables(summary)
    assert "30.0 / 20.0" in tables["scans"] and "| 60 " in tables["spread"] and "1.00" in tables["lesions"]
    failures.figure(summary)


def test_robustness_compares_with_the_best_of_each_condition():
    rows = [
        {
            "source": "phantoms",
            "world": "phase",
            "condition": "noise .05",
            "psnr": {"kt_tv": [30.0, 32.0], "view_sharing": [33.0, 28.0], "unrolled": [33.0, 31.5]},
            "psnr_dynamic": {"kt_tv": [20.0, 20.0], "view_sharing": [1.0, 1.0], "unrolled": [21.0, 23.0]},
        }
    ]
    (one,) = robustness.compare(rows)
    assert (one["best"], one["gain"], one["least"], one["moving_gain"]) == ("kt_tv", 1.25, -0.5, 2.0)
    assert "+1.25" in robustness.table([one]) and "-0.50" in robustness.table([one])
    robustness.figure([one])


def test_every_condition_of_robustness_can_be_measured():
    cines = open_cine("phantom", n=1, shape=(2, 192, 16))
    for options in robustness.CONDITIONS.values():
        measured = UndersampledCines(cines, vary=False, seed=5, **options)
        assert "unrolled" in robustness._methods(measured) and measured[0][0].abs().max() > 0
