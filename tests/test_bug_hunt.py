"""The cases of notebook 08 stand alone, as its first cell says: section 1 is enough."""

import builtins

from vae_helpers import plots

import nbformat
import pytest
from save_notebooks import NOTEBOOKS
from test_run_again import find_names

N_CASES = 8


def read_parts():
    """The notebook's code by part, in order: 0 is section 1; 1 to 8; then "3", "4"."""
    heads = {f"### Case {case} ": case for case in range(1, N_CASES + 1)}
    heads |= {"## 3 ": "3", "## 4 ": "4", "## Recap": "end"}
    parts, part = {0: []}, 0
    for cell in nbformat.read(NOTEBOOKS / "08_bug_hunt.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            parts[part].append(cell.source)
            continue
        for head in (head for head in heads if cell.source.startswith(head)):
            part = heads[head]
            parts[part] = []
    return parts


PARTS = read_parts()


def find_missing(cells):
    """The names that cells read, at once or in a function, and that none binds."""
    steps = [step for source in cells for step in find_names(source)]
    bound = {name for name, thing, _ in steps if thing is not None}
    read = {name for name, thing, _ in steps if thing is None}
    read = read.union(*(names for _, thing, names in steps if thing is not None))
    return sorted(name for name in read - bound if not hasattr(builtins, name))


def test_every_case_is_there():
    assert list(PARTS) == [0, *range(1, N_CASES + 1), "3", "4", "end"]
    assert all(PARTS[part] for part in PARTS if part != "end")


@pytest.mark.parametrize("part", list(PARTS))
def test_a_part_needs_no_names_but_its_own_and_those_of_section_1(part):
    assert find_missing(PARTS[0] + PARTS[part]) == []


def test_a_name_of_another_part_is_missed():
    cells = ["x = 1", "def f():\n    return x + y", "z = max(f(), w)"]
    assert find_missing(cells) == ["w", "y"]


@pytest.mark.parametrize("cases", [[1, 7], []])
def test_the_table_tells_which_cases_did_not_run(cases, capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "show", lambda fig, alt: shown.append(fig))
    monkeypatch.setattr(plots, "use_style", lambda: None)
    names = {"__name__": "__main__"}
    for part in (0, *cases, "3"):
        capsys.readouterr()
        for source in PARTS[part]:
            exec(compile(source, f"part {part}", "exec"), names)
    out = capsys.readouterr().out
    missing = [case for case in range(1, N_CASES + 1) if case not in cases]
    assert out.startswith("✓ Each mistake that ran" if cases else "✗ not on this run: ")
    assert out.endswith(f"not run: cases {' '.join(map(str, missing))}\n")
    expected = [
        f"case {case} (not run)" if case in missing else f"case {case}"
        for case in range(1, N_CASES + 1)
    ]
    labels = shown[-1].axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == expected
