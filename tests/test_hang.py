"""A notebook that hangs, or whose kernel dies, is red; one that runs is green.

Each case is a pytest of its own, under the conftest of this project, on a notebook of
three cells.
"""

import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import pytest
from save_notebooks import METADATA

ROOT = Path(__file__).resolve().parent.parent
FINE = "x = 1"
HANGS = "import time; time.sleep(100)"
SWALLOWS = """
import time
try:
    time.sleep(100)
except KeyboardInterrupt:
    pass
"""
DEAF = """
import time, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
while True:
    time.sleep(0.1)
    print("still here", flush=True)
"""
DIES = "import os; os._exit(1)"


def replay(folder, cells, limit, *options):
    """The exit status, and for each cell whether it passed."""
    cells = [nbformat.v4.new_code_cell(cell, execution_count=1) for cell in cells]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=METADATA)
    nbformat.write(notebook, folder / "tiny.ipynb")
    shutil.copy(ROOT / "conftest.py", folder)
    command = [sys.executable, "-m", "pytest", "-q", "-c", "none.ini", "--rootdir=."]
    command += ["--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={limit}"]
    (folder / "none.ini").write_text("[pytest]\n")
    ended = subprocess.run(
        [*command, "--junitxml=report.xml", *options, "tiny.ipynb"],
        cwd=folder,
        capture_output=True,
        timeout=90,
    )
    cases = ET.parse(folder / "report.xml").iter("testcase")
    return ended.returncode, [len(case) == 0 for case in cases]


@pytest.mark.parametrize(
    ("cells", "first_red"),
    [
        pytest.param([FINE, SWALLOWS, FINE], 1, id="swallowed in the middle"),
        pytest.param([FINE, FINE, SWALLOWS], 2, id="swallowed in the last cell"),
        pytest.param([SWALLOWS, "1 / 0", "1 / 0"], 0, id="and later cells fail"),
        pytest.param([FINE, HANGS, FINE], 1, id="an ordinary timeout"),
        pytest.param([FINE, DEAF, FINE], 1, id="deaf and talking"),
    ],
)
def test_a_cell_over_its_limit_turns_it_and_all_below_red(tmp_path, cells, first_red):
    status, passed = replay(tmp_path, cells, limit=3)
    assert status == 1
    assert len(passed) == 3
    assert not any(passed[first_red:])


def test_the_same_holds_in_a_worker(tmp_path):
    status, passed = replay(tmp_path, [SWALLOWS, FINE, FINE], 3, "-n", "1")
    assert (status, passed) == (1, [False] * 3)


def test_a_kernel_that_dies_is_red_long_before_the_limit(tmp_path):
    started = time.monotonic()
    status, passed = replay(tmp_path, [FINE, DIES, FINE], limit=80)
    assert (status, passed) == (1, [True, False, False])
    assert time.monotonic() - started < 80


def test_a_notebook_that_runs_is_green(tmp_path):
    assert replay(tmp_path, [FINE, FINE, FINE], limit=80) == (0, [True] * 3)
