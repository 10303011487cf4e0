"""Checks of the exercises of notebook 07_scanner; each docstring says what the reader's function has to do."""

from collections.abc import Callable

import torch

from .. import fourier, operators
from .verdict import check, demand, demand_tensor


def _complex(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=generator)


def _hint(found: torch.Tensor, mistakes: dict[str, torch.Tensor], otherwise: str) -> str:
    """The hint of the first known mistake that gives what was found."""
    matching = (
        hint for hint, wrong in mistakes.items() if torch.allclose(found, wrong, rtol=1e-3, atol=1e-3)
    )
    return next(matching, otherwise)


def _maps(generator: torch.Generator, c: int, y: int, x: int) -> torch.Tensor:
    """Sensitivities without any smoothness; no coil sees the first pixel, nor two that would lie on each other."""
    maps = _complex(generator, c, y, x)
    maps[:, 0, 0] = maps[:, 1, 1] = maps[:, 1 + y // 2, 1] = 0
    return maps


def _stacked(maps: torch.Tensor, R: int) -> torch.Tensor:
    """The sensitivities of the pixels that lie on each other, ``(y / R, x, c, R)``."""
    return maps.unflatten(-2, (R, -1)).permute(2, 3, 0, 1)


def _unstacked(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels that lay on each other, ``(y / R, x, R)``, as an image ``(y, x)``."""
    return pixels.permute(2, 0, 1).flatten(0, 1)


@check
def check_7_1(unfold: Callable) -> str:
    """``unfold(folded, maps)``: the image of coil images in which two pixels each lie on each other."""
    generator = torch.Generator().manual_seed(71)
    for c, y, x in ((2, 8, 3), (3, 10, 4), (6, 12, 5)):
        maps, image = _maps(generator, c, y, x), _complex(generator, y, x)
        noise = 0.1 * _complex(generator, c, y // 2, x)
        folded = (maps * image).unflatten(1, (2, -1)).sum(1) + noise
        asked = f"unfold of {c} coils and {y} lines"
        found = unfold(folded.clone(), maps.clone())
        demand_tensor(found, (y, x), torch.complex64, asked)
        demand(
            found.isfinite().all(),
            f"{asked} is not finite where no coil sees anything; there the image is 0",
        )
        _demand_unfolded(found, folded, maps, asked)
    return "least squares of all coils, in both halves, and zero where no coil sees anything"


def _demand_unfolded(found, folded, maps, asked: str) -> None:
    """Raise `NotYet` unless the image is that of least squares; a known mistake is named."""

    def solved(matrix: torch.Tensor, data: torch.Tensor = folded) -> torch.Tensor:
        return _unstacked((matrix @ data.permute(1, 2, 0)[..., None])[..., 0])

    pairs = _stacked(maps, 2)
    right = solved(torch.linalg.pinv(pairs))
    neighbours = maps.unflatten(-2, (-1, 2)).permute(1, 3, 0, 2)
    interleaved = torch.linalg.pinv(neighbours) @ folded.permute(1, 2, 0)[..., None]
    gram = pairs.mT @ pairs
    mistakes = {
        "that is S^H alone, in which each pixel still holds a part of the other. Solve the system": solved(
            pairs.mH
        ),
        "upper and lower half have changed places": right.roll(len(right) // 2, 0),
        "pixel y lies on pixel y + n/2, not on its neighbour": interleaved[..., 0]
        .transpose(1, 2)
        .flatten(0, 1),
        "it is half as bright as it should be: the folded pixel is the sum of two": right / 2,
        "it is twice as bright as it should be: the folded pixel is the sum of two": 2 * right,
        "the first two coils alone solve it, but noisily. Take the least squares of all": solved(
            torch.linalg.pinv(pairs[..., :2, :]), folded[:2]
        ),
        "the maps are conjugated where they should not be": solved(torch.linalg.pinv(pairs.conj())),
        "the H in S^H means transposed and conjugated": solved(torch.linalg.pinv(gram) @ pairs.mT),
    }
    seen = maps.abs().sum(0) > 0
    mistakes = {hint: wrong * seen for hint, wrong in mistakes.items()}
    off = (found - right)[seen].abs().max().item()
    demand(
        off < 1e-3 * right.abs().max().item(),
        f"{asked} is off by up to {off:.2g}, expected 0: "
        f"{_hint(found * seen, mistakes, 'does it make the squared difference of folded images and data least?')}",
    )
    demand(
        (found[~seen].abs() < 1e-4).all(),
        f"{asked}: where no coil sees anything the largest value is {found[~seen].abs().max():.2g}, expected 0",
    )


@check
def check_7_2(adjoint: Callable) -> str:
    """``adjoint(kspace, mask, coils)``: the adjoint of ``y = U F S m``."""
    generator = torch.Generator().manual_seed(72)
    for b, c, t, y, x, masks in ((1, 3, 2, 8, 6, 1), (2, 4, 3, 9, 7, 2), (2, 2, 3, 10, 5, 1)):
        mask = torch.rand(masks, t, y, 1, generator=generator) < 0.5
        coils = _complex(generator, masks, c, 1, y, x)
        kspace, image = _complex(generator, b, c, t, y, x), _complex(generator, b, t, y, x)
        asked = f"adjoint of k-space {(b, c, t, y, x)}"
        found = adjoint(kspace.clone(), mask, coils)
        demand_tensor(found, (b, t, y, x), torch.complex64, asked)
        measured = fourier.fft2c(coils * image[:, None]) * mask[:, None]
        left, right = (
            torch.vdot(measured.flatten(), kspace.flatten()),
            torch.vdot(image.flatten(), found.flatten()),
        )
        gap = ((left - right).abs() / left.abs()).item()
        demand(
            gap < 1e-3,
            f"{asked}: <A m, y> and <m, A^H y> differ by {gap:.1%}, expected 0: "
            f"{_adjoint_hint(found, kspace, mask, coils)}",
        )
        expected = operators.ForwardModel(mask, coils).adjoint(kspace)
        demand(torch.allclose(found, expected, atol=1e-3), f"{asked} passes for one image, but not for all")
    return "the dot-product test holds for several coils, cines and masks"


def _adjoint_hint(found, kspace, mask, coils) -> str:
    lines = mask[:, None]
    kept = kspace * lines
    images = fourier.ifft2c(kept)
    mistakes = {
        "each coil image is multiplied by its map, and the adjoint of that has the conjugated map": (
            (coils * images).sum(1)
        ),
        "lines that were not sampled come in; U is its own adjoint": (
            (coils.conj() * fourier.ifft2c(kspace)).sum(1)
        ),
        "the mask is the wrong way round: True is where a line was sampled": (
            (coils.conj() * fourier.ifft2c(kspace * ~lines)).sum(1)
        ),
        "the coils are summed; their mean is smaller": (coils.conj() * images).mean(1),
        "the maps are missing: the coil images are summed as they are": images.sum(1),
        "the adjoint of F is its inverse": (coils.conj() * fourier.fft2c(kept)).sum(1),
        "the zero frequency is in the middle: use the centred transforms": (
            (coils.conj() * torch.fft.ifft2(kept, norm="ortho")).sum(1)
        ),
        "that divides by the squared maps: an inverse, not an adjoint": (
            (coils.conj() * images).sum(1) / coils.abs().square().sum(1)
        ),
    }
    return _hint(found, mistakes, "undo U, F and S one by one, in the opposite order")


@check
def check_7_3(g_factor: Callable) -> str:
    """``g_factor(maps, R)``: how much more noise SENSE has than the root of R explains, in every pixel."""
    generator = torch.Generator().manual_seed(73)
    for c, y, x, R in ((3, 8, 4, 2), (5, 12, 3, 3), (6, 16, 4, 4), (4, 6, 3, 1)):
        maps = _maps(generator, c, y, x)
        asked = f"the g-factor of {c} coils at R = {R}"
        found = g_factor(maps.clone(), R)
        demand_tensor(found, (y, x), torch.float32, asked)
        demand(
            found.isfinite().all(),
            f"{asked} is not finite where no coil sees anything; there it is 0. Which inverse always exists?",
        )
        seen = maps.abs().sum(0) > 0
        _demand_g_factor(found * seen, maps, R, asked)
        demand(
            not found[~seen].any(),
            f"{asked} is {found[~seen].abs().max():.2g} where no coil sees anything, expected 0",
        )
    return "the g-factor at R = 1, 2, 3 and 4, for maps of any scale"


def _demand_g_factor(found, maps, R: int, asked: str) -> None:
    """Raise `NotYet` unless the map is right; a known mistake is named."""

    def diagonal(matrix: torch.Tensor) -> torch.Tensor:
        return _unstacked(matrix.diagonal(dim1=-2, dim2=-1)).real

    def inverse(gram: torch.Tensor) -> torch.Tensor:
        return torch.linalg.pinv(gram.to(torch.complex128)).to(torch.complex64)

    stacked = _stacked(maps, R)
    gram = stacked.mH @ stacked
    noise, signal = diagonal(inverse(gram)), diagonal(gram)
    right = (noise * signal).clamp(min=0).sqrt()
    neighbours = maps.unflatten(-2, (-1, R)).permute(1, 3, 0, 2)
    beside = neighbours.mH @ neighbours
    product = inverse(beside).diagonal(dim1=-2, dim2=-1).real * beside.diagonal(dim1=-2, dim2=-1).real
    plain = stacked.mT @ stacked
    mistakes = {
        "that is g squared, a ratio of variances; take the root": right.square(),
        "divide by the noise without undersampling: the factor [S^H S]_ii is missing": noise.clamp(
            min=0
        ).sqrt(),
        "the root of R comes on top of g and is no part of it": R**0.5 * right,
        "that is 1 over g": torch.where(right > 0, 1 / right.clamp(min=1e-6), 0),
        "pixels lie on each other that are n / R lines apart, not neighbours": (
            product.clamp(min=0).sqrt().transpose(1, 2).flatten(0, 1)
        ),
        "the inverse of the diagonal is not the diagonal of the inverse": (signal > 0).float(),
        "the H in S^H means transposed and conjugated": (
            (diagonal(inverse(plain)) * diagonal(plain)).clamp(min=0).sqrt()
        ),
    }
    off = (found - right).abs().max().item()
    demand(
        off < 2e-3 * right.abs().max().item(),
        f"{asked} is off by up to {off:.2g}, expected 0: "
        f"{_hint(found, mistakes, 'is it the root of [(S^H S)^-1]_ii [S^H S]_ii, for each stack of R pixels?')}",
    )


@check
def check_7_4(whiten: Callable) -> str:
    """``whiten(kspace, covariance)``: coils combined so that their noise is white with variance 1."""
    generator = torch.Generator().manual_seed(74)
    for c in (2, 5):
        factor = _complex(generator, c, c)
        covariance = factor @ factor.mH + torch.diag(torch.arange(1, c + 1).to(torch.complex64))
        asked = f"whiten of {c} coils"
        single = torch.eye(c, dtype=torch.complex64)[
            None, :, None, None
        ]  # (1, c, 1, 1, c): one coil in each column
        found = whiten(single.clone(), covariance.clone())
        demand_tensor(found, (1, c, 1, 1, c), torch.complex64, asked)
        weights = found[0, :, 0, 0]
        demand(weights.isfinite().all(), f"{asked} gives values that are not finite")
        white, unit = weights @ covariance @ weights.mH, torch.eye(c)
        off = (white - unit).abs().max().item()
        demand(
            off < 1e-3,
            f"{asked} leaves a noise covariance that is off from 1 by {off:.2g}, expected 0: "
            f"{_whiten_hint(weights, covariance)}",
        )
        kspace = _complex(generator, 2, c, 3, 4, 5)
        found = whiten(kspace.clone(), covariance.clone())
        demand_tensor(found, tuple(kspace.shape), torch.complex64, asked)
        demand(
            torch.allclose(found, torch.einsum("cd,bdtyx->bctyx", weights, kspace), atol=1e-3),
            f"{asked}: every sample of every frame and cine has to be combined in the same way",
        )
    return "the noise of the new coils is uncorrelated and has variance 1"


def _whiten_hint(weights, covariance) -> str:
    factor = torch.linalg.cholesky(covariance)
    spread = covariance.diagonal().real.sqrt()
    mistakes = {
        "that is L, which makes white noise correlated; you need its inverse": factor,
        "that divides by the whole covariance; a factor of it is enough": torch.linalg.inv(covariance),
        "every coil now has variance 1, and they are still correlated": torch.diag(1 / spread).to(
            weights.dtype
        ),
        "variances count as their roots, and the coils are still correlated": (
            torch.diag(1 / spread**2).to(weights.dtype)
        ),
        "that is the inverse of L^H; of the two factors it is the other one": torch.linalg.inv(factor.mH),
        "that is the inverse of L^T; of the two factors it is the other one": torch.linalg.inv(factor.mT),
        "the covariance or its factor was conjugated": torch.linalg.inv(factor.conj()),
        "nothing has changed": torch.eye(len(weights), dtype=weights.dtype),
    }
    return _hint(weights, mistakes, "with W for what you do to the coils, W Psi W^H has to be 1")
