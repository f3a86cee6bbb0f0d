"""What thirty students may hand in: endless loops, exit(), deleted cells, no JSON."""

import csv
import json

import grade
import nbformat
import pytest

SOLUTIONS = grade.NOTEBOOKS / "solutions"
LESSON = "03b_gradient_estimators"  # two exercises: best_baseline, relaxed_sample
FIRST, SECOND = "best_baseline", "relaxed_sample"
HEAD = f"def my_{FIRST}(f, score):\n"


def right_cells():
    """The lesson as a student fills it in: id → source."""
    cells = nbformat.read(grade.NOTEBOOKS / f"{LESSON}.ipynb", 4).cells
    solved = nbformat.read(SOLUTIONS / f"{LESSON}.ipynb", 4).cells
    mine = {c.id: c.source for c in cells if c.cell_type == "code"}
    return mine | {c.id: c.source for c in solved if c.id.startswith("my_")}


RIGHT = right_cells()
ALIKE = f"from vae_helpers.exercises.gradients import _baseline_by_fit as my_{FIRST}"
# What is handed in, and the result and the words for the first exercise.
NASTY = {
    "right": (RIGHT, "right", ""),
    "loop": (
        RIGHT | {f"my_{FIRST}": HEAD + "    while True:\n        print('x')"},
        "timeout",
        "not finished after 2 s: an endless loop?",
    ),
    "loop_outside": (
        RIGHT | {f"my_{FIRST}": RIGHT[f"my_{FIRST}"] + "\nwhile True:\n    pass"},
        "timeout",
        "not finished after 2 s: an endless loop?",
    ),
    "exit": (RIGHT | {f"my_{FIRST}": "exit()"}, "missing", "no such cell"),
    "exit_above": (
        RIGHT | {f"my_{FIRST}": "exit()\n" + RIGHT[f"my_{FIRST}"]},
        "raised",
        "the cell calls exit()",
    ),
    "exit_inside": (
        RIGHT | {f"my_{FIRST}": HEAD + "    exit()"},
        "raised",
        "it raised SystemExit",
    ),
    "hard_exit": (
        RIGHT | {f"my_{FIRST}": "import os\n" + HEAD + "    os._exit(0)"},
        "ended",
        "the process ended before the check",
    ),
    "memory": (
        RIGHT | {f"my_{FIRST}": HEAD + "    return bytearray(10**11)"},
        "raised",
        "it raised MemoryError",
    ),
    "changed_check": (
        RIGHT
        | {
            f"my_{FIRST}": HEAD + "    return f.mean()",
            f"check_{FIRST}": "print('✓ all is right')",
        },
        "known",
        "not yet. One number, the mean cost",
    ),
    "changed_engine": (
        {"0": "from vae_helpers import exercises\nexercises.EXERCISES.clear()"}
        | RIGHT
        | {f"my_{FIRST}": HEAD + "    return f.mean()"},
        "known",
        "not yet. One number, the mean cost",
    ),
    "deleted": ({f"my_{SECOND}": RIGHT[f"my_{SECOND}"]}, "missing", "no such cell"),
    "no_ids": ({f"{i}": s for i, s in enumerate(RIGHT.values())}, "right", ""),
    "a_cell_between": (
        {
            f"my_{FIRST}": "def helper(g):\n    return g * g",
            "mine": RIGHT[f"my_{FIRST}"].replace("score.square()", "helper(score)"),
            f"check_{FIRST}": "%%time\n!ls",
            f"my_{SECOND}": RIGHT[f"my_{SECOND}"],
        },
        "right",
        "",
    ),
    "syntax": (
        RIGHT | {f"my_{FIRST}": HEAD + "    return (f"},
        "raised",
        "the cell raised SyntaxError",
    ),
    "ours": (RIGHT | {f"my_{FIRST}": ALIKE}, "missing", "no such cell"),
    "stub": (RIGHT | {f"my_{FIRST}": HEAD + "    ..."}, "stub", "not done yet"),
}
BROKEN = {
    "garbage": b"{not json",
    "a_list": b"[1, 2]",
    "bytes": b"\xff\xfe\x00",
    "empty": b"",
    "no_cells": b'{"cells": 3}',
    "another": b'{"cells": [{"cell_type": "code", "source": "1"}]}',
}


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """The marks of a folder with a folder for each student, and what was printed."""
    folder = tmp_path_factory.mktemp("hand_ins")
    for student, (cells, _, _) in NASTY.items():
        (folder / student).mkdir()
        notebook = {
            "cells": [
                {"cell_type": "code", "id": id_, "source": source.splitlines(True)}
                for id_, source in cells.items()
            ]
        }
        path = folder / student / "handed_in.ipynb"
        path.write_text(json.dumps(notebook), "utf-8")
    for student, content in BROKEN.items():
        (folder / f"{student}.ipynb").write_bytes(content)
    table = folder / "marks.csv"
    status = grade.main([str(folder), "--csv", str(table), "--seconds=2", "--jobs=4"])
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return status, rows


def of(marked, student, exercise):
    (row,) = [
        row
        for row in marked[1]
        if row["student"].startswith(student + "/") and row["exercise"] == exercise
    ]
    return row


@pytest.mark.parametrize("student", NASTY)
def test_the_first_exercise_gets_its_mark(marked, student):
    _, result, words = NASTY[student]
    row = of(marked, student, FIRST)
    assert (row["result"], row["notebook"]) == (result, LESSON), row
    assert row["passed"] == ("yes" if result == "right" else "no")
    assert row["hint"].startswith(words)
    assert bool(row["hint"]) == bool(words)


@pytest.mark.parametrize("student", NASTY)
def test_the_second_exercise_does_not_suffer(marked, student):
    assert of(marked, student, SECOND)["result"] == "right"


@pytest.mark.parametrize("student", BROKEN)
def test_what_is_no_notebook_of_ours_is_a_line(marked, student):
    (row,) = [row for row in marked[1] if row["student"] == student]
    assert (row["passed"], row["result"]) == ("no", "unreadable")


def test_every_line_is_there_and_the_status_tells_of_unreadable_files(marked):
    status, rows = marked
    assert len(rows) == 2 * len(NASTY) + len(BROKEN)
    assert status == 1


def test_our_own_notebooks_have_the_setup_that_an_exercise_needs():
    (lesson,) = [lesson for lesson in grade.read_lessons() if lesson.stem == "02_elbo"]
    setup = lesson.setup["elbo_on_table"]
    assert "def log_normal" in setup
    assert "theta, s2 = (1.2, 0.5)" in setup
    assert "torch.manual_seed" not in setup
    assert "def elbo_of" not in setup  # it stands below the exercise
