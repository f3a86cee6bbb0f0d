"""What an answer is compared by, and the words for a mistake that is on no list."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

_MOST_SHOWN = {True: 8, False: 32}  # numbers of an input, floating or whole


class TypeFault(Exception):
    """The function returned something that cannot be compared."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind


def to_tensor(value: Any) -> Tensor:  # noqa: ANN401
    """Tensors, arrays, numbers, and lists of these, as a tensor."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, list | tuple) and any(isinstance(v, Tensor) for v in value):
        return torch.stack([to_tensor(v) for v in value])
    try:
        return torch.from_numpy(np.array(value, dtype=np.float64))
    except (TypeError, ValueError):
        words = f"it returns {type(value).__name__}, and numbers are needed."
        raise TypeFault("type", words) from None


def weigh(results: Iterable[Tensor]) -> Tensor:
    """One number that depends on every entry, each with its own weight."""
    flat = torch.cat([result.flatten().double() for result in results])
    return (flat * (1 + 0.1 * torch.arange(len(flat)))).sum()


def is_same(a: Tensor | None, b: Tensor | None, tolerance: float) -> bool:
    """Equal shapes and numbers; a single number may or may not have a dimension."""
    if a is None or b is None:
        return a is b
    if b.ndim == 0 and a.numel() == 1:
        a = a.reshape(())
    if a.shape != b.shape:
        return False
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


def describe(
    key: str,
    got: Tensor | None,
    due: Tensor | None,
    all_got: Sequence[Tensor | None],
    all_due: Sequence[Tensor | None],
) -> tuple[str, str]:
    """The kind of a mistake that is not on the list, and words for it."""
    what = "" if key == "result" else f" ({key})"
    if got is None or due is None:
        where = "detach(), item(), NumPy, no_grad or a plain sample"
        return "value", f"no gradient arrives{what}. Where is the path cut: {where}?"
    if got.shape != due.shape:
        return "shape", f"the shape is wrong{what}: {_compare_shapes(got, due)}"
    if not got.isfinite().all() and due.isfinite().all():
        if got.isnan().any():
            words = f"the result contains NaN (not a number){what}. Is there a log or "
            words += "a root of a negative number, a 0 · ∞, an ∞ − ∞ or a 0/0? (A log "
            return "nan", words + "of 0 is −∞, an exp of a large number ∞.)"
        words = f"the result contains an infinity{what}. Is there a log of 0, an exp "
        return "nan", words + "of a large number or a division by 0?"
    pattern = _find_pattern(all_got, all_due)
    at = int((got - due).abs().argmax())
    index = [int(i) for i in np.unravel_index(at, got.shape)]
    place = f" at {index}" if index else ""
    numbers = f"yours {got.flatten()[at]:.6g}, expected {due.flatten()[at]:.6g}"
    return "value", f"not yet{what}. {pattern}{numbers}{place}."


def _compare_shapes(got: Tensor, due: Tensor) -> str:
    words = f"yours {tuple(got.shape)}, expected {tuple(due.shape)}."
    if got.numel() == 1:
        return words + " One number for all: over what did you sum or average too much?"
    if got.ndim == 2 and due.ndim == 1 and set(got.shape) <= {1, len(due)}:
        words += " PyTorch would not complain later: it broadcasts, and computes every"
        words += " pair. Which dimension is one too many?"
    elif due.shape in (got.shape[: due.ndim], got.shape[-due.ndim :]):
        words += " Over what do you still have to sum, or to average?"
    return words


def _find_pattern(
    all_got: Sequence[Tensor | None], all_due: Sequence[Tensor | None]
) -> str:
    """A constant factor or offset, which is often the whole clue."""
    got = torch.cat([t.flatten() for t in all_got if t is not None])
    due = torch.cat([t.flatten() for t in all_due if t is not None])
    if got.shape != due.shape or len(due) < 3:
        return ""
    counts = (got != 0) | (due != 0)  # 0 is any number of times 0
    ratio, offset = (got / due)[counts], got - due
    factor, shift = ratio.mean().item(), offset.mean().item()
    # Two nats of a thousand are no factor: near 1 the distance from 1 is what counts,
    # and where both look constant, the one that varies less is meant.
    factor_varies = _variation(ratio, min(abs(factor), abs(factor - 1)))
    shift_varies = _variation(offset, abs(shift))
    if factor_varies < 1e-3 and factor_varies <= shift_varies:
        return "The sign is reversed: " * math.isclose(factor, -1, abs_tol=1e-3) or (
            f"Always {factor:.5g} times the right number: "
        )
    if shift_varies < 1e-3:
        return f"Always {shift:+.4g} off, whatever the input: "
    if offset.abs().max() < 0.01 * min(10.0, due.abs().max().item()):
        words = "rounding, samples in place of a formula, a search that is too coarse?"
        return f"Close, but not exact ({words}): "
    return ""


def _variation(values: Tensor, size: float) -> float:
    """Their standard deviation in units of `size`; infinite where a number is not.

    Of fewer than three numbers too: they say little.
    """
    if len(values) < 3 or not values.isfinite().all() or size == 0:
        return math.inf
    return values.std().item() / size


def list_inputs(inputs: Mapping[str, Any]) -> str:
    """The inputs of a mistake, where they are few enough to read."""
    shown = []
    for name, value in inputs.items():
        if not isinstance(value, Tensor):
            continue
        if value.numel() <= _MOST_SHOWN[value.is_floating_point()]:
            shown.append(f"{name} = {np.round(value.tolist(), 3).tolist()}")
        else:
            shown.append(f"{name} of shape {tuple(value.shape)}")
    return "\n  For " + ", ".join(shown) if shown else ""
