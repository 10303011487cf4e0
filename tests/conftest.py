"""What the tests share: repeatable examples, few threads, real cines and a browser where there are any."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("course", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("course")
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


@pytest.fixture(scope="session")
def cine_dev() -> Path:
    """Real cines, kept outside the repository."""
    path = ROOT.parent / "shared" / "data" / "cine_dev.npz"
    if not path.exists():
        pytest.skip("no real cines here (cine_dev.npz)")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Headless Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no Chromium here: install the package chromium to run the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        switches = ["--no-sandbox", "--disable-dev-shm-usage"]
        launched = playwright.chromium.launch(executable_path=found, args=switches)
        yield launched
        launched.close()


@pytest.fixture
def page(browser) -> Iterator:
    """A page without network; the test fails if it asks for anything but files, or complains."""
    context = browser.new_context(offline=True)
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    asked, complaints = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))]
    assert not complaints
