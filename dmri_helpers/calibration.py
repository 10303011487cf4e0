"""What a forward model needs from the data themselves: coil maps and the level of the noise (notebook 07).

``kspace`` is ``(b, t, y, x)``, with coils ``(b, c, t, y, x)``, complex, zero where not sampled; ``mask`` is
``(b or 1, t, y, 1)``, True where sampled. Lines that every frame has are looked at: those around the centre.
"""

import math

import torch

from .fourier import fft2c, ifft2c


def noise_level(kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Estimate the noise of every cine from lines that all frames have, where the signal is least: shape ``(b,)``.

    That is at the ends of the readout and at high temporal frequencies. The power of white noise is the same from one
    band of the readout to the next, that of an image falls; so the power of the outermost eighths at both ends is
    extrapolated by what it falls from the next eighths: ``noise^2 = 2 outer - inner``, or 0 where that is negative,
    with medians, so that lines of much signal do not count. Of images that reach 1 it finds noise of .02 and more to
    10 %, less of it up to a third too low, and 0 to .004 where there is none; what noise the images have is noise, too.
    """
    lines, spectrum = mask.all(1), torch.fft.fft(kspace, dim=-3, norm="ortho")
    t, _, x = kspace.shape[-3:]
    fast = torch.fft.fftfreq(t, device=kspace.device).abs() >= 0.25
    distance = (torch.arange(x, device=kspace.device) - x // 2).abs() / x
    levels = []
    for cine, known in zip(spectrum, lines.expand(len(kspace), -1, -1)[..., 0], strict=True):
        power = cine[..., fast, :, :][..., known, :].abs().square()
        outer, inner = power[..., distance > 3 / 8], power[..., (distance > 1 / 4) & (distance <= 3 / 8)]
        levels.append(
            (2 * outer.median() - inner.median()).clamp(min=0) if outer.numel() else power.new_zeros(())
        )
    return (torch.stack(levels) / math.log(2)).sqrt()  # the median of the power is its mean times log 2


def coil_maps(
    kspace: torch.Tensor,
    mask: torch.Tensor,
    kernel: int = 4,
    threshold: float = 0.005,
    crop: float = 0.9,
    signal: float = 0.03,
) -> torch.Tensor:
    """Maps of the coils from the lines that all frames have, averaged over the frames, by ESPIRiT [1]_.

    Patches of ``kernel x kernel`` samples of all coils span a space of few dimensions. Projecting k-space on it leaves
    the measured data as they are, so in every pixel the vector of sensitivities is an eigenvector of that projection,
    with the eigenvalue 1. Their phase is relative to a virtual coil, the weighted sum of coils that has most signal,
    whose own phase is zero everywhere. The defaults were chosen on simulated coils and 11 lines.

    Parameters
    ----------
    kernel
        edge of a patch, at most the number of lines
    threshold
        singular vectors of the patches count whose singular value is larger, relative to the largest, and larger than
        those of noise [2]_
    crop, signal
        maps are zero where the eigenvalue is smaller than ``crop``, and where the blurred image of the centre is darker
        than ``signal``, relative to its maximum

    Returns
    -------
        maps, shape ``(b, c, 1, y, x)``, root sum of squares 1 or 0

    Raises
    ------
    ValueError
        if fewer lines than ``kernel`` in the middle of k-space are sampled in all frames, or hold no signal

    References
    ----------
    .. [1] Uecker et al., ESPIRiT: an eigenvalue approach to autocalibrating parallel MRI, Magn Reson Med 71:990
       (2014).
    .. [2] Marchenko & Pastur, Distribution of eigenvalues for some sets of random matrices, Math USSR Sb 1:457
       (1967).
    """
    known = mask.all(1).expand(len(kspace), -1, -1)[..., 0]
    maps = []
    for data, lines in zip(kspace.mean(2), known, strict=True):
        centre, middle = _around_the_middle(lines), data.shape[-1] // 2
        if len(centre) < kernel:
            raise ValueError(
                f"{len(centre)} centre lines are sampled in all frames, expected at least {kernel}"
            )
        columns = torch.arange(data.shape[-1], device=data.device)
        columns = columns[(columns - middle).abs() <= 2 * len(centre)]
        data = data / data.abs().max().clamp(min=1e-30)  # no square is too large for single precision
        calibration = data[:, centre][..., columns]
        values, vectors = torch.linalg.eigh(_projection(calibration, kernel, threshold, data.shape[1:]))
        strongest = _virtual_coil(calibration)
        phase = torch.sgn(torch.einsum("c,yxc->yx", strongest.conj(), vectors[..., -1]))
        blurred = _blurred(data, centre)
        support = (values[..., -1] > crop) & (blurred > signal * blurred.max())
        maps.append(vectors[..., -1].movedim(-1, 0) * (phase.conj() * support))
    return torch.stack(maps)[:, :, None]


def map_error(kspace: torch.Tensor, mask: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """How much of a sample no image explains through these maps: a standard deviation for every cine, ``(b,)``.

    The lines that all frames have, averaged over the frames, are combined with the maps and split again; what is left
    over is the error. It acts like noise: methods that keep the data as they are (noise 0) fit it with an image that is
    not there. So it is added to the noise of the forward model, as the root of the sum of squares.
    """
    lines = mask.all(1)[:, None]
    measured = kspace.mean(2) * lines
    images, maps = ifft2c(measured), maps[:, :, 0]
    explained = fft2c(maps * (maps.conj() * images).sum(1, keepdim=True))
    left_over = ((measured - explained) * lines).abs().square()
    samples = (lines.sum((-2, -1)) * measured.shape[1] * measured.shape[-1]).flatten()
    return (left_over.sum((1, 2, 3)) / samples.clamp(min=1)).sqrt()


def _around_the_middle(lines: torch.Tensor) -> torch.Tensor:
    """The numbers of those lines, True in ``lines``, that have no gap between them and the middle."""
    middle = len(lines) // 2
    below, above = lines[: middle + 1].flip(0), lines[middle:]
    first, last = (int(side.long().cumprod(0).sum()) for side in (below, above))
    return torch.arange(len(lines), device=lines.device)[middle - first + 1 : middle + last]


def _projection(centre: torch.Tensor, kernel: int, threshold: float, shape: tuple[int, int]) -> torch.Tensor:
    """On what patches of ``centre``, shape ``(c, ky, kx)``, have in common: in every pixel, ``(y, x, c, c)``.

    Its entries have no more frequencies than two kernels have samples, so they are computed on a grid of so many
    pixels, and then interpolated by zero-filling.
    """
    c, small = len(centre), 2 * kernel
    patches = centre.unfold(1, kernel, 1).unfold(2, kernel, 1)  # (c, n, m, kernel, kernel)
    patches = patches.permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1)
    squared, vectors = torch.linalg.eigh(patches.mH @ patches)
    rows, columns = (math.sqrt(n) for n in patches.shape)
    of_noise = squared[0] * ((rows + columns) / max(rows - columns, 1)) ** 2  # the most it has alone [2]_
    counts = squared > torch.maximum(of_noise, threshold**2 * squared[-1])
    if not counts.any():
        raise ValueError("the centre lines hold noise alone, expected signal that the coils share")
    kernels = vectors[:, counts].T.reshape(-1, c, kernel, kernel)
    images = torch.fft.fft2(kernels, s=(small, small)) / kernel
    coarse = torch.einsum("rcyx,rdyx->cdyx", images.conj(), images)
    spectrum = torch.fft.fftshift(torch.fft.fft2(coarse, norm="forward"), dim=(-2, -1))
    low = [(n - small) // 2 + (n % 2) for n in shape]  # where the small spectrum lies in the large one
    margins = (low[1], shape[1] - small - low[1], low[0], shape[0] - small - low[0])
    padded = torch.fft.ifftshift(torch.nn.functional.pad(spectrum, margins), dim=(-2, -1))
    fine = torch.fft.fftshift(torch.fft.ifft2(padded, norm="forward"), dim=(-2, -1))
    return fine.permute(2, 3, 0, 1)


def _blurred(kspace: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Root sum of squares of what the centre shows of the coils, without ringing: ``(y, x)``.

    Each pixel has the largest value within one pixel of the blurred image. Otherwise there would be holes in the body,
    where signals of opposite phase meet.
    """
    y, x = (torch.arange(n, device=kspace.device) - n // 2 for n in kspace.shape[-2:])
    width = len(centre) / 2 + 1
    windows = [torch.cos(k / width * math.pi / 2).square() * (k.abs() < width) for k in (y, x)]
    blurred = ifft2c(kspace * windows[0][:, None] * windows[1]).abs().square().sum(0).sqrt()
    size = 2 * (kspace.shape[-2] // len(centre) // 2) + 1
    return torch.nn.functional.max_pool2d(blurred[None], size, 1, size // 2)[0]


def _virtual_coil(centre: torch.Tensor) -> torch.Tensor:
    """Weights of the combination of coils with most signal, the largest of them real."""
    data = centre.flatten(1)
    weights = torch.linalg.eigh(data @ data.mH)[1][:, -1]
    return weights * torch.sgn(weights[weights.abs().argmax()]).conj()
