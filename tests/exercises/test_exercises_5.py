"""Planted mistakes of 05_ablations."""

import math
from dataclasses import replace

import torch
from test_exercises import turned_away

from dmri_helpers import exercises, profiles


def test_square(capsys):
    check = exercises.check_5_1

    def square(one, other):
        """The rows of two changes, each a function of a row."""
        return lambda n, r: [(n, r), one((n, r)), other((n, r)), other(one((n, r)))]

    def net(**changes):
        return lambda row: (replace(row[0], **changes), row[1])

    def training(**changes):
        return lambda row: (row[0], replace(row[1], **changes))

    check(square(net(dropout=0.0), training(weight_decay=0.0)))
    check(square(net(dropout=0.1), training(schedule="constant")))
    check(square(net(attention=False), net(branches=1)))
    check(square(training(loss="charbonnier"), net(start="temporal_mean")))
    assert capsys.readouterr().out.count("Right: a square of") == 4

    decay, dropout = training(weight_decay=0.0), net(dropout=0.0)
    turned_away(check, square(dropout, training(schedule="constant")), "has this square already")
    turned_away(check, square(dropout, lambda row: row), "row 2 is the baseline once more")
    turned_away(check, square(net(dropout=0, depth=1, init_features=3), decay), "which would you thank")
    turned_away(check, square(decay, training(weight_decay=1.0)), "take another piece")
    turned_away(
        check, lambda n, r: [*square(decay, dropout)(n, r)[:3], dropout((n, r))], "expected both pieces"
    )
    turned_away(check, lambda n, r: square(decay, dropout)(n, r)[::-1], "row 0 is the baseline")
    turned_away(check, lambda n, r: square(decay, dropout)(n, r)[:3], "expected four rows")
    turned_away(check, lambda n, r: [n, r, n, r], "expected two configurations")
    turned_away(check, square(decay, training(seed=3)), "the seed is the dice")
    turned_away(check, square(decay, training(acceleration=4)), "about the data")
    turned_away(check, square(decay, net(frames=10)), "how many frames the cines have")
    turned_away(check, lambda n, r: square(decay, dropout)(profiles.DualUNetConfig(), r), "frames differs")
    turned_away(check, square(decay, training(loss="L1")), "expected one of l1, l2")
    turned_away(check, square(decay, net(dropout=1.5)), "dropout 1.5: expected a probability below 1")
    turned_away(check, lambda n, r: setattr(n, "dropout", 0.1), "FrozenInstanceError")

    def of_profile(n, r):
        return square(decay, dropout if n.depth == 1 else net(branches=1))(n, r)

    turned_away(check, of_profile, "expected the same")


def test_cines_needed():
    check = exercises.check_5_2

    def needed(s, p, d, errors=2, two=2, whole=math.ceil):
        return whole(two * (errors * s / d) ** 2), whole((errors * p / d) ** 2)

    check(needed)
    turned_away(check, lambda *a: needed(*a)[::-1], "unpaired comes first")
    turned_away(check, lambda *a: needed(*a, two=1), "their variances add")
    turned_away(check, lambda *a: needed(*a, two=4), "variances add, not standard errors")
    turned_away(check, lambda *a: needed(*a, errors=1), "two standard errors, please")
    turned_away(check, lambda *a: needed(*a, whole=math.floor), "so round up")
    turned_away(check, lambda *a: needed(*a, whole=float), "there are whole cines only")
    turned_away(
        check, lambda s, p, d: (math.ceil(2 * 2**0.5 * s / d), math.ceil(2 * p / d)), "grows with the square"
    )
    turned_away(check, lambda *a: needed(*a)[0], "expected two numbers")


def test_interval():
    check = exercises.check_5_3

    def draw(n, draws, seed, size=None):
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(n, (draws, size or n), generator=generator)

    def interval(a, b, draws, seed, tail=0.025, means=lambda x: x.mean(1), indices=draw):
        values = means((a - b)[indices(len(a), draws, seed)])
        return tuple(values.quantile(torch.tensor([tail, 1 - tail])).tolist())

    check(interval)

    def unpaired(a, b, draws, seed):
        values = a[draw(len(a), draws, seed)].mean(1) - b[draw(len(a), draws, seed + 1)].mean(1)
        return values.quantile(0.025), values.quantile(0.975)

    def permuted(n, draws, seed):
        return torch.rand(draws, n, generator=torch.Generator().manual_seed(seed)).argsort(1)

    turned_away(check, unpaired, "subtract cine by cine, then draw")
    turned_away(check, lambda a, b, *r: interval(b, a, *r), "first minus the second")
    turned_away(check, lambda *a: interval(*a, tail=0.05), "2.5 % of the draws below")
    turned_away(check, lambda *a: interval(*a, indices=permuted), "Can a cine be drawn twice")
    turned_away(check, lambda *a: interval(*a, means=torch.flatten), "where single cines lie")
    turned_away(
        check,
        lambda *a: interval(*a, indices=lambda *i: draw(*i, size=len(a[0]) // 2)),
        "As many cines in a draw",
    )
    turned_away(check, lambda a, b, n, seed: interval(a, b, n, 0), "another seed gives the same")
    turned_away(check, lambda a, b, n, seed: interval(a, b, n, torch.seed() % 2**31), "the same seed gives")
    turned_away(check, lambda *a: interval(*a)[::-1], "from low to high")
    turned_away(check, lambda *a: interval(*a)[0], "stops with TypeError|expected two numbers")


def test_mean_image():
    check = exercises.check_5_4

    def images(networks, kspace, A):
        return torch.stack([network(kspace, A) for network in networks])

    check(lambda *a: images(*a).mean(0))
    turned_away(check, lambda *a: images(*a).sum(0), "divide by their number")
    turned_away(check, lambda *a: images(*a).sum(0) / 3, "there may be more networks")
    turned_away(check, lambda *a: images(*a).abs().mean(0), "torch.float32, expected torch.complex64")
    turned_away(check, lambda *a: images(*a).abs().mean(0) + 0j, "the mean of the magnitudes")
    turned_away(check, lambda *a: images(*a)[-1], "the last of them alone")
    turned_away(check, lambda n, y, u: n[0](y, u), "calls 1 networks, expected each")
    turned_away(check, lambda *a: images(*a).mean(1), "returns the shape")

    def one_after_the_other(networks, kspace, A):
        for network in networks:
            image = network(kspace, A)
            kspace = torch.fft.fft2(image)
        return image

    turned_away(check, one_after_the_other, "starts from the same data")
