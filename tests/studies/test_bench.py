"""The bench measures what it says, in a form that its table and its figure can show."""

import json
import shutil

import matplotlib.pyplot as plt
import pytest
import torch

from dmri_helpers import data, methods, networks
from dmri_helpers.profiles import TINY
from dmri_helpers.results.names import NAMES
from dmri_helpers.results.records import machine
from dmri_helpers.sampling import ky_t_mask
from dmri_helpers.studies import bench, bench_report
from dmri_helpers.studies.bart import bart


@pytest.fixture(scope="module")
def cines():
    return data.open_cine("phantom", n=4, shape=TINY.shape)


@pytest.fixture(scope="module")
def ways(cines):
    return bench.throughput(cines, batch_size=2, rounds=1, steps=1)


@pytest.fixture(scope="module")
def cascades(cines):
    return bench.cascades(cines, (1, 4))


def test_every_way_of_training_makes_the_same_kind_of_step(ways):
    assert [row["measure"] for row in ways] == ["plain", *bench.Measures.__dataclass_fields__]
    assert ways[0]["ratio"] == 1 and all(row["samples_per_second"] > 0 for row in ways)


def test_the_plain_way_undersamples_as_ours_does(cines):
    samples = data.UndersampledCines(cines, training=True, crop=16)
    plain, ours = (next(batches) for batches in (bench._one_by_one(samples, 2), samples.batches(2)))
    for kspace, A, target in (plain, ours):
        assert kspace.shape == target.shape == (2, *TINY.shape[:2], 16)
        assert (A.mask.sum(2) == TINY.shape[1] // 5).all()
        torch.testing.assert_close(kspace, A(target))


def test_plain_convolutions_compute_the_same():
    torch.manual_seed(0)
    for channels in (2, 16):
        ours = networks._Conv3d(channels, 6)
        plain = bench._PlainConv3d(channels, 6)
        plain.load_state_dict(ours.state_dict())
        features = torch.randn(2, channels, 5, 9, 7, requires_grad=True)
        results = []
        for conv in (ours, plain):
            image = conv(features)
            results.append(
                (image, *torch.autograd.grad(image.square().sum(), [features, *conv.parameters()]))
            )
        for mine, theirs in zip(*results, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_checkpointing_keeps_memory_from_growing(cascades):
    peak = {(row["cascades"], row["checkpointing"]): row["peak_bytes"] for row in cascades}
    assert peak[4, False] > 2 * peak[1, False]
    assert peak[4, True] < 1.3 * peak[1, True]


def test_numbers_survive_json_and_make_a_table_and_a_figure(cines, ways, cascades, monkeypatch):
    monkeypatch.setattr(methods, "NETWORKS", {})
    made = {"one_process": 1.0, "all_processes": 0.5, "ratio": 2.0}
    for name, result in {"throughput": ways, "cascades": cascades, "generation": made}.items():
        monkeypatch.setattr(bench, name, lambda *settings, result=result, **options: result)
    result = json.loads(json.dumps(bench.run(cines, quick=True)))
    table = bench_report.tables(result)
    for row in result["methods"]:
        assert f"| {NAMES[row['method']]} " in table
    assert machine()["machine"] in table and "quick" in table
    figure = bench_report.figure(result)
    shown = {text.get_text().replace("\n", " ") for text in figure.axes[0].texts}
    assert {NAMES[row["method"]] for row in result["methods"]} == shown
    plt.close(figure)


@pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")
def test_bart_gets_our_data_the_right_way_round(cines):
    m = cines.tensor()[:1].to(torch.complex64)
    mask = ky_t_mask(m.shape, acceleration=2, seed=0)
    A = bench.ForwardModel(mask)
    error = (bart(A(m), A) - m).norm()
    assert error < 0.5 * (A.adjoint(A(m)) - m).norm()
