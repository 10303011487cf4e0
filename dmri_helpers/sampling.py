"""Variable-density ky-t masks: which phase-encode lines are measured in which frame (notebook 01).

A mask is boolean, of shape ``(b or 1, t, y, 1)``, and True where a line is sampled; ``y`` is the direction of phase
encoding.
"""

import math
from collections.abc import Sequence

import torch


def line_density(n_lines: int, density: str = "quadratic") -> torch.Tensor:
    """Relative chance of each phase-encode line to be drawn: shape ``(n_lines,)``, largest at the centre.

    ``"quadratic"`` is ``(1 - |k| / (n/2))^2``, the seed report's. ``"gaussian"`` has a standard deviation of an eighth
    of the field, as k-t FOCUSS draws it [1]_, and a floor of one per cent, so that no line is excluded.

    References
    ----------
    .. [1] Jung et al., k-t FOCUSS, Magn Reson Med 61:103 (2009).
    """
    distance = (torch.arange(n_lines, dtype=torch.float64) - n_lines // 2).abs()
    if density == "quadratic":
        return (1 - distance / max(n_lines / 2, 1)).clamp(min=0) ** 2
    if density == "gaussian":
        return torch.exp(-0.5 * (distance / (n_lines / 8)) ** 2) + 0.01
    raise ValueError(f"density is 'quadratic' or 'gaussian', not {density!r}")


def ky_t_mask(
    shape: Sequence[int],
    acceleration: float | torch.Tensor = 5,
    center_lines: int = 11,
    density: str | torch.Tensor = "quadratic",
    *,
    seed: int | None = None,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Draw a variable-density mask, anew for every frame of every cine.

    Every frame holds exactly ``n_lines // acceleration`` lines. The ``center_lines`` lines around the zero
    frequency are among them; the others are drawn without replacement, with the chances of `line_density`.
    All frames are drawn at once: with ``u`` uniform and ``w`` the density, the lines with the smallest
    ``-log(u) / w`` are such a draw [1]_.

    Parameters
    ----------
    shape
        of the cines, ``(b, t, y, x)`` or ``(t, y, x)``
    acceleration
        number of lines over number of measured lines, at least 1; one for all, or one per cine, shape ``(b,)``
    density
        of `line_density`; or weights of your own, shape ``(n_lines,)`` or per cine ``(b, n_lines)``
    seed, generator
        the same seed gives the same mask on every machine (drawn on the CPU); a generator draws on its own device
    device
        where the mask is made; by default where it was drawn

    Raises
    ------
    ValueError
        if the request is impossible; the message says what would be possible

    References
    ----------
    .. [1] Efraimidis & Spirakis, Weighted random sampling with a reservoir, Inf Process Lett 97:181 (2006).
    """
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise ValueError(f"expected the shape (t, y, x) or (b, t, y, x) of cines, found {tuple(shape)}")
    b, t, n_lines, _ = (1, *shape) if len(shape) == 3 else shape
    accelerations = torch.as_tensor(acceleration, dtype=torch.float64).expand(b)
    lowest, highest = (extreme.item() for extreme in accelerations.aminmax())
    _lines_per_frame(n_lines, highest, center_lines)
    most = _lines_per_frame(n_lines, lowest, center_lines)
    if seed is not None and generator is not None:
        raise ValueError("give a seed or a generator, not both")
    if generator is None:
        generator = torch.Generator()
        generator.seed() if seed is None else generator.manual_seed(seed)

    first = n_lines // 2 - center_lines // 2
    uniform = torch.rand(b, t, n_lines, dtype=torch.float64, generator=generator, device=generator.device)
    device = uniform.device if device is None else torch.device(device)
    weights = line_density(n_lines, density) if isinstance(density, str) else density.reshape(-1, 1, n_lines)
    keys = -uniform.to(device).clamp(min=1e-300).log() / weights.clamp(min=1e-12).to(device)
    keys[..., first : first + center_lines] = -1.0
    chosen = keys.topk(most, dim=-1, largest=False).indices
    lines_per_frame = (n_lines // accelerations).to(device)[:, None, None]
    wanted = (torch.arange(most, device=device) < lines_per_frame).expand_as(chosen)
    return torch.zeros_like(keys, dtype=torch.bool).scatter_(-1, chosen, wanted)[..., None]


def achieved_acceleration(mask: torch.Tensor) -> float:
    """Number of lines over the mean number of lines that were sampled in a frame; infinite for an empty mask.

    Examples
    --------
    >>> achieved_acceleration(ky_t_mask((1, 20, 192, 192), acceleration=5))  # 192 / 38, not 5
    5.052631578947368
    """
    sampled = mask.sum().item()
    return mask.numel() / sampled if sampled else math.inf


def _lines_per_frame(n_lines: int, acceleration: float, center_lines: int) -> int:
    if not (math.isfinite(acceleration) and acceleration >= 1):
        raise ValueError(f"acceleration {acceleration} is impossible: it is at least 1 (every line sampled)")
    budget = int(n_lines // acceleration)
    if budget < 1:
        raise ValueError(
            f"acceleration {acceleration:g} leaves none of {n_lines} lines; at most {n_lines} is possible"
        )
    if not 0 <= center_lines <= budget:
        raise ValueError(
            f"{center_lines} centre lines do not fit: acceleration {acceleration:g} leaves {budget} of {n_lines} "
            f"lines per frame; possible are 0 to {budget} centre lines"
            + (
                f", or an acceleration of at most {n_lines / center_lines:.4g}"
                if 0 < center_lines <= n_lines
                else ""
            )
        )
    return budget
