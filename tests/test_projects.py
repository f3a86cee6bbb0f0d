"""The project briefs: their links lead to sections that exist, and points add up."""

import json
import re
from pathlib import Path

import pytest

PROJECTS = Path(__file__).parents[1] / "teaching" / "projects.md"
TEXT = PROJECTS.read_text("utf-8")
# An address may hold one pair of brackets, and in a table a \\|.
LINKS = re.findall(r"\]\(((?:[^()]|\([^()]*\))+)\)", TEXT)
LINKS = sorted({link.replace(r"\|", "|") for link in LINKS})


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_to_a_section(link):
    name, _, anchor = link.partition("#")
    if not name:
        assert anchor in {slug(head) for head in headings(TEXT)}
        return
    cells = json.loads((PROJECTS.parent / name).read_text("utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    if anchor:
        assert anchor in {head.replace(" ", "-") for head in headings(text)}


def headings(text):
    return re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)


def slug(head):
    return head.lower().replace(" ", "-")


def test_the_rubric_has_twenty_points_and_the_hours_add_up():
    rubric = TEXT.partition("## Rubric")[2]
    rows = re.findall(r"^\| \*\*.+\|$", rubric, flags=re.MULTILINE)
    assert len(rows) * 4 == 20
    assert {row.count("|") for row in rows} == {7}
    tables = re.findall(r"(?:^\| \d · .+\n)+", TEXT, flags=re.MULTILINE)
    for table in tables:
        hours = re.findall(r"^\| \d · .+? \| (\d+) \|", table, flags=re.MULTILINE)
        assert sum(map(int, hours)) == 20
    assert len(tables) == 2
