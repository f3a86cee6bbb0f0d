"""Any cell of a notebook can run again after Run All: its names mean what they did.

Here the names alone are looked at: what a cell reads, no later cell may bind to
something else. What a cell does to a thing in place is seen where conftest.py runs some
cells again.
"""

import dis
import inspect
import re
from types import CodeType

import nbformat
import pytest
from save_notebooks import NOTEBOOKS

PATHS = sorted(NOTEBOOKS.rglob("*.ipynb"))
PATHS = [path for path in PATHS if ".ipynb_checkpoints" not in path.parts]


def globals_of(code):
    """The global names in the body of a function or class, and in those inside it."""
    steps = list(dis.get_instructions(code))
    own = {step.argval for step in steps if step.opname == "STORE_NAME"}  # a class's
    read = {s.argval for s in steps if s.opname in ("LOAD_GLOBAL", "LOAD_NAME")} - own
    inside = [part for part in code.co_consts if isinstance(part, CodeType)]
    return read.union(*map(globals_of, inside))


def runs_later(code):
    """Whether it is the body of a `def`; that of a class or comprehension runs at once.

    A lambda's may do either, and counts as one that runs at once.
    """
    return code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<")


def find_names(source):
    """What a cell does at top level, in order; (name, None, None) where it reads one.

    Where it binds one: (name, thing, names), the thing being what is imported or, if it
    is no import, unique, and the names the globals of the functions in it.
    """
    source = re.sub(r"(?m)^(\s*)[%!].*", r"\1pass", source)
    module, thing, inside = None, None, set()
    for step in dis.get_instructions(compile(source, "cell", "exec")):
        if step.opname == "LOAD_NAME":
            yield step.argval, None, None
        elif isinstance(step.argval, CodeType):
            names = globals_of(step.argval)
            inside |= names
            if not runs_later(step.argval):
                yield from ((name, None, None) for name in names)
        elif step.opname in ("IMPORT_NAME", "IMPORT_FROM"):
            module = step.argval if step.opname == "IMPORT_NAME" else module
            thing = (module, step.argval)
        elif step.opname in ("STORE_NAME", "DELETE_NAME"):
            yield step.argval, thing or object(), inside
        if step.opname in ("STORE_NAME", "POP_TOP"):
            thing, inside = None, set()


def find_rebound(cells):
    """The names that a cell reads, and that a later one or itself binds again.

    cells: number → source. Returns (cell, the last that binds the name, name). What a
    cell has bound before it reads it is its own, but for what a function reads inside:
    a slider may call that at any time.
    """
    steps = {number: list(find_names(source)) for number, source in cells.items()}
    things, last = {}, {}  # name → what it is bound to; the last cell that binds it
    for number, cell in steps.items():
        for name, thing, _ in cell:
            if thing is not None:
                things.setdefault(name, set()).add(thing)
                last[name] = number
    rebound = {name for name in things if len(things[name]) > 1}
    faults, inside = set(), {}  # inside: name → the globals of the functions in it
    for number, cell in steps.items():
        own = set()
        for name, thing, names in cell:
            if thing is not None:
                own.add(name)
                inside[name] = names
                continue
            for other in reach(name, inside) & rebound:
                is_own = other in own and (other == name or last[other] == number)
                if last[other] >= number and not is_own:
                    faults.add((number, last[other], other))
    return sorted(faults)


def reach(name, inside):
    """A name, the globals of the functions in it, those of the functions there, …"""
    reached, new = set(), {name}
    while new:
        reached |= new
        new = set().union(*(inside.get(name, ()) for name in new)) - reached
    return reached


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_no_cell_binds_again_what_an_earlier_one_reads(path):
    cells = enumerate(nbformat.read(path, as_version=4).cells)
    code = {number: cell.source for number, cell in cells if cell.cell_type == "code"}
    assert [
        f"cell [{cell}] reads {name}, and cell [{later}] binds it again"
        for cell, later, name in find_rebound(code)
    ] == []


FUNCTION = "def f():\n    def g(): return x\n    return g()"


@pytest.mark.parametrize(
    ("cells", "faults"),
    [
        (["x = 1", "print(x)", "x = 2"], [(1, 2, "x")]),
        (["x = 1", "y = [x for _ in 'ab']", "x = 2"], [(1, 2, "x")]),
        (["x = 1", "class C:\n    y = x", "x = 2"], [(1, 2, "x")]),
        (["x = 1", "x", "del x"], [(1, 2, "x")]),
        (["import x", "x.y", "import z as x"], [(1, 2, "x")]),
        (["import x", "x.y", "x = 3", "x = 4"], [(1, 3, "x")]),
        (["x = 1", "x", "for x in 'ab':\n    pass"], [(1, 2, "x")]),
        (["x = 1", "x = x + 1"], [(1, 1, "x")]),
        (["x = 1", "x += 1"], [(1, 1, "x")]),
        (["print(1)", "print = 2", "print = 3"], [(0, 2, "print")]),
        (["x = 1", FUNCTION, "f()", "x = 2"], [(2, 3, "x")]),
        (["x = 1\n" + FUNCTION + "\nf()", "x = 2"], [(0, 1, "x")]),
        (
            ["x = 1", FUNCTION, "h = lambda: f()", "h()", "x = 2"],
            [(2, 4, "x"), (3, 4, "x")],
        ),
        (["x = 1", "class C:\n    def f(self): x", "x = 2"], [(1, 2, "x")]),
        (["x = 1", "%time x\nprint(x)", "!ls x"], []),
        (["x = 1", "x", "y = [x for x in 'ab']"], []),
        (["x = 1\nx", "x = 2\nx"], []),
        (["x = 1\n" + FUNCTION + "\nf()\nx = 2"], []),
        (["from a import x", "x", "from a import x"], []),
        (["import a.x as x", "x", "import a.x as x, b"], []),
        ([FUNCTION, "x = 1", "f()"], []),
        (["for i in 'ab':\n    i", "for i in 'ab':\n    i"], []),
        (["try:\n    f\nexcept E as e:\n    e"] * 2, []),
    ],
)
def test_the_check_sees_what_is_bound_again_and_no_more(cells, faults):
    assert find_rebound(dict(enumerate(cells))) == faults
