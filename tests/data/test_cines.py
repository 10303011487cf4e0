"""Cines: opened, checked, split, undersampled."""

import os
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from dmri_helpers import data
from dmri_helpers.data import Cines, DataError, UndersampledCines, open_cine, split
from dmri_helpers.data.phantom import cache as making
from dmri_helpers.data.phantom.cache import _AHEAD, _generate_all, _phantom_jobs
from dmri_helpers.fourier import fft2c, ifft2c


def random_cines(n=7, shape=(4, 24, 20), groups=None, complex_valued=False) -> Cines:
    rng = np.random.default_rng(0)
    array = rng.random((n, *shape), dtype=np.float32)
    if complex_valued:
        array = (array * np.exp(2j * np.pi * rng.random(array.shape))).astype(np.complex64)
    return Cines(array, "random", groups)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DMRI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_phantom_is_generated_once_and_never_depends_on_n(cache, monkeypatch):
    cines = open_cine(n=3, shape=(4, 32, 24))
    assert cines.shape == (3, 4, 32, 24) and cines.source == "phantom" and cines.groups.tolist() == [0, 1, 2]
    assert torch.equal(open_cine(n=2, shape=(4, 32, 24)).tensor(), cines.tensor()[:2])
    assert not torch.equal(open_cine(n=3, shape=(4, 32, 24), seed=1)[0], cines[0])
    monkeypatch.setattr(making.phantom, "cine_phantom", None)
    assert torch.equal(open_cine(n=3, shape=(4, 32, 24)).tensor(), cines.tensor())


def test_damaged_cache_is_made_again(cache):
    first = open_cine(n=2, shape=(3, 32, 32)).tensor()
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    for damaged in (b"", b"nonsense", whole[: len(whole) // 2], whole.replace(whole[2000:2100], bytes(100))):
        file.write_bytes(damaged)
        assert torch.equal(open_cine(n=2, shape=(3, 32, 32)).tensor(), first)
        assert file.read_bytes() == whole and list(cache.iterdir()) == [file]


def test_a_larger_cache_serves_if_it_is_whole(cache, monkeypatch):
    first = open_cine(n=4, shape=(3, 32, 32)).tensor()
    (file,) = cache.iterdir()
    with monkeypatch.context() as without:
        without.setattr(making.phantom, "cine_phantom", None)
        assert torch.equal(open_cine(n=3, shape=(3, 32, 32)).tensor(), first[:3])
        whole = file.read_bytes()
        file.write_bytes(whole.replace(first[3].numpy().tobytes(), first[2].numpy().tobytes()))
        assert torch.equal(open_cine(n=3, shape=(3, 32, 32)).tensor(), first[:3])  # the damage is behind them
    file.write_bytes(whole.replace(first[1].numpy().tobytes(), first[2].numpy().tobytes()))
    assert torch.equal(open_cine(n=3, shape=(3, 32, 32)).tensor(), first[:3])
    assert {path.name.split("-")[-1] for path in cache.iterdir()} == {"n3.npy", "n4.npy"}


def test_phantoms_stay_on_disk(cache):
    cines = open_cine(n=4, shape=(3, 32, 24))
    (file,) = cache.iterdir()
    assert file.suffix == ".npy" and np.load(file).shape == (4, 3, 32, 24)
    parts = split(cines)
    again = open_cine(n=4, shape=(3, 32, 24))
    for opened in (cines, *parts, again):
        assert isinstance(opened._array, np.memmap) and not opened._array.flags.writeable
    hearts = data.phantom_arrays(4, (3, 32, 24))["dataset"]
    undersampled = UndersampledCines(cines, 3, 3, training=True, crop=6)
    for i in range(4):
        kspace, A, target = undersampled[i]
        start = int(undersampled._start[i])
        heart = torch.from_numpy(hearts[i])
        assert torch.equal(target[0].real, heart[..., start : start + 6]) and not target.imag.any()
        torch.testing.assert_close(
            ifft2c(kspace)[0], ifft2c(fft2c(heart) * A.mask)[0][..., start : start + 6]
        )


def _quick_phantom(seed: int, shape: tuple[int, int, int], **_):
    t, y, x = shape
    image = np.random.default_rng(seed).random(shape, dtype=np.float32)
    return SimpleNamespace(
        image=image, labels=np.zeros(shape, np.uint8), lv_volume=np.ones(t), ejection_fraction=0.5, group=""
    )


def _peak(do) -> int:
    tracemalloc.start()
    try:
        do()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("source", ["phantom", "big.npy", "big.npz"])
def test_memory_does_not_grow_with_the_data(cache, tmp_path, monkeypatch, source):
    """One cine is 64 KiB; opening and an epoch of training take a few of them, of the 400 there are."""
    monkeypatch.setattr(making, "_PARALLEL_FROM", 9999)
    monkeypatch.setattr(making.phantom, "cine_phantom", _quick_phantom)
    shape, n, one = (4, 64, 64), 400, 4 * 64 * 64 * 4
    if source != "phantom":
        source = str(tmp_path / source)
        big = np.random.default_rng(0).random((n, *shape), dtype=np.float32)
        np.save(source, big) if source.endswith("y") else np.savez(source, dataset=big)

    def train():
        cines = open_cine(source, n=n, shape=shape)
        undersampled = UndersampledCines(split(cines)[0], 4, 3, training=True, crop=16)
        assert sum(len(target) for *_, target in undersampled.batches(8)) == 229

    assert _peak(train) < 30 * one
    assert _peak(lambda: open_cine(source, n=n, shape=shape).tensor()) > n * one  # the measure can see


def test_only_a_few_phantoms_are_made_ahead(tmp_path, monkeypatch):
    def counted(seed, shape, **options):
        (tmp_path / str(seed)).touch()
        return _quick_phantom(seed, shape)

    monkeypatch.setattr(making.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(making.phantom, "cine_phantom", counted)
    if sys.platform != "linux":
        pytest.skip("processes that are not forked do not see the counter")
    hearts = _generate_all(_phantom_jobs(range(200), (2, 32, 32), 0))
    next(hearts)
    time.sleep(0.3)
    assert 2 <= len(list(tmp_path.iterdir())) <= 2 * _AHEAD + 1
    assert len(list(hearts)) == 199 and len(list(tmp_path.iterdir())) == 200


def test_phantom_without_a_place_for_the_cache(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DMRI_CACHE", str(tmp_path / "file" / "cache"))
    cines = open_cine(n=1, shape=(2, 32, 32))
    assert cines.shape == (1, 2, 32, 32) and "kept in memory" in cines.notes[0]
    assert str(tmp_path) not in cines.notes[0]


def test_phantom_of_a_user_without_a_home(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("DMRI_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    cines = open_cine(n=1, shape=(2, 32, 32))
    assert (
        cines.shape == (1, 2, 32, 32)
        and "home directory" in cines.notes[0]
        and "DMRI_CACHE" in cines.notes[0]
    )


@pytest.mark.parametrize("full", ["at the start", "half-way", "at the end"])
def test_a_full_disk_leaves_nothing_half_written(cache, monkeypatch, full):
    expected = data.phantom_arrays(3, (2, 32, 32))["dataset"]

    def no_space(*_):
        raise OSError(28, "No space left on device")

    if full == "at the start":
        monkeypatch.setattr(making.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    elif full == "half-way":
        checksums = iter([making.zlib.crc32] * 2 + [no_space])
        monkeypatch.setattr(making.zlib, "crc32", lambda cine: next(checksums)(cine))
    else:
        monkeypatch.setattr(making.os, "replace", no_space)
    cines = open_cine(n=3, shape=(2, 32, 32))
    np.testing.assert_array_equal(cines.tensor(), expected)
    (note,) = cines.notes
    assert "kept in memory" in note and "No space left on device" in note and "DMRI_CACHE" in note
    assert list(cache.iterdir()) == []


def test_an_interruption_leaves_nothing_half_written(cache, monkeypatch):
    monkeypatch.setattr(making.zlib, "crc32", lambda _: exec("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        open_cine(n=3, shape=(2, 32, 32))
    assert list(cache.iterdir()) == []


def test_two_processes_fill_the_cache_at_once(cache, monkeypatch):
    """Another process comes and goes while this one is half-way."""
    code = (
        "import zlib; from dmri_helpers.data import open_cine; cines = open_cine(n=3, shape=(2, 32, 32))\n"
        "print(zlib.crc32(cines.tensor().numpy().tobytes()), cines.notes)"
    )
    checksum, printed = zlib.crc32, []

    def meanwhile(cine):
        if not printed:
            command = [sys.executable, "-c", code]
            printed.append(subprocess.check_output(command, text=True, timeout=60, env=_environment(cache)))
        return checksum(cine)

    monkeypatch.setattr(making.zlib, "crc32", meanwhile)
    cines = open_cine(n=3, shape=(2, 32, 32))
    assert printed == [f"{checksum(cines.tensor().numpy().tobytes())} []\n"] and cines.notes == []
    assert [path.suffix for path in cache.iterdir()] == [".npy"]
    monkeypatch.setattr(making.phantom, "cine_phantom", None)
    assert torch.equal(open_cine(n=3, shape=(2, 32, 32)).tensor(), cines.tensor())


def test_the_truth_of_phantoms(cache, tmp_path):
    hearts = data.phantom_arrays(5, (3, 32, 32), seed=2)
    cines = open_cine(n=5, shape=(3, 32, 32), seed=2)
    for part in (cines, *split(cines, seed=1), cines.subset([4, 2, 0]).subset([1, 0])):
        truth = data.phantom_truth(part)
        assert truth.keys() == hearts.keys() - {"dataset", "groups"}
        for name, values in truth.items():
            np.testing.assert_array_equal(values, hearts[name][part.indices])
    assert part.indices.tolist() == [2, 4]
    np.save(tmp_path / "phantom", hearts["dataset"])
    for other in (open_cine(tmp_path / "phantom.npy"), random_cines()):
        with pytest.raises(DataError, match="cines without ground truth; expected phantoms"):
            data.phantom_truth(other)


def test_phantoms_in_parallel_are_the_same(monkeypatch):
    monkeypatch.setattr(making.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    parallel = data.phantom_arrays(8, (3, 32, 32))
    monkeypatch.setattr(making, "_PARALLEL_FROM", 99)
    serial = data.phantom_arrays(8, (3, 32, 32))
    assert parallel.keys() == {"dataset", "labels", "lv_volume", "ejection_fraction", "group", "groups"}
    assert set(parallel["group"]) <= set(data.phantom.GROUPS)
    for key, array in parallel.items():
        np.testing.assert_array_equal(array, serial[key])


def test_phantoms_without_processes(monkeypatch):
    def no_processes(*_):
        raise OSError("no semaphores here")

    monkeypatch.setattr(making, "ProcessPoolExecutor", no_processes)
    monkeypatch.setattr(making.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert len(data.phantom_arrays(8, (2, 32, 32))["dataset"]) == 8


PHANTOMS_FOR_EVER = """
import os
from dmri_helpers.data.phantom import cache
os.sched_getaffinity = lambda _: {0, 1}
for number, _ in enumerate(cache._generate_all(cache._phantom_jobs(range(10_000), (2, 32, 32), 0))):
    if number == 0:
        print("begun", flush=True)
"""


def _start_phantoms_for_ever(tmp_path: Path) -> tuple[subprocess.Popen, list[int]]:
    command = [sys.executable, "-c", PHANTOMS_FOR_EVER]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    parent = subprocess.Popen(command, **pipes, env=_environment(tmp_path))
    assert parent.stdout.readline() == "begun\n"
    workers = [int(pid) for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()]
    assert len(workers) == 2 and _running(workers) == workers
    return parent, workers


def _running(pids: list[int]) -> list[int]:
    stat = {pid: Path(f"/proc/{pid}/stat") for pid in pids}
    return [pid for pid, path in stat.items() if path.exists() and path.read_text().rsplit(")")[-1][1] != "Z"]


def _all_end(pids: list[int], seconds: float) -> bool:
    last = time.monotonic() + seconds
    while _running(pids) and time.monotonic() < last:
        time.sleep(0.1)
    left = _running(pids)
    for pid in left:  # a test that fails leaves none behind
        os.kill(pid, signal.SIGKILL)
    return not left


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which processes run")
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    parent, workers = _start_phantoms_for_ever(tmp_path)
    parent.kill()
    parent.communicate(timeout=60)
    assert _all_end(workers, 20)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which processes run")
def test_a_worker_that_is_killed_is_done_without(tmp_path):
    parent, workers = _start_phantoms_for_ever(tmp_path)
    os.kill(workers[0], signal.SIGKILL)
    assert _all_end(workers, 20) and parent.poll() is None
    parent.kill()
    parent.communicate(timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which processes run")
def test_ctrl_c_ends_phantoms_without_a_word_of_the_workers(tmp_path):
    parent, workers = _start_phantoms_for_ever(tmp_path)
    for pid in (parent.pid, *workers):  # as a terminal does
        os.kill(pid, signal.SIGINT)
    said = parent.communicate(timeout=60)[1]
    assert (
        said.count("Traceback") == 1 and said.rstrip().endswith("KeyboardInterrupt") and "Process" not in said
    )
    assert _all_end(workers, 5)


@pytest.mark.parametrize("n, seed", [(0, 0), (3, -1)])
def test_impossible_phantoms(n, seed):
    with pytest.raises(ValueError):
        data.phantom_arrays(n, (2, 32, 32), seed)


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "npy.without-suffix"])
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("shape", [(2, 5, 9, 7), (5, 9, 7)])
def test_files_open_unchanged(tmp_path, name, dtype, shape):
    array = np.random.default_rng(0).random(shape).astype(dtype)
    path = tmp_path / name
    with path.open("wb") as file:
        np.savez_compressed(file, dataset=array) if name == "a.npz" else np.save(file, array)
    cines = open_cine(path)
    assert cines.source == name and cines.notes == [] and cines.groups is None
    np.testing.assert_array_equal(cines.tensor(), array.reshape(-1, 5, 9, 7))
    assert len(open_cine(str(path), n=1)) == 1 and len(open_cine(path, n=99)) == len(cines)
    cines[0].zero_()
    np.testing.assert_array_equal(cines[-1], array.reshape(-1, 5, 9, 7)[-1])
    with pytest.raises(IndexError):
        cines[len(cines)]


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(["<f2", "<f4", ">f4", "<f8", "<c8", "<c16", "u1", "<i2", ">i4", "<i8", "<u8"]),
        hnp.array_shapes(min_dims=3, max_dims=4, max_side=5),
    )
)
def test_any_numbers_open_to_unit_magnitude_or_one_line(tmp_path_factory, array):
    path = tmp_path_factory.getbasetemp() / "any.npy"
    np.save(path, array)
    try:
        cines = open_cine(path)
    except DataError as error:
        assert str(path) in str(error) and "\n" not in str(error) and "expected" in str(error)
        return
    tensor = cines.tensor()
    assert tensor.dtype in (torch.float32, torch.complex64) and tensor.isfinite().all()
    assert tensor.abs().max() <= 1 + 2e-6
    assert tensor.is_complex() or tensor.min() >= -2e-6
    array = array.astype(complex).reshape(tensor.shape)
    peak = np.abs(array).max((1, 2, 3), keepdims=True)
    assert cines.notes or peak.max() <= 1 + 2e-6
    unit = array / np.where((peak > 1 + 1e-6) | (array.dtype.kind in "iu"), peak, 1)
    np.testing.assert_allclose(tensor, unit, atol=3e-6)


def test_scaling_is_said(tmp_path):
    array = np.random.default_rng(0).random((3, 4, 8, 8))
    expected = {
        "u8": ((array * 255).astype(np.uint8), "integers (uint8)"),
        "f8": (array, "float64 converted to float32"),
        "loud": ((array * [[[[1]]], [[[7]]], [[[1]]]]).astype(np.float32), "1 of 3 cines exceed 1"),
        "signed": ((2 * array - 1).astype(np.float32), "negative values"),
        "faint": ((array / 1000).astype(np.float32), "the largest magnitude is only"),
    }
    for name, (values, note) in expected.items():
        np.savez(tmp_path / f"{name}.npz", dataset=values)
        (found,) = open_cine(tmp_path / f"{name}.npz").notes
        assert note in found
    loud = open_cine(tmp_path / "loud.npz").tensor()
    np.testing.assert_allclose(loud[0], array[0], rtol=1e-6)
    np.testing.assert_allclose(loud[1], array[1] / array[1].max(), rtol=1e-6)
    assert open_cine(tmp_path / "signed.npz").tensor().is_complex()


@pytest.mark.parametrize("key", ["groups", "patient"])
@pytest.mark.parametrize("groups", [np.array([7, 7, 2]), np.array(["b", "b", "a"])])
def test_groups(tmp_path, key, groups):
    np.savez(tmp_path / "a.npz", dataset=np.random.default_rng(0).random((3, 2, 4, 4)), **{key: groups})
    found = open_cine(tmp_path / "a.npz", n=3).groups
    assert found.dtype.kind == "i" and found[0] == found[1] != found[2]
    assert len(open_cine(tmp_path / "a.npz", n=2).groups) == 2


def good() -> np.ndarray:
    return np.random.default_rng(0).random((2, 3, 8, 8), dtype=np.float32)


def spoiled(value) -> np.ndarray:
    array = good()
    array[1, 2, 3, 4] = value
    return array


def _npz(path: Path, **arrays) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _npy(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)


def _zip(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _truncated(path: Path) -> None:
    _npz(path, dataset=good())
    path.write_bytes(path.read_bytes()[:700])


BAD_FILES = {
    "missing": (lambda p: None, "no such file"),
    "folder": (lambda p: p.mkdir(), "a folder"),
    "empty-file": (lambda p: p.touch(), "an empty file"),
    "not-a-zip": (lambda p: p.write_text("hello\nworld"), "neither zip nor .npy"),
    "truncated": (_truncated, "a damaged file"),
    "wrong-key": (lambda p: _npz(p, cine=good(), labels=good()), "the keys 'cine', 'labels'"),
    "no-key": (lambda p: _zip(p), "no keys"),
    "not-an-array": (lambda p: _zip(p, dataset=b"hello"), "values of type"),
    "2-d": (lambda p: _npz(p, dataset=good()[0, 0]), "2 dimensions, shape (8, 8)"),
    "5-d": (lambda p: _npz(p, dataset=good()[None]), "5 dimensions"),
    "0-d": (lambda p: _npz(p, dataset=np.float32(1)), "0 dimensions"),
    "no-cines": (lambda p: _npz(p, dataset=good()[:0]), "no values, shape (0, 3, 8, 8)"),
    "no-columns": (lambda p: _npz(p, dataset=good()[..., :0]), "no values"),
    "nan": (lambda p: _npz(p, dataset=spoiled(np.nan)), "1 values that are NaN or infinite in cine 1"),
    "inf": (lambda p: _npz(p, dataset=spoiled(-np.inf)), "1 values that are NaN or infinite in cine 1"),
    "complex-nan": (lambda p: _npz(p, dataset=spoiled(np.nan) * 1j), "NaN or infinite"),
    "pickled": (lambda p: _npz(p, dataset=np.array([good(), None], object)), "pickled"),
    "pickled-groups": (lambda p: _npz(p, dataset=good(), groups=np.array([1, None], object)), "pickled"),
    "groups": (lambda p: _npz(p, dataset=good(), groups=np.arange(3)), "groups of shape (3,) for 2 cines"),
    "coils-of-another-size": (
        lambda p: _npz(p, dataset=good(), coils=np.ones((4, 8, 7))),
        "coils of shape (4, 8, 7), float64; expected numbers of shape (c, 8, 8) or (2, c, 8, 8)",
    ),
    "coils-of-other-cines": (
        lambda p: _npz(p, dataset=good(), coils=np.ones((3, 4, 8, 8))),
        "coils of shape (3, 4, 8, 8)",
    ),
    "coils-nan": (
        lambda p: _npz(p, dataset=good(), coils=np.full((1, 8, 8), np.nan)),
        "64 values that are NaN or infinite in the coils",
    ),
    "coils-zero": (
        lambda p: _npz(p, dataset=good(), coils=np.eye(2)[:, :1, None, None] * np.ones((2, 3, 8, 8))),
        "coils that are zero everywhere (maps 1)",
    ),
    "constant": (
        lambda p: _npz(p, dataset=np.stack([good()[0], 0 * good()[0]])),
        "constant cine (number 1, 0",
    ),
    "constant-u8": (lambda p: _npz(p, dataset=np.full((1, 2, 8, 8), 255, np.uint8)), "constant cine"),
    "bool": (lambda p: _npz(p, dataset=good() > 0.5), "values of type bool"),
    "strings": (lambda p: _npz(p, dataset=np.full((2, 3, 4), "x")), "values of type <U1"),
    "pickled-npy": (lambda p: _npy(p, np.array([1, None], object)), "pickled"),
    "empty-npy": (lambda p: _npy(p, good()[:0]), "no values"),
    "broken-npy": (lambda p: p.write_bytes(b"\x93NUMPY\x01\x00 nonsense"), "a damaged file"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_one_line(tmp_path, case):
    make, found = BAD_FILES[case]
    path = tmp_path / "bad.npz"
    make(path)
    with pytest.raises(DataError) as error:
        open_cine(path)
    message = str(error.value)
    assert str(path) in message and found in message and "; expected " in message and "\n" not in message


@pytest.mark.parametrize("n_maps", [1, 7])
def test_the_coils_of_a_file(tmp_path, n_maps):
    rng = np.random.default_rng(1)
    maps = (rng.standard_normal((n_maps, 3, 24, 20, 2)) @ [1, 1j]) * np.linspace(0, 2, 20)
    stored = maps[0] if n_maps == 1 else maps
    np.savez(tmp_path / "coils.npz", dataset=random_cines().tensor(), coils=stored)
    cines = open_cine(tmp_path / "coils.npz")
    assert cines.coils.shape == (n_maps, 3, 1, 24, 20) and cines.coils.dtype == torch.complex64
    root = np.sqrt((abs(maps) ** 2).sum(1))
    assert "coils divided by their root sum of squares" in cines.notes[0]
    expected = maps[..., 1:] / root[:, None, ..., 1:]
    np.testing.assert_allclose(cines.coils[:, :, 0, :, 1:], expected, atol=1e-6)
    assert not cines.coils[..., 0].any()  # where no coil sees anything

    np.savez(tmp_path / "again.npz", dataset=cines.tensor(), coils=cines.coils[:, :, 0])
    again = open_cine(tmp_path / "again.npz", n=4)
    assert again.notes == [] and len(again) == 4 and len(again.coils) == min(n_maps, 4)
    for part in (*split(cines), cines.subset([5, 1]).subset([1])):
        rows = part.indices if n_maps > 1 else [0]
        assert torch.equal(part.coils, cines.coils[rows])
    assert cines.magnitudes().coils is None and torch.equal(cines.magnitudes().tensor(), cines.tensor())


def test_unpickling_never_happens(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    np.save(tmp_path / "trap.npy", np.array([Trap()], object))
    (tmp_path / "trap.pkl").write_bytes(b"\x80\x04cposix\nsystem\n")
    for name in ("trap.npy", "trap.pkl"):
        with pytest.raises(DataError):
            open_cine(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@settings(max_examples=60, deadline=None)
@given(n=st.integers(3, 60), n_groups=st.integers(3, 20), seed=st.integers(0, 5), known=st.booleans())
def test_split_keeps_patients_apart(n, n_groups, seed, known):
    groups = np.random.default_rng(n).permutation(np.arange(n) % min(n, n_groups)) * 10 if known else None
    cines = Cines(np.zeros((n, 1, 1, 1), np.float32), "zeros", groups)
    parts = split(cines, seed=seed)
    indices = [set(part.indices.tolist()) for part in parts]
    assert all(indices) and sorted(sum(map(list, indices), [])) == list(range(n))
    if known:
        patients = [set(part.groups.tolist()) for part in parts]
        assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])
    for part, again in zip(parts, split(cines, seed=seed), strict=True):
        assert part.indices.tolist() == again.indices.tolist() == sorted(part.indices)


def test_split_ratio():
    assert [len(part) for part in split(random_cines(28, (1, 2, 2)))] == [16, 4, 8]
    assert [len(part) for part in split(random_cines(3, (1, 2, 2)))] == [1, 1, 1]
    assert [len(part) for part in split(random_cines(10, (1, 2, 2)), (1, 1, 8))] == [1, 1, 8]
    first, second = split(random_cines(28, (1, 2, 2)))[0], split(random_cines(28, (1, 2, 2)), seed=1)[0]
    assert first.indices.tolist() != second.indices.tolist()
    for ratio in ((4, 1), (4, 0, 2), (4, float("nan"), 2)):
        with pytest.raises(ValueError, match="three positive numbers"):
            split(random_cines(), ratio)


def test_split_needs_three_groups():
    with pytest.raises(DataError, match="random: found 2 cines; expected at least 3"):
        split(random_cines(2))
    with pytest.raises(DataError, match=r"found 2 groups \(7 cines\); expected at least 3"):
        split(random_cines(7, groups=np.array([0, 0, 0, 1, 1, 1, 1])))


def test_subset_of_a_subset_and_its_groups():
    cines = random_cines(6, (1, 2, 2), groups=np.arange(6) // 2)
    part = cines.subset([5, 1, 3]).subset(torch.tensor([0, 2]))
    assert part.shape == (2, 1, 2, 2) and part.groups.tolist() == [2, 1]
    assert torch.equal(part.tensor(), cines.tensor()[[5, 3]])
    assert "Cines('random', (2, 1, 2, 2), magnitude)" == repr(part)


def test_script_without_a_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import torch; torch.rand(2000, 2000) @ torch.rand(2000, 2000)\n"
        "from dmri_helpers.data import open_cine\n"
        "print(open_cine(n=8, shape=(2, 32, 32)))\n"
    )
    run = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, env=_environment(tmp_path)
    )
    assert run.stdout == "Cines('phantom', (8, 2, 32, 32), magnitude)\n" and run.returncode == 0


def _environment(tmp_path: Path) -> dict[str, str]:
    root = Path(__file__).parents[2]
    return os.environ | {"DMRI_CACHE": str(tmp_path), "PYTHONPATH": str(root), "OMP_NUM_THREADS": "2"}
