"""What browser tests share: JupyterLab on a free port, and Chromium to look at it."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from save_notebooks import METADATA

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MISSING = "no Chromium" if CHROMIUM is None else ""
try:
    from playwright.sync_api import TimeoutError, expect, sync_playwright

    expect.set_options(timeout=30_000)
except ImportError:
    expect = None
    MISSING = "playwright is not installed: pip install -e '.[browser]'"

skip_without_browser = pytest.mark.skipif(
    bool(MISSING) and not os.environ.get("CI"), reason=f"opens a browser; {MISSING}"
)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update"]


@contextlib.contextmanager
def chromium():
    """A browser for as long as it is needed."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def write_notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=METADATA), path)


@contextlib.contextmanager
def jupyterlab(folder: Path):
    """The address of a JupyterLab that serves a folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    options = {"ServerApp.port": port, "ServerApp.ip": "127.0.0.1"}
    options |= {"IdentityProvider.token": "", "ServerApp.root_dir": folder}
    command += [f"--{key}={value}" for key, value in options.items()]
    log = (folder / "lab.log").open("wb")
    server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/api/status", server)
        yield f"http://127.0.0.1:{port}/lab"
    finally:
        server.terminate()
        server.wait(20)


def wait_for(url, server, seconds=180):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.poll() is None, "JupyterLab ended"
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(url, timeout=2)
        time.sleep(0.2)
    raise AssertionError("JupyterLab did not answer")


def run_cell(page, shown, index=0, seconds=180):
    """Press Control + Enter, again if JupyterLab was not yet ready to hear it.

    shown: what the cell shows, a locator.
    """
    deadline = time.monotonic() + seconds
    while not shown.count() and time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            if page.locator(".jp-Dialog").count():  # "select a kernel", if it was slow
                page.keyboard.press("Enter")
            if "*" not in page.locator(".jp-InputPrompt").nth(index).inner_text():
                page.locator(".cm-content").nth(index).click(timeout=3000)
                page.keyboard.press("Control+Enter")
            shown.first.wait_for(timeout=3000)
    assert shown.count()


def save_and_open_again(page):
    """As a student does the next day: the notebook is saved, its kernel is gone."""
    page.locator(".jp-Notebook").click(position={"x": 3, "y": 3})
    page.keyboard.press("Control+s")
    page.locator(".jp-mod-dirty").wait_for(state="detached")
    server = page.url.split("/lab")[0]
    kernels = page.request.get(f"{server}/api/kernels").json()
    xsrf = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    for kernel in kernels:
        address = f"{server}/api/kernels/{kernel['id']}"
        page.request.delete(address, headers={"X-XSRFToken": xsrf["_xsrf"]})
    page.reload()
    page.locator(".jp-OutputArea-output").first.wait_for()


def wait_until(condition, seconds=30):
    """For what Playwright's `expect` does not know, such as pixels."""
    deadline = time.monotonic() + seconds
    while not (done := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert done
