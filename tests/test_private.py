"""Nothing that a run leaves says where or by whom it was made, and nothing is asked of the network."""

import getpass
import platform
import re
import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dmri_helpers import cli, widgets
from dmri_helpers.course import site
from dmri_helpers.course.notebooks import PACKAGE, ROOT, Build

FAST = "--acceleration 3 --center-lines 3"
COMMANDS = f"""
import {{0}}/cines.npy {{0}}/cines.npz
info {{0}}/cines.npz
train --data {{0}}/cines.npz --out {{0}}/run --model unrolled --cascades 1 --features 2 --epochs 1 --crop 12 {FAST}
evaluate --data {{0}}/cines.npz --method {{0}}/run --json {{0}}/run.json {FAST}
reconstruct --data {{0}}/cines.npz --method {{0}}/run --out {{0}}/images.npz {FAST}
phantom --out {{0}}/phantom.npz --n 1 --frames 4 --size 32 32 --png {{0}}/phantom.png
"""


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Every socket beyond this machine is refused, loudly."""
    connect = socket.socket.connect

    def local(self, address):
        assert self.family == getattr(socket, "AF_UNIX", None) or address[0] in (
            "127.0.0.1",
            "::1",
            "localhost",
        )
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local)
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: pytest.fail(f"{host} was asked for"))


def texts(folder: Path):
    """Every file, and every member of a zip, with its bytes."""
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.name, path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    yield from ((f"{path.name}: {name}", archive.read(name)) for name in archive.namelist())


def test_a_whole_run_leaves_no_path_no_user_and_no_host(tmp_path, monkeypatch):
    user, host = "student-17-of-this-course", "a-host-of-this-course"
    folder = tmp_path / user
    folder.mkdir()
    monkeypatch.setenv("DMRI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("USER", user)
    monkeypatch.setattr(platform, "node", lambda: host)
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    np.save(folder / "cines.npy", np.random.default_rng(0).random((5, 4, 24, 20), np.float32))
    for command in COMMANDS.strip().splitlines():
        assert cli.main(command.format(folder).split()) == 0, command
    names = [str(tmp_path), user, host, str(Path.home()) + "/", f"/{getpass.getuser()}/"]
    assert len(list(texts(folder))) > 30
    for name, content in texts(tmp_path):
        for word in names:
            assert word.encode() not in content, f"{name} holds {word}"
            assert word.encode("utf-16-le") not in content and word.encode("utf-32-le") not in content, name


def test_what_the_project_keeps_names_no_folder_of_a_machine():
    """Notebooks with their outputs, figures, weights, and what was exported for pages."""
    absolute = re.compile(rb"(?<![\w.:/-])/(?:home|Users|root|tmp|work|mnt|var|opt|usr)/[\w.-]+")
    kept = {name: content for part in ("notebooks", "figures") for name, content in texts(ROOT / part)}
    kept |= dict(texts(PACKAGE))
    assert len(kept) > 100 and "01_sampling.ipynb" in kept and "residual.onnx" in kept
    assert {name: found[:3] for name, content in kept.items() if (found := absolute.findall(content))} == {}


def test_names_with_html_in_them_are_text_in_widgets():
    hostile = "<img src=x onerror=alert(1)>"
    cine = np.random.default_rng(0).random((3, 16, 16), np.float32)
    viewer = widgets.cine_viewer({hostile: cine}).html
    assert hostile not in viewer and "&lt;img src=x" in viewer


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>.npz", "a` <img src=x onerror=alert(1)> `.npz"]
)
def test_names_with_html_in_them_are_text_in_the_reports_page_of_sources(name, tmp_path):
    markdown = pytest.importorskip("markdown_it").MarkdownIt("commonmark", {"html": True})
    (tmp_path / name).touch()
    page = site._run_page([], Build("tiny", str(tmp_path / name), tmp_path / "build"))
    assert "<img" not in markdown.render(page) and "&lt;img src=x" in markdown.render(page)
