"""Checks of the exercises of notebook 04_training; each docstring says what the reader's function has to do."""

import functools
from collections.abc import Callable

import torch

from .. import classical, data, fourier, metrics, operators
from .verdict import check, demand, demand_number


@check
def check_4_1(gap: Callable) -> str:
    """``gap(first, second)``: mean difference of two methods on the same slices, and its standard error."""
    generator = torch.Generator().manual_seed(41)
    for n in (3, 9, 57):
        noise = torch.randn(3, n, generator=generator)
        first, second = 30 + 2 * noise[0] + 0.3 * noise[1], 30.4 + 2 * noise[0] + 0.3 * noise[2]
        given = gap(first.clone(), second.clone())
        demand(
            isinstance(given, (tuple, list)) and len(given) == 2,
            f"expected two numbers, the mean difference and its standard error; found {given!r:.60}",
        )
        difference = first - second
        mean, std = difference.mean().item(), difference.std().item()
        asked = f"of {n} slices the mean difference"
        swapped = {
            "it is the first minus the second": -mean,
            "its sign counts": abs(mean),
            "that is their sum over the slices; take the mean": difference.sum().item(),
            "a difference is the first minus the second": (first + second).mean().item(),
        }
        demand_number(given[0], mean, asked, swapped, "take the mean of first - second")
        way = "take the standard deviation of the differences, and look up how it shrinks in a mean of n"
        independent = (first.var() + second.var()).div(n).sqrt().item()
        mistakes = {
            "that is how far apart the slices are; the mean of n of them is surer": std,
            "you compare two independent means; subtract slice by slice first": independent,
            "the root of n, not n": std / n,
            "the root of n is n ** 0.5": std / (n * 0.5),
            "the more slices, the surer: divide by the root of n": std * n**0.5,
            "the spread of n slices is estimated with n - 1": difference.std(correction=0).item() / n**0.5,
        }
        demand_number(given[1], std / n**0.5, f"of {n} slices the standard error", mistakes, way)
    return "the difference slice by slice, and how sure its mean is"


@check
def check_4_2(gained: Callable) -> str:
    """``gained(method, cines, fast, slow, seed)``: mean gain of a lower acceleration, and its standard error."""
    images = torch.rand(3, 3, 60, 8, generator=torch.Generator().manual_seed(42))
    cines = data.Cines(images.numpy(), "a check")

    @functools.cache
    def rows(acceleration: float, seed: int) -> list[dict]:
        some = data.UndersampledCines(cines, acceleration=acceleration, seed=seed)
        return [metrics.cine_metrics(classical.zero_filled(y, A)[0], m[0]) for y, A, m in some.batches(1)]

    def scores(acceleration: float, seed: int, name: str = "psnr") -> torch.Tensor:
        return torch.tensor([row[name] for row in rows(acceleration, seed)])

    for fast, slow, seed in ((4, 2, 3), (3, 2, 8)):
        counts = set()

        def method(kspace, A, counts=counts):
            counts.update(A.mask.sum((-2, -1)).flatten().tolist())
            return classical.zero_filled(kspace, A)

        asked = f"gained(method, cines, fast={fast}, slow={slow}, seed={seed})"
        given, expected = gained(method, cines, fast, slow, seed), {60 // fast, 60 // slow}
        demand(
            isinstance(given, (tuple, list)) and len(given) == 2,
            f"{asked}: expected two numbers, the mean gain and its standard error; found {given!r:.60}",
        )
        demand(counts, f"{asked} never calls the method")
        demand(
            counts == expected,
            f"{asked} hands the method {sorted(counts)} of 60 lines per frame, expected {sorted(expected)}: "
            "do both accelerations reach the data?",
        )
        right, zero = scores(slow, seed) - scores(fast, seed), scores(slow, 0) - scores(fast, 0)
        volume = scores(slow, seed, "psnr_volume") - scores(fast, seed, "psnr_volume")
        mistakes = {
            "that is the sum over the cines; take their mean": right.sum().item(),
            "that is the first cine alone": right[0].item(),
            "a gain is a difference, not a sum": (scores(slow, seed) + scores(fast, seed)).mean().item(),
            "it is the slow one, with more data, minus the fast one": -right.mean().item(),
            "that is the PSNR of the whole volume; 'psnr' is the mean over frames": volume.mean().item(),
            "those are the masks of seed 0; hand the seed on": zero.mean().item(),
        }
        demand_number(given[0], right.mean().item(), f"{asked}: the mean gain", mistakes)
        apart = (scores(slow, seed).var() + scores(fast, seed).var()).div(3).sqrt().item()
        mistakes = {
            "you compare two independent means; subtract cine by cine first": apart,
            "that is how far apart the cines are; the mean of n of them is surer": right.std().item(),
            "the spread is estimated with n - 1": right.std(correction=0).item() / 3**0.5,
            "the more cines, the surer: divide by the root of n": right.std().item() * 3**0.5,
            "the root of n, not n": right.std().item() / 3,
        }
        demand_number(given[1], right.std().item() / 3**0.5, f"{asked}: the standard error", mistakes)
    return "the right number of lines, fixed masks, and the gain cine by cine"


@check
def check_4_3(contradiction: Callable) -> str:
    """``contradiction(image, kspace, mask)``: how far an image is from its data, relative to them."""
    generator = torch.Generator().manual_seed(43)
    for b, t, y, x, masks in ((1, 4, 24, 8, 1), (2, 5, 33, 6, 2), (2, 3, 20, 10, 1)):
        mask = torch.rand(masks, t, y, 1, generator=generator) < 0.4
        truth, other = torch.randn(2, b, t, y, x, dtype=torch.complex64, generator=generator)
        A, size = operators.ForwardModel(mask), f"of a cine {(b, t, y, x)}"
        kspace = A(truth)
        image = truth + 0.3 * other
        away, everywhere = A(image) - kspace, fourier.fft2c(image) - kspace
        corner = torch.fft.fft2(image, norm="ortho") * mask - kspace
        found = (away.norm() / kspace.norm()).item()
        mistakes = {
            "lines that were not measured contradict nothing; leave them out": (
                everywhere.norm() / kspace.norm()
            ).item(),
            "norms, not their squares": found**2,
            "relative to the data, nothing else": (away.norm() / A(image).norm()).item(),
            "relative to the data: you have the distance alone": away.norm().item(),
            "relative to the data: divide by their norm": (away.norm() * kspace.norm()).item(),
            "the distance is a difference, not a sum": ((away + 2 * kspace).norm() / kspace.norm()).item(),
            "the zero frequency of this course is in the middle": (corner.norm() / kspace.norm()).item(),
        }
        demand_number(
            contradiction(image.clone(), kspace, mask), found, f"{size} the contradiction", mistakes
        )
        zero = contradiction(A.adjoint(kspace), kspace.clone(), mask)
        way = "undersample the image as the data were, and compare with them"
        demand_number(zero, 0.0, f"{size} the contradiction of the zero-filled image", {}, way)
    return "0 where the data are kept, and what lies between the measured lines does not count"


@check
def check_4_4(split_patients: Callable) -> str:
    """``split_patients(groups, seed)``: slices for training, validation and test, patients 4 : 1 : 2."""
    generator = torch.Generator().manual_seed(44)
    for m in (7, 14, 35):
        slices = torch.randint(2, 6, (m,), generator=generator)
        patients = 100 + torch.randperm(3 * m, generator=generator)[:m]
        groups = patients.repeat_interleave(slices)
        groups = groups[torch.randperm(len(groups), generator=generator)]
        drawn = [split_patients(groups.clone(), seed) for seed in (0, 0, 1, 2)]
        _demand_split(drawn[0], groups, m)
        tests = [set(groups[parts[2]].tolist()) for parts in drawn]
        demand(tests[0] == tests[1], "the same seed gives another split: draw from a generator of that seed")
        demand(
            any(tests[0] != test for test in tests[2:]),
            "other seeds test the same patients: does the seed shuffle them?",
        )
    return "every slice once, no patient in two sets, patients 4 : 1 : 2, the same for the same seed"


def _demand_split(parts: object, groups: torch.Tensor, m: int) -> None:
    """Raise `NotYet` unless these are the slices of three sets of patients."""
    names, asked = ("training", "validation", "test"), f"of {m} patients with {len(groups)} slices"
    demand(
        isinstance(parts, (tuple, list)) and len(parts) == 3, f"expected three tensors, found {parts!r:.60}"
    )
    for name, part in zip(names, parts, strict=True):
        indices = isinstance(part, torch.Tensor) and part.ndim == 1 and part.dtype == torch.int64
        demand(
            indices, f"the {name} set is {part!r:.60}, expected the numbers of its slices, shape (n,), int64"
        )
    counts = torch.cat(list(parts)).unique(return_counts=True)
    inside = [number for number in counts[0].tolist() if 0 <= number < len(groups)]
    demand(
        len(inside) == len(groups) == len(counts[0]),
        f"{asked}, {len(inside)} are in the three sets, and {len(counts[0]) - len(inside)} numbers that are no slice. "
        "A patient's number is a name: it need not begin at 0, and is not the number of a slice",
    )
    demand((counts[1] == 1).all(), f"{asked}, {int((counts[1] > 1).sum())} are in more than one set")
    patients = [set(groups[part].tolist()) for part in parts]
    for i, j in ((0, 2), (0, 1), (1, 2)):
        both = patients[i] & patients[j]
        demand(
            not both,
            f"{asked}, {len(both)} patients are both in {names[i]} and in {names[j]}: deal out patients, not slices",
        )
    found, expected = [len(part) for part in patients], [4 * m // 7, m // 7, 2 * m // 7]
    demand(
        found == expected,
        f"{asked}, {found} patients are in training, validation and test, expected {expected}",
    )
