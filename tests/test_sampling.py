"""Masks: exact counts, exact centre, density, reproducibility, and what is impossible."""

import hashlib
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmri_helpers.sampling import achieved_acceleration, ky_t_mask, line_density


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_counts_are_exact(data):
    n = data.draw(st.integers(1, 200), label="lines")
    acceleration = data.draw(st.floats(1, n), label="acceleration")
    budget = int(n // acceleration)
    center = data.draw(st.integers(0, budget), label="centre lines")
    density = data.draw(st.sampled_from(["quadratic", "gaussian"]), label="density")
    mask = ky_t_mask((2, 3, n, 7), acceleration, center, density, seed=0)
    assert mask.shape == (2, 3, n, 1) and mask.dtype == torch.bool
    assert (mask.sum(2) == budget).all()
    first = n // 2 - center // 2
    assert mask[:, :, first : first + center].all()
    assert achieved_acceleration(mask) == pytest.approx(n / budget)


def test_the_course_mask():
    mask = ky_t_mask((1, 20, 192, 192), acceleration=5, center_lines=11, seed=42)
    assert (mask.sum(2) == 38).all()
    assert mask[:, :, 91:102].all()  # 11 lines around the zero frequency at 96
    assert achieved_acceleration(mask) == 192 / 38


def test_every_frame_and_sample_is_drawn_anew():
    mask = ky_t_mask((4, 20, 192, 1), seed=0)[..., 0].flatten(0, 1)
    assert len(mask.unique(dim=0)) == 80


def test_same_seed_same_mask():
    mask = ky_t_mask((2, 20, 192, 192), seed=7)
    assert torch.equal(mask, ky_t_mask((2, 20, 192, 8), seed=7))
    assert torch.equal(mask, ky_t_mask((2, 20, 192, 8), generator=torch.Generator().manual_seed(7)))
    assert not torch.equal(mask, ky_t_mask((2, 20, 192, 8), seed=8))
    digest = hashlib.sha256(mask.numpy().tobytes()).hexdigest()
    assert digest.startswith("748b3a8472d382c3"), "another machine, or another release, draws another mask"


def test_drawing_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    ky_t_mask((1, 2, 32, 1), acceleration=2, seed=0)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("n", [12, 13, 1])
def test_densities_are_their_formulas(n):
    quadratic, gaussian = line_density(n).tolist(), line_density(n, "gaussian").tolist()
    for line in range(n):
        k = line - n // 2
        assert quadratic[line] == pytest.approx(max(1 - abs(k) / max(n / 2, 1), 0) ** 2)
        assert gaussian[line] == pytest.approx(math.exp(-((k / (n / 8)) ** 2) / 2) + 0.01)


@pytest.mark.parametrize("density", ["quadratic", "gaussian"])
def test_lines_follow_the_density(density):
    mask = ky_t_mask((200, 20, 96, 1), acceleration=8, center_lines=0, density=density, seed=0)
    often = mask.float().mean((0, 1))[:, 0].double()
    weights = line_density(96, density)
    assert torch.corrcoef(torch.stack([often, weights]))[0, 1] > 0.98
    one = ky_t_mask(
        (4000, 20, 96, 1), acceleration=96, center_lines=0, density=density, seed=0
    )  # a single draw
    torch.testing.assert_close(one.double().mean((0, 1))[:, 0], weights / weights.sum(), atol=3e-3, rtol=0)


def test_every_cine_its_own_acceleration_and_density():
    accelerations = torch.tensor([1.5, 8, 3])
    weights = torch.stack([line_density(96, name) for name in ("gaussian", "quadratic", "gaussian")])
    mask = ky_t_mask((3, 20, 96, 1), accelerations, 4, weights, seed=0)
    assert mask.sum(2)[..., 0].unique(dim=1).flatten().tolist() == [64, 12, 32] and mask[:, :, 46:50].all()
    alone = ky_t_mask((3, 20, 96, 1), 8, 4, "quadratic", seed=0)
    assert torch.equal(alone[1], mask[1]) and not torch.equal(alone[2], mask[2])
    for impossible in (0.5, 30, math.nan):
        with pytest.raises(ValueError, match=f"acceleration {impossible:g}"):
            ky_t_mask((2, 20, 96, 1), torch.tensor([2, impossible]), 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(acceleration=0.5), "at least 1"),
        (dict(acceleration=math.nan), "at least 1"),
        (dict(acceleration=200), "at most 192"),
        (dict(center_lines=39), r"38 of 192.*0 to 38 centre lines.*at most 4\.923"),
        (dict(center_lines=-1), "0 to 38"),
        (dict(density="cubic"), "quadratic.*gaussian"),
        (dict(seed=1, generator=torch.Generator()), "not both"),
    ],
)
def test_impossible_requests_say_what_is_possible(options, message):
    with pytest.raises(ValueError, match=message):
        ky_t_mask((1, 2, 192, 192), **options)


def test_shape_is_checked():
    assert torch.equal(ky_t_mask((20, 96, 1), seed=0), ky_t_mask((1, 20, 96, 96), seed=0))
    with pytest.raises(ValueError, match=r"\(b, t, y, x\)"):
        ky_t_mask((192, 192))
    with pytest.raises(ValueError, match="found"):
        ky_t_mask((1, 0, 192, 192))
