"""Mark filled-in notebooks: who solved which exercise, and which hint fits the rest.

    python scripts/grade.py hand_ins/                 # every notebook in the folder
    python scripts/grade.py anna.ipynb ben.ipynb --csv marks.csv

What is taken from a student are the cells of the exercises. Each is run in a process of
its own, with a limit of time and memory, below the imports and functions of *our*
notebook, and is marked by *our* check; so a check that was edited, a deleted lesson, an
endless loop or an `exit()` costs one exercise and not the rest. One line for each
exercise goes to the screen and into a CSV file.

A cell is found by its id (`my_<name>`), which notebook editors keep, and otherwise by
what it defines. Which lesson a file belongs to follows from its cells; its name and
folder name the student.

Why not nbgrader: it runs the whole notebook, here a minute or more of training for each
student; it gives points but no hints; and a cell of a student's that never ends costs
the whole notebook. Ids do what its `grade_id` does, without metadata of its own.

This is no sandbox: a hand-in runs with your rights. Use a container for strangers.
"""

import argparse
import ast
import csv
import json
import linecache
import multiprocessing
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from vae_helpers.exercises import EXERCISES

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
LARGEST = 100_000_000  # bytes of a notebook


class Limits(NamedTuple):
    """For one exercise. seconds: of computing; five times as many by the clock."""

    seconds: int = 20
    megabytes: int = 4000


class Mark(NamedTuple):
    """A line of the table. passed: yes or no; result: right, or what was wrong."""

    student: str
    notebook: str
    exercise: str
    passed: str
    result: str
    hint: str


class Lesson(NamedTuple):
    """What a notebook of the course has: its exercises, and the code above each."""

    stem: str
    setup: dict[str, str]  # exercise → imports, functions and constants


def main(arguments: list[str] | None = None) -> int:
    """Mark what the command line names; 0 if everything could be read."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, help="notebooks, or folders")
    parser.add_argument("--csv", type=Path, default=Path("marks.csv"))
    parser.add_argument("--seconds", type=int, default=Limits().seconds)
    parser.add_argument("--megabytes", type=int, default=Limits().megabytes)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    limits = Limits(options.seconds, options.megabytes)
    marks = list(grade(options.paths, limits, options.jobs))
    with options.csv.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(Mark._fields)
        writer.writerows(marks)
    print_table(marks)
    print(f"\n{len(marks)} lines in {options.csv}")
    return int(not marks or any(mark.result == "unreadable" for mark in marks))


def grade(paths: Iterable[Path], limits: Limits, jobs: int) -> Iterator[Mark]:
    """The marks of all notebooks below the paths, in order."""
    lessons = read_lessons()
    context = _get_context(lessons)
    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        waiting = []
        for student, path in find_notebooks(paths):
            for job in _plan(student, path, lessons):
                if isinstance(job, Mark):
                    waiting.append(pool.submit(lambda mark: mark, job))
                else:
                    waiting.append(pool.submit(_mark, context, limits, *job))
        for future in waiting:
            yield future.result()


def read_lessons() -> list[Lesson]:
    """The exercises of our own notebooks, by the ids of their cells."""
    lessons = []
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        above: list[str] = []
        setup = {}
        for id_, source in read_cells(path):
            if id_.removeprefix("my_") in EXERCISES and id_.startswith("my_"):
                setup[id_.removeprefix("my_")] = "\n".join(above)
            else:
                above.append(_keep_definitions(source))
        if setup:
            lessons.append(Lesson(path.stem, setup))
    return lessons


def find_notebooks(paths: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """(student, notebook) for files, and for all notebooks below folders."""
    for path in paths:
        if not path.is_dir():
            yield path.stem, path
            continue
        for file in sorted(path.rglob("*.ipynb")):
            inside = file.relative_to(path)
            if ".ipynb_checkpoints" not in inside.parts:
                yield inside.with_suffix("").as_posix(), file


def read_cells(path: Path) -> list[tuple[str, str]]:
    """(id, source) of each code cell; `ValueError` for what is no notebook."""
    if path.stat().st_size > LARGEST:
        raise ValueError("larger than 100 MB")
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [
        (str(cell.get("id", "")), "".join(cell.get("source", "")))
        for cell in cells
        if cell.get("cell_type") == "code"
    ]


def print_table(marks: list[Mark]) -> None:
    """One line for each exercise, and how many a student solved."""
    for student in dict.fromkeys(mark.student for mark in marks):
        own = [mark for mark in marks if mark.student == student]
        n_passed = sum(mark.passed == "yes" for mark in own)
        print(f"{student}: {n_passed} of {len(own)}")
        for mark in own:
            sign = "✓" if mark.passed == "yes" else "✗"
            print(f"  {sign} {mark.exercise:18s} {mark.result:10s} {mark.hint:.90}")


# ── what to run ─────────────────────────────────────────────────────────────────────


def _plan(student: str, path: Path, lessons: list[Lesson]) -> Iterator[Any]:
    """For each exercise of a hand-in: a mark, or what `_mark` needs to find it."""
    try:
        cells = read_cells(path)
    except Exception as error:  # whatever a file may hold
        words = f"no notebook: {type(error).__name__} {error!s:.80}"
        yield Mark(student, path.name, "", "no", "unreadable", words)
        return
    names = {name for lesson in lessons for name in lesson.setup}
    there = {name for name in names if _find_own(cells, name) is not None}
    found = False
    for lesson in lessons:
        if lesson.stem not in path.stem and not there & set(lesson.setup):
            continue
        found, earlier = True, ""
        for name, setup in lesson.setup.items():
            own = _find_own(cells, name)
            mark = Mark(student, lesson.stem, name, "no", "missing", "no such cell")
            yield mark if own is None else (mark, setup + "\n" + earlier, own)
            earlier += "\n" + _keep_definitions(own or "")
    if not found:
        words = "no exercise of the course in it"
        yield Mark(student, path.name, "", "no", "unreadable", words)


def _find_own(cells: list[tuple[str, str]], name: str) -> str | None:
    """The student's code for an exercise: the cell with its id, else what defines it.

    Cells that were added between this one and the check belong to it.
    """
    defines = re.compile(rf"(?m)^(def my_{name}\b|my_{name}\s*=)")
    ids = [id_ for id_, _ in cells]
    if f"my_{name}" in ids:
        first = ids.index(f"my_{name}")
        last = ids.index(f"check_{name}") if f"check_{name}" in ids else first + 1
        own = "\n".join(source for _, source in cells[first : max(last, first + 1)])
        if defines.search(own):
            return own
    matching = [source for _, source in cells if defines.search(source)]
    return matching[-1] if matching else None


def _keep_definitions(source: str) -> str:
    """Imports, functions, classes and constants of a cell: nothing that takes time."""
    with suppress(SyntaxError):
        kept = []
        for node in ast.parse(_without_magics(source)).body:
            named = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
            if isinstance(node, named) or _is_constant(node):
                kept.append(ast.unparse(node))
        return "\n".join(kept)
    return ""


def _is_constant(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign):
        return False
    try:
        ast.literal_eval(node.value)
    except ValueError:
        return False
    return True


def _without_magics(source: str) -> str:
    return re.sub(r"(?m)^(\s*)[%!?].*", r"\1pass", source)


# ── how to run it ───────────────────────────────────────────────────────────────────


def _get_context(lessons: list[Lesson]) -> Any:
    """Where possible, processes that are forked from one that has imported all."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # many small processes share the cores
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    modules = {"vae_helpers.exercises"}
    for lesson in lessons:
        for node in ast.walk(ast.parse("\n".join(lesson.setup.values()))):
            if isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module)
                modules |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
    context.set_forkserver_preload(sorted(modules))
    return context


def _mark(
    context: Any,
    limits: Limits,
    mark: Mark,
    setup: str,
    own: str,
) -> Mark:
    """Run one exercise in a process of its own, and end that process."""
    receiver, sender = context.Pipe(duplex=False)
    inputs = (sender, limits, mark.exercise, setup, own)
    process = context.Process(target=_work, args=inputs, daemon=True)
    process.start()
    sender.close()
    kind, words = "ended", "the process ended before the check: a crash, os._exit?"
    too_long = "timeout", f"not finished after {limits.seconds} s: an endless loop?"
    try:
        receiver.recv()  # it has started
        in_time = receiver.poll(5 * limits.seconds)  # where others compute as well
        kind, words = receiver.recv() if in_time else too_long
    except EOFError:
        process.join(10)
        if process.exitcode == -getattr(signal, "SIGXCPU", 0):
            kind, words = too_long
    finally:
        receiver.close()
        _end(process)
    passed = "yes" if kind == "right" else "no"
    lines = [line.strip() for line in words.splitlines()]
    words = "" if kind == "right" else " · ".join(lines)
    return mark._replace(passed=passed, result=kind, hint=words)


def _end(process: Any) -> None:
    """The process, and what it may have started, are killed."""
    with suppress(ProcessLookupError, PermissionError, AttributeError):
        if os.getpgid(process.pid) == process.pid:  # it has a group of its own
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _work(sender: Connection, limits: Limits, name: str, setup: str, own: str) -> None:
    """In the new process: the set-up, the student's cell, our check; send the reply."""
    exercise = EXERCISES[name]
    _limit(limits)
    sender.send("started")
    space: dict[str, Any] = {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for statement in ast.parse(setup).body:
            with suppress(Exception):  # what needs a name that only a long run makes
                exec(compile(ast.Module([statement], []), "<lesson>", "exec"), space)
        try:
            own = _without_magics(own)
            file = f"<my_{name}>"
            linecache.cache[file] = (len(own), None, own.splitlines(True), file)
            exec(compile(own, file, "exec"), space)
            reply = exercise.examine(space[f"my_{name}"])
            result = reply.kind, re.sub(r"^\S \S+: ", "", reply.message)
        except SystemExit:
            result = "raised", "the cell calls exit()"
        except BaseException as error:
            result = "raised", f"the cell raised {type(error).__name__}: {error!s:.200}"
        os.chdir(os.path.dirname(folder))
    sender.send(result)


def _limit(limits: Limits) -> None:
    """No terminal, a process group of its own, and limits where the system has them."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    sys.stdin = open(os.devnull)  # noqa: SIM115
    if hasattr(os, "setsid"):
        os.setsid()
    with suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        n_bytes = limits.megabytes * 1_000_000
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (limits.seconds, limits.seconds + 1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000_000, 50_000_000))
        resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, n_bytes))


if __name__ == "__main__":
    sys.exit(main())
