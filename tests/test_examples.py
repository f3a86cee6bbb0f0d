"""Letters of fonts as image files, and patches of photographs."""

from vae_helpers import examples

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def fonts():
    return examples.find_fonts(only_bundled=True)


def test_fonts_that_draw_something_else_are_left_out(fonts):
    files = {path.name for path in fonts.values()}
    assert len(fonts) >= 8
    assert {"DejaVuSans.ttf", "STIXGeneral.ttf", "cmr10.ttf"} <= files
    assert not {"cmex10.ttf", "STIXSizOneSymReg.ttf"} & files  # brackets, sums
    assert not any("LastResort" in name for name in files)  # boxes


def test_a_file_that_is_no_font_is_left_out(tmp_path):
    path = tmp_path / "broken.ttf"
    path.write_bytes(b"not a font")
    assert examples._read_name(path) == ""


def test_at_most_so_many_fonts_and_matplotlib_first(fonts):
    few = examples.find_fonts(3)
    assert len(few) == 3
    assert few.items() <= fonts.items()


def test_letters_are_files_by_letter_font_and_copy(fonts, tmp_path):
    name = "DejaVu Sans,Book"
    examples.write_letters(tmp_path, {name: fonts[name]}, letters="IM", n_copies=2)
    found = sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")
    )
    assert found == [f"{c}/{name},{i}.png" for c in "IM" for i in (0, 1)]
    ink = {}
    for letter in "IM":
        image = Image.open(tmp_path / letter / f"{name},0.png")
        pixels = np.asarray(image) / 255
        assert image.mode == "L"
        assert 31 <= image.width == image.height <= 36
        assert pixels[0].min() == pixels[:, 0].min() == 1  # white all around
        ink[letter] = (1 - pixels).sum() / pixels.size
    assert 0 < 2 * ink["I"] < ink["M"]


def test_the_same_seed_writes_the_same_letters(fonts, tmp_path):
    name = "DejaVu Serif,Book"
    for folder, seed in {"a": 0, "b": 0, "c": 1}.items():
        examples.write_letters(
            tmp_path / folder, {name: fonts[name]}, letters="R", seed=seed
        )
    first, again, other = (
        (tmp_path / folder / "R" / f"{name},1.png").read_bytes() for folder in "abc"
    )
    assert first == again != other


def test_patches_are_bytes_and_no_two_parts_share_one():
    parts = examples.load_patches()
    assert [len(part) for part in parts] == [56 * 81, 12 * 81, 12 * 81]
    seen = set()
    for part in parts:
        assert part.shape[1:] == (3, 16, 16)
        assert str(part.dtype) == "torch.uint8"
        # textured patches only: plain sky repeats
        rows = [p.numpy().tobytes() for p in part if p.float().std() > 20]
        assert not seen & set(rows)
        seen |= set(rows)
    assert len(seen) > 1000
