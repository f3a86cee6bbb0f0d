"""Every solution passes its check, every listed wrong answer gets its own hint."""

import inspect
import re
from contextlib import contextmanager

from vae_helpers.densities import gaussian_kl
from vae_helpers.exercises import EXERCISES
from vae_helpers.exercises import elbo as elbo_lessons
from vae_helpers.exercises.engine import Exercise, Wrong, normal

import nbformat
import numpy as np
import pytest
import torch
from save_notebooks import NOTEBOOKS

WRONGS = [(name, i) for name in EXERCISES for i in range(len(EXERCISES[name].wrongs))]
LESSONS = {path: nbformat.read(path, 4) for path in NOTEBOOKS.glob("[0-9]*.ipynb")}
SOLUTIONS = {
    path: nbformat.read(path, 4) for path in NOTEBOOKS.glob("solutions/*.ipynb")
}
STARS = {"★☆☆": (5, 15), "★★☆": (10, 20), "★★★": (15, 30)}


@contextmanager
def default_dtype(dtype):
    was = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(was)


both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def as_reader(answer):
    """The same function, as if it stood in a notebook."""
    return lambda *inputs: answer(*inputs)


def find_cells(notebooks, prefix):
    """Exercise → (path, cell), by the ids of the cells."""
    return {
        cell.id.removeprefix(prefix): (path, cell)
        for path, notebook in notebooks.items()
        for cell in notebook.cells
        if cell.id.startswith(prefix)
    }


WORDS, STUBS = (find_cells(LESSONS, prefix) for prefix in ("exercise_", "my_"))
CHECKS, SOLVED = find_cells(LESSONS, "check_"), find_cells(SOLUTIONS, "my_")


def run(source, setup=""):
    space = {}
    exec(setup, space)
    exec(source, space)
    return space


@pytest.fixture(scope="module")
def solutions():
    """The functions of the notebooks of solutions."""
    found = {}
    for path, notebook in SOLUTIONS.items():
        (setup,) = [cell.source for cell in notebook.cells if cell.id == "setup"]
        for name, (where, cell) in SOLVED.items():
            if where == path:
                found[name] = run(cell.source, setup)[f"my_{name}"]
    return found


# ── the exercises ───────────────────────────────────────────────────────────────────


def test_there_are_enough_and_each_knows_typical_mistakes():
    assert len(WRONGS) >= 40
    for name, exercise in EXERCISES.items():
        assert len({wrong.hint for wrong in exercise.wrongs}) >= 3, name


@both_dtypes
@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_passes(name, dtype, solutions):
    with default_dtype(dtype):
        for seed in range(2):
            reply = EXERCISES[name].examine(solutions[name], seed)
            assert reply.passed, reply.message
    assert reply.message == f"✓ my_{name}: {EXERCISES[name].remember}"


@pytest.mark.parametrize(("name", "i"), WRONGS)
def test_a_wrong_answer_gets_its_own_hint(name, i):
    wrong = EXERCISES[name].wrongs[i]
    with default_dtype((torch.float32, torch.float64)[i % 2]):
        reply = EXERCISES[name].examine(as_reader(wrong.answer), seed=i)
    assert reply.kind == "known", reply.message
    assert EXERCISES[name].wrongs[reply.hint].hint == wrong.hint, reply.message
    assert reply.message.endswith(wrong.hint)


@pytest.mark.parametrize("name", EXERCISES)
def test_inputs_are_new_each_time_and_the_same_for_a_seed(name):
    seen = []

    def note(*inputs):
        seen.append([value for value in inputs if isinstance(value, torch.Tensor)])

    seeds = (None, None, 5, 5)
    for seed in seeds:
        EXERCISES[name].examine(note, seed)  # it returns None, so one round is enough
    first, second, third, fourth = seen
    assert not all(map(torch.equal, first, second))
    assert all(map(torch.equal, third, fourth))


# ── their cells in the notebooks ────────────────────────────────────────────────────


@pytest.mark.parametrize("name", STUBS)
def test_an_exercise_has_words_a_stub_a_check_and_a_solution(name):
    path, words = WORDS[name]
    cells = LESSONS[path].cells
    at = cells.index(words)
    assert [cell.id for cell in cells[at : at + 3]] == [
        f"exercise_{name}",
        f"my_{name}",
        f"check_{name}",
    ]
    assert all(cell.metadata.tags == ["exercise"] for cell in cells[at : at + 3])
    heading = words.source.splitlines()[0]
    match = re.match(r"### Exercise \d (\S+) · (\d+) minutes · ", heading)
    stars, minutes = match.groups()
    assert STARS[stars][0] <= int(minutes) <= STARS[stars][1]
    solved = SOLVED[name][0].name  # a side trip's may stand with its lesson's
    assert f"(solutions/{solved})" in words.source
    assert solved[:2] == path.name[:2]


def test_every_exercise_stands_in_a_notebook_and_is_numbered():
    assert set(STUBS) == set(EXERCISES) == set(SOLVED)
    for path, notebook in LESSONS.items():
        headings = re.findall(
            r"(?m)^### Exercise (\d)", "\n".join(c.source for c in notebook.cells)
        )
        assert headings == [str(i + 1) for i in range(len(headings))], path


@pytest.mark.parametrize("name", STUBS)
def test_an_untouched_stub_says_so_and_has_the_arguments_of_the_check(
    name, capsys, solutions
):
    space = run(STUBS[name][1].source)
    stub = space[f"my_{name}"]
    exec(CHECKS[name][1].source, space)
    said = f"… my_{name}: not done yet: replace the `...` above, then run both cells"
    assert capsys.readouterr().out == said + " again.\n"
    assert EXERCISES[name].examine(stub).kind == "stub"
    assert inspect.signature(stub) == inspect.signature(solutions[name])
    assert stub.__doc__ == solutions[name].__doc__


# ── what else a check says ──────────────────────────────────────────────────────────


def make(**changes):
    """An exercise whose right answer is a + b of each row."""
    settings = {
        "name": "sum",
        "fresh": lambda g: {"a": normal(g, 2), "b": normal(g, 2)},
        "referee": lambda a, b: a.numpy() + b.numpy(),
        "remember": "they add up",
        "wrongs": [Wrong("a product", lambda a, b: a * b)],
    }
    return Exercise(**(settings | changes))


def test_other_forms_of_a_right_answer_pass():
    def loop(a, b):
        return [float(x) + float(y) for x, y in zip(a, b, strict=True)]

    forms = [
        loop,
        lambda a, b: np.asarray(a) + np.asarray(b),
        lambda a, b: a.double() + b.double(),
        lambda a, b: [x + y for x, y in zip(a, b, strict=True)],
        lambda a, b: torch.einsum("in->n", torch.stack([a, b])),
        lambda a, b: a.add_(b),  # changes its input
    ]
    for form in forms:
        assert make().examine(form).message == f"✓ {form.__name__}: they add up"


def test_a_whole_formula_written_otherwise_passes():
    def loops(mu_1, logvar_1, mu_2, logvar_2):
        rows = []
        for m1, l1, m2, l2 in zip(mu_1, logvar_1, mu_2, logvar_2, strict=True):
            total = 0.0
            for i in range(len(m1)):
                v1, v2 = np.exp(float(l1[i])), np.exp(float(l2[i]))
                gap = float(m1[i] - m2[i])
                total += 0.5 * np.log(v2 / v1) + (v1 + gap**2) / (2 * v2) - 0.5
            rows.append(total)
        return rows

    assert elbo_lessons.check_gaussian_kl.examine(loops).passed


SAYS = {
    "it returns None. Is a `return` missing?": lambda a, b: print(end=""),
    "it returns str, and numbers are needed.": lambda a, b: "a",
    "some `...` are still there": lambda a, b: ...,
    "yours (2, 1), expected (2,). PyTorch would not complain": lambda a, b: (a + b)[
        :, None
    ],
    "yours (2, 2), expected (2,). PyTorch would not complain": lambda a, b: (
        a + b[:, None]
    ),
    "yours (), expected (2,). One number for all": lambda a, b: (a + b).sum(),
    "yours (2, 5), expected (2,). Over what do you still have to sum": lambda a, b: (
        a[:, None] + b[:, None] + torch.arange(5)
    ),
    "yours (5, 2), expected (2,). Over what do you still have to sum": lambda a, b: (
        a + b + torch.arange(5)[:, None]
    ),
    "yours (3,), expected (2,).": lambda a, b: torch.zeros(3),
    "it gives another result each time": lambda a, b: a + torch.rand(2),
    "contains NaN (not a number)": lambda a, b: (a + b) * torch.nan,
    "contains an infinity": lambda a, b: (a + b) / 0,
    "a log or a root of a negative number": lambda a, b: (-1 - (a + b).square()).log(),
    "The sign is reversed: yours": lambda a, b: -a - b,
    "Always 2 times the right number: yours": lambda a, b: 2 * (a + b),
    "Always +3 off, whatever the input: yours": lambda a, b: a + b + 3,
    "Close, but not exact (rounding, samples": lambda a, b: (
        (500 * (a + b)).round() / 500
    ),
    "Always 1.002 times the right number": lambda a, b: 1.002 * (a + b),
    "it raised SystemExit": lambda a, b: exit(),
    "it raised ZeroDivisionError: division by zero\n  in your line": lambda a, b: 1 / 0,
    "the check passes, in this order: a, b": lambda a: a,
    "not yet. yours": lambda a, b: a + b**2,
    "a product": lambda a, b: a * b,
}


@pytest.mark.parametrize("words", SAYS)
def test_it_says_what_is_wrong(words, capsys):
    make()(SAYS[words], seed=3)
    said = capsys.readouterr().out
    assert words in said
    assert said[0] in "✗…"
    if "yours" in said:
        assert "For a = [" in said
        assert said.endswith("Same inputs again: check_sum(…, seed=3)\n")
    assert make().examine(SAYS[words], 3).message + "\n" == said


def test_an_exception_is_shown_with_the_readers_own_line():
    def my_sum(a, b):
        total = a + b
        return total.lgo()  # this line

    message = make().examine(my_sum).message
    assert "AttributeError: 'Tensor' object has no attribute 'lgo'" in message
    assert message.endswith("return total.lgo()  # this line")


def test_what_is_not_a_function_of_the_readers_is_refused():
    assert "the function itself: check_sum(my_sum)" in make().examine(3).message
    assert "the course's own function" in make().examine(gaussian_kl).message


def test_a_constant_answer_is_not_taken_for_a_stub():
    def constant(a, b):
        return 0.3

    def words_alone(a, b):
        """Words."""

    assert make().examine(constant).kind == "shape"
    assert make().examine(words_alone).kind == "stub"


def test_two_results_must_be_two():
    two = make(
        returns=("sum", "difference"), referee=lambda a, b: (a + b, a - b), wrongs=[]
    )
    assert two.examine(lambda a, b: (a + b, a - b)).passed
    assert two.examine(lambda a, b: torch.stack([a + b, a - b])).passed
    assert "return 2 things" in two.examine(lambda a, b: (a, b, a)).message
    assert "return 2 things" in two.examine(lambda a, b: 3.0).message
    assert "return 2 things" in two.examine(lambda a, b: a.sum()).message
    assert "(difference)" in two.examine(lambda a, b: (a + b, 5 * a)).message
    assert two.examine(lambda a, b: (a + b, ...)).kind == "stub"


def test_a_number_of_samples_cannot_be_written_into_the_answer(solutions):
    def fixed(log_q, f):
        f = f.detach()
        return ((f - (f.sum() - f) / 4) * log_q).mean()

    assert not EXERCISES["score_loss"].examine(fixed, 0).passed
    terms = solutions["elbo_terms"]

    def one_tensor(*inputs):
        log_px_z, kl = terms(*inputs)
        return log_px_z - kl  # as many numbers as images, which are not the two results

    assert "return 2 things" in EXERCISES["elbo_terms"].examine(one_tensor).message


def test_sizes_vary_so_that_a_lucky_one_does_not_pass():
    counts = {"score_loss": ("eps", 0), "elbo_terms": ("logits", 0)}
    counts |= {"typical_p": ("log_p", 0), "iwae_bound": ("z", 0)}
    for name, (argument, dim) in counts.items():
        fresh = EXERCISES[name].fresh
        seen = {
            fresh(torch.Generator().manual_seed(i))[argument].shape[dim]
            for i in range(200)
        }
        assert len(seen) > 40, name


def test_a_turned_result_is_compared_as_well():
    """Its entries do not lie in order in memory, and no traceback may follow."""
    square = make(
        fresh=lambda g: {"a": normal(g, 2, 3)},
        referee=lambda a: a.T.numpy().copy(),
        wrongs=[],
    )
    assert square.examine(lambda a: a.T).passed
    assert "not yet. yours" in square.examine(lambda a: (a**2).T).message


def test_a_factor_is_seen_beside_zeros():
    zeros = make(
        fresh=lambda g: {"a": normal(g, 12), "b": normal(g, 12)},
        referee=lambda a, b: (a - b).relu(),
        wrongs=[],
    )
    for seed in range(20):
        message = zeros.examine(lambda a, b: 2 * (a - b).relu(), seed).message
        assert "Always 2 times the right number" in message


REPLIES = [  # answers of newcomers: exercise, answer, what it is told
    (
        "integral",
        lambda log_p, axis: log_p(np.ones((3, 2))),
        "tensor of points z",
    ),
    (
        "integral",
        lambda log_p, axis: log_p([[1.0, 2.0]]),
        "and got list",
    ),
    (
        "grid_gap",
        lambda log_joint, log_q, area: log_joint.logsumexp(0) + np.log(area),
        "That is log p(x).",
    ),
    (
        "unlabelled_elbo",  # without any path to the logits
        lambda elbos, logits: elbos.logsumexp(1) - np.log(4),
        "The classifier has disappeared",
    ),
    (
        "elbo_terms",
        lambda x, mu, logvar, logits: (
            (x * logits - torch.nn.functional.softplus(logits)).sum((1, 2, 3, 4)),
            gaussian_kl(mu, logvar),
        ),
        "one number for each of the L samples",
    ),
    (
        "slerp",
        lambda a, b, t: _slerp(a, b, t, torch.cosine_similarity(a, b, dim=0).asin()),
        "gives the *cosine* of the angle",
    ),
]


def _slerp(a, b, t, angle):
    return (
        ((1 - t) * angle).sin()[:, None] * a + (t * angle).sin()[:, None] * b
    ) / angle.sin()


@pytest.mark.parametrize(("name", "answer", "words"), REPLIES)
def test_a_newcomers_answer_is_told_what_is_true(name, answer, words):
    for seed in range(6):
        assert words in EXERCISES[name].examine(answer, seed).message


def test_a_posterior_from_torch_passes_where_shares_are_tiny():
    def by_torch(log_joint, log_q, area):
        q, posterior = (
            torch.distributions.Categorical(logits=log) for log in (log_q, log_joint)
        )
        return torch.distributions.kl_divergence(q, posterior)

    for seed in range(20):
        assert EXERCISES["grid_gap"].examine(by_torch, seed).passed


def test_a_few_nats_of_a_thousand_are_no_factor():
    large = make(referee=lambda a, b: a + b - 1000, wrongs=[])
    for seed in range(50):  # with some, 998 in place of 1,000 looks like a factor, too
        near = large.examine(lambda a, b: 2 * a + b - 1002, seed)
        assert "not yet. yours" in near.message
        assert "Always +2 off" in large.examine(lambda a, b: a + b - 998, seed).message


def test_gradients_are_compared_as_well():
    slope = make(gradients=("a",), referee=lambda a, b: a**2 + b, wrongs=[])
    assert slope.examine(lambda a, b: a * a + b).passed
    cut = "no gradient arrives (gradient in a). Where is the path cut"
    assert cut in slope.examine(lambda a, b: (a * a).detach() + b).message
    assert cut in slope.examine(lambda a, b: np.square(a.tolist()) + b.numpy()).message
    assert cut in slope.examine(lambda a, b: a.detach() ** 2 + b.exp().log()).message
    half = slope.examine(lambda a, b: a * a.detach() + b).message
    assert "not yet (gradient in a)" in half


def test_the_random_numbers_of_the_lesson_are_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    make().examine(lambda a, b: torch.rand(2))
    assert torch.equal(torch.rand(3), expected)
