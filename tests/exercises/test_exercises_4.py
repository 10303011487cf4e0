"""Planted mistakes of 04_training."""

import torch
from test_exercises import turned_away

from dmri_helpers import classical, data, exercises, fourier, metrics, operators, sampling


def test_gap(capsys):
    check = exercises.check_4_1

    def gap(first, second):
        difference = first - second
        return difference.mean(), difference.std() / len(difference) ** 0.5

    check(gap)
    assert capsys.readouterr().out.startswith("Right: ")

    def with_error(error):
        return lambda a, b: ((a - b).mean().item(), error(a, b).item())

    turned_away(check, lambda a, b: gap(b, a), "first minus the second")
    turned_away(check, lambda a, b: (a - b).mean(), "expected two numbers")
    turned_away(check, lambda a, b: ((a - b).sum(), gap(a, b)[1]), "that is their sum")
    turned_away(check, lambda a, b: gap(a, -b), "a difference is the first minus the second")
    turned_away(
        check, with_error(lambda a, b: (a - b).std() / (len(a) * 0.5)), r"the root of n is n \*\* 0.5"
    )
    turned_away(check, with_error(lambda a, b: (a - b).std() * len(a) ** 0.5), "divide by the root of n")
    turned_away(
        check,
        with_error(lambda a, b: (a.var() / len(a) + b.var() / len(b)).sqrt()),
        "two independent means",
    )
    turned_away(check, with_error(lambda a, b: (a - b).std()), "how far apart the slices are")
    turned_away(check, with_error(lambda a, b: (a - b).std() / len(a)), "the root of n")
    turned_away(check, with_error(lambda a, b: (a - b).std(correction=0) / len(a) ** 0.5), "with n - 1")
    turned_away(check, lambda a, b: (a - b, (a - b).std() / len(a) ** 0.5), "expected a number")


def test_more_data():
    check = exercises.check_4_2

    def psnr(method, cines, acceleration, seed, metric="psnr", **options):
        samples = data.UndersampledCines(cines, acceleration=acceleration, seed=seed, **options)
        rows = [metrics.cine_metrics(method(y, u)[0], m[0])[metric] for y, u, m in samples.batches(1)]
        return torch.tensor(rows)

    def gained(method, cines, fast, slow, seed, mean=torch.mean, error=None, **options):
        one, other = (psnr(method, cines, a, seed, **options) for a in (slow, fast))
        error = error or (lambda a, b: (a - b).std() / len(a) ** 0.5)
        return mean(one - other).item(), error(one, other).item()

    check(gained)
    turned_away(
        check, lambda m, c, f, s, seed: gained(m, c, 5, s, seed), "do both accelerations reach the data"
    )
    turned_away(check, lambda m, c, f, s, seed: gained(m, c, s, f, seed), "minus the fast one")
    turned_away(check, lambda m, c, f, s, seed: gained(m, c, f, s, 0), "hand the seed on")
    turned_away(check, lambda *a: gained(*a, mean=torch.sum), "take their mean")
    turned_away(check, lambda *a: gained(*a, mean=lambda gains: gains[0]), "the first cine alone")
    turned_away(check, lambda *a: gained(*a, metric="psnr_volume"), "PSNR of the whole volume")
    turned_away(check, lambda *a: gained(*a, training=True), "expected .*read the formula once more")
    turned_away(check, lambda m, *a: gained(classical.view_sharing, *a), "never calls the method")
    turned_away(check, lambda *a: gained(*a)[0], "expected two numbers")

    def independent(a, b):
        return (a.var() / len(a) + b.var() / len(b)).sqrt()

    turned_away(check, lambda *a: gained(*a, error=independent), "two independent means")
    turned_away(check, lambda *a: gained(*a, error=lambda a, b: (a - b).std()), "how far apart the cines are")


def test_contradiction():
    check = exercises.check_4_3

    def relative(away, kspace):
        return away.norm() / kspace.norm()

    check(lambda m, y, u: relative(operators.ForwardModel(u)(m) - y, y))
    # the Fourier transform keeps the norm: measured in the image it is the same number
    check(lambda m, y, u: relative(fourier.ifft2c(operators.ForwardModel(u)(m) - y), y).item())
    turned_away(
        check, lambda m, y, u: relative(operators.ForwardModel(u)(m) - y, y) ** 2, "norms, not their squares"
    )
    turned_away(check, lambda m, y, u: relative(fourier.fft2c(m) - y, y), "leave them out")
    turned_away(check, lambda m, y, u: relative(operators.ForwardModel(u)(m) + y, y), "not a sum")
    turned_away(
        check, lambda m, y, u: (operators.ForwardModel(u)(m) - y).norm() * y.norm(), "divide by their norm"
    )
    turned_away(
        check, lambda m, y, u: (operators.ForwardModel(u)(m) - y).norm(), "you have the distance alone"
    )
    turned_away(
        check, lambda m, y, u: relative(torch.fft.fft2(m, norm="ortho") * u - y, y), "is in the middle"
    )
    turned_away(
        check,
        lambda m, y, u: (operators.ForwardModel(u)(m) - y).norm() / operators.ForwardModel(u)(m).norm(),
        "relative to the data, nothing else",
    )


def test_split_patients():
    check = exercises.check_4_4

    def shuffled(n, seed):
        return torch.randperm(n, generator=torch.Generator().manual_seed(seed))

    def cut(order):
        return order.tensor_split((len(order) * 4 // 7, len(order) * 5 // 7))

    def split(groups, seed, shuffle=shuffled, cut=cut):
        patients = groups.unique()
        parts = cut(patients[shuffle(len(patients), seed)])
        return [torch.isin(groups, part).nonzero().flatten() for part in parts]

    check(split)
    turned_away(check, lambda g, s: cut(shuffled(len(g), s)), "both in training and in test: deal out")
    turned_away(check, lambda g, s: split(g, s, shuffle=lambda n, s: torch.arange(n)), "other seeds test")
    turned_away(check, lambda g, s: split(g, s, shuffle=lambda n, s: torch.randperm(n)), "the same seed")
    turned_away(check, lambda g, s: split(g, s)[::-1], r"expected \[4, 1, 2\]")
    turned_away(check, lambda g, s: split(g, s, cut=lambda p: p.tensor_split(3)), r"expected \[4, 1, 2\]")
    turned_away(check, lambda g, s: cut(g.unique()), "need not begin at 0")
    turned_away(check, lambda g, s: split(g, s)[:2], "expected three tensors")
    turned_away(check, lambda g, s: [part.float() for part in split(g, s)], "int64")
    turned_away(check, lambda g, s: [*split(g, s)[:2], torch.arange(len(g))], "are in more than one set")


def test_one_line_for_a_mask_that_does_not_fit():
    mask = sampling.ky_t_mask((1, 4, 30, 8), 3, 2, seed=0)
    turned_away(
        exercises.check_4_3,
        lambda m, y, u: operators.ForwardModel(mask)(m).norm(),
        "the code stops with ValueError: mask",
    )
