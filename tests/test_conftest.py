"""A notebook that hangs, dies or cannot run cells again is red; one that runs is green.

Each run is a pytest of its own, under the conftest of this project, on tiny notebooks.
"""

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import pytest
from save_notebooks import METADATA

CONFTEST = Path(__file__).resolve().parent.parent / "conftest.py"
FINE = "fine = True"
FAILS = "1 / 0"
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

# The cells of a notebook, and the first of them that is red.
HANGING = {
    "swallowed_in_the_middle": ([FINE, SWALLOWS, FINE], 1),
    "swallowed_and_later_cells_fail": ([SWALLOWS, FAILS, FAILS], 0),
    "an_ordinary_timeout": ([FINE, HANGS, FINE], 1),
    "swallowed_in_the_last": ([FINE, FINE, SWALLOWS], 2),
    "deaf_and_talking": ([FINE, DEAF, FINE], 1),
}


def replay(folder, notebooks, limit, *options):
    """The exit status of pytest, and for each notebook which cells were red.

    The last that may be red are the cells that run again.
    """
    for name, sources in notebooks.items():
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=METADATA)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    shutil.copy(CONFTEST, folder)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env"]
    command += [f"--nbval-cell-timeout={limit}", "--junitxml=report.xml", *options]
    ended = subprocess.run(command, cwd=folder, capture_output=True, timeout=300)
    red = {name: [] for name in notebooks}
    for case in ET.parse(folder / "report.xml").iter("testcase"):
        failed = {"failure", "error"} & {part.tag for part in case}
        red[case.get("classname").removesuffix(".ipynb")].append(bool(failed))
    return ended.returncode, red


@pytest.fixture(scope="module")
def hanging(tmp_path_factory):
    """All of them in one run; a cell may take two seconds."""
    notebooks = {name: cells for name, (cells, _) in HANGING.items()}
    return replay(tmp_path_factory.mktemp("hanging"), notebooks, 2)


@pytest.mark.parametrize("name", HANGING)
def test_a_cell_over_its_limit_is_red_and_so_are_all_below(hanging, name):
    status, red = hanging
    cells, first_red = HANGING[name]
    assert status == 1
    assert len(red[name]) == len(cells) + 1
    assert all(red[name][first_red:])


def test_a_last_cell_that_swallows_the_interrupt_is_red_in_a_worker(tmp_path):
    cells = {"tiny": [FINE, FINE, SWALLOWS]}
    status, red = replay(tmp_path, cells, 2, "-n", "1", "--dist", "loadscope")
    assert status == 1
    assert red["tiny"][-1]


# ── a kernel that dies, and cells that run again ────────────────────────────────────


# The cells of a notebook, and the one that cannot run again.
USED_UP = {
    "bound_again": (["x = [1]", "x[0]", "x = 1", FINE], 1),
    "emptied": (["x = [1]", FINE, FINE, "x.pop()"], 3),
}
NOTES = [f"print({number}, file=open('ran', 'a'))" for number in range(12)]
NOTES[9] += "; import time; time.sleep(2.1)"
OTHERS = {"notes": NOTES, "dies": [FINE, DIES, FINE]}


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """Which cells were red, and the folder of the run."""
    folder = tmp_path_factory.mktemp("again")
    notebooks = {name: cells for name, (cells, _) in USED_UP.items()} | OTHERS
    status, red = replay(folder, notebooks, limit=1000)
    assert status == 1
    return red, folder


@pytest.mark.parametrize("name", USED_UP)
def test_a_middle_cell_that_cannot_run_again_is_red_and_named(again, name):
    red, folder = again
    assert red[name] == [False] * 4 + [True]
    report = (folder / "report.xml").read_text()
    shown = report.partition(f'classname="{name}.ipynb" name="Cells again"')[2]
    assert f"Cell {USED_UP[name][1]}: " in shown.partition("</testcase>")[0]


def test_middle_cells_run_again_from_below_but_none_that_takes_long(again):
    red, folder = again
    assert red["notes"] == [False] * 13
    numbers = [int(line) for line in (folder / "ran").read_text().split()]
    assert numbers == [*range(12), 8, 6, 3]


def test_a_kernel_that_dies_is_red_without_waiting_for_the_limit(again):
    assert again[0]["dies"] == [False, True, True, True]


def test_a_notebook_that_runs_is_green(tmp_path):
    assert replay(tmp_path, {"single": [FINE]}, 100) == (0, {"single": [False] * 2})
