"""Checks of the exercises of notebook 01_sampling; each docstring says what the reader's function has to do."""

from collections.abc import Callable

import torch

from .. import sampling
from .verdict import check, demand, demand_tensor


@check
def check_1_1(mask: Callable) -> str:
    """``mask(frames, lines, per_frame, center_lines, seed)``: a boolean ky-t mask ``(frames, lines)``."""
    for frames, lines, per_frame, center_lines in (
        (20, 192, 38, 11),
        (6, 65, 16, 7),
        (5, 64, 12, 4),
        (4, 48, 9, 0),
    ):
        asked = f"mask({frames}, {lines}, {per_frame}, {center_lines}, seed=0)"
        drawn = mask(frames, lines, per_frame, center_lines, seed=0)
        demand_tensor(drawn, (frames, lines), torch.bool, asked)
        first = lines // 2 - center_lines // 2
        missing = [line for line in range(first, first + center_lines) if not drawn[:, line].all()]
        demand(
            not missing,
            f"{asked} lacks the centre lines {missing} in some frames; the {center_lines} lines of the centre go from "
            f"{first} to {first + center_lines - 1}. Halving an odd number loses one: count from the first",
        )
        counts = sorted(set(drawn.sum(1).tolist()))
        demand(
            counts == [per_frame],
            f"{asked} has {counts} lines per frame, expected {per_frame} in each, the centre lines included"
            + (". Can a line be drawn twice?" if len(counts) > 1 and counts[-1] <= per_frame else ""),
        )
        if per_frame > center_lines:
            different = len(torch.unique(drawn, dim=0))
            demand(different > 1, f"{asked} has the same lines in every frame; draw anew for each")
    demand(
        (mask(20, 192, 38, 11, seed=3) == mask(20, 192, 38, 11, seed=3)).all(),
        "the same seed gives another mask",
    )
    demand(
        (mask(20, 192, 38, 11, seed=3) != mask(20, 192, 38, 11, seed=4)).any(),
        "another seed gives the same mask",
    )
    often = mask(2000, 192, 38, 11, seed=5).double().mean(0)
    weights = sampling.line_density(192)
    near, far = often[70:85].mean(), often[10:25].mean()
    expected = weights[70:85].mean() / weights[10:25].mean()
    demand(
        near > 0.6 * expected * far,
        f"lines near the centre are drawn {near / far:.1f} times as often as lines near the rim, expected about "
        f"{expected:.0f} times: are lines drawn by their density?",
    )
    return "exact counts, the whole centre in every frame, a fresh draw each, denser towards the centre"


@check
def check_1_2(answer: Callable) -> str:
    """``answer()``: which of two masks keeps more energy, and which is the better one to reconstruct from."""
    given = answer()
    demand(
        isinstance(given, tuple) and len(given) == 2,
        f"expected two words, such as ('random', 'centre'), found {given!r}",
    )
    energy, better = given
    for word in given:
        demand(word in ("random", "centre"), f"expected 'random' or 'centre', found {word!r}")
    demand(energy == "centre", "count the energy once more: where does most of it lie (section 1.2)?")
    demand(
        better == "random",
        "look at detail along y. What no frame has ever measured, can any method bring it back?",
    )
    return "the centre alone keeps more energy, and loses for good what no frame measures"


@check
def check_1_3(lattice: Callable) -> str:
    """``lattice(frames, lines, step)``: line k is measured in frame t if ``(k + t) % step == 0``."""
    for frames, lines, step in ((20, 192, 5), (7, 30, 3)):
        asked = f"lattice({frames}, {lines}, {step})"
        mask = lattice(frames, lines, step)
        demand_tensor(mask, (frames, lines), torch.bool, asked)
        demand(
            mask[0, 0], f"{asked}: (0 + 0) % {step} is 0, so line 0 is measured in frame 0; here it is not"
        )
        twice = mask[:step].sum(0)
        demand(
            (twice == 1).all(),
            f"{asked}: in the first {step} frames each line is measured once, but here between {twice.min()} and "
            f"{twice.max()} times. Do the lines move from frame to frame?",
        )
        demand(
            mask[1, step - 1],
            f"{asked}: line {step - 1} belongs to frame 1, for ({step - 1} + 1) % {step} is 0. "
            "Do yours move the other way?",
        )
    return "each line once in every five frames"


@check
def check_1_4(center: Callable) -> str:
    """``center(lines, center_lines)``: which lines are the centre: boolean, ``(lines,)``."""
    for lines, count in ((192, 11), (192, 10), (193, 11), (193, 10), (16, 1), (16, 0), (9, 9)):
        asked = f"center({lines}, {count})"
        kept = center(lines, count)
        demand_tensor(kept, (lines,), torch.bool, asked)
        demand(int(kept.sum()) == count, f"{asked} keeps {int(kept.sum())} lines, expected {count}")
        numbers = kept.nonzero().flatten().tolist()
        if count:
            demand(
                kept[lines // 2],
                f"{asked} keeps the lines {numbers[0]} to {numbers[-1]}, without the zero frequency, line {lines // 2}",
            )
            demand(numbers[-1] - numbers[0] == count - 1, f"{asked}: the lines {numbers} are not neighbours")
            below, above = lines // 2 - numbers[0], numbers[-1] - lines // 2
            demand(
                below - above == 1 - count % 2,
                f"{asked} keeps {below} lines below the zero frequency and {above} above; an odd number is symmetric, "
                "and of an even one the extra line goes to the negative frequencies",
            )
    return "as many centre lines as asked for, odd or even, around the zero frequency"
