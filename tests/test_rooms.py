"""Imports among the modules of `vae_helpers` point one way."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(
        ".__init__"
    ): path
    for path in (ROOT / "vae_helpers").rglob("*.py")
}
TESTS = sorted((ROOT / "tests").glob("*.py"))
# What a room may import of ours; the rooms that are not named may import any below.
ONLY = {
    "checks": set(),
    "densities": set(),
    "plots": set(),
    "properties": set(),
    "raw_files": set(),
    "models": {"densities"},
    "objectives": {"densities"},
    "panel": {"plots"},
    "pretrained": {"models"},
    "stills": {"plots"},
    "widgets": {"plots", "stills"},
}


def find_imports(source):
    """The dotted names that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write the whole name: `from vae_helpers…`"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def find_ours(source):
    """The modules of ours among them; `module.name` stands for its module."""
    names = find_imports(source)
    names |= {name.rpartition(".")[0] for name in names} - {"vae_helpers"}
    return names & set(MODULES)


ARROWS = {name: find_ours(path.read_text("utf-8")) for name, path in MODULES.items()}


def test_arrows_are_found_in_every_form():
    source = """
import vae_helpers.plots
from vae_helpers import data, explorers
from vae_helpers.models import VAE
def late():
    from vae_helpers.explorers.base import Explorer
"""
    ours = ("plots", "data", "explorers", "models", "explorers.base")
    assert find_ours(source) == {f"vae_helpers.{name}" for name in ours}
    assert sum(map(len, ARROWS.values())) > 10


def test_there_is_no_circle():
    order = list(TopologicalSorter(ARROWS).static_order())  # raises CycleError
    assert set(order) == set(MODULES)


@pytest.mark.parametrize("room", ONLY)
def test_a_room_imports_only_what_lies_below(room):
    below = {f"vae_helpers.{name}" for name in ONLY[room]}
    assert ARROWS[f"vae_helpers.{room}"] <= below


def test_the_referees_of_the_exercises_share_no_code_with_the_course():
    own = {name for name in MODULES if name.startswith("vae_helpers.exercises")}
    assert len(own) > 5
    for name in own:
        assert ARROWS[name] <= own


def test_no_room_imports_scripts_tests_or_notebooks():
    folders = ("scripts", "tests", "notebooks")
    outside = {path.stem for name in folders for path in (ROOT / name).glob("*.py")}
    for path in MODULES.values():
        first = {name.split(".")[0] for name in find_imports(path.read_text("utf-8"))}
        assert not first & {*outside, *folders}, path


def test_the_map_names_every_room():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rooms = {name.split(".")[1] for name in MODULES if "." in name}
    assert [r for r in rooms if f"`{r}`" not in text and f"`{r}/`" not in text] == []


@pytest.mark.parametrize("path", TESTS, ids=lambda p: p.stem)
def test_nothing_stands_below_a_main_guard(path):
    """Run as a command, it would be skipped; read by pytest, it hides at the end."""
    lines = [ast.unparse(node) for node in ast.parse(path.read_text("utf-8")).body]
    guards = [line.startswith("if __name__ ==") for line in lines]
    assert not any(guards[:-1])
