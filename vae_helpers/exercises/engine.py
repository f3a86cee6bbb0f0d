"""How an exercise checks an answer: fresh inputs, a referee, and known wrong answers.

An `Exercise` runs the reader's function on random inputs, new ones each time, and
compares the results with a referee that shares no code with the course: a closed form,
`torch.distributions`, SciPy, scikit-learn, quadrature, finite differences. What equals
the referee has passed, however it was written. What equals a typical wrong answer gets
the hint for that one; anything else is told what differs. Nothing is raised, so that
*Run All* goes on.
"""

import dis
import linecache
import secrets
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

from vae_helpers.exercises.compare import (
    TypeFault,
    describe,
    is_same,
    list_inputs,
    to_tensor,
    weigh,
)

import torch
from torch import Generator, Tensor

Answer = Callable[..., Any]
Inputs = dict[str, Any]
Found = dict[str, Tensor | None]  # what is compared; None where no gradient arrives

_N_ROUNDS = 3  # a wrong answer that is right by chance once is not so three times


@dataclass(frozen=True)
class Wrong:
    """A typical wrong answer, and the question or pointer that fits it."""

    hint: str
    answer: Answer


@dataclass(frozen=True)
class Reply:
    """What a check says. kind: right, stub, known, raised, type, nan, shape or value.

    A `known` wrong answer has the number of its hint, from 0.
    """

    kind: str
    message: str
    hint: int | None = None

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.kind == "right"


@dataclass(frozen=True)
class Exercise:
    """A check that can be called: `check_kl(my_kl)` prints what it finds.

    name: the reader writes `my_<name>`, and the check is `check_<name>`.
    fresh: random inputs, by the names of the arguments; floats of the default dtype.
    referee: the same inputs in float64 → the right result, or a dictionary of all that
        is compared.
    remember: what a right answer is told.
    wrongs: the typical wrong answers.
    returns: names of the results; more than one is a tuple.
    gradients: the inputs in which the gradient is compared too; the referee's is taken
        by finite differences.
    arguments: what the function is called with, made from the inputs, where these are
        not the arguments themselves.
    only_gradients: the value does not count, as for a surrogate loss.
    tolerance: relative to 1 + the size of the right number. Inputs are mostly of
        32 bits, with seven digits; a wrong formula differs in the first or second.
    """

    name: str
    fresh: Callable[[Generator], Inputs]
    referee: Answer
    remember: str
    wrongs: Sequence[Wrong]
    returns: Sequence[str] = ("result",)
    gradients: Sequence[str] = ()
    arguments: Callable[..., Sequence[Any]] = lambda *inputs: inputs
    only_gradients: bool = False
    tolerance: float = 1e-4

    def __call__(self, answer: Answer, *, seed: int | None = None) -> None:
        """Check the function `answer` and print one or a few lines.

        seed: repeats the inputs that a message named; without it they are new.
        """
        print(self.examine(answer, seed).message)

    def examine(self, answer: Answer, seed: int | None = None) -> Reply:
        """As calling it, but the reply is returned and not printed."""
        if (mistaken := self._refuse(answer)) is not None:
            return mistaken
        seed = secrets.randbelow(1_000_000) if seed is None else seed
        rounds = [self.fresh(_seeded(seed, i)) for i in range(_N_ROUNDS)]
        with torch.random.fork_rng(devices=[]):  # the lesson's random numbers stay
            torch.manual_seed(seed)
            try:
                found = [self.measure(answer, inputs) for inputs in rounds]
                again = self.measure(answer, rounds[0])
            except TypeFault as fault:
                return Reply(fault.kind, self._title(answer, fault.kind) + str(fault))
            except (Exception, SystemExit) as error:
                return Reply("raised", self._explain(answer, error))
        expected = [self.expect(inputs) for inputs in rounds]
        if self._agree(found, expected):
            title = self._title(answer, "right")
            return Reply("right", title + self.remember)
        if not self._agree(found[:1], [again]):
            words = "it gives another result each time. Use the random numbers among "
            words += "its arguments; if there are none, a formula instead of samples."
            return Reply("value", self._title(answer, "value") + words)
        kind, words, hint = self._diagnose(rounds, found, expected)
        if kind != "known":
            words += f"\n  Same inputs again: check_{self.name}(…, seed={seed})"
        return Reply(kind, self._title(answer, kind) + words, hint)

    def measure(self, answer: Answer, inputs: Inputs) -> Found:
        """What a function returns for the inputs, and its gradients, if they count."""
        leaves = {name: _copy(value) for name, value in inputs.items()}
        for name in self.gradients:
            leaves[name].requires_grad_()
        results = self._unpack(answer(*self.arguments(*leaves.values())))
        found: Found = {} if self.only_gradients else dict(results)
        if self.gradients:
            total = weigh(results.values())
            for name in self.gradients:
                slope = None
                if total.requires_grad:
                    (slope,) = torch.autograd.grad(
                        total, leaves[name], retain_graph=True, allow_unused=True
                    )
                found[f"gradient in {name}"] = slope
        return {k: None if v is None else v.detach().double() for k, v in found.items()}

    def expect(self, inputs: Inputs) -> Found:
        """What the referee says, in float64."""
        exact = {name: _copy(value, torch.float64) for name, value in inputs.items()}
        result = self.referee(*exact.values())
        if isinstance(result, dict):
            return {name: to_tensor(value).double() for name, value in result.items()}
        found: Found = {} if self.only_gradients else dict(self._unpack(result))
        for name in self.gradients:
            found[f"gradient in {name}"] = self._differentiate(exact, name)
        return found

    def _differentiate(self, inputs: Inputs, name: str, step: float = 1e-5) -> Tensor:
        """Central differences of the referee, one entry of the input at a time."""
        slopes = torch.zeros_like(inputs[name])
        for i in range(slopes.numel()):
            ends = []
            for side in (-step, step):
                moved = inputs[name].clone()
                moved.view(-1)[i] += side
                result = self.referee(*(inputs | {name: moved}).values())
                ends.append(weigh(self._unpack(result).values()))
            slopes.view(-1)[i] = (ends[1] - ends[0]) / (2 * step)
        return slopes

    def _unpack(self, result: Any) -> dict[str, Tensor]:  # noqa: ANN401
        """The results by name, as tensors."""
        n = len(self.returns)
        if n > 1 and isinstance(result, Tensor) and result.ndim:
            result = tuple(result)
        parts = result if n > 1 and isinstance(result, tuple | list) else (result,)
        if any(part is ... for part in parts):
            raise TypeFault("stub", "some `...` are still there: replace them.")
        if any(part is None for part in parts):
            raise TypeFault("type", "it returns None. Is a `return` missing?")
        if len(parts) != n:
            wanted = ", ".join(self.returns)
            raise TypeFault("type", f"return {n} things, separated by commas: {wanted}")
        return dict(zip(self.returns, map(to_tensor, parts), strict=True))

    def _refuse(self, answer: Answer) -> Reply | None:
        """A reply to what is not a function of the reader's, or is still a stub."""
        if not callable(answer):
            call = f"check_{self.name}(my_{self.name})"
            return Reply("type", f"✗ give the check the function itself: {call}")
        if str(getattr(answer, "__module__", "")).startswith("vae_helpers."):
            words = "this is the course's own function. Write yours in the cell above."
            return Reply("type", self._title(answer, "type") + words)
        if _is_stub(getattr(answer, "__code__", None)):
            words = "not done yet: replace the `...` above, then run both cells again."
            return Reply("stub", self._title(answer, "stub") + words)
        return None

    def _title(self, answer: Answer, kind: str) -> str:
        mark = {"right": "✓", "stub": "…"}.get(kind, "✗")
        return f"{mark} {getattr(answer, '__name__', 'your function')}: "

    def _explain(self, answer: Answer, error: BaseException) -> str:
        """An exception in one line, with the reader's own line below it."""
        said = str(error).strip().splitlines()
        words = f"it raised {type(error).__name__}"
        words += f": {said[0]:.200}" if said else ""
        own = getattr(getattr(answer, "__code__", None), "co_filename", None)
        frames = traceback.extract_tb(error.__traceback__)
        if lines := [frame.lineno for frame in frames if frame.filename == own]:
            source = linecache.getline(own or "", lines[-1] or 0).strip()
            words += f"\n  in your line {lines[-1]}: {source}"
        else:
            names = ", ".join(self.fresh(_seeded(0, 0)))
            words += f"\n  (the check passes, in this order: {names})"
        return self._title(answer, "raised") + words

    def _agree(self, found: Sequence[Found], expected: Sequence[Found]) -> bool:
        pairs = zip(found, expected, strict=True)
        return all(
            is_same(a[key], b[key], self.tolerance) for a, b in pairs for key in b
        )

    def _diagnose(
        self, rounds: list[Inputs], found: list[Found], expected: list[Found]
    ) -> tuple[str, str, int | None]:
        """What kind of mistake it is, in words, and the number of the hint if known."""
        with torch.random.fork_rng(devices=[]):
            for i, wrong in enumerate(self.wrongs):
                theirs = [self.measure(wrong.answer, inputs) for inputs in rounds]
                if self._agree(found, theirs):
                    return "known", f"not yet. {wrong.hint}", i
        for inputs, got, due in zip(rounds, found, expected, strict=True):
            for key in due:
                if not is_same(got[key], due[key], self.tolerance):
                    all_got = [f[key] for f in found]
                    all_due = [f[key] for f in expected]
                    kind, words = describe(key, got[key], due[key], all_got, all_due)
                    return kind, words + list_inputs(inputs), None
        raise AssertionError("unreachable: found and expected differ somewhere")


def normal(generator: Generator, *shape: int) -> Tensor:
    """Standard normal numbers of the default dtype."""
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(
        torch.get_default_dtype()
    )


def uniform(
    generator: Generator, *shape: int, low: float = 0.0, high: float = 1.0
) -> Tensor:
    """Uniform numbers of the default dtype between low and high."""
    unit = torch.rand(shape, generator=generator, dtype=torch.float64)
    return (low + (high - low) * unit).to(torch.get_default_dtype())


def _is_stub(code: CodeType | None) -> bool:
    """Whether the body is words and `...` alone, so that only `return None` is left."""
    if code is None:
        return False
    returns = ("LOAD_CONST", "RETURN_CONST", "RETURN_VALUE")
    return all(
        step.opname in ("RESUME", "NOP")
        or (step.opname in returns and step.argval is None)
        for step in dis.get_instructions(code)
    )


def _seeded(seed: int, round_: int) -> Generator:
    return torch.Generator().manual_seed(1000 * seed + round_)


def _copy(value: Any, dtype: torch.dtype | None = None) -> Any:  # noqa: ANN401
    """A tensor of its own, so that nobody changes another's; the rest as it is."""
    if not isinstance(value, Tensor):
        return value
    return value.clone() if not value.is_floating_point() else value.to(dtype).clone()
