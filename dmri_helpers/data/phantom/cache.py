"""Sets of phantoms: they are made in parallel, kept on disk and memory-mapped (notebooks 01 to 07 open them)."""

import errno
import math
import os
import shutil
import signal
import sys
import threading
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import islice
from multiprocessing import current_process, get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...results.files import cache_folder, whole
from ..cines import Cines
from ..formats import guard
from ..formats.raw import error as _error
from . import phantom

_PARALLEL_FROM = 8  # cines; below that starting processes costs more than it saves
_TRUTH = "labels", "lv_volume", "ejection_fraction", "group"
_BYTES = 40  # of memory for every value of a phantom while it is drawn
_AHEAD = 4  # phantoms per process that may wait to be fetched


def phantom_arrays(
    n: int, shape: tuple[int, int, int] = (20, 192, 192), seed: int = 0, complex_valued: bool = False
) -> dict[str, np.ndarray]:
    """Generate ``n`` phantoms into memory, in parallel, with a progress bar on stderr.

    Phantom ``i`` of a seed does not depend on ``n``. Images alone, and more of them than memory holds: `open_cine`.

    Parameters
    ----------
    n
        number of phantoms
    shape
        ``(t, y, x)``
    seed
        another seed gives other anatomies
    complex_valued
        images with a scanner's phase, as `Phantom.complex_image` has it; by default the report's magnitudes

    Returns
    -------
        ``dataset`` ``(n, t, y, x)``, ``labels`` ``(n, t, y, x)``, ``lv_volume`` ``(n, t)``,
        ``ejection_fraction``, ``group`` (one of `phantom.GROUPS`) and ``groups`` (every cine its own patient) ``(n,)``;
        units as in `phantom.Phantom`

    Raises
    ------
    ValueError
        if the seed is negative or the phantom cannot have that size
    """
    if n < 1:
        raise ValueError(f"phantoms need a number of at least 1, not {n}")
    guard.fits("phantom", (n, *shape), 9 if complex_valued else 5, "fewer or smaller phantoms")
    jobs = _phantom_jobs(range(n), shape, seed, complex_valued)
    return {**stack_phantoms(jobs, ("dataset", *_TRUTH)), "groups": np.arange(n)}


def phantom_truth(cines: Cines) -> dict[str, np.ndarray]:
    """Generate again what is known of phantoms apart from their images, for exactly these cines.

    Parameters
    ----------
    cines
        of `open_cine` ``("phantom")``, or some of them (`Cines.subset`, `split`)

    Returns
    -------
        ``labels`` ``(n, t, y, x)``, ``lv_volume`` ``(n, t)``, ``ejection_fraction`` ``(n,)`` and ``group`` ``(n,)``
        (one of `phantom.GROUPS`), in the order of the cines; units as in `phantom.Phantom`

    Raises
    ------
    DataError
        if the cines are no phantoms
    """
    if cines.phantom_seed is None:
        raise _error(cines.source, "cines without ground truth", "phantoms, from open_cine('phantom')")
    return stack_phantoms(_phantom_jobs(cines.indices, cines.shape[1:], cines.phantom_seed), _TRUTH)


def cached_phantoms(n: int, shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, list[str]]:
    """Open the first ``n`` phantoms of a seed from the cache, or write them into it.

    Where no cache can be written (a full disk, a user without a home folder) they are kept in memory, and the
    note that comes with them says so.
    """
    _check_room(n, shape)
    jobs = _phantom_jobs(range(n), shape, seed)
    name = f"phantom-v{phantom.VERSION}-{'x'.join(map(str, shape))}-seed{seed}-n"
    try:
        folder = cache_folder()
        sizes = [path.stem.removeprefix(name) for path in folder.glob(f"{name}*.npy")]
        for size in sorted(int(size) for size in sizes if size.isdigit() and int(size) >= n):
            array = _read_cached(folder / f"{name}{size}.npy", n, shape)
            if array is not None:
                return array, []
        path = folder / f"{name}{n}.npy"
        _write_cached(path, jobs, shape)
        return np.load(path, mmap_mode="r", allow_pickle=False), []
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home folder
        reason = getattr(error, "strerror", None) or error
        note = f"kept in memory, not in the cache folder ({reason}); DMRI_CACHE names another"
        return stack_phantoms(jobs, ("dataset",))["dataset"], [note]


def _read_cached(path: Path, n: int, shape: tuple[int, int, int]) -> np.ndarray | None:
    """Map the first ``n`` cines of a file; None if the file is not whole or they are not as they were written."""
    try:
        guard.plain(path)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        checksums = np.fromfile(path, "<u4", offset=array.offset + array.nbytes)
    except Exception:  # whatever a damaged file makes numpy raise
        return None
    if array.shape != (len(checksums), *shape) or array.dtype != np.float32 or len(array) < n:
        return None
    pairs = zip(array[:n], checksums, strict=False)
    bar = tqdm(pairs, desc="phantom cache", total=n, unit="cine", delay=2)
    return array[:n] if all(zlib.crc32(cine) == checksum for cine, checksum in bar) else None


def _write_cached(path: Path, jobs: list[tuple], shape: tuple[int, int, int]) -> None:
    """Write a ``.npy`` phantom by phantom, followed by the CRC-32 of each.

    Plain writing says that a disk is full; writing to a memory map would end the process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(jobs), *shape)}
    if shutil.disk_usage(path.parent).free < 4 * math.prod(header["shape"]):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    checksums = []
    with whole(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for heart in _generate_all(jobs):
            cine = np.ascontiguousarray(heart["dataset"], "<f4")
            file.write(cine)
            checksums.append(zlib.crc32(cine))
        file.write(np.array(checksums, "<u4"))


def _check_room(n: int, shape: tuple[int, int, int]) -> None:
    """Refuse a phantom that memory does not hold, and phantoms that neither disk nor memory does."""
    room = 0
    with suppress(OSError, RuntimeError):  # no cache can be written
        folder = cache_folder().absolute()
        room = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    if 4 * n * math.prod(shape) > room:
        guard.fits("phantom", (n, *shape), 4, "fewer or smaller phantoms")
    guard.fits("phantom", shape, _BYTES, "smaller phantoms")


def _phantom_jobs(
    indices: Iterable[int], shape: Sequence[int], seed: int, complex_valued: bool = False
) -> list[tuple]:
    """List the jobs that `generate_phantom` takes, one for each index, each with a seed of its own."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"phantoms need a seed of at least 0 and below 2^63, not {seed}")
    if shape[0] < 1 or min(shape[1:]) < phantom.MIN_SIDE:
        least = (1, phantom.MIN_SIDE, phantom.MIN_SIDE)
        raise ValueError(f"phantoms have a shape (t, y, x) of at least {least}, not {tuple(shape)}")
    seeds = [int(np.random.SeedSequence([seed, int(i)]).generate_state(1)[0]) for i in indices]
    return [(s, tuple(shape), complex_valued) for s in seeds]


def stack_phantoms(jobs: list[tuple], names: Iterable[str]) -> dict[str, np.ndarray]:
    """Generate the phantoms of all jobs and stack those of their arrays that are named, in memory."""
    arrays = {}
    for i, heart in enumerate(_generate_all(jobs)):
        for name in names:
            values = heart[name]
            arrays.setdefault(name, np.empty((len(jobs), *values.shape), values.dtype))[i] = values
    return arrays


def _generate_all(jobs: list[tuple]) -> Iterator[dict[str, np.ndarray]]:
    """Yield phantom after phantom, from several processes where that pays and where the system grants them.

    At most `_AHEAD` phantoms per process wait to be fetched, so memory does not grow with their number.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    done = 0
    with tqdm(total=len(jobs), desc="phantom", unit="cine", delay=2) as bar:
        if len(jobs) >= _PARALLEL_FROM and cores > 1 and not current_process().daemon:
            try:
                for heart in _generate_in_processes(jobs, min(cores, len(jobs))):
                    yield heart
                    done += 1
                    bar.update()
            except (BrokenProcessPool, OSError, ImportError):
                pass  # a sandbox, a script without a main guard, a worker that was killed: the rest one by one
        for job in jobs[done:]:
            yield generate_phantom(job)
            bar.update()


def _generate_in_processes(jobs: list[tuple], workers: int) -> Iterator[dict[str, np.ndarray]]:
    # Forked workers have torch and this module already: the first phantom comes at once. Workers that start from
    # nothing (joblib's, measured: 22 s against 1 s on two busy cores) import torch first.
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    stop, stopper = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (stop,))
    try:
        waiting = iter(jobs)
        ahead = deque(pool.submit(generate_phantom, job) for job in islice(waiting, _AHEAD * workers))
        while ahead:
            heart = ahead.popleft().result()
            ahead.extend(pool.submit(generate_phantom, job) for job in islice(waiting, 1))
            yield heart
    finally:
        stopper.send(None)  # after Ctrl-C nobody waits for phantoms that are begun
        pool.shutdown(cancel_futures=True)


def _start_worker(stop: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()


def _end_with_parent(stop: Connection) -> None:
    """End this worker as soon as its parent says so or has ended, even where the parent was killed."""
    wait([stop, parent_process().sentinel])  # nobody receives what says stop, so every worker sees it
    os._exit(1)


def generate_phantom(job: tuple[int, tuple[int, int, int], bool]) -> dict[str, np.ndarray]:
    """Draw one phantom; the job is its seed, its shape ``(t, y, x)`` and whether its images have a phase."""
    seed, shape, complex_valued = job
    heart = phantom.cine_phantom(seed, shape, phase=float(complex_valued))
    return {
        "dataset": np.asarray(heart.complex_image if complex_valued else heart.image),
        "labels": np.asarray(heart.labels),
        "lv_volume": np.asarray(heart.lv_volume),
        "ejection_fraction": np.asarray(heart.ejection_fraction),
        "group": np.asarray(heart.group, f"U{max(map(len, phantom.GROUPS))}"),
    }
