"""Planted mistakes of 07_scanner."""

import torch
from test_exercises import turned_away

from dmri_helpers import exercises, fourier
from dmri_helpers.data.phantom import coils as array


def unfold(folded, maps, inverse=torch.linalg.pinv):
    pairs = maps.unflatten(-2, (2, -1)).permute(2, 3, 0, 1)
    pixels = inverse(pairs) @ folded.permute(1, 2, 0)[..., None]
    return pixels[..., 0].permute(2, 0, 1).flatten(0, 1)


def test_unfold(capsys):
    check = exercises.check_7_1
    check(unfold)
    assert capsys.readouterr().out.startswith("Right: ")

    def by_hand(folded, maps):
        upper, lower = maps.chunk(2, dim=-2)
        first, second = ((half.conj() * folded).sum(0) for half in (upper, lower))
        a, d = (half.abs().square().sum(0) for half in (upper, lower))
        b = (upper.conj() * lower).sum(0)
        a, d = a + (a == 0), d + (d == 0)
        determinant = a * d - b.abs().square()
        return torch.cat(
            [(d * first - b * second) / determinant, (a * second - b.conj() * first) / determinant]
        )

    check(by_hand)

    def singular(pairs):
        return torch.linalg.inv(pairs.mH @ pairs) @ pairs.mH

    def divided(folded, maps):
        pairs = maps.unflatten(-2, (2, -1)).permute(2, 3, 0, 1)
        return unfold(folded, maps) / pairs.abs().sum()

    def neighbours(folded, maps):
        pairs = maps.unflatten(-2, (-1, 2)).permute(1, 3, 0, 2)
        pixels = torch.linalg.pinv(pairs) @ folded.permute(1, 2, 0)[..., None]
        return pixels[..., 0].transpose(1, 2).flatten(0, 1)

    turned_away(check, lambda f, s: unfold(f, s, lambda pairs: pairs.mH), "that is S\\^H alone")
    turned_away(check, lambda f, s: unfold(f, s).roll(len(s[0]) // 2, 0), "have changed places")
    turned_away(check, neighbours, "not on its neighbour")
    turned_away(check, lambda f, s: unfold(f, s) / 2, "half as bright")
    turned_away(check, lambda f, s: unfold(2 * f, s), "twice as bright")
    turned_away(check, lambda f, s: unfold(f[:2], s[:2]), "first two coils alone")
    turned_away(check, lambda f, s: unfold(f, s.conj()), "conjugated where they should not be")
    turned_away(
        check,
        lambda f, s: unfold(f, s, lambda p: torch.linalg.pinv(p.mT @ p) @ p.mT),
        "transposed and conjugated",
    )
    turned_away(check, lambda f, s: unfold(f, s, singular), "not finite|the code stops with")
    turned_away(
        check, lambda f, s: unfold(f, s) + (s.abs().sum(0) == 0), "sees anything the largest value is 1"
    )
    turned_away(check, lambda f, s: unfold(f, s) + 1, "off by up to 1, expected 0: does it make")
    turned_away(check, lambda f, s: unfold(f, s).abs(), "expected torch.complex64")
    turned_away(check, lambda f, s: f[0], "returns the shape")
    turned_away(check, divided, "squared difference")


def adjoint(kspace, mask, coils, back=fourier.ifft2c):
    return (coils.conj() * back(kspace * mask[:, None])).sum(1)


def test_adjoint():
    check = exercises.check_7_2
    check(adjoint)
    turned_away(check, lambda y, u, s: adjoint(y, u, s.conj()), "has the conjugated map")
    turned_away(
        check, lambda y, u, s: adjoint(y, torch.ones_like(u), s), "lines that were not sampled come in"
    )
    turned_away(check, lambda y, u, s: adjoint(y, ~u, s), "wrong way round")
    turned_away(check, lambda y, u, s: adjoint(y, u, s) / s.shape[1], "their mean is smaller")
    turned_away(check, lambda y, u, s: adjoint(y, u, torch.ones_like(s)), "the maps are missing")
    turned_away(check, lambda y, u, s: adjoint(y, u, s, fourier.fft2c), "adjoint of F is its inverse")
    turned_away(
        check, lambda y, u, s: adjoint(y, u, s, lambda k: torch.fft.ifft2(k, norm="ortho")), "in the middle"
    )
    turned_away(
        check, lambda y, u, s: adjoint(y, u, s) / s.abs().square().sum(1), "an inverse, not an adjoint"
    )
    turned_away(
        check, lambda y, u, s: fourier.ifft2c(y * u[:, None]).abs().square().sum(1).sqrt(), "torch.float32"
    )
    turned_away(
        check, lambda y, u, s: (s.conj() * fourier.ifft2c(y * u)).sum(1), "the code stops with RuntimeError"
    )
    turned_away(check, lambda y, u, s: adjoint(y, u, s) * 2, "in the opposite order")


def g_factor(maps, R, gram=None):
    stacked = maps.unflatten(-2, (R, -1)).permute(2, 3, 0, 1)
    gram = stacked.mH @ stacked if gram is None else gram(stacked)
    inverse = torch.linalg.pinv(gram, hermitian=True)
    both = (matrix.diagonal(dim1=-2, dim2=-1).real for matrix in (inverse, gram))
    noise, signal = (values.permute(2, 0, 1).flatten(0, 1) for values in both)
    return (noise * signal).clamp(min=0).sqrt()


def test_g_factor():
    check = exercises.check_7_3
    check(g_factor)

    def neighbours(maps, R):
        y = maps.shape[-2]
        order = torch.arange(y).view(-1, R).T.flatten()
        return g_factor(maps[:, order], R)[order.argsort()]

    def unscaled(maps, R):
        size = maps.abs().square().sum(0)
        return torch.where(size > 0, g_factor(maps, R) / size.sqrt().clamp(min=1e-9), 0)

    def not_finite(maps, R):
        return g_factor(maps, R) / (maps.abs().sum(0) > 0)

    turned_away(check, lambda s, R: g_factor(s, R) ** 2, "take the root")
    turned_away(check, unscaled, "factor .* is missing")
    turned_away(check, lambda s, R: R**0.5 * g_factor(s, R), "root of R comes on top")
    turned_away(check, lambda s, R: (1 / g_factor(s, R)).nan_to_num(0, 0, 0), "that is 1 over g")
    turned_away(check, neighbours, "not neighbours")
    turned_away(check, lambda s, R: (s.abs().sum(0) > 0).float(), "not the diagonal of the inverse")
    turned_away(check, lambda s, R: g_factor(s, 2), "the code stops with|is it the root of")
    turned_away(check, not_finite, "not finite")
    turned_away(check, lambda s, R: g_factor(s, R).clamp(min=1), "is 1 where no coil sees anything")
    turned_away(check, lambda s, R: g_factor(s, R)[None], "returns the shape")


def test_whiten():
    check = exercises.check_7_4
    check(array.whitened)

    def combined(weights):
        return lambda y, psi: torch.einsum("cd,bdtyx->bctyx", weights(psi).to(torch.complex64), y)

    def root(psi):
        values, vectors = torch.linalg.eigh(psi)
        return vectors @ torch.diag(values.rsqrt()).to(psi.dtype) @ vectors.mH

    def first_frame(y, psi):
        return torch.cat([array.whitened(y[:, :, :1], psi), y[:, :, 1:]], 2)

    cholesky, inverse = torch.linalg.cholesky, torch.linalg.inv
    check(combined(root))
    turned_away(check, combined(cholesky), "which makes white noise correlated")
    turned_away(check, combined(inverse), "a factor of it is enough")
    turned_away(check, combined(lambda psi: torch.diag(psi.diagonal().real.rsqrt())), "still correlated")
    turned_away(
        check, combined(lambda psi: torch.diag(1 / psi.diagonal().real)), "variances count as their roots"
    )
    turned_away(check, combined(lambda psi: inverse(cholesky(psi).mH)), "inverse of L\\^H")
    turned_away(check, combined(lambda psi: inverse(cholesky(psi).mT)), "inverse of L\\^T")
    turned_away(check, combined(lambda psi: inverse(cholesky(psi.conj()))), "was conjugated")
    turned_away(check, lambda y, psi: y, "nothing has changed")
    turned_away(check, combined(lambda psi: 2 * root(psi)), "W Psi W\\^H has to be 1")
    turned_away(check, lambda y, psi: array.whitened(y, psi).real, "expected torch.complex64")
    turned_away(check, lambda y, psi: array.whitened(y, psi) / 0, "not finite")
    turned_away(check, lambda y, psi: array.whitened(y, psi)[:, :1], "returns the shape")
    turned_away(check, first_frame, "combined in the same way")
