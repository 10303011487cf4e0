"""Twelve trainings that explode once, beside one that does not: `python tests/stress/explosions.py`.

Weights that are no numbers, a damaged cine and a step at a rate of 100 are each planted into the first step of four
epochs. Every training should end within 0.3 dB of the undisturbed one. Writes figures/reliability/explosions.json and
the table of site/reliability.md.
"""

import sys
import tempfile
from pathlib import Path

import pytest
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "runs")]

import test_damaged as planted  # noqa: E402
from record import record  # noqa: E402

from dmri_helpers import methods, training  # noqa: E402
from dmri_helpers.data import open_cine, samples, split  # noqa: E402
from dmri_helpers.profiles import TrainConfig, UnrolledConfig  # noqa: E402
from dmri_helpers.runs import Run  # noqa: E402

NETWORK = UnrolledConfig(cascades=2, features=8, start="view_sharing")
CONFIG = TrainConfig(epochs=16, batch_size=1, learning_rate=2e-3, loss="l1", crop=32, clip=0.03)
SHAPE, CINES = (12, 96, 96), (12, 2, 4)
KINDS = {"weights that are no numbers": planted.nan_weights, "a damaged cine": planted.huge_cine}
KINDS["a step at a rate of 100"] = planted.far_step
EPOCHS = (1, 5, 9, 13)
ALLOWED = 0.3  # dB


def trained(folder: Path, epochs: tuple[int, ...] = (), spoil=None) -> tuple[float, int]:
    """Mean volume PSNR (dB) on the test cines, and how often training went back."""
    with pytest.MonkeyPatch.context() as patch:
        planted.in_epoch(patch, epochs, spoil)
        cines = split(open_cine("phantom", n=sum(CINES), shape=SHAPE), CINES)
        train, validation, test = samples(cines, CONFIG)
        model = methods.build(NETWORK)
        training.fit(model, train, validation, CONFIG, Run(folder))
    rows = training.evaluate(model, test)
    said = (folder / "output.txt").read_text() if (folder / "output.txt").exists() else ""
    return sum(row["psnr_volume"] for row in rows) / len(rows), said.count("at half the rate")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        calm, backwards = trained(Path(folder) / "calm")
        assert backwards == 0
        rows = []
        for kind, epoch in tqdm(
            [(kind, epoch) for kind in KINDS for epoch in EPOCHS], "explosions", unit="run"
        ):
            psnr, times = trained(Path(folder) / f"{kind} {epoch}", (epoch,), KINDS[kind])
            rows.append(
                {"planted": kind, "epoch": epoch, "went_back": times, "psnr": psnr, "lost": calm - psnr}
            )
    within, undone = sum(row["lost"] <= ALLOWED for row in rows), sum(row["went_back"] for row in rows)
    said = f"{within} of {len(rows)} end within {ALLOWED} dB of the undisturbed run ({calm:.2f} dB); {undone} times a "
    lines = [[kind, *(f"{row['lost']:+.2f}" for row in rows if row["planted"] == kind)] for kind in KINDS]
    header = ["what is lost (dB), planted in epoch", *map(str, EPOCHS)]
    result = {"undisturbed": calm, "allowed": ALLOWED, "rows": rows}
    record("explosions", "python tests/stress/explosions.py", said + "run went back", header, lines, result)
    sys.exit(within < len(rows))


if __name__ == "__main__":
    main()
