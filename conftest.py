"""What holds for all tests: small data, one thread a worker, and no hang that passes.

When a cell exceeds its limit, nbval expects the rest of the notebook to fail and calls
that a success; it never looks whether the kernel is still alive, and it listens for
ever to one that goes on printing. Here each of these is a failure, and soon.

And when a notebook has run, some of its cells run again, as a reader may have them do.
"""

import math
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from queue import Empty

import pytest
from nbval import plugin as nbval
from nbval.kernel import RunningKernel

os.environ.setdefault("VAE_DATASET", "digits")
if "PYTEST_XDIST_WORKER" in os.environ:  # one of those that share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """No test sees a figure that another left open."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


class WatchedKernel(RunningKernel):
    """nbval's kernel; no wait for one that died or does not heed an interrupt."""

    ends = math.inf  # when to stop listening, after an interrupt

    def execute_cell_input(self, *args, **options) -> str:
        self.ends = math.inf
        return super().execute_cell_input(*args, **options)

    def interrupt(self) -> None:
        self.ends = time.monotonic() + 5
        super().interrupt()

    def get_message(self, stream: str, timeout: float | None = None) -> dict:
        """As nbval has it, but in pieces of a second, with a look at the kernel."""
        patience = math.inf if timeout is None else timeout
        ends = min(self.ends, time.monotonic() + patience)
        while (left := ends - time.monotonic()) > 0:
            try:
                return super().get_message(stream, min(left, 1))
            except Empty:
                if not self.is_alive():
                    raise RuntimeError("the kernel died") from None
        raise Empty


class CellsAgain(nbval.IPyNbCell):
    """Three cells in the middle of a notebook, run again in the opposite order."""

    def runtest(self) -> None:
        """Each the nearest to its place of those that took less than two seconds."""
        cells = self.parent.cells
        fast = [cell for cell in cells if getattr(cell, "seconds", math.inf) < 2]
        for place in (3 * len(cells) // 4, len(cells) // 2, len(cells) // 4):
            for cell in sorted(fast, key=lambda cell: abs(cell.cell_num - place))[:1]:
                self.cell_num, self.cell = cell.cell_num, cell.cell
                super().runtest()


def collect_cells(notebook: nbval.IPyNbFile) -> Iterator[nbval.IPyNbCell]:
    """As nbval has it, and after the cells, some of them again."""
    notebook.cells = list(_collect(notebook))
    yield from notebook.cells
    again = {"cell_num": 0, "cell": None, "options": defaultdict(bool)}
    yield CellsAgain.from_parent(notebook, name="Cells again", **again)


_collect = nbval.IPyNbFile.collect
nbval.IPyNbFile.collect = collect_cells
nbval.RunningKernel = WatchedKernel


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    """Once a cell has exceeded its limit, it and all cells below have failed."""
    report = yield
    if call.when == "call":
        item.seconds = call.duration
    timed_out = getattr(item.parent, "timed_out", False)
    if timed_out and call.when != "teardown" and not report.failed:
        vars(report).pop("wasxfail", None)  # else pytest counts it as expected
        report.outcome = "failed"
        report.longrepr = "this cell, or one above it, exceeded --nbval-cell-timeout"
    return report
