"""Helpers for the notebooks. Import it before PyTorch: see `_share_the_cores`."""

import os


def _share_the_cores() -> None:
    """Let OpenMP's threads sleep soon while they wait, where the user has not chosen.

    PyTorch's threads meet at a barrier some hundred times a training step. By default
    they wait there in a busy loop, and with one other busy program on the machine a
    step takes up to a hundred times as long. OpenMP reads these variables once, when
    PyTorch is loaded; hence the order of imports, which ruff and a test keep in every
    file. Measured by `scripts/benchmark_training.py --cores`.
    """
    if "OMP_WAIT_POLICY" in os.environ:
        return
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # GNU's OpenMP: turns of the loop
    os.environ.setdefault("KMP_BLOCKTIME", "1")  # LLVM's and Intel's: milliseconds


_share_the_cores()
