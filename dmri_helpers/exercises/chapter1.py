"""Checks of the exercises of notebook 01_sampling; each docstring says what the reader's function has to do."""

from collections.abc import Callable

import torch

from .. import fourier, sampling
from .verdict import check, demand, demand_number, demand_tensor


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
def check_1_2(lost_for_good: Callable) -> str:
    """``lost_for_good(cine, mask)``: share of the energy of k-space on lines that no frame has measured."""
    generator = torch.Generator().manual_seed(12)
    for t, y, x, share in ((5, 24, 9, 0.15), (3, 33, 8, 0.3), (4, 16, 6, 1.0)):
        cine = torch.rand(t, y, x, generator=generator) + torch.linspace(0, 2, t)[:, None, None]
        cine = torch.polar(cine, torch.linspace(0, 3, y)[:, None].expand_as(cine))  # or ky and -ky were alike
        mask = torch.rand(t, y, generator=generator) < share
        mask[0, y // 2] = True  # the zero frequency, in one frame alone
        power = fourier.fft2c(cine).abs().square()
        seen = mask.any(0)
        plain = torch.fft.fft2(cine, norm="ortho").abs().square().sum((0, 2))
        size = power.sqrt().sum((0, 2))
        energy = power.sum((0, 2))
        mistakes = {
            "that is what some frame has measured; the question is what none has": energy[seen].sum()
            / energy.sum(),
            "that is what the frames miss one by one; another frame may have the line": (
                power.sum(2)[~mask].sum() / power.sum()
            ),
            "a line that one frame lacks may be measured by another: any, not all": (
                energy[~mask.all(0)].sum() / energy.sum()
            ),
            "energy is the square of the magnitude": size[~seen].sum() / size.sum(),
            "the zero frequency of the mask is in the middle: use the centred transform": plain[~seen].sum()
            / plain.sum(),
            "that is a share of lines; they do not hold the same energy": (~seen).float().mean(),
            "a share is divided by the whole": energy[~seen].sum() * energy.sum(),
            "that is an energy, not a share of all": energy[~seen].sum(),
            "a share is a number from 0 to 1, not per cent": 100 * energy[~seen].sum() / energy.sum(),
        }
        asked = f"of a cine {(t, y, x)} of which {int((~seen).sum())} lines are never measured the share lost"
        found = lost_for_good(cine.clone(), mask.clone())
        demand_number(
            found,
            (energy[~seen].sum() / energy.sum()).item(),
            asked,
            {k: float(v) for k, v in mistakes.items()},
        )
    return "what no frame has measured is lost, and counts with its energy"


@check
def check_1_3(lattice: Callable) -> str:
    """``lattice(frames, lines, step)``: every step-th line, zero frequency in frame 0, one line up in each frame."""
    for frames, lines, step in ((20, 192, 5), (7, 30, 4), (9, 31, 3)):
        asked, zero = f"lattice({frames}, {lines}, {step})", lines // 2
        mask = lattice(frames, lines, step)
        demand_tensor(mask, (frames, lines), torch.bool, asked)
        first = mask[0].nonzero().flatten().tolist()
        demand(
            mask[0, zero],
            f"{asked}: frame 0 measures the lines {first}, without the zero frequency, line {zero}",
        )
        demand(
            mask[0].equal((torch.arange(lines) - zero) % step == 0),
            f"{asked}: frame 0 measures the lines {first}, expected every {step}th, the rim included",
        )
        times = mask[:step].sum(0)
        demand(
            (times == 1).all(),
            f"{asked}: in the first {step} frames each line is measured once, but here between {times.min()} and "
            f"{times.max()} times. Do the lines move from frame to frame?",
        )
        demand(
            mask[1, zero + 1],
            f"{asked}: frame 1 measures line {zero + 1}, one above the zero frequency. Do yours move the other way?",
        )
        later = (torch.arange(lines)[None] - zero - torch.arange(frames)[:, None]) % step == 0
        demand(mask.equal(later), f"{asked}: the first frames are right, and later ones are not")
    return "every line once in as many frames as lines lie between, and the zero frequency first"


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
