"""Checks of the exercises of notebook 02_aliasing; each docstring says what the reader's function has to do."""

from collections.abc import Callable

import torch

from .. import fourier, operators
from .verdict import check, demand, demand_tensor


@check
def check_2_2(frames_away: Callable) -> str:
    """``frames_away(mask)``: how many frames away, cyclic, the nearest one that has the line; inf if none has."""
    draw = torch.Generator().manual_seed(0)
    for shape, share in (
        ((1, 8, 30, 1), 0.2),
        ((2, 7, 25, 1), 0.3),
        ((1, 2, 9, 1), 0.5),
        ((1, 12, 5, 1), 0.2),
        ((1, 1, 6, 1), 0.5),
    ):
        mask = torch.rand(shape, generator=draw) < share
        mask[:, 1:, :2], mask[:, :, 2] = False, False  # lines that frame 0 alone has, one that no frame has
        mask[:, 0, :2] = True
        t, asked = shape[1], f"frames_away of a mask {shape}"
        away = frames_away(mask.clone())
        demand_tensor(away, shape, torch.float32, asked)
        demand((away[mask] == 0).all(), f"{asked}: a measured line is 0 frames away; here some are not")
        demand(
            away[:, :, 2].isinf().all(),
            f"{asked}: line 2 is measured by no frame, expected inf, found {away[:, :, 2].amin().item():g}. "
            "Are frames shifted along their own axis alone?",
        )
        steps = torch.arange(t)
        for frame, found in enumerate(away[0, :, 0, 0].tolist()):
            expected = min(frame, t - frame)
            demand(
                found == expected,
                f"{asked}: line 0 is measured by frame 0 alone. From frame {frame} of {t} found {found:g} frames, "
                f"expected {expected}. Do you look back and ahead, and around the end of the beat?",
            )
        apart = (steps[:, None] - steps).abs()
        apart = torch.minimum(apart, t - apart)[None, :, :, None]  # (1, t, s, 1)
        nearest = torch.where(mask[:, None, :, :, 0], apart.float(), torch.inf).amin(2)[..., None]
        demand(
            (away == nearest).all(),
            f"{asked}: {int((away != nearest).sum())} of {away.numel()} entries are not the *nearest* frame of several",
        )
    return "0 where measured, the nearest frame back or ahead around the end of the beat, inf where there is none"


@check
def check_2_1(gap: Callable) -> str:
    """``gap(forward, adjoint, image_shape, kspace_shape, seed)``: of <A m, y> and <m, A^H y>, relative."""
    draw = torch.Generator().manual_seed(0)
    mask = torch.rand(1, 3, 5, 1, generator=draw) < 0.5
    A = operators.ForwardModel(mask)
    shape, N, kept = (2, 3, 5, 7), 35, [0, 2, 3]
    coil = torch.polar(torch.rand(6, 4, generator=draw) + 0.5, 6 * torch.rand(6, 4, generator=draw))
    right = {
        "U F and its adjoint": (A, A.adjoint, shape, shape),
        "F that stores the sampled lines alone, and its adjoint": (
            lambda m: fourier.fft2c(m)[:, kept],
            lambda y: fourier.ifft2c(y.new_zeros(2, 6, 4).index_copy(1, torch.tensor(kept), y)),
            (2, 6, 4),
            (2, 3, 4),
        ),
        "a coil m -> c m and its adjoint": (lambda m: coil * m, lambda y: coil.conj() * y, (6, 4), (6, 4)),
    }
    for name, example in right.items():
        value, x, y = _gap_and_vectors(gap, *example)
        demand(
            value < 1e-4,
            f"{name} belong together, and you find a gap of {value:.2g}. Is the first vector of each inner product "
            "conjugated, and is it the same m and y on both sides?",
        )
        forward, *_, kspace_shape = example
        demand(
            y.shape != x.shape or not torch.equal(x, y),
            "m and y are the same numbers. Draw one after the other from one generator",
        )
        demand(
            not torch.allclose(y, forward(x).to(y.dtype)),
            "y is A m. The definition says *for all* y: draw one of its own",
        )
    example = right["U F and its adjoint"]
    first, again, other = (_gap_and_vectors(gap, *example, seed)[1:] for seed in (3, 3, 4))
    demand(all(map(torch.equal, first, again)), "the same seed draws other vectors")
    demand(not any(map(torch.equal, first, other)), "another seed draws the same vectors")
    wrong = {
        "an adjoint 1.5 times too large": (A, lambda y: 1.5 * A.adjoint(y), 0.5),
        "the same, in units 1000 times smaller": (
            lambda m: 1000 * A(m),
            lambda y: 1500 * A.adjoint(y),
            0.5,
        ),
        "a forward F without norm='ortho'": (lambda m: N**0.5 * A(m), A.adjoint, 1 - N**-0.5),
        "m -> i m with y -> i y (its conjugate is missing)": (lambda m: 1j * m, lambda y: 1j * y, 2.0),
        "an adjoint with the mask inverted": (A, lambda y: fourier.ifft2c(y * ~mask), None),
    }
    for name, (forward, adjoint, expected) in wrong.items():
        value = _gap_and_vectors(gap, forward, adjoint, shape, shape)[0]
        demand(value > 1e-2, f"{name}: you find a gap of {value:.2g}, as if nothing were wrong")
        demand(
            expected is None or abs(value - expected) < 1e-3,
            f"{name}: expected a gap of {expected}, found {value:.4g}. Relative means: divided by the size of <A m, y>",
        )
    return "no gap for three right pairs, the right one for five wrong ones, with complex vectors drawn by the seed"


def _gap_and_vectors(
    gap: Callable,
    forward: Callable,
    adjoint: Callable,
    image_shape: tuple,
    kspace_shape: tuple,
    seed: int = 0,
) -> tuple[float, torch.Tensor, torch.Tensor]:
    """Call the reader's ``gap``; return its number and the vectors that it handed to the two operators."""
    handed = {}

    def spy(role: str, shape: tuple, operator: Callable) -> Callable:
        def spied(vector: torch.Tensor) -> torch.Tensor:
            found = tuple(vector.shape)
            demand(found == shape, f"{role} is handed the shape {found}, expected {shape}")
            demand(
                vector.is_complex() and vector.imag.any() and vector.real.any(),
                f"{role} is handed real numbers. Whatever goes wrong in an imaginary part, they do not see it: "
                "draw complex ones",
            )
            handed[role] = vector.clone()
            return operator(vector)

        return spied

    value = gap(
        spy("forward", image_shape, forward),
        spy("adjoint", kspace_shape, adjoint),
        image_shape,
        kspace_shape,
        seed,
    )
    for role in ("forward", "adjoint"):
        demand(role in handed, f"{role} is never called; the definition needs both")
    demand(not isinstance(value, bool), f"expected the gap itself, a number, found {value}")
    demand(value is not None, "the function returns nothing; is there a return at its end?")
    value = torch.as_tensor(value)
    demand(value.numel() == 1, f"expected one number, found the shape {tuple(value.shape)}")
    demand(not value.is_complex(), f"expected a size, found the complex number {value.item():.2f}")
    demand(value >= 0, f"expected a size, found the negative number {value.item():.2f}")
    return value.item(), handed["forward"], handed["adjoint"]


@check
def check_2_3(prepare: Callable) -> str:
    """``prepare(raw, skipped)``: images up to 1, their k-space on the sampled lines, and the mask."""
    draw = torch.Generator().manual_seed(0)
    for shape, share in (((1, 4, 6, 8), 0.0), ((2, 3, 7, 5), 0.0), ((1, 4, 8, 6), 0.6), ((2, 3, 5, 7), 0.6)):
        raw = 8 + torch.randn(shape, dtype=torch.complex64, generator=draw)
        raw = raw * (1 + torch.arange(shape[1]))[:, None, None]  # each frame brighter than the one before
        skipped = torch.rand(1, *shape[1:3], 1, generator=draw) < share
        asked = f"prepare of images {shape}, {'some' if share else 'no'} lines skipped"
        given = prepare(raw.clone(), skipped.clone())
        demand(
            isinstance(given, tuple) and len(given) == 3,
            f"{asked}: expected three things (images, k-space, mask), found {type(given).__name__}",
        )
        image, kspace, mask = given
        demand_tensor(image, shape, torch.complex64, f"{asked}: the image")
        demand_tensor(kspace, shape, torch.complex64, f"{asked}: k-space")
        demand_tensor(mask, tuple(skipped.shape), torch.bool, f"{asked}: the mask")
        largest = image.abs().max().item()
        demand(abs(largest - 1) < 1e-4, f"{asked}: the largest magnitude is {largest:.3g}, expected 1")
        demand(
            torch.allclose(image, raw / raw.abs().max(), atol=1e-5),
            f"{asked}: the images are not the raw ones divided by one number",
        )
        demand(
            torch.equal(mask, ~skipped),
            f"{asked}: the mask is True on {int(mask.sum())} lines, but {int((~skipped).sum())} were measured. "
            "In this course True is where sampled",
        )
        lines = kspace.abs().amax(-1, keepdim=True).amax(0, keepdim=True) > 0
        demand(
            torch.equal(lines, mask),
            f"{asked}: k-space is empty on {int((mask & ~lines).sum())} lines where the mask is True, and not on "
            f"{int((lines & ~mask).sum())} where it is False. Is the shift done when the mask comes?",
        )
        expected = mask * fourier.fft2c(image)
        if not share:  # nothing is missing, so lengths and places can be compared
            ratio = (kspace.norm() / image.norm()).item()
            y, x = shape[-2:]
            demand(
                abs(ratio - 1) < 1e-3,
                f"{asked}: k-space is {ratio:.3g} times as long as the image, expected 1 (Parseval). For comparison: "
                f"the square root of {y} x {x} is {(y * x) ** 0.5:.3g}, the largest raw magnitude "
                f"{raw.abs().max():.3g}, their product {(y * x) ** 0.5 * raw.abs().max():.3g}",
            )
            lengths = kspace.norm(dim=(-2, -1)) / image.norm(dim=(-2, -1))
            demand(
                torch.allclose(lengths, torch.ones_like(lengths), atol=1e-3),
                f"{asked}: frame 0 of k-space is {lengths[0, 0]:.2f} times as long as frame 0 of the image: the frames "
                "have changed places. Which axes does a shift move if you do not say it?",
            )
            row, column = divmod(int(kspace[0, 0].abs().argmax()), x)
            demand(
                (row, column) == (y // 2, x // 2),
                f"{asked}: the largest number of k-space, the zero frequency, is at {(row, column)}, expected "
                f"{(y // 2, x // 2)}",
            )
        same_size = torch.allclose(kspace.abs(), expected.abs(), atol=1e-4)
        demand(
            torch.allclose(kspace, expected, atol=1e-4),
            f"{asked}: k-space is not U F m of the images. "
            + (
                "Its magnitudes are right, its phases are not: the image has a centre, too (section 2.1)"
                if same_size
                else "Does the mask meet the lines where they lie after the shift?"
            ),
        )
    return "images up to 1 with k-space in the same units, of the same length, in its place, on the sampled lines"


@check
def check_2_4(mirrored: Callable) -> str:
    """``mirrored(kspace, mask)``: both with the lines that follow from y(-k) = conj y(k)."""
    draw = torch.Generator().manual_seed(0)
    for shape in ((1, 4, 8, 6), (2, 3, 7, 5), (1, 3, 9, 8)):
        batch, t, y, x = shape
        cine = torch.randn(shape, generator=draw)
        mask = torch.rand(1, t, y, 1, generator=draw) < 0.5
        mask[:, 0] = torch.tensor([True, True] + [False] * (y - 2))[:, None]
        noise = torch.randn(shape, dtype=torch.complex64, generator=draw)
        for kind, kspace in (
            ("a real cine", fourier.fft2c(cine)),
            ("a noisy one", fourier.fft2c(cine) + noise),
        ):
            kspace, asked = mask * kspace, f"mirrored of {kind} {shape}"
            given = mirrored(kspace.clone(), mask.clone())
            demand(
                isinstance(given, tuple) and len(given) == 2,
                f"{asked}: expected two things (k-space, mask), found {type(given).__name__}",
            )
            doubled, known = given
            demand_tensor(doubled, shape, torch.complex64, f"{asked}: k-space")
            demand_tensor(known, tuple(mask.shape), torch.bool, f"{asked}: the mask")
            ky, kx = ((2 * (n // 2) - torch.arange(n)) % n for n in (y, x))
            expected = mask | mask[:, :, ky]
            demand((known | ~mask).all(), f"{asked}: the new mask lacks lines that were measured")
            demand(
                torch.equal(known, expected),
                f"{asked}: of frame 0 the lines 0 and 1 are measured. Known now, by your mask: "
                f"{known[0, 0, :, 0].nonzero().flatten().tolist()}, expected "
                f"{expected[0, 0, :, 0].nonzero().flatten().tolist()}. The zero frequency, line {y // 2}, is its own "
                "mirror image: count from there",
            )
            demand(
                torch.equal(torch.where(mask, doubled, 0), kspace),
                f"{asked}: measured lines have changed; where there is a measurement, keep it",
            )
            twin = kspace[:, :, ky][..., kx].conj()
            clues = [
                clue
                for values, clue in (
                    (twin, ""),
                    (twin.conj(), "They are not conjugated"),
                    (kspace[:, :, ky].conj(), "-k is the opposite along kx, too"),
                )
                if torch.allclose(doubled, torch.where(mask, kspace, values), atol=1e-5)
            ]
            demand(
                "" in clues,
                f"{asked}: the right lines, with wrong numbers in those that were not measured. "
                + (clues[0] if clues else "Compare them with `fft2c` of a real image"),
            )
    return "every measured line kept, its mirror image filled in, for even and odd sizes"
