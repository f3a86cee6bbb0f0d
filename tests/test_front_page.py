"""The pages before the course: links lead somewhere, commands exist."""

import re
import tomllib
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("teaching/**/*.md")])
PICTURES = ROOT / "notebooks" / "pictures"


def read(name):
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_to_one(page):
    text = page.read_text("utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    files = [link or source for link, source in links]
    files = [file.split("#")[0] for file in files if "://" not in file]
    missing = [file for file in files if not (page.parent / file).exists()]
    assert missing == []


def test_every_script_is_named_and_every_named_script_exists():
    named = set(re.findall(r"scripts/(\w+\.py)", read("CONTRIBUTING.md")))
    assert named == {path.name for path in (ROOT / "scripts").glob("*.py")}
    used = set(re.findall(r"scripts/(\w+\.py)", read("README.md")))
    assert used <= named


def test_the_extras_that_are_named_exist():
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    (named,) = re.findall(r"-e '\.\[([\w,]+)\]'", read("CONTRIBUTING.md"))
    assert set(named.split(",")) == set(extras) - {"course"}


def test_the_moving_picture_is_small_moves_and_has_its_still():
    movie, still = PICTURES / "explorers.webp", PICTURES / "explorers.png"
    assert movie.stat().st_size < 2e6
    with Image.open(movie) as moving, Image.open(still) as first:
        assert moving.n_frames > 50
        assert moving.size == first.size
    assert "(prefers-reduced-motion: reduce)" in read("README.md")
    assert len(re.search(r'alt="([^"]*)"', read("README.md"))[1]) > 100


def test_the_citation_has_the_version_and_licence_of_the_package():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    citation = dict(re.findall(r"^([\w-]+): (.+)$", read("CITATION.cff"), re.MULTILINE))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert f"## {project['version']}" in read("CHANGELOG.md")
