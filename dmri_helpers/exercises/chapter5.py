"""Checks of the exercises of notebook 05_ablations; each docstring says what the reader's function has to do."""

import dataclasses
import math
from collections.abc import Callable

import torch

from .. import classical, methods, operators, profiles
from .verdict import check, demand, demand_number, demand_tensor

IN_THE_TABLE = {"dropout": 0.0, "schedule": "constant"}
HELD = {
    "seed": "the seed is the dice, no piece: rows seed1 and seed2 have it already",
    "frames": "frames is how many frames the cines have",
} | dict.fromkeys(
    (
        "acceleration",
        "acceleration_to",
        "center_lines",
        "center_lines_to",
        "density",
        "noise",
        "augment",
        "phase",
        "coils",
        "cines_per_epoch",
    ),  # fmt: skip
    "it is about the data, and all rows of the table share those",
)


@check
def check_5_1(square: Callable) -> str:
    """``square(network, recipe)``: four rows, namely the baseline, one piece changed, another one, and both."""
    names = set()
    for profile in (profiles.TINY, profiles.DEMO):
        given = (profile.ablation, profile.ablation_training)
        rows = square(*given)
        demand(
            isinstance(rows, (tuple, list)) and len(rows) == 4,
            f"expected four rows, a list of pairs (network, recipe); found {rows!r:.60}",
        )
        neither, first, second, both = (
            _changed(row, given, f"row {number} of the {profile.name} profile")
            for number, row in enumerate(rows)
        )
        demand(not neither, f"row 0 is the baseline, and {', '.join(neither)} differ from what is handed in")
        for number, row in ((1, first), (2, second)):
            demand(row, f"row {number} is the baseline once more; dataclasses.replace returns a changed copy")
            demand(
                len(row) == 1,
                f"in row {number} {', '.join(row)} differ, expected one piece: which would you thank?",
            )
        demand(
            first.keys() != second.keys(), f"rows 1 and 2 both change {', '.join(first)}; take another piece"
        )
        demand(
            both == first | second,
            f"row 3 changes {both or 'nothing'}, expected both pieces as in rows 1 and 2: {first | second}",
        )
        demand(both != IN_THE_TABLE, "the table of section 5.2 has this square already; choose another one")
        names.add(" and ".join(both))
        _demand_network(rows[3][0], f"{both}")
    demand(
        len(names) == 1,
        f"of two baselines the squares are of {' or of '.join(sorted(names))}, expected the same",
    )
    return f"a square of {names.pop()}; the seed, the data and all the rest stay"


def _changed(row: object, given: tuple, what: str) -> dict[str, object]:
    """The settings in which a row differs from the baseline; raise `NotYet` if it changes what is held."""
    demand(
        isinstance(row, (tuple, list)) and [type(part) for part in row] == [type(part) for part in given],
        f"{what}: expected two configurations, network and recipe, as they came in; found {row!r:.60}",
    )
    changed = {
        field.name: getattr(new, field.name)
        for old, new in zip(given, row, strict=True)
        for field in dataclasses.fields(old)
        if getattr(old, field.name) != getattr(new, field.name)
    }
    for name in changed:
        demand(name not in HELD, f"{what}: {name} differs: {HELD.get(name)}")
    return changed


def _demand_network(config: profiles.DualUNetConfig, what: str) -> None:
    """Raise `NotYet` unless this network can be made and reconstructs a small cine."""
    try:
        kspace = torch.ones(1, config.frames, 32, 16, dtype=torch.complex64)
        with torch.no_grad():
            everything = torch.ones(1, config.frames, 32, 1, dtype=torch.bool)
            methods.build(config)(kspace, operators.ForwardModel(everything))
    except Exception as error:
        demand(False, f"{what}: no network can be made of that ({type(error).__name__}: {error})")


@check
def check_5_2(cines_needed: Callable) -> str:
    """``cines_needed(spread, spread_of_differences, difference)``: (unpaired, paired) numbers of test cines."""
    for spread, paired, difference in ((1.93, 0.31, 0.5), (2.4, 0.5, 0.26), (1.1, 0.9, 0.7)):
        way = "write down the standard error of this comparison of n cines, set two of them equal to the difference"
        asked = f"with spreads of {spread} and {paired} dB, for {difference} dB,"
        given = cines_needed(spread, paired, difference)
        demand(
            isinstance(given, (tuple, list)) and len(given) == 2,
            f"expected two numbers, unpaired and paired; found {given!r:.60}",
        )
        for name, number, errors in (
            ("unpaired", given[0], 2 * 2**0.5 * spread),
            ("paired", given[1], 2 * paired),
        ):
            square = (errors / difference) ** 2
            mistakes = {
                "round up: there are whole cines only, and fewer do not suffice": square,
                "fewer do not suffice, so round up": math.floor(square),
                "the root of n is in the standard error, so n grows with the square": math.ceil(square**0.5),
                "two standard errors, please": math.ceil(square / 4),
                "two standard errors, not three": math.ceil(square * 9 / 4),
                "a smaller difference needs more cines, so it divides": math.ceil((errors * difference) ** 2),
                "n grows with the square of spread over difference, not with the cube": math.ceil(
                    square**1.5
                ),
            }
            if name == "unpaired":
                mistakes |= {
                    "both means are uncertain, and their variances add": math.ceil(square / 2),
                    "that many in each of the two test sets": 2 * math.ceil(square),
                    "variances add, not standard errors": math.ceil(2 * square),
                    "that is the paired number; unpaired comes first": math.ceil(
                        4 * (paired / difference) ** 2
                    ),
                }
            demand_number(number, math.ceil(square), f"{asked} the {name} number", mistakes, way)
    return "cines of one test set that is shared, and of each of two that are not"


@check
def check_5_3(interval: Callable) -> str:
    """``interval(first, second, draws, seed)``: where 95 % of the means of resampled differences lie."""
    generator = torch.Generator().manual_seed(53)
    hard = 30 + 2 * torch.randn(100, generator=generator)

    def ask(first: torch.Tensor, second: torch.Tensor, seed: int = 0) -> list[float]:
        given = interval(first.clone(), second.clone(), 10_000, seed)
        demand(
            isinstance(given, (tuple, list, torch.Tensor)) and len(given) == 2,
            f"expected two numbers, low and high; found {given!r:.60}",
        )
        return [float(end) for end in given]

    low, high = ask(hard + 0.25, hard)
    shown = f"{low:+.2f} to {high:+.2f} dB"
    demand(
        abs(low + 0.25) > 1e-3 or abs(high + 0.25) > 1e-3,
        f"where the first is 0.25 dB better on every cine, you find {shown}: it is the first minus the second",
    )
    demand(
        abs(low - 0.25) < 1e-3 and abs(high - 0.25) < 1e-3,
        f"where the first is 0.25 dB better on every cine, you find {shown}, expected 0.25 twice: "
        "subtract cine by cine, then draw",
    )
    better = (torch.arange(16) % 2).float()  # the mean of a draw is binomial: an exact answer
    first, second = better + hard[:16], hard[:16]
    low, high = ask(first, second)
    shown = f"of 16 cines, the first 1 dB better on every other one, you find {low:.4f} to {high:.4f} dB"
    demand(low < high, f"{shown}, from low to high, expected 0.25 to 0.75. Can a cine be drawn twice?")
    demand(
        high - low < 0.95,
        f"{shown}, expected 0.25 to 0.75: that is where single cines lie; take the mean of every draw first",
    )
    demand(
        abs(low - 0.25) < 0.02 and abs(high - 0.75) < 0.02,
        f"{shown}, expected 0.25 to 0.75: 2.5 % of the draws below and 2.5 % above? "
        "As many cines in a draw as there are?",
    )
    first = hard + 0.3 * torch.randn(100, generator=generator)
    once = ask(first, hard)
    demand(once == ask(first, hard), "the same seed gives another interval")
    demand(once != ask(first, hard, seed=1), "another seed gives the same interval: does the seed draw?")
    return "the interval of the exact (binomial) answer, in pairs, and the same for the same seed"


@check
def check_5_4(mean_image: Callable) -> str:
    """``mean_image(networks, kspace, A)``: the mean of what several networks reconstruct."""
    generator = torch.Generator().manual_seed(54)
    for count, shape in ((3, (1, 4, 24, 8)), (2, (2, 3, 17, 6)), (5, (1, 2, 16, 16))):
        mask = torch.rand(1, *shape[1:3], 1, generator=generator) < 0.5
        A = operators.ForwardModel(mask)
        kspace = A(torch.randn(shape, dtype=torch.complex64, generator=generator))
        factors = torch.randn(count, dtype=torch.complex64, generator=generator).tolist()
        seen = []
        found = mean_image([_network(factor, seen) for factor in factors], kspace.clone(), A)
        asked = f"mean_image of {count} networks"
        demand_tensor(found, shape, torch.complex64, asked)
        demand(len(seen) == count, f"{asked} calls {len(seen)} networks, expected each of them once")
        same = all(torch.equal(y, kspace) and u is A for y, u in seen)
        demand(
            same,
            f"{asked} changes k-space or the forward model on the way; each network starts from the same data",
        )
        images = torch.stack([factor * classical.zero_filled(kspace, A) for factor in factors])
        mistakes = {
            "the sum; divide by their number": images.sum(0),
            "the sum over three; there may be more networks, or fewer": images.sum(0) / 3,
            "the mean of the magnitudes; the images are complex": images.abs().mean(0) + 0j,
            "the last of them alone": images[-1],
        }
        right = images.mean(0)
        hints = [hint for hint, image in mistakes.items() if torch.allclose(found, image, atol=1e-5)]
        demand(
            torch.allclose(found, right, atol=1e-5),
            f"{asked} is off by up to {(found - right).abs().max():.2g}: "
            f"{'it is ' + hints[0] if hints else 'add the images up, divide by how many'}",
        )
    return "the mean of complex images, of any number of networks"


def _network(factor: complex, seen: list) -> Callable:
    """A reconstruction that returns a multiple of the zero-filled image, and keeps what it is handed."""

    def reconstruct(kspace: torch.Tensor, A: operators.ForwardModel) -> torch.Tensor:
        seen.append((kspace.clone(), A))
        return factor * classical.zero_filled(kspace, A)

    return reconstruct
