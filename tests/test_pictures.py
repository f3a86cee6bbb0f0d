"""The schematics: what the script draws is what the lessons show."""

import xml.etree.ElementTree as ET
from pathlib import Path

import draw_pictures
import pytest

COMMITTED = sorted(draw_pictures.FOLDER.glob("*.svg"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder with all pictures, drawn now."""
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw_pictures, "FOLDER", folder)
        draw_pictures.main()
    return folder


def words_and_places(path: Path) -> list:
    """All texts, shapes and colours; not the pixels, which Pillow packs its own way."""
    return [
        (element.tag, element.text, {k: v for k, v in element.items() if k != "href"})
        for element in ET.parse(path).iter()
    ]


def test_the_committed_pictures_are_those_the_script_draws(drawn):
    assert [path.name for path in COMMITTED] == sorted(p.name for p in drawn.iterdir())
    for path in COMMITTED:
        assert words_and_places(path) == words_and_places(drawn / path.name), path.name


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_a_picture_has_a_title_and_everything_lies_on_its_card(path):
    root = ET.parse(path).getroot()
    width, height = (float(root.get(name)) for name in ("width", "height"))
    assert len(root.find("{*}title").text) > 20
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        assert 0 < float(text.get("x")) < width
        assert 10 < float(text.get("y")) < height


def test_nothing_is_loaded_from_elsewhere():
    for path in COMMITTED:
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text
