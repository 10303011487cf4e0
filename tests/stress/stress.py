"""`make stress`: mutants of every file format through `data.open_cine`, and kill -9 of commands at random moments.

Every mutant is opened in a process of its own with a limit of time and of memory. Every killed command is given again,
and what it wrote is compared with what an undisturbed one wrote. The counts go to figures/reliability/ and to the page
site/reliability.md.
"""

import argparse
import collections
import gzip
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import h5py  # noqa: E402
import numpy as np  # noqa: E402
import psutil  # noqa: E402
import torch  # noqa: E402
from data.formats.writing import cine, header, write, write_nifti, write_series  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from scipy.io import savemat  # noqa: E402

from dmri_helpers import cli, data, methods, metrics, plotting, training  # noqa: E402, F401
from dmri_helpers.course.figures import fill  # noqa: E402
from dmri_helpers.data.formats import arrays, dicom, ismrmrd, nifti  # noqa: E402, F401
from dmri_helpers.results.files import write_text  # noqa: E402
from dmri_helpers.results.records import machine  # noqa: E402
from dmri_helpers.results.tables import render  # noqa: E402

SECONDS, MEMORY = 20, 2 * 2**30
FRAMES = cine(3, 6, 24, 20)
OUTCOMES = "clear error,same result,other result,traceback,hang,memory,crash,leftover,changed input".split(
    ","
)
BAD = OUTCOMES[3:]
CLEAR, SAME, OTHER, TRACEBACK, MEMORY_ERROR = range(10, 15)


def raw_data(path: Path) -> None:
    from data.formats.test_ismrmrd import X, Y, coil_kspace
    from data.formats.test_ismrmrd import write_raw as write_lines

    write_lines(path, coil_kspace(np.random.default_rng(0).random((1, 3, Y, X))))


def multi_frame(path: Path) -> None:
    image = header(NumberOfFrames=6, FrameTime=30)
    write(image, path, FRAMES[0])


def matlab73(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=FRAMES[0], chunks=(2, 24, 20), compression=4, fletcher32=True)


def bart(path: Path) -> None:
    path.write_text("# Dimensions\n24 20 1 1 1 1 1 1 1 1 6 1 1 3 1 1\n")
    FRAMES.transpose(2, 3, 1, 0).astype("<c8").ravel("F").tofile(path.with_suffix(".cfl"))


def nii_gz(path: Path) -> None:
    plain = write_nifti(path.with_name("plain.nii"), FRAMES.transpose(2, 3, 0, 1))
    path.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()


FORMATS = {  # name of the file that is mutated -> who writes it; "scan/" is opened as a folder
    "a.npy": lambda path: np.save(path, FRAMES),
    "a.npz": lambda path: np.savez(path, dataset=FRAMES, groups=np.arange(3)),
    "packed.npz": lambda path: np.savez_compressed(path, dataset=FRAMES, groups=np.arange(3)),
    "a.nii": lambda path: write_nifti(path, FRAMES.transpose(2, 3, 0, 1)),
    "a.nii.gz": nii_gz,
    "scan/0.dcm": lambda path: shutil.move(write_series("scan", FRAMES[:1])[0], path),
    "frames.dcm": multi_frame,
    "a.mat": lambda path: savemat(path, {"images": FRAMES}),
    "packed.mat": lambda path: savemat(
        path, {"images": FRAMES, "s": {"a": np.arange(4.0)}}, do_compression=True
    ),
    "a.h5": matlab73,
    "raw.h5": raw_data,
    "a.hdr": bart,
}


def mutant(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """A kind of damage, and the damaged content."""
    kind = rng.choice(["bit", "bits", "cut", "hole", "zeros", "huge", "huge", "text"])
    changed, at = bytearray(content), rng.randrange(len(content))
    start = min(len(content) - 8, rng.randrange(600) if rng.random() < 0.7 else at)
    if kind in ("bit", "bits"):
        for _ in range(1 if kind == "bit" else rng.randint(2, 40)):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del changed[at:]
    elif kind == "hole":
        del changed[at : at + rng.randint(1, 200)]
    elif kind == "zeros":
        changed[at : at + 64] = bytes(len(changed[at : at + 64]))
    elif kind == "huge":  # a field of a header, of 2, 4 or 8 bytes
        size = rng.choice([2, 4, 8])
        value = rng.choice(
            [2 ** (8 * size) - 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 0, 2 ** (8 * size - 4)]
        )
        changed[start : start + size] = value.to_bytes(size, rng.choice(["little", "big"]))
    else:
        changed[start : start + 8] = rng.choice([b"9" * 8, b"-1      ", b"\xff" * 8, b"nan     "])
    return kind, bytes(changed)


def state_of(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def outcome(source: str, expected) -> tuple[str, str]:
    """Open a source in a process of its own; what came of it, and what was said."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = TRACEBACK
        try:
            with open("../said", "w") as said:
                os.dup2(said.fileno(), 2)
                limit = psutil.Process().memory_info().vms + MEMORY
                resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
                try:
                    with warnings.catch_warnings(record=True):
                        cines = data.open_cine(source).tensor()
                    code = SAME if expected is not None and torch.equal(cines, expected) else OTHER
                except (ValueError, OSError) as error:
                    one_line = "\n" not in str(error)
                    code = CLEAR if isinstance(error, data.DataError) and one_line else TRACEBACK
                    print(type(error).__name__, error, file=said)
                except MemoryError as error:
                    code = MEMORY_ERROR
                    print("MemoryError", error, file=said)
                except BaseException as error:
                    print(type(error).__name__, error, file=said)
        finally:
            os._exit(code)
    end = time.monotonic() + SECONDS
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
        time.sleep(0.002)
    said = Path("../said").read_text(errors="replace")
    if done == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "hang", said
    code = os.waitstatus_to_exitcode(done[1])
    names = {
        CLEAR: OUTCOMES[0],
        SAME: OUTCOMES[1],
        OTHER: OUTCOMES[2],
        TRACEBACK: "traceback",
        MEMORY_ERROR: "memory",
    }
    return names.get(code, "crash"), said


def mutants(number: int, seed: int, only: str, keep: Path) -> dict[str, dict[str, int]]:
    """Count what comes of so many mutants of every format; those that came to a bad end are kept."""
    counts = {}
    for name, make in FORMATS.items():
        if only not in name:
            continue
        rng, count = random.Random(f"{seed} {name}"), collections.Counter()
        with tempfile.TemporaryDirectory() as top:
            (Path(top) / "in" / Path(name).parent).mkdir(parents=True)
            os.chdir(Path(top) / "in")
            path = Path(name)
            make(path)
            source, content = name.partition("/")[0], path.read_bytes()
            expected = data.open_cine(source).tensor()
            for i in range(number):
                kind, changed = mutant(content, rng)
                path.write_bytes(changed)
                before = state_of(Path())
                found, said = outcome(source, expected)
                after = state_of(Path())
                if after != before:
                    found = "changed input" if before.items() - after.items() else "leftover"
                count[found] += 1
                if found in BAD:
                    print(f"{name} {i} ({kind}): {found}: {said.strip()[:300]}", flush=True)
                    (keep / f"{i}").mkdir(parents=True, exist_ok=True)
                    (keep / f"{i}" / path.name).write_bytes(changed)
            os.chdir(ROOT)
        counts[name] = {outcome: count[outcome] for outcome in OUTCOMES}
        print(name, dict(count), flush=True)
    return counts


SMALL = "--cascades 1 --features 2 --epochs 8 --crop 12"
FAST = "--acceleration 3 --center-lines 3"
COMMANDS = {  # command -> what it writes; {} is the name of the run
    f"train --data cines.npz --model unrolled {SMALL} {FAST} --resume --out {{}}": "{}",
    "phantom --n 10 --frames 6 --size 48 48 --out {}.npz": "{}.npz",
    "import cines.npy {}.npz --size 40 --per-frame": "{}.npz",
    f"evaluate --data cines.npz --method kt_tv {FAST} --json {{}}.json": "{}.json",
}


def begin(command: str) -> int:
    """Give a command in a forked process, a group of its own: torch is loaded already."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.setsid()
        with open("../said", "a") as said:
            os.dup2(said.fileno(), 1), os.dup2(said.fileno(), 2)
            os._exit(cli.main(command.split()))
    return child


def content(path: Path) -> dict:
    """What counts in what a command wrote: arrays and numbers, without times."""
    if path.is_dir():
        weights = {name: load_file(path / f"{name}.safetensors") for name in ("best", "last")}
        return {
            f"{name} {key}": value.numpy() for name, part in weights.items() for key, value in part.items()
        }
    if path.suffix == ".json":
        rows = json.loads(path.read_text())["cines"]
        return {f"{row['cine']} {key}": row[key] for row in rows for key in row if key != "seconds"}
    with np.load(path) as archive:
        return {key: archive[key] for key in archive.files}


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def kills(number: int, seed: int) -> dict[str, dict[str, int]]:
    """Kill every command so often, give it again, and compare."""
    counts = {}
    for command, written in COMMANDS.items():
        word, rng = command.split()[0], random.Random(f"{seed} {command}")
        count = dict.fromkeys(["same result", "other result", "refused", "leftover", "orphan"], 0)
        with tempfile.TemporaryDirectory() as top:
            os.mkdir(Path(top) / "in")
            os.chdir(Path(top) / "in")
            os.environ["DMRI_CACHE"] = f"{top}/cache"
            np.save("cines.npy", FRAMES)
            np.savez("cines.npz", dataset=np.tile(FRAMES, (2, 1, 1, 1)))
            began = time.monotonic()
            os.waitpid(begin(command.format("calm")), 0)
            lasted = time.monotonic() - began
            calm = content(Path(written.format("calm")))
            names = len(list(Path(written.format("calm")).rglob("*")))
            for i in range(number):
                child = begin(command.format(i))
                time.sleep(rng.uniform(0, lasted))
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                end = time.monotonic() + 5
                while _alive_in(child) and time.monotonic() < end:
                    time.sleep(0.05)
                count["orphan"] += _alive_in(child)
                path = Path(written.format(i))
                if path.is_file():  # it was done already
                    path.unlink()
                code = os.waitstatus_to_exitcode(os.waitpid(begin(command.format(i)), 0)[1])
                if code:
                    count["refused"] += 1
                    print(word, i, Path("../said").read_text()[-300:], flush=True)
                    continue
                count["same result" if same(content(path), calm) else "other result"] += 1
                hidden = [entry for entry in Path().rglob(".*") if entry.name.endswith(".part")]
                count["leftover"] += bool(hidden) or len(list(path.rglob("*"))) != names
            os.chdir(ROOT)
        counts[word] = count
        print(word, f"{lasted:.1f} s", count, flush=True)
    return counts


def _alive_in(session: int) -> bool:
    """Whether a process of a session still runs."""
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                return True
        except (OSError, psutil.Error):
            pass
    return False


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--mutants", type=int, default=200, help="of every format")
    asked.add_argument("--kills", type=int, default=15, help="of every command")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--only", default="", help="formats whose name holds this; nothing is written then")
    asked.add_argument(
        "--keep", type=Path, default=Path(tempfile.gettempdir()) / "mutants", help="those that failed"
    )
    options = asked.parse_args()
    torch.set_num_threads(1)
    torch.optim.AdamW([torch.zeros(1)])  # its imports take long, and every process has them then
    began = time.monotonic()
    opened = mutants(options.mutants, options.seed, options.only, options.keep)
    killed = kills(options.kills, options.seed) if options.kills else {}
    bad = sum(count[name] for count in opened.values() for name in BAD)
    bad += sum(count[name] for count in killed.values() for name in list(count)[1:])
    if options.only:
        return int(bad > 0)
    cases = sum(sum(count.values()) for count in opened.values())
    number = options.kills * len(killed)
    command = (
        f"make stress STRESS='--mutants {options.mutants} --kills {options.kills} --seed {options.seed}'"
    )
    about = {
        "command": command,
        "cases": cases,
        "kills": number,
        "seconds": round(time.monotonic() - began),
        **machine(),
    }
    folder = ROOT / "figures" / "reliability"
    write_text(
        folder / "reliability.json",
        json.dumps(about | {"mutants": opened, "killed": killed}, indent=1) + "\n",
    )
    rows = [[name, *count.values()] for name, count in opened.items()]
    rows.append(["all", *(sum(count[name] for count in opened.values()) for name in OUTCOMES)])
    tables = [render(["format", *OUTCOMES], rows, "pipe")]
    if killed:
        kinds = next(iter(killed.values()))
        tables.append(
            render(["command", *kinds], [[name, *count.values()] for name, count in killed.items()], "pipe")
        )
    said = f"{cases} mutants and {number} kills on {date.today()}, {about['machine']}: `{command}`"
    text = "\n\n".join([said, *tables])
    write_text(folder / "table.md", text + "\n")
    page = ROOT / "site" / "reliability.md"
    write_text(page, fill(page.read_text(encoding="utf-8"), {"reliability": text}))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
