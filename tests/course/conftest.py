"""The notebooks with their outputs, for what is made of them; and Firefox."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
import websocket

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))


@pytest.fixture(scope="session")
def executed(tmp_path_factory) -> list[Path]:
    """Every source with the outputs of its stored notebook: the text is that of today, also before `make notebooks`."""
    folder, made = tmp_path_factory.mktemp("executed"), []
    for source in SOURCES:
        notebook, stored = jupytext.read(source), nbformat.read(source.with_suffix(".ipynb"), as_version=4)
        outputs = {cell.source: cell.outputs for cell in stored.cells if cell.cell_type == "code"}
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = outputs.get(cell.source, [])
        made.append(folder / f"{source.stem}.ipynb")
        nbformat.write(notebook, made[-1])
    return made


class Firefox:
    """A Firefox that is driven by WebDriver BiDi, which it speaks itself: Playwright drives only a build of its own."""

    def __init__(self, address: str) -> None:
        self.socket = websocket.create_connection(f"{address}/session", suppress_origin=True, timeout=60)
        self.heard: list[dict[str, Any]] = []
        self.asked = 0
        self.call("session.new", capabilities={})
        self.call("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        self.context = self.call("browsingContext.getTree")["contexts"][0]["context"]

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.asked += 1
        self.socket.send(json.dumps({"id": self.asked, "method": method, "params": params}))
        while (said := json.loads(self.socket.recv())).get("id") != self.asked:
            self.heard.append(said)
        assert said["type"] == "success", said
        return said["result"]

    def open(self, address: str) -> None:
        self.call("browsingContext.navigate", context=self.context, url=address, wait="complete")

    def evaluate(self, script: str) -> Any:
        """The value of an expression, or of what it promises."""
        target = {"context": self.context}
        return self.call("script.evaluate", expression=script, target=target, awaitPromise=True)["result"][
            "value"
        ]


@pytest.fixture
def firefox(tmp_path) -> Iterator[Firefox]:
    """Headless Firefox without network; the test fails if a page asks for anything but files, or complains."""
    found = shutil.which("firefox-esr") or shutil.which("firefox")
    if not found:
        pytest.skip("no Firefox here: install the package firefox-esr to run its test")
    nowhere = {"type": 1, "http": "127.0.0.1", "http_port": 9, "ssl": "127.0.0.1", "ssl_port": 9}
    lines = [f'user_pref("network.proxy.{name}", {json.dumps(value)});\n' for name, value in nowhere.items()]
    (tmp_path / "user.js").write_text("".join(lines))
    switches = ["--headless", "--no-remote", "--profile", tmp_path, "--remote-debugging-port", "0"]
    with subprocess.Popen([found, *switches], stderr=subprocess.PIPE, text=True) as process:
        try:
            address = next(filter(None, (re.search(r"ws://\S+", line) for line in process.stderr)))
            driven = Firefox(address[0])
            yield driven
            driven.socket.close()
        finally:
            process.terminate()
    told = [event["params"] for event in driven.heard]
    asked = [one["request"]["url"] for one in told if "request" in one]
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))]
    assert not [one["text"] for one in told if one.get("level") == "error"]
