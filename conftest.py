"""What holds for all tests: small data, one thread a worker, and no hang that passes.

When a cell exceeds its limit, nbval expects the rest of the notebook to fail and calls
that a success; it never looks whether the kernel is still alive, and it listens for
ever to one that goes on printing. Here each of these is a failure, and soon.
"""

import math
import os
import time
from queue import Empty

import pytest
from nbval import plugin as nbval
from nbval.kernel import RunningKernel

os.environ.setdefault("VAE_DATASET", "digits")
if "PYTEST_XDIST_WORKER" in os.environ:  # one of those that share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")


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


nbval.RunningKernel = WatchedKernel


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    """Once a cell has exceeded its limit, it and all cells below have failed."""
    report = yield
    timed_out = getattr(item.parent, "timed_out", False)
    if timed_out and call.when != "teardown" and not report.failed:
        vars(report).pop("wasxfail", None)  # else pytest counts it as expected
        report.outcome = "failed"
        report.longrepr = "this cell, or one above it, exceeded --nbval-cell-timeout"
    return report
