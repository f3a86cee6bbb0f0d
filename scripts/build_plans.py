"""Write teaching/plans.md from teaching/plans.toml and what the notebooks hold today.

    .venv/bin/python scripts/build_plans.py

The plans name cells by id ("75177411"), from one to another ("75177411..3771f109"), or
a whole section by its heading ("6 · The ELBO"). The script finds their numbers, the
text of the predictions, and the minutes to read them: 150 words or 12 lines of shown
code a minute, half a minute for a figure and for a prediction. What is folded or
collapsed does not count, nor do exercises; their minutes stand in their headings.
"""

import json
import re
import tomllib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
PLANS = ROOT / "teaching" / "plans.toml"
PAGE = ROOT / "teaching" / "plans.md"
COLUMNS = {  # heading in the page → key of a stop
    "Show": "show",
    "In the paper": "paper",
    "Vote on": "ask",
    "Leave out": "skip",
}


def main() -> None:
    PAGE.write_text(make_page(load_plans()), "utf-8")


def load_plans() -> dict:
    return tomllib.loads(PLANS.read_text("utf-8"))


def make_page(plans: dict) -> str:
    parts = ["# Plans", plans["words"].strip()]
    links = [f"- [{plan['title']}](#{anchor(plan['title'])})" for plan in plans["plan"]]
    parts.append("\n".join(links))
    for plan in plans["plan"]:
        parts += [f"## {plan['title']}", plan["words"].strip()]
        if plan.get("weeks"):
            parts.append(make_weeks(plan["weeks"]))
        for session in plan.get("session", []):
            if "title" in session:
                parts.append(f"### {session['title']}")
            parts.append(make_session(session["stop"], plan.get("short", False)))
    return "\n\n".join(parts) + "\n"


def anchor(title: str) -> str:
    """How GitHub names a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def make_session(stops: list[dict], short: bool = False) -> str:
    """A table with a row for each stop, and their sum.

    short: name the predictions by their cells' numbers only.
    """
    used = {name: key for name, key in COLUMNS.items() if any(key in s for s in stops)}
    rows = [["Minutes", "Notebook", "Cells", *used]]
    for stop in stops:
        cells = read_cells(stop["notebook"])
        shown = numbers(cells, stop["cells"], stop.get("skip", []))
        where = join_numbers(shown)
        if "exercises" not in stop:
            where += f" ({round(count_minutes(cells, shown))} to read)"
        row = [str(stop["minutes"]), link(stop["notebook"], stop["notebook"]), where]
        row += [describe(cells, stop, key, short) for key in used.values()]
        rows.append(row)
    rows.append([f"**{sum(stop['minutes'] for stop in stops)}**"])
    return make_table(rows)


def describe(cells: list[dict], stop: dict, key: str, short: bool) -> str:
    """What a table says of a stop under one heading."""
    value = stop.get(key, "")
    if key == "ask" and not short:
        where = {number: cells[number - 1] for number in numbers(cells, value or [])}
        return "<br>".join(f"{n}: {question(cell)}" for n, cell in where.items())
    if key in ("ask", "skip"):
        return join_numbers(numbers(cells, value or []))
    return value


def make_weeks(weeks: list[dict]) -> str:
    """A table with a row for each week: a notebook, its exercises, their minutes."""
    rows = [["Week", "Read", "Minutes", "Runs", "Exercises", "Minutes", "Both"]]
    total = 0
    for week, entry in enumerate(weeks, 1):
        cells = read_cells(entry["notebook"])
        reading = round(count_minutes(cells, range(1, len(cells) + 1)))
        times = [minutes for minutes, _ in exercises(cells)]
        title = source(cells[0]).splitlines()[0].removeprefix("# ")
        rows.append([str(week), link(entry["notebook"], title), str(reading)])
        names = ", ".join(name for _, name in exercises(cells))
        runs = re.search(r", ([^,|]*) to run", source(cells[0]))[1]
        rows[-1] += [runs, names, str(sum(times)), str(reading + sum(times))]
        total += reading + sum(times)
    rows.append([""] * 5 + ["**hours**", f"**{total / 60:.0f}**"])
    return make_table(rows)


def make_table(rows: list[list[str]]) -> str:
    width = len(rows[0])
    rows = [row + [""] * (width - len(row)) for row in rows]
    rows.insert(1, ["---"] * width)
    escaped = [[text.replace("|", r"\|") for text in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def find_notebook(number: str) -> Path:
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    return path


def link(number: str, text: str) -> str:
    return f"[{text}](../notebooks/{find_notebook(number).name})"


def read_cells(number: str) -> list[dict]:
    return json.loads(find_notebook(number).read_text("utf-8"))["cells"]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def numbers(
    cells: list[dict], names: Iterable[str], skip: Iterable[str] = ()
) -> list[int]:
    """The numbers, from 1, of the cells that the names say, without those of `skip`."""
    found = {number for name in names for number in find(cells, name)}
    return sorted(found - {number for name in skip for number in find(cells, name)})


def find(cells: list[dict], name: str) -> list[int]:
    """An id, a range of ids, or a section's heading → numbers of cells, from 1."""
    ids = [cell["id"] for cell in cells]
    first, _, last = name.partition("..")
    if first in ids:
        return list(range(ids.index(first) + 1, ids.index(last or first) + 2))
    starts = [i for i, cell in enumerate(cells) if heading(cell)] + [len(cells)]
    for start, end in pairwise(starts):
        if heading(cells[start]) == name:
            return list(range(start + 1, end + 1))
    raise ValueError(f"plans.toml: no cell and no section is called {name!r}")


def heading(cell: dict) -> str:
    """The section that a cell begins, "" if none."""
    found = re.search(r"^##? (.*)", source(cell), flags=re.M)
    return found[1] if found and cell["cell_type"] == "markdown" else ""


def question(cell: dict) -> str:
    """The question after *Predict:*, in one line."""
    found = re.search(r"\*Predict:\*(.*?)(\n\s*\n|<details>|$)", source(cell), re.S)
    if not found:
        raise ValueError(f"plans.toml: cell {cell['id']} asks for no prediction")
    return " ".join(found[1].split())


def exercises(cells: list[dict]) -> list[tuple[int, str]]:
    """(minutes, name with its stars) of each exercise."""
    pattern = r"^### Exercise (\d+) ([★☆]+) · (\d+) minutes · (.*)"
    found = [re.match(pattern, source(c)) for c in cells if "exercise" in tags(c)]
    return [(int(m[3]), f"{m[4]} {m[2].replace('☆', '')}") for m in found if m]


def count_minutes(cells: list[dict], shown: Iterable[int]) -> float:
    """Minutes to read the cells of these numbers; exercises are not counted."""
    chosen = [cells[number - 1] for number in shown]
    return sum(read_minutes(cell) for cell in chosen if "exercise" not in tags(cell))


def read_minutes(cell: dict) -> float:
    if cell["cell_type"] == "markdown":
        text = re.sub(r"<details>.*?</details>", "", source(cell), flags=re.S)
        n_words = len(re.findall(r"\w+", re.sub(r"\$[^$]*\$", " x ", text)))
        return n_words / 150 + source(cell).count("*Predict") / 2
    n_figures = sum("image/png" in output.get("data", {}) for output in cell["outputs"])
    lines = [] if "hide-input" in tags(cell) else source(cell).splitlines()
    return sum(bool(line.strip()) for line in lines) / 12 + n_figures / 2


def join_numbers(found: list[int]) -> str:
    """[3, 4, 5, 9] → "3–5, 9"."""
    runs: list[list[int]] = []
    for number in found:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{r[0]}–{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs)


if __name__ == "__main__":
    main()
