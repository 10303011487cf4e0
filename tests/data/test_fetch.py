"""Fetching public cines over a server that does everything wrong; none of it needs the internet."""

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

from dmri_helpers import cli
from dmri_helpers.data import fetch

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "import_samples"
VIEWS = {"short-axis": "S5", "long-axis": "S6"}
FILES = {
    f"{folder}/I{i}.dcm": f"{folder}{i}".encode() * 40_000 for folder in VIEWS.values() for i in range(6)
}
PATHS = list(FILES)  # two views of three cines of two frames


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, except what `server.broken` has a function for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.path)
        broken = self.server.broken.get("/".join(self.path.split("/")[-2:]), SimpleHTTPRequestHandler.do_GET)
        broken(self)

    def do_CONNECT(self):
        self.send_error(403)

    def log_message(self, *_):
        pass

    def answer(self, content: bytes, length: int | None):
        """An answer that is over after its content, whatever length it gives."""
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


def status(code):
    return lambda handler: handler.send_error(code)


def body(content, length=None):
    return lambda handler: handler.answer(content, length)


@pytest.fixture
def server(tmp_path, monkeypatch):
    (tmp_path / "served").mkdir()

    def handler(*args):
        return Handler(*args, directory=tmp_path / "served")

    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.asked, server.broken, server.handle_error = [], {}, lambda *_: None
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    monkeypatch.setenv("DMRI_MIRROR", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("DMRI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pooch.core.time, "sleep", lambda seconds: None)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def made(server, tmp_path, monkeypatch):
    """A set that the server has and the registry knows; the folder that it is fetched to."""
    for path, content in FILES.items():
        (tmp_path / "served" / "made" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "served" / "made" / path).write_bytes(content)
    (tmp_path / "registry").mkdir()
    lines = ["# a comment", *(f"{hashlib.sha256(content).hexdigest()}  {p}" for p, content in FILES.items())]
    (tmp_path / "registry" / "made.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(fetch, "REGISTRY", tmp_path / "registry")
    monkeypatch.setitem(
        fetch.SETS, "made", replace(fetch.SETS["ep-dataset"], views=VIEWS, frames=2, file_bytes=10**6)
    )
    return tmp_path / "cache" / "made"


def here(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, under whatever name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(capsys, *argv) -> str:
    assert cli.main(["fetch", *argv]) == 2
    err = capsys.readouterr().err
    assert err.startswith("dmri: error: ") and err.count("\n") == 1 and "Traceback" not in err
    return err


def test_all_of_a_set(made, server, capsys):
    assert cli.main(["fetch", "made"]) == 0
    said = capsys.readouterr().out
    assert here(made) == FILES
    assert server.asked == [f"/made/{path}" for path in PATHS]
    assert (
        "CC0" in said and "github.com/WrightGroupSRI/ep-dataset" in said and "12 files, about 12 MB" in said
    )
    assert said.splitlines()[-2:] == [
        f"dmri import {made}/S5 made-short-axis.npz",
        f"dmri import {made}/S6 made-long-axis.npz",
    ]
    assert all(stat.st_mode & 0o044 == 0o044 for stat in map(os.stat, made.rglob("*.dcm")))

    server.asked.clear()
    assert cli.main(["fetch", "made"]) == 0 and not server.asked


def test_one_view_and_the_middle_of_the_stack(made, server):
    assert fetch.fetch("made", "long-axis") == {"long-axis": made / "S6"}
    assert here(made) == {path: FILES[path] for path in PATHS[6:]}
    assert list(fetch.choose("made", limit=1)) == ["S5/I2.dcm", "S5/I3.dcm", "S6/I2.dcm", "S6/I3.dcm"]
    assert list(fetch.choose("made", "short-axis", limit=2)) == PATHS[:4]
    for many in (None, 3, 10**6):
        assert list(fetch.choose("made", limit=many)) == PATHS

    server.asked.clear()
    assert fetch.fetch("made", limit=1).keys() == VIEWS.keys()
    assert server.asked == ["/made/S5/I2.dcm", "/made/S5/I3.dcm"]


@pytest.mark.parametrize(
    "breaks, found",
    [
        (status(404), "404"),
        (status(503), "503"),
        (body(b"log in first"), "another file"),
        (body(b"", 0), "another file"),
        (body(FILES[PATHS[4]][:70_000], len(FILES[PATHS[4]])), "cut"),
        (lambda handler: handler.connection.shutdown(socket.SHUT_RDWR), "connection"),
    ],
    ids=["404", "503", "login", "empty", "cut", "closed"],
)
def test_a_server_goes_wrong(breaks, found, made, server, capsys):
    """One line names the file, nothing half-written is left, and the same command goes on."""
    server.broken[PATHS[4]] = breaks
    line = refused(capsys, "made")
    assert f"/made/{PATHS[4]}: " in line and found in line
    assert here(made) == {path: FILES[path] for path in PATHS[:4]}

    server.broken.clear()
    server.asked.clear()
    assert cli.main(["fetch", "made"]) == 0
    assert here(made) == FILES and server.asked == [f"/made/{path}" for path in PATHS[4:]]


def test_what_goes_wrong_once_is_tried_again(made, server):
    def once(handler):
        del server.broken[PATHS[3]]
        handler.answer(FILES[PATHS[3]][:70_000], len(FILES[PATHS[3]]))

    server.broken[PATHS[3]] = once
    fetch.fetch("made")
    assert here(made) == FILES


def test_a_server_does_not_answer(made, server, capsys, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", (0.2, 0.2))
    server.broken[PATHS[0]] = lambda handler: threading.Event().wait(1)
    assert PATHS[0] in refused(capsys, "made") and not here(made)


@pytest.mark.parametrize("mirror", ["http://127.0.0.1:{}", "nonsense", "http://", "http://[::"])
def test_offline(mirror, made, server, capsys, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        monkeypatch.setenv("DMRI_MIRROR", mirror.format(taken.getsockname()[1]))
        line = refused(capsys, "made")
    assert PATHS[0] in line and "DMRI_MIRROR" in line and not here(made)


def test_a_proxy_refuses(made, server, capsys, monkeypatch):
    monkeypatch.delenv("DMRI_MIRROR")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.server_port}")
    line = refused(capsys, "made")
    assert fetch.SETS["made"].url in line and fetch.SETS["made"].archive in line and "HTTPS_PROXY" in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk(made, server, capsys, monkeypatch):
    class Full(pooch.HTTPDownloader):
        def __call__(self, url, file, pup):
            super().__call__(url, file if url.endswith(PATHS[0]) else "/dev/full", pup)

    with monkeypatch.context() as patched:
        patched.setattr(pooch, "HTTPDownloader", Full)
        line = refused(capsys, "made")
    assert "No space left on device" in line and "DMRI_CACHE" in line
    assert here(made) == {PATHS[0]: FILES[PATHS[0]]}
    fetch.fetch("made")
    assert here(made) == FILES


def test_folder_cannot_be_written(made, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DMRI_CACHE", str(tmp_path / "file" / "cache"))
    assert "DMRI_CACHE names another folder" in refused(capsys, "made")


def test_damaged_files_are_fetched_again(made, server):
    fetch.fetch("made")
    (made / PATHS[0]).write_bytes(b"")
    (made / PATHS[7]).write_bytes(FILES[PATHS[7]][:-1] + b"?")
    server.asked.clear()
    fetch.fetch("made")
    assert here(made) == FILES and len(server.asked) == 2


def test_left_over_of_a_killed_run_is_removed(made):
    (made / "S5").mkdir(parents=True)
    for name, age in {"tmpdead0001": 1000, "tmpalive002": 0}.items():
        (made / "S5" / name).write_bytes(b"part")
        os.utime(made / "S5" / name, (time.time() - age,) * 2)
    fetch.fetch("made")
    assert here(made) == FILES | {"S5/tmpalive002": b"part"}


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals between threads here")
def test_interrupted(made, server, capsys):
    def interrupt(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(FILES[PATHS[5]])))
        handler.end_headers()
        handler.wfile.write(FILES[PATHS[5]][:70_000])
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        threading.Event().wait(1)
        handler.close_connection = True

    server.broken[PATHS[5]] = interrupt
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert cli.main(["fetch", "made"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert here(made) == {path: FILES[path] for path in PATHS[:5]}
    server.broken.clear()
    fetch.fetch("made")
    assert here(made) == FILES


def test_two_at_once(made, server):
    """As when a class shares one cache."""
    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(fetch.fetch, "made") for _ in range(4)]:
            future.result()
    assert here(made) == FILES


def test_names(server, capsys):
    for name, url in {
        "acdc": "creatis.insa-lyon.fr",
        "ocmr": "ocmr.info",
        "cine": "drive.google.com",
    }.items():
        said = refused(capsys, name)
        assert url in said and "then: dmri " in said
    assert "expected one of ep-dataset, acdc, ocmr, cine" in refused(capsys, "nonsense")
    assert "at least 1, not 0" in refused(capsys, "ep-dataset", "--limit", "0")
    assert "'all', 'short-axis', 'long-axis'" in refused(capsys, "ep-dataset", "--view", "basal")
    with pytest.raises(ValueError, match="expected one of all, short-axis, long-axis"):
        fetch.fetch("ep-dataset", view="basal")
    assert not server.asked


def test_list(capsys):
    assert cli.main(["fetch"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^ep-dataset +34 +97 MB +CC0 1\.0", said, re.MULTILINE)
    assert all(re.search(f"^{name}: ", said, re.MULTILINE) for name in fetch.ELSEWHERE)
    assert cli.main(["fetch", "--help"]) == 0
    assert "Example: dmri fetch ep-dataset" in capsys.readouterr().out


def test_list_is_quick():
    code = "import sys; from dmri_helpers import cli; cli.main(['fetch']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "pooch", "requests"} & set(loaded.splitlines()[-1].split())


def test_registry():
    cines = fetch.SETS["ep-dataset"]
    files = fetch.registry("ep-dataset")
    assert len(files) == 680 and list(files) == sorted(files)
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in files.values())
    assert len(set(files.values())) == 680
    for folder, n in {"E774S5-shortAxis": 20, "E774S6-longAxis": 14}.items():
        assert folder in cines.views.values()
        assert [f"{folder}/I{i:04}.dcm" for i in range(1, 20 * n + 1)] == [p for p in files if folder in p]
    commit = (fetch.REGISTRY / "ep-dataset.txt").read_text().split("commit ")[1][:40]
    assert commit in cines.url and commit in cines.archive


def test_real_files(server, tmp_path, capsys):
    """The hashes are those of the real files: two slices of them."""
    if not SAMPLES.exists():
        pytest.skip("no real files here (import_samples)")
    served = tmp_path / "served" / "ep-dataset" / "E774S5-shortAxis"
    shutil.copytree(SAMPLES / "ep_sax_two_slices", served)
    folder = tmp_path / "cache" / "ep-dataset" / "E774S5-shortAxis"
    said = refused(capsys, "ep-dataset", "--view", "short-axis", "--limit", "4")
    assert "I0201.dcm: found 404" in said
    assert here(folder) == here(served)
    server.asked.clear()
    assert fetch.fetch("ep-dataset", "short-axis", limit=1) == {"short-axis": folder}
    assert not server.asked
