"""The plans: the page is what the script makes, and their minutes add up."""

import build_plans
import pytest

PLANS = build_plans.load_plans()
SESSIONS = [
    pytest.param(session, id=f"{plan['title']}, {session.get('title', '')}")
    for plan in PLANS["plan"]
    for session in plan.get("session", [])
]
STOPS = [stop for param in SESSIONS for stop in param.values[0]["stop"]]


def make_cell(number, source, kind="markdown", tags=(), outputs=()):
    metadata = {"tags": list(tags)} if tags else {}
    cell = {"id": f"id-{number}", "cell_type": kind, "source": source}
    return cell | {"metadata": metadata, "outputs": list(outputs)}


CELLS = [
    make_cell(1, "# 99 · Title"),
    make_cell(2, "## 1 · One\n\nWords."),
    make_cell(3, "x = 1\n\ny = 2", "code", outputs=[{"data": {"image/png": ""}}]),
    make_cell(4, "hidden = 1", "code", tags=["hide-input"]),
    make_cell(5, "### Exercise 1 ★★☆ · 15 minutes · Write it", tags=["exercise"]),
    make_cell(6, "*Predict:* how\nmany? <details>Three words folded.</details>"),
    make_cell(7, "## 2 · Two"),
]


def test_the_page_is_what_the_script_makes_today():
    page = build_plans.PAGE.read_text("utf-8")
    assert page == build_plans.make_page(PLANS), "run scripts/build_plans.py"


@pytest.mark.parametrize("session", SESSIONS)
def test_the_minutes_of_a_session_add_up(session):
    assert sum(stop["minutes"] for stop in session["stop"]) == session["minutes"]


@pytest.mark.parametrize(
    "stop", STOPS, ids=lambda s: f"{s['notebook']} {s['cells'][0]}"
)
def test_what_is_shown_fits_its_minutes(stop):
    cells = build_plans.read_cells(stop["notebook"])
    shown = build_plans.numbers(cells, stop["cells"], stop.get("skip", []))
    asked = build_plans.numbers(cells, stop.get("ask", []))
    if stop.get("exercises"):
        (number,) = shown
        ((minutes, _),) = build_plans.exercises([cells[number - 1]])
        assert minutes == stop["minutes"]
    else:
        measured = build_plans.count_minutes(cells, shown)
        assert 0.15 * stop["minutes"] <= measured <= stop["minutes"] + 0.5
    assert set(asked) <= set(shown)
    assert set(build_plans.numbers(cells, stop.get("skip", []))) <= set(
        build_plans.numbers(cells, stop["cells"])
    )


def test_self_study_reads_every_notebook_in_order():
    weeks = [plan["weeks"] for plan in PLANS["plan"] if "weeks" in plan]
    (weeks,) = weeks
    notebooks = sorted(build_plans.NOTEBOOKS.glob("[0-9]*.ipynb"))
    assert [build_plans.find_notebook(week["notebook"]) for week in weeks] == notebooks


def test_cells_are_found_by_id_by_range_and_by_section():
    assert build_plans.find(CELLS, "id-3") == [3]
    assert build_plans.find(CELLS, "id-3..id-5") == [3, 4, 5]
    assert build_plans.find(CELLS, "1 · One") == [2, 3, 4, 5, 6]
    assert build_plans.find(CELLS, "2 · Two") == [7]
    assert build_plans.numbers(CELLS, ["1 · One", "id-7"], ["id-3..id-4"]) == [
        2,
        5,
        6,
        7,
    ]
    with pytest.raises(ValueError, match="no cell and no section"):
        build_plans.find(CELLS, "3 · Three")


def test_minutes_count_words_lines_figures_and_predictions():
    assert build_plans.read_minutes(CELLS[1]) == pytest.approx(3 / 150)
    assert build_plans.read_minutes(CELLS[2]) == pytest.approx(2 / 12 + 0.5)
    assert build_plans.read_minutes(CELLS[3]) == 0
    assert build_plans.read_minutes(CELLS[5]) == pytest.approx(3 / 150 + 0.5)
    assert build_plans.count_minutes(CELLS, [5]) == 0
    assert build_plans.exercises(CELLS) == [(15, "Write it ★★")]


def test_questions_and_numbers_are_written_in_one_line():
    assert build_plans.question(CELLS[5]) == "how many?"
    with pytest.raises(ValueError, match="no prediction"):
        build_plans.question(CELLS[1])
    assert build_plans.join_numbers([3, 4, 5, 9]) == "3–5, 9"
    assert r"\|" in build_plans.make_table([["a"], ["p(x|z)"]])
