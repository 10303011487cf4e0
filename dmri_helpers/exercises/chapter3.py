"""Checks of the exercises of notebook 03_network; each docstring says what the reader's function has to do."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from .. import networks
from .verdict import check, demand, demand_tensor


def frames_changed(change: torch.Tensor, axis: int) -> list[int]:
    """Frames along this axis in which something changes, counted from frame 0 in either direction."""
    t = change.shape[axis]
    moved = change.abs().movedim(axis, 0).flatten(1).amax(1) > 1e-6
    return sorted((frame + t // 2) % t - t // 2 for frame in moved.nonzero().flatten().tolist())


@check
def check_3_1(frames_seen: Callable) -> str:
    """``frames_seen(blocks, frames)``: how many frames of a cyclic cine an output frame of `ResNet3D` depends on."""
    for frames in (32, 6):
        for blocks in (0, 1, 2, 3):
            network = networks.ResNet3D(features=2, blocks=blocks)
            for parameter in network.parameters():  # positive, so that nothing cancels
                nn.init.constant_(parameter, 1 / parameter[0].numel() if parameter.ndim > 1 else 0)
            impulse = torch.zeros(1, frames, 4, 4, dtype=torch.complex64)
            impulse[:, 0] = 1
            with torch.no_grad():
                measured = len(frames_changed(network(impulse), 1))
            found, asked = frames_seen(blocks, frames), f"frames_seen({blocks}, {frames})"
            demand(
                isinstance(found, int) and not isinstance(found, bool),
                f"{asked} returns {found!r}, expected a whole number",
            )
            demand(
                found <= frames,
                f"{asked} says {found}, but the cine has {frames} frames, and its time is cyclic",
            )
            demand(
                found == measured,
                f"{asked} says {found}. In the experiment {measured} output frames answer to a change of one. How many "
                "3x3x3 convolutions lie in a row, and how far does each look to either side?",
            )
    return "as many frames as the experiment finds, for 0 to 3 blocks, and no more than there are"


@check
def check_3_3(through_the_bottom: Callable) -> str:
    """``through_the_bottom(image, halvings)``: averages over blocks, enlarged again with bilinear interpolation."""
    draw = torch.Generator().manual_seed(0)
    for shape, halvings in (((1, 2, 32, 48), 1), ((2, 3, 30, 27), 2), ((1, 1, 32, 32), 3)):
        image, asked = (
            torch.rand(shape, generator=draw),
            f"through_the_bottom of {shape}, {halvings} halvings",
        )
        found = through_the_bottom(image.clone(), halvings)
        demand_tensor(found, shape, torch.float32, asked)
        even = through_the_bottom(torch.full(shape, 0.5), halvings)
        demand(
            torch.allclose(even, torch.full(shape, 0.5), atol=1e-5),
            f"{asked}: an image that is 0.5 everywhere comes back between {even.min():.2f} and {even.max():.2f}",
        )
        size, block = shape[-2:], 2**halvings
        wrong = {
            "takes the largest number of each block, not the average": (functional.max_pool2d, block, "bilinear"),
            "has steps: enlarge with bilinear interpolation": (functional.avg_pool2d, block, "nearest"),
            "keeps one pixel of each block and drops the others": (
                lambda image, block: image[..., ::block, ::block], block, "bilinear",
            ),
            "averages over blocks of another size: d halvings make them 2**d wide": (
                functional.avg_pool2d, 2 * halvings, "bilinear",
            ),
        }  # fmt: skip
        expected = functional.interpolate(functional.avg_pool2d(image, block), size=size, mode="bilinear")
        right = torch.allclose(found, expected, atol=1e-4)
        for mistake, (pool, width, mode) in wrong.items():
            guess = functional.interpolate(pool(image, width), size=size, mode=mode)
            demand(right or not torch.allclose(found, guess, atol=1e-4), f"{asked} {mistake}")
        demand(
            right,
            f"{asked} differs from what the hint describes, by up to {(found - expected).abs().max():.2g}",
        )
    return "averages over blocks of 2**d pixels, enlarged smoothly to the old size, odd sizes included"


@check
def check_3_4(two_plus_one: Callable) -> str:
    """``two_plus_one(channels)``: a 1x3x3 convolution in space, then a 3x1x1 convolution in (cyclic) time."""
    for channels in (16, 3):
        pair, asked = two_plus_one(channels), f"two_plus_one({channels})"
        demand(
            isinstance(pair, nn.Module),
            f"{asked} returns a {type(pair).__name__}, expected a module, such as nn.Sequential",
        )
        volume = torch.zeros(1, channels, 8, 7, 6)
        with torch.no_grad():
            demand_tensor(
                pair(volume), tuple(volume.shape), torch.float32, f"{asked} of {tuple(volume.shape)}"
            )
        count = sum(parameter.numel() for parameter in pair.parameters())
        weights = channels * channels
        demand(
            count == 12 * weights + 2 * channels,
            f"{asked} has {count} parameters. Expected {9 * weights} weights in space, {3 * weights} in time and "
            f"{2 * channels} biases; a full 3x3x3 convolution has {27 * weights + channels}",
        )
        for parameter in pair.parameters():  # positive, so that nothing cancels
            nn.init.constant_(parameter, 1 / channels if parameter.ndim > 1 else 0)
        volume[:, :, 0, 0, 0] = 1  # in the first frame, in a corner
        with torch.no_grad():
            answer = pair(volume)
        frames, rows, columns = (frames_changed(answer, axis) for axis in (2, 3, 4))
        demand(
            frames == [-1, 0, 1],
            f"{asked}: a change in frame 0 reaches the frames {frames}, expected [-1, 0, 1], for the last frame comes "
            "before the first",
        )
        demand(
            rows == columns == [0, 1],
            f"{asked}: a change in the corner reaches the rows {rows} and columns {columns}, expected [0, 1] for both. "
            "Space is not cyclic: zeros around the image",
        )
    return (
        "less than half the parameters of 3x3x3; it sees one frame before and after, cyclic, and 3x3 pixels"
    )


@check
def check_3_2(network: Callable) -> str:
    """``network(features)``: a module, complex cine in and out, that sees time, has signs and keeps the phase."""
    net, draw = network(4), torch.Generator().manual_seed(0)
    demand(isinstance(net, nn.Module), f"found a {type(net).__name__}, expected a module of nn.Module")
    demand(any(True for _ in net.parameters()), "no parameters: layers belong to self, in __init__")
    for parameter in net.eval().parameters():  # whatever training may have made of them
        nn.init.normal_(parameter, std=0.3, generator=draw)
    with torch.no_grad():
        for frames in (5, 8):
            cine = torch.randn(1, frames, 8, 6, dtype=torch.complex64, generator=draw)
            try:
                before = net(cine)
            except RuntimeError as error:
                demand(
                    "channels" not in str(error),
                    f"a cine of {frames} frames does not fit the channels of a layer; frames are an axis of the "
                    f"convolution, channels are real and imaginary part. PyTorch says: {error}",
                )
                raise
            demand_tensor(before, tuple(cine.shape), torch.complex64, f"the network, of {frames} frames,")
        late, changed = net(cine.roll(1, 1)), cine.clone()
        changed[:, 0] += 1
        reached = frames_changed(net(changed) - before, 1)
        demand(
            {-1, 1} <= set(reached),
            f"a change in frame 0 of 8 reaches the frames {reached}, counted from there, expected -1 and 1 among them. "
            "Which axis do the kernels see as time, and what is around it?",
        )
        demand(
            torch.allclose(late, before.roll(1, 1), atol=1e-4),
            "let the cine start one frame later, and the output does not do the same. Are the frames an axis of the "
            "convolution, and is time cyclic?",
        )
        for output, name in ((before, "output"), (before - cine, "output minus the input")):
            for part, values in (("real", output.real), ("imaginary", output.imag)):
                demand(
                    values.min() < -1e-3 and values.max() > 1e-3,
                    f"the {part} part of the {name} lies between {values.min():.2f} and {values.max():.2f}, with "
                    "random weights; expected both signs. Which values can the last step of forward not reach?",
                )
        phase = torch.polar(torch.ones(8, 6), torch.linspace(0.5, 2.5, 48).reshape(8, 6))
        others = {"phase": cine * phase, "imaginary part": torch.complex(cine.real, -cine.real)}
        for name, other in others.items():
            change = net(other) - before
            layers = min(
                change.abs().max(), (change - (other - cine)).abs().max()
            )  # with and without a residual path
            demand(
                layers > 1e-3,
                f"another {name} of the input makes no difference to the layers. Where is it lost?",
            )
    return "it sees the frames before and after, wherever the cycle begins; both signs come out; the phase goes in"
