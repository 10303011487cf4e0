"""Planted mistakes of 06_unrolled_dc."""

import torch
from test_exercises import turned_away

from dmri_helpers import classical, exercises, fourier, methods, operators


def consistent(image, kspace, mask, weight, to=fourier.fft2c, back=fourier.ifft2c, mix=None):
    share, of_image = 1 / (1 + 1 / torch.as_tensor(weight)), to(image)
    mix = mix or (lambda x, y, s: x + s * (y - x))
    return back(torch.where(mask, mix(of_image, kspace, share), of_image))


def test_soft_consistency(capsys):
    check = exercises.check_6_1
    check(consistent)
    assert capsys.readouterr().out.startswith("Right: ")

    def everywhere(image, kspace, mask, weight):
        return consistent(image, kspace, torch.ones_like(mask), weight)

    def in_the_image(image, kspace, mask, weight):
        return (image + weight * fourier.ifft2c(kspace)) / (1 + weight)

    def not_a_number(image, kspace, mask, weight):
        return consistent(image, kspace, mask, 1, mix=lambda x, y, s: (x + weight * y) / (1 + weight))

    def gradient_step(image, kspace, mask, weight):
        A = operators.ForwardModel(mask)
        return image - weight * A.adjoint(A(image) - kspace)

    def one_number(image, kspace, mask, weight):
        share = 1.0 if weight == torch.inf else weight / (1 + weight)
        return consistent(image, kspace, mask, 1, mix=lambda x, y, s: x + share * (y - x))

    corner = {
        "to": lambda image: torch.fft.fft2(image, norm="ortho"),
        "back": lambda kspace: torch.fft.ifft2(kspace, norm="ortho"),
    }
    turned_away(check, everywhere, "because nobody looked")
    turned_away(check, in_the_image, "because nobody looked")
    turned_away(check, lambda m, y, u, w: consistent(m, y, ~u, w), "wrong way round")
    turned_away(check, lambda m, y, u, w: consistent(m, y, u, 1 / w), "have changed places")
    turned_away(check, lambda m, y, u, w: consistent(m, y, u, torch.inf), "the weight does nothing")
    turned_away(check, gradient_step, "one step of gradient descent")
    turned_away(check, lambda *a: consistent(*a, mix=lambda x, y, s: x + s / (1 - s) * y), "who divides by")
    turned_away(check, lambda *a: consistent(*a, back=lambda kspace: kspace), "go back to the image")
    turned_away(check, lambda *a: consistent(*a, **corner), "use the centred transforms")
    turned_away(check, not_a_number, "not finite")
    turned_away(check, one_number, "the code stops with RuntimeError: Boolean value of Tensor")
    turned_away(check, lambda *a: consistent(*a).abs(), "expected torch.complex64")
    turned_away(check, lambda *a: consistent(*a) + 0.01, "the normal equations of that line give")


def test_best_weight():
    check = exercises.check_6_2
    check(lambda error, noise: error**2 / noise**2)
    turned_away(check, lambda error, noise: error / noise, "variances count, not standard")
    turned_away(check, lambda error, noise: (noise / error) ** 2, "upside down: the noisier")
    turned_away(check, lambda error, noise: noise / error, "upside down, and variances")
    turned_away(check, lambda error, noise: error**2 / (error**2 + noise**2), "the share of the data")
    turned_away(check, lambda error, noise: torch.inf, "is inf, expected 4")


def test_beat_kt_tv(capsys):
    check, unrolled = exercises.check_6_3, methods.load("unrolled")
    best = exercises.chapter6._shipped_image()
    check(lambda y, u: 0.9 * best + 0.1 * classical.kt_tv(y, u))
    assert "k-t total variation" in capsys.readouterr().out
    turned_away(check, unrolled, "it is the image of the network that comes with the package")
    turned_away(check, classical.zero_filled, "your cine has .* dB. k-t .* agrees with its data")
    turned_away(check, classical.view_sharing, "expected 1 dB more. It agrees with its data")
    turned_away(check, classical.kt_tv, "expected 1 dB more. It agrees with its data")
    turned_away(check, lambda y, u: classical.kt_tv(y, u, spatial=0.05), "Which rung of the ladder")
    turned_away(check, lambda y, u: classical.kt_tv(*classical.with_conjugates(y, u)), "expected 1 dB more")
    turned_away(check, methods.load("dual_unet"), "put the measured lines back")
    turned_away(check, lambda y, u: best / best.abs().max() * 3, "keep the units of the data")
    turned_away(check, lambda y, u: 0 * best, "contradicts its data by 100%")
    turned_away(check, lambda y, u: best.abs(), "torch.float32, expected torch.complex64")
    turned_away(check, lambda y, u: best[0], "returns the shape")
    turned_away(check, lambda y, u: best / 0, "not finite")


def test_parameters():
    check = exercises.check_6_4

    def count(features, cascades, shared, channels=2, inner=2, kernel=27, last=1, bias=1):
        layers = [(channels, features, kernel)] + inner * [(features, features, kernel)]
        layers += [(features, channels, last)]
        return (1 if shared else cascades) * sum(b * (a * size + bias) for a, b, size in layers)

    check(count)
    turned_away(check, lambda f, c, s: count(f, c, False), "shared is there once")
    turned_away(check, lambda f, c, s: count(f, c, True), "every cascade has its own")
    turned_away(check, lambda *a: count(*a, bias=0), "has a bias, too")
    turned_away(check, lambda *a: count(*a, kernel=9), "3 x 3 x 3 weights")
    turned_away(check, lambda *a: count(*a, channels=1), "two channels, in and out")
    turned_away(check, lambda *a: count(*a, inner=1), "two layers lie between")
    turned_away(check, lambda *a: count(*a, last=27), "the last convolution is 1 x 1 x 1")
