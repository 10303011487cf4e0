"""Planted mistakes of 01_sampling."""

import torch
from test_exercises import turned_away

from dmri_helpers import exercises, fourier, sampling


def right_mask(frames, lines, per_frame, center_lines, seed):
    return sampling.ky_t_mask((frames, lines, 1), lines / per_frame, center_lines, seed=seed)[0, :, :, 0]


def test_mask(capsys):
    check = exercises.check_1_1
    check(right_mask)
    assert capsys.readouterr().out.startswith("Right: ")

    def halved(frames, lines, per_frame, center_lines, seed):
        mask, half = right_mask(frames, lines, per_frame, center_lines, seed), center_lines // 2
        mask[:, lines // 2 + half] = False
        return mask

    def uniform(frames, lines, per_frame, center_lines, seed):
        arrival = torch.rand(frames, lines, generator=torch.Generator().manual_seed(seed))
        first = lines // 2 - center_lines // 2
        arrival[:, first : first + center_lines] = -1
        return torch.zeros(frames, lines, dtype=torch.bool).scatter(
            1, arrival.argsort(1)[:, :per_frame], True
        )

    def drawn_twice(frames, lines, per_frame, center_lines, seed):
        mask = torch.zeros(frames, lines, dtype=torch.bool)
        first, generator = lines // 2 - center_lines // 2, torch.Generator().manual_seed(seed)
        mask[:, first : first + center_lines] = True
        weights = (sampling.line_density(lines) * ~mask[0]).expand(frames, -1)
        drawn = weights.multinomial(per_frame - center_lines, replacement=True, generator=generator)
        return mask.scatter(1, drawn, True)

    turned_away(check, halved, "lacks the centre lines .*Halving an odd number")
    turned_away(check, uniform, "drawn by their density")
    turned_away(check, lambda *a, **k: right_mask(*a, **k).float(), "torch.float32, expected torch.bool")
    turned_away(check, lambda *a, **k: right_mask(*a, **k)[:, :, None], "returns the shape")
    turned_away(
        check, lambda f, *a, **k: right_mask(f, *a, **k)[:1].expand(f, -1), "same lines in every frame"
    )
    turned_away(check, lambda f, n, p, c, seed: right_mask(f, n, p + c, c, seed), "the centre lines included")
    turned_away(check, drawn_twice, "Can a line be drawn twice")
    turned_away(check, lambda f, n, p, c, seed: right_mask(f, n, p, c, 0), "another seed gives the same")
    turned_away(
        check,
        lambda f, n, p, c, seed: right_mask(f, n, p, c, torch.seed() % 2**31),
        "the same seed gives another",
    )


def test_lost_for_good():
    check = exercises.check_1_2

    def lost(cine, mask, unseen=lambda mask: ~mask.any(0), to=fourier.fft2c, power=2):
        energy = (to(cine).abs() ** power).sum((0, 2))
        return (energy[unseen(mask)].sum() / energy.sum()).item()

    check(lost)
    turned_away(check, lambda m, u: 1 - lost(m, u), "what some frame has measured")
    turned_away(check, lambda m, u: lost(m, u, unseen=lambda mask: ~mask.all(0)), "any, not all")
    turned_away(check, lambda m, u: lost(m, u, power=1), "square of the magnitude")
    turned_away(check, lambda m, u: lost(m, u, to=torch.fft.fft2), "use the centred transform")
    turned_away(check, lambda m, u: (~u.any(0)).float().mean(), "a share of lines")
    turned_away(check, lambda m, u: 100 * lost(m, u), "not per cent")
    turned_away(check, lambda m, u: lost(m, u[:1]), "read the formula|another frame")

    def frame_by_frame(cine, mask):
        kspace = fourier.fft2c(cine)
        return (1 - (kspace * mask[..., None]).norm() ** 2 / kspace.norm() ** 2).item()

    turned_away(check, frame_by_frame, "miss one by one")


def test_lattice():
    check = exercises.check_1_3

    def lattice(frames, lines, step, sign=1, zero=None):
        zero = lines // 2 if zero is None else zero
        return (torch.arange(lines)[None] - zero - sign * torch.arange(frames)[:, None]) % step == 0

    check(lattice)
    turned_away(check, lambda *a: lattice(*a, sign=-1), "move the other way")
    turned_away(check, lambda *a: lattice(*a, sign=0), "Do the lines move")
    turned_away(check, lambda *a: lattice(*a, zero=0), "without the zero frequency")
    turned_away(check, lambda f, n, s: lattice(f, n, s).T, "returns the shape")
    turned_away(
        check,
        lambda f, n, s: lattice(f, n, s) & (torch.arange(n) > 9),
        "expected every 5th, the rim included",
    )
    turned_away(
        check, lambda f, n, s: lattice(f, n, s) & (torch.arange(f) < s)[:, None], "later ones are not"
    )


def test_center():
    def center(
        lines,
        count,
        first=lambda lines, count: lines // 2 - count // 2,
        last=lambda first, count: first + count,
    ):
        begin = first(lines, count)
        return (torch.arange(lines) >= begin) & (torch.arange(lines) < last(begin, count))

    exercises.check_1_4(center)
    turned_away(
        exercises.check_1_4,
        lambda n, c: center(n, c, last=lambda first, count: first + count // 2 * 2),
        "keeps 10 lines",
    )
    turned_away(
        exercises.check_1_4,
        lambda n, c: center(n, c, first=lambda n, c: (n - c + 1) // 2),
        "negative frequencies",
    )
    turned_away(exercises.check_1_4, lambda n, c: torch.arange(n) < c, "without the zero frequency")
    turned_away(exercises.check_1_4, lambda n, c: center(n, c)[None], "returns the shape")
