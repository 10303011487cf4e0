"""Planted mistakes of 02_aliasing."""

import torch
from test_exercises import turned_away

from dmri_helpers import exercises
from dmri_helpers.fourier import fft2c


def frames_away(mask, reach=None, shifts=(1, -1), never=torch.inf):
    away = torch.full(mask.shape, float(never))
    for distance in range(reach or mask.shape[1] // 2, -1, -1):
        for sign in shifts:
            away[mask.roll(sign * distance, dims=1)] = distance
    return away


def test_frames_away():
    check = exercises.check_2_2
    check(frames_away)
    turned_away(
        check, lambda mask: frames_away(mask, mask.shape[1] - 1, shifts=[1]), "Do you look back and ahead"
    )
    turned_away(
        check, lambda mask: frames_away(mask, mask.shape[1] // 2 - 1 or 1), "found inf frames, expected"
    )
    turned_away(check, lambda mask: frames_away(mask, never=0), "measured by no frame, expected inf, found 0")
    turned_away(check, lambda mask: frames_away(mask, mask.shape[2] // 2), "From frame|nearest")
    turned_away(check, lambda mask: frames_away(mask) + 1, "a measured line is 0 frames away")
    turned_away(check, lambda mask: frames_away(mask).long(), "torch.int64, expected torch.float32")
    turned_away(check, lambda mask: frames_away(mask)[0, :, :, 0], "returns the shape")

    def not_cyclic(mask):
        frames = torch.arange(mask.shape[1])
        apart = (frames[:, None] - frames).abs().float()[None, :, :, None]
        return torch.where(mask[:, None, :, :, 0], apart, torch.inf).amin(2)[..., None]

    def farthest(mask):
        away = frames_away(mask)
        for distance in range(1, mask.shape[1] // 2 + 1):
            for shift in (distance, -distance):
                away = torch.where(mask.roll(shift, dims=1) & ~mask, distance, away)
        return away

    turned_away(check, not_cyclic, "around the end of the beat")
    turned_away(check, farthest, r"are not the \*nearest\*")


def adjointness_gap(forward, adjoint, image_shape, kspace_shape, seed, kind=torch.complex128):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(image_shape, dtype=kind, generator=generator)
    y = torch.randn(kspace_shape, dtype=kind, generator=generator)
    return relative(*sides(forward, adjoint, x, y))


def sides(forward, adjoint, x, y):
    return torch.vdot(forward(x).flatten(), y.flatten()), torch.vdot(x.flatten(), adjoint(y).flatten())


def relative(left, right):
    return ((left - right).abs() / left.abs()).item()


def test_adjointness_gap():
    check = exercises.check_2_1
    check(adjointness_gap)
    check(lambda *a, **k: torch.tensor(adjointness_gap(*a, **k)))
    check(lambda *a: adjointness_gap(*a, kind=torch.complex64))
    turned_away(check, lambda *a: adjointness_gap(*a, kind=torch.float64), "real numbers.*draw complex ones")

    def drawn(seed, *shapes):
        generator = torch.Generator().manual_seed(seed)
        return [torch.randn(shape, dtype=torch.complex128, generator=generator) for shape in shapes]

    def no_conjugate(forward, adjoint, image_shape, kspace_shape, seed):
        x, y = drawn(seed, image_shape, kspace_shape)
        return relative((forward(x) * y).sum(), (x * adjoint(y)).sum())

    def absolute(forward, adjoint, image_shape, kspace_shape, seed):
        left, right = sides(forward, adjoint, *drawn(seed, image_shape, kspace_shape))
        return (left - right).abs()

    def no_size(forward, adjoint, image_shape, kspace_shape, seed):
        left, right = sides(forward, adjoint, *drawn(seed, image_shape, kspace_shape))
        return (left - right) / left.abs()

    def of_sizes(forward, adjoint, image_shape, kspace_shape, seed):
        left, right = sides(forward, adjoint, *drawn(seed, image_shape, kspace_shape))
        return (left.abs() - right.abs()).abs() / left.abs()

    def same_numbers(forward, adjoint, image_shape, kspace_shape, seed):
        return relative(*sides(forward, adjoint, *drawn(seed, image_shape), *drawn(seed, kspace_shape)))

    def own_data(forward, adjoint, image_shape, kspace_shape, seed):
        (x,) = drawn(seed, image_shape)
        return relative(*sides(forward, adjoint, x, forward(x)))

    def half_seeded(forward, adjoint, image_shape, kspace_shape, seed):
        (x,) = drawn(seed, image_shape)
        return relative(*sides(forward, adjoint, x, torch.randn(kspace_shape, dtype=x.dtype)))

    turned_away(check, no_conjugate, "belong together, .*conjugated")
    turned_away(check, absolute, "expected a gap of 0.5, found .*divided by the size")
    turned_away(check, no_size, "expected a size, found the complex number")
    turned_away(check, of_sizes, "its conjugate is missing.*as if nothing were wrong")
    turned_away(check, same_numbers, "m and y are the same numbers")
    turned_away(check, own_data, "y is A m")
    turned_away(check, lambda f, a, i, k, seed: adjointness_gap(f, a, i, k, 0), "another seed draws the same")
    turned_away(
        check,
        lambda f, a, i, k, seed: adjointness_gap(f, a, i, k, torch.seed() % 2**31),
        "draws other vectors",
    )
    turned_away(check, half_seeded, "draws other vectors")
    turned_away(
        check, lambda f, a, i, k, seed: adjointness_gap(f, a, k, i, seed), "forward is handed the shape"
    )
    turned_away(check, lambda *a: adjointness_gap(*a) < 1e-6, "expected the gap itself")
    turned_away(check, lambda *a: 0.0, "forward is never called")
    turned_away(check, lambda *a: 0 * adjointness_gap(*a), "1.5 times too large: .*as if nothing were wrong")


def test_prepare():
    check = exercises.check_2_3

    def prepare(raw, skipped, transform=fft2c):
        image = raw / raw.abs().max()
        return image, ~skipped * transform(image), ~skipped

    def faulty(raw, skipped):  # as in the notebook
        kspace = torch.fft.fftshift(torch.fft.fft2(raw)) * skipped
        return raw / raw.abs().max(), kspace, skipped

    def unscaled(raw, skipped):
        image, kspace, mask = prepare(raw, skipped)
        return image, kspace * raw.abs().max(), mask

    def min_max(raw, skipped):
        image = (raw.abs() - raw.abs().min()) / (raw.abs().max() - raw.abs().min())
        return image.to(raw.dtype), ~skipped * fft2c(image), ~skipped

    def shifted(inner, outer, **axes):
        return lambda image: outer(torch.fft.fft2(inner(image, **axes), norm="ortho"), **axes)

    def nothing(image, **axes):
        return image

    check(prepare)
    turned_away(check, faulty, "True is where sampled")
    turned_away(
        check,
        lambda r, s: (prepare(r, s)[0], prepare(r, s)[1] * s, ~s),
        "k-space is empty on 24 lines where the mask is True",
    )
    turned_away(check, unscaled, "times as long as the image, expected 1 .*the largest raw magnitude")
    turned_away(check, min_max, "not the raw ones divided by one number")
    turned_away(check, lambda r, s: (r, ~s * fft2c(r), ~s), "the largest magnitude is .*expected 1")
    forth, back, image = torch.fft.fftshift, torch.fft.ifftshift, (-2, -1)
    for transform, message in (
        (lambda m: forth(torch.fft.fft2(back(m, dim=image)), dim=image), "Parseval.*the square root of"),
        (shifted(nothing, forth), "frames have changed places"),
        (shifted(nothing, nothing, dim=image), r"the zero frequency, is at \(0, 0\)"),
        (shifted(nothing, forth, dim=image), "phases are not"),
        (shifted(forth, back, dim=image), r"the zero frequency, is at"),
    ):
        turned_away(check, lambda r, s, transform=transform: prepare(r, s, transform), message)
    turned_away(
        check,
        lambda r, s: (prepare(r, s)[0], fft2c(prepare(r, s)[0]), ~s),
        "empty on 0 lines .*not on .* where it is False",
    )
    turned_away(check, lambda r, s: prepare(r, s)[:2], "expected three things")
    turned_away(check, lambda r, s: (*prepare(r, s)[:2], (~s).float()), "torch.float32, expected torch.bool")


def test_mirrored():
    check = exercises.check_2_4

    def mirrored(kspace, mask, ky=None, kx=None, conj=True, keep=True):
        opposite = [(2 * (n // 2) - torch.arange(n)) % n for n in kspace.shape[-2:]]
        ky, kx = opposite[0] if ky is None else ky, opposite[1] if kx is None else kx
        twin = kspace[:, :, ky][..., kx]
        twin, known = twin.conj() if conj else twin, mask[:, :, ky]
        return torch.where(mask if keep else ~known, kspace, twin), mask | known

    check(mirrored)
    turned_away(check, lambda k, m: mirrored(k, m, conj=False), "They are not conjugated")
    turned_away(check, lambda k, m: mirrored(k, m, kx=slice(None)), "opposite along kx, too")
    turned_away(check, lambda k, m: mirrored(k, m, keep=False), "measured lines have changed")
    turned_away(
        check,
        lambda k, m: mirrored(k, m, ky=torch.arange(m.shape[2]).flip(0)),
        r"The zero frequency, line 4, is its own",
    )
    turned_away(check, lambda k, m: mirrored(k, m, kx=torch.arange(k.shape[3]).flip(0)), "Compare them with")
    turned_away(check, lambda k, m: (mirrored(k, m)[0], m), "Known now, by your mask")
    turned_away(
        check, lambda k, m: (mirrored(k, m)[0], mirrored(k, m)[1] & ~m), "lacks lines that were measured"
    )
    turned_away(check, lambda k, m: mirrored(k, m)[0], "expected two things")
