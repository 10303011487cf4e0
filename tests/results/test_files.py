"""Files are written whole or not at all, and what killed processes left is cleared."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from dmri_helpers.results.files import save_npz, whole, write, write_text


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "log.csv"
    for before in (None, "old"):
        if before:
            path.write_text(before)
        with pytest.raises(type(error)), whole(path) as file:
            file.write(b"half of the ne")
            raise error
        assert [p.read_text() for p in tmp_path.iterdir()] == ([before] if before else [])


def test_a_reader_never_sees_half_a_file(tmp_path):
    path, contents, seen = tmp_path / "file", [bytes([i]) * 1_000_000 for i in range(3)], set()
    write(path, contents[0])
    done = threading.Event()

    def read():
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(60):
        with whole(path) as file:
            for _ in range(4):
                file.write(contents[i % 3][:250_000])
    done.set()
    reader.join(10)
    assert seen and seen <= set(contents)


def test_files_of_dead_processes_are_cleared_and_those_of_living_ones_stay(tmp_path):
    path = tmp_path / "run [1]" / "best.safetensors"
    code = (
        "import sys, time; from pathlib import Path; from dmri_helpers.results.files import whole\n"
        "with whole(Path(sys.argv[1])) as file: print('open', flush=True); time.sleep(60)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, cwd=os.getcwd())
        for _ in range(2)
    ]
    try:
        assert all(writer.stdout.readline() == b"open\n" for writer in writers)
        assert len(hidden(path.parent)) == 2
        writers[0].kill()
        writers[0].wait(10)
        write_text(path, "new")
        assert len(hidden(path.parent)) == 1 and f".{writers[1].pid}." in hidden(path.parent)[0]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait(10)
            writer.stdout.close()
    write_text(path.with_name("other"), "another file does not clear it")
    assert len(hidden(path.parent)) == 1
    write_text(path, "newest")
    assert hidden(path.parent) == [] and path.read_text() == "newest"


def test_files_of_other_machines_go_after_a_day(tmp_path):
    path, ours = tmp_path / "file", tmp_path / ".file.other.example.org.1234.part"
    ours.touch()
    write_text(path, "1")
    assert ours.exists()
    long_ago = time.time() - 90_000
    os.utime(ours, (long_ago, long_ago))
    write_text(path, "2")
    assert not ours.exists()


def test_an_unchanged_file_is_left_alone(tmp_path):
    path = tmp_path / "folder" / "page.html"
    write(path, b"content")
    os.utime(path, (0, 0))
    write(path, b"content")
    assert path.stat().st_mtime == 0
    write(path, b"changed")
    assert path.read_bytes() == b"changed"


def test_arrays_come_back(tmp_path):
    save_npz(tmp_path / "cines", {"dataset": np.arange(3)})
    with np.load(tmp_path / "cines") as archive:
        assert archive["dataset"].tolist() == [0, 1, 2]


def test_importing_it_is_quick():
    code = (
        "import sys, dmri_helpers.results.files; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60).strip() == "[]"
