"""What pages run beside our own code, committed in ``widgets/runtime``: ONNX Runtime Web, and a cascade's graph.

``python -m dmri_helpers.course.export`` renews both. It needs npm, ``onnx>=1.20`` and ``onnxscript>=0.6``,
which nothing else does and which are therefore no dependencies of the package. Nothing imports this module.
"""

import gzip
import subprocess
import tarfile
import tempfile
from pathlib import Path
from unittest.mock import patch

import torch
from torch import nn

from .. import networks
from ..results.files import write
from .notebooks import PACKAGE

RUNTIME = PACKAGE / "widgets" / "runtime"
VERSION = "1.30.0"
PARTS = {"ort.wasm.bundle.min.mjs": "ort.mjs.gz", "ort-wasm-simd-threaded.wasm": "ort.wasm.gz"}
"""File of the npm package ``onnxruntime-web`` -> its name here, packed. Its licence stands beside them."""


class Residual(nn.Module):
    """What `networks.ResNet3D` adds to its input: real channels ``(1, c, t, y, x)`` to two of them.

    The weights are arguments, so that one graph of a few kilobytes serves every cascade with one residual block, of any
    number of channels: a page reads the very ``.safetensors`` that Python reads. The sizes of cines are free as well.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = networks.ResNet3D(features=3, blocks=1)

    def names(self) -> list[str]:
        return [name for name, _ in self.network.named_parameters()]

    def forward(self, channels: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        named = dict(zip(self.names(), weights, strict=True))
        return torch.func.functional_call(self.network, named, (channels,))


def _plain(self: nn.Conv3d, features: torch.Tensor) -> torch.Tensor:
    """`networks._Conv3d.forward` without what it does for PyTorch's kernels: two more frames make time cyclic."""
    return nn.Conv3d.forward(self, torch.cat([features[:, :, -1:], features, features[:, :, :1]], 2))


def write_graph(path: Path) -> None:
    """Export `Residual` by ``torch.onnx.export``; complex numbers stay outside, so all of it is public API."""
    module = Residual().eval()
    weights = [value.detach() for value in module.network.parameters()]
    free, fixed = torch.export.Dim.DYNAMIC, ("last.weight", "last.bias")
    axes: list[dict[int, object]] = [{axis: free for axis in range(min(value.ndim, 2))} for value in weights]
    for place, name in enumerate(module.names()):
        if name in fixed:  # two channels come out
            axes[place].pop(0)
    shapes = {"channels": {axis: free for axis in range(1, 5)}, "weights": tuple(axes)}
    with (
        torch.no_grad(),
        patch.object(networks, "_to_channels", lambda cine: cine),
        patch.object(networks, "_to_complex", lambda channels: channels),
        patch.object(networks._Conv3d, "forward", _plain),
        patch.object(networks.ResNet3D, "forward", networks.ResNet3D._residual),
    ):
        program = torch.onnx.export(
            module,
            (torch.zeros(1, 2, 5, 7, 9), *weights),
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=["channels", *module.names()],
            output_names=["residual"],
            verbose=False,
        )
    model = program.model_proto
    graph = model.graph
    values = *graph.value_info, *graph.input, *graph.output, *graph.initializer
    for part in (model, graph, *graph.node, *values):
        del part.metadata_props[:]  # lines of the code that was exported, with the paths of this machine
    write(path, model.SerializeToString())


def write_runtime() -> None:
    """Take the two files that a page needs from the npm package, and pack them."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", f"onnxruntime-web@{VERSION}"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            for theirs, ours in PARTS.items():
                content = package.extractfile(f"package/dist/{theirs}").read()
                write(RUNTIME / ours, gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    write_runtime()
    write_graph(RUNTIME / "residual.onnx")
