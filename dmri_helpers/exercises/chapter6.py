"""Checks of the exercises of notebook 06_unrolled_dc; each docstring says what the reader's function has to do."""

import functools
from collections.abc import Callable

import torch

from .. import classical, fourier, methods, metrics, operators, profiles, sampling
from ..data.phantom import phantom
from .verdict import check, demand, demand_number, demand_tensor

MARGIN = 1.0  # dB to beat k-t total variation by
SAME = 1e-3  # images that differ by less, relative to their norm, count as one


@check
def check_6_1(soft_consistency: Callable) -> str:
    """``soft_consistency(image, kspace, mask, weight)``: the image closest to an image and to its data."""
    generator = torch.Generator().manual_seed(61)
    for b, t, y, x, masks in ((1, 3, 12, 8, 1), (2, 4, 15, 6, 2), (2, 2, 16, 9, 1)):
        mask = torch.rand(masks, t, y, 1, generator=generator) < 0.4
        image, truth = torch.randn(2, b, t, y, x, dtype=torch.complex64, generator=generator)
        kspace = operators.ForwardModel(mask)(truth)
        one_per_line = 5 * torch.rand(masks, t, y, 1, generator=generator)
        one_per_line[:, :, y // 2] = torch.inf
        for name, weight in {
            "3": 3.0, "0.5": 0.5, "0": 0.0, "inf": torch.inf, "one per line": one_per_line,
        }.items():  # fmt: skip
            asked = f"of a cine {(b, t, y, x)} with the weight {name}"
            found = soft_consistency(image.clone(), kspace.clone(), mask, weight)
            demand_tensor(found, (b, t, y, x), torch.complex64, f"soft_consistency {asked}")
            demand(
                found.isfinite().all(),
                f"the result {asked} holds values that are not finite: what is inf / (1 + inf)?",
            )
            _demand_consistency(found, image, kspace, mask, torch.as_tensor(weight), asked)
    return "soft, hard and none, one weight for all lines or one for each; other lines stay"


def _demand_consistency(found, image, kspace, mask, weight, asked: str) -> None:
    """Raise `NotYet` unless the image solves the normal equations; a known mistake is named."""
    image_kspace, share = fourier.fft2c(image), 1 - 1 / (1 + weight)
    mixed = image_kspace + share * (kspace - image_kspace)
    corner = torch.fft.fft2(image, norm="ortho")
    right = torch.where(mask, mixed, image_kspace)
    found_kspace = fourier.fft2c(found)
    mistakes = {
        "lines that were not measured have shrunk, too. There y is zero because nobody looked": mixed,
        "the mask is the wrong way round: True is where a line was sampled": torch.where(
            mask, image_kspace, mixed
        ),
        "image and data have changed places: a large weight trusts the data": torch.where(
            mask, kspace + share * (image_kspace - kspace), image_kspace
        ),
        "that is hard consistency: the weight does nothing": torch.where(mask, kspace, image_kspace),
        "that is one step of gradient descent; the normal equations can be solved": torch.where(
            mask, image_kspace + weight * (kspace - image_kspace), image_kspace
        ),
        "the sampled lines grow: who divides by 1 + weight?": torch.where(
            mask, image_kspace + weight * kspace, image_kspace
        ),
        "that is k-space; go back to the image": fourier.fft2c(right),
        "the zero frequency of k-space and mask is in the middle: use the centred transforms": fourier.fft2c(
            torch.fft.ifft2(torch.where(mask, corner + share * (kspace - corner), corner), norm="ortho")
        ),
    }
    hints = [hint for hint, wrong in mistakes.items() if torch.allclose(found_kspace, wrong, atol=1e-4)]
    off = (found_kspace - right).abs()
    measured, others = ((off * lines).max().item() for lines in (mask, ~mask))
    place = (off * mask).argmax()
    made, model, data, best = (k.flatten()[place] for k in (found_kspace, image_kspace, kspace, right))
    way = (
        f"where the image has {model:.2f} and the data have {data:.2f}, you make {made:.2f}; the normal equations of "
        f"that line give {best:.2f}"
    )
    demand(
        torch.allclose(found_kspace, right, atol=1e-4),
        f"{asked} measured lines are off by up to {measured:.2g}, the others by {others:.2g}, expected 0: "
        f"{hints[0] if hints else way}",
    )


@check
def check_6_2(best_weight: Callable) -> str:
    """``best_weight(error, noise)``: the weight of the data that leaves the smallest error on measured lines."""
    for error, noise in ((0.2, 0.1), (0.3, 0.6), (0.05, 0.4)):
        found, right = best_weight(error, noise), (error / noise) ** 2
        asked = f"for errors of {error} and noise of {noise} the best weight"
        mistakes = {
            "variances count, not standard deviations": error / noise,
            "upside down: the noisier the data, the smaller their weight": 1 / right,
            "upside down, and variances count, not standard deviations": noise / error,
            "a ratio, not a product": (error * noise) ** 2,
            "a ratio of variances, not a product of deviations": error * noise,
            "the square, not the cube": (error / noise) ** 3,
            "that is twice the ratio; it is squared": 2 * error / noise,
            "that is the share of the data, weight / (1 + weight)": right / (1 + right),
        }
        way = "how certain is each of the two? Errors that are as large as the noise make it 1"
        demand_number(found, right, asked, mistakes, way)
    return "each is trusted as much as the other is doubted"


@functools.cache
def _fast_cine() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """A phantom at acceleration 8: k-space, forward model and truth of 32 columns; the PSNR of k-t TV."""
    image = torch.from_numpy(phantom.cine_phantom(4242).image)[None, ..., 80:112].to(torch.complex64)
    mask = sampling.ky_t_mask(image.shape, acceleration=8, seed=63)
    A = operators.ForwardModel(mask)
    kspace = A(image)
    return kspace, A, image, _psnr(classical.kt_tv(kspace, A), image)


@functools.cache
def _shipped_image() -> torch.Tensor:
    """What the network that comes with the package makes of that phantom."""
    kspace, A, *_ = _fast_cine()
    with torch.no_grad():
        return methods.load("unrolled")(kspace, A)


def _psnr(image: torch.Tensor, truth: torch.Tensor) -> float:
    return float(metrics.frame_metrics(image[0], truth[0])["psnr"].mean())


@check
def check_6_3(reconstruct: Callable) -> str:
    """``reconstruct(kspace, A)``: a cine 1 dB better than k-t total variation, and not that of the shipped network."""
    kspace, A, truth, to_beat = _fast_cine()
    with torch.no_grad():
        found = reconstruct(kspace.clone(), A)
    demand_tensor(found, tuple(kspace.shape), torch.complex64, "reconstruct(kspace, A)")
    demand(found.isfinite().all(), "the cine holds values that are not finite")
    found, reached = found.detach(), _psnr(found.detach(), truth)
    numbers = f"your cine has {reached:.2f} dB. k-t total variation has {to_beat:.2f} dB; expected {MARGIN:g} dB more"
    bright, reference = found.abs(), truth.abs()
    scale = ((bright * reference).sum() / bright.square().sum().clamp(min=1e-12)).item()
    demand(
        _psnr(scale * found, truth) < reached + 1,
        f"{numbers}. It is {1 / max(scale, 1e-12):.2g} times as bright as it should be, and the scale alone costs "
        f"{_psnr(scale * found, truth) - reached:.1f} dB: keep the units of the data",
    )
    away = A(found) - kspace
    contradiction = (away.norm() / kspace.norm()).item()
    demand(
        reached >= to_beat + MARGIN or contradiction < 0.01,
        f"{numbers}. It contradicts its data by {contradiction:.0%}: put the measured lines back (section 6.2)",
    )
    demand(
        reached >= to_beat + MARGIN,
        f"{numbers}. It agrees with its data; what is missing lies between the lines. "
        "Which rung of the ladder in section 6.6 is above k-t total variation?",
    )
    shipped = _shipped_image()
    demand(
        (found - shipped).norm() > SAME * shipped.norm(),
        f"{numbers}. But it is the image of the network that comes with the package. Train one of your own, or do "
        "something with this one: what does it make of the heart that beats backwards?",
    )
    return f"{reached:.2f} dB at acceleration 8, k-t total variation {to_beat:.2f} dB"


@check
def check_6_4(parameters: Callable) -> str:
    """``parameters(features, cascades, shared)``: how many numbers a cascade of 3-D ResNets learns."""
    for features, cascades, shared in (
        (4, 1, False),
        (16, 5, False),
        (16, 5, True),
        (7, 3, False),
        (8, 2, True),
    ):
        asked = f"parameters({features}, {cascades}, shared={shared})"
        config = profiles.UnrolledConfig(cascades=cascades, features=features, shared=shared)
        right = sum(weights.numel() for weights in methods.build(config).parameters())
        times = 1 if shared else cascades
        inner, ends, biases = 54 * features**2, 56 * features, 3 * features + 2
        mistakes = {
            "a regulariser that is shared is there once": right * cascades,
            "without sharing every cascade has its own": right // times,
            "every channel that comes out has a bias, too": (inner + ends) * times,
            "a kernel over (t, y, x) has 3 x 3 x 3 weights": (inner // 3 + 20 * features + biases) * times,
            "a complex image is two channels, in and out": (inner + ends // 2 + 3 * features + 1) * times,
            "two layers lie between the first and the last": (inner // 2 + ends + 2 * features + 2) * times,
            "the last convolution is 1 x 1 x 1": (inner + 108 * features + biases) * times,
        }
        first = f"{features} x (2 x 27 + 1) = {55 * features}"
        way = f"go layer by layer: the first has {first}, by channels out, channels in, kernel and bias"
        demand_number(parameters(features, cascades, shared), right, asked, mistakes, way)
    return "as many as the network has, shared or not; consistency learns nothing"
