"""Find the run of exactly this network, training and data again, or make it."""

import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import cast

import torch

from ..data.phantom import phantom
from ..methods import WEIGHTS, NetworkConfig, build, describe_network, load, load_pretrained, network_config
from ..profiles import TrainConfig
from ..training import fit
from .folder import Run, read_log


def trained(
    name: str, network: NetworkConfig, config: TrainConfig, training, validation, runs: Path
) -> tuple[torch.nn.Module, list[dict], Path]:
    """Load the run of exactly this network, training and data if there is one; otherwise train it.

    Looked for among the weights that come with the package, then in ``runs``, by what their ``config.json`` says;
    an option that it does not name, since there was no such option yet, has its default. What was interrupted
    goes on.

    Parameters
    ----------
    name
        of the run
    network, config
        what is trained, and how
    training, validation
        `data.UndersampledCines`
    runs
        folder for new runs

    Returns
    -------
        the model with its best weights, the log, and the folder of the run
    """
    description = {"network": describe_network(network), "data": describe_data(training, validation)}
    wanted = json.dumps(description | {"training": asdict(config)}, sort_keys=True)
    folder = Path(runs) / f"{name}-{zlib.crc32(wanted.encode()):08x}"
    for found in (WEIGHTS / name, *sorted(Path(runs).glob(f"{name}-" + "[0-9a-f]" * 8))):
        if _is_run_of(found, network, config, description["data"]):
            log = read_log(found / "log.csv") if (found / "log.csv").is_file() else []
            if log and log[-1]["epoch"] == config.epochs:
                shipped = found == WEIGHTS / name
                model = load_pretrained(name) if shipped else cast(torch.nn.Module, load(found))
                return model, log, found
            if found.parent == Path(runs):
                folder = found
    model = build(network, config.seed)
    description["sampling"] = {"training": training.describe(), "validation": validation.describe()}
    log = fit(model, training, validation, config, Run(folder, description, resume=True))
    return model, log, folder


def describe_data(training, validation) -> dict:
    """Which cines and masks were learnt from.

    Parameters
    ----------
    training, validation
        `data.UndersampledCines`

    Returns
    -------
        source, version of the phantom or checksum of the file's cines; of both sets shape, checksum of the cines
        that are in them, and the seed of their masks
    """
    if training.cines.source == "phantom":
        version = phantom.VERSION
    else:
        version = zlib.crc32(training.cines[0].numpy().tobytes() + validation.cines[0].numpy().tobytes())
    return {"source": training.cines.source, "version": version} | {
        name: {
            "shape": list(of.cines.shape),
            "cines": zlib.crc32(str(of.cines.indices.tolist()).encode()),
            "seed": of.seed,
        }
        for name, of in (("training", training), ("validation", validation))
    }


def _is_run_of(folder: Path, network: NetworkConfig, config: TrainConfig, data: dict) -> bool:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        same = network_config(found["network"]) == network and TrainConfig(**found["training"]) == config
        return same and found["data"] == data
    except (OSError, ValueError, KeyError, TypeError):  # no run, or one of another version of the package
        return False
