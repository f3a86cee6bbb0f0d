"""The ✓ lines of the lessons."""

import numpy as np
import torch
from torch import Tensor


def checkpoint(claim: str, holds: bool | np.bool_ | Tensor, measured: str = "") -> None:
    """Print `✓ claim` where the claim holds on this run, else `✗` and the figures.

    holds: a bool, of Python, of NumPy, or a tensor () of them; anything else, such as a
        NaN that Python takes for true, is refused with a `TypeError`.

    The line for a claim that holds never changes, so the tests can compare it; a claim
    that fails does not stop the notebook, because changing things to see them fail is a
    good way to learn.
    """
    if isinstance(holds, Tensor) and holds.dtype == torch.bool and holds.ndim == 0:
        holds = bool(holds)
    if not isinstance(holds, bool | np.bool_):
        raise TypeError(
            f"`holds` must be True or False and is {holds!r:.60}: compare the number "
            "with a limit, and end the comparison of many numbers with `.all()`"
        )
    if holds:
        print(f"✓ {claim}")
    else:
        print(f"✗ not on this run: {claim} {measured}".rstrip())
