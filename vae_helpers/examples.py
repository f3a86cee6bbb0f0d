"""Images for notebook 09 where the reader brings none: letters of fonts, and patches.

`write_letters(folder)` makes a folder of image files of fonts that lie on this
computer; `load_patches()` cuts up two photographs that scikit-learn brings.
"""

from collections.abc import Iterable
from pathlib import Path
from string import ascii_uppercase
from typing import NamedTuple

import numpy as np
import torch
from matplotlib import font_manager, get_data_path
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_PAPER = 48  # pixels of the sheet that a letter is drawn on, before it is cut out
_BLOCK = 80  # pixels of the blocks of a photograph that stay in one part


class Patches(NamedTuple):
    """Patches (N, 3, side, side) of bytes, uint8; no two parts share a pixel."""

    train: Tensor
    validation: Tensor
    test: Tensor


def find_fonts(most: int = 100, *, only_bundled: bool = False) -> dict[str, Path]:
    """Fonts that draw A to Z, as "family,style" → file: first those of matplotlib.

    most: how many at most. only_bundled: without those of the system. Which there are
        depends on the computer and on the version of matplotlib, which brings about 20.

    A font may say that it has a character "A" and draw scissors or an empty box. Here
    the drawing itself must be named A, and so on to Z.
    """
    bundled = sorted(Path(get_data_path(), "fonts", "ttf").glob("*.ttf"))
    system = [] if only_bundled else map(Path, font_manager.findSystemFonts())
    found: dict[str, Path] = {}
    for path in [*bundled, *sorted(system, key=lambda path: path.name)]:
        if len(found) < most and (name := _read_name(path)):
            found.setdefault(name, path)
    return found


def write_letters(
    folder: str | Path,
    fonts: dict[str, Path] | None = None,
    *,
    letters: Iterable[str] = ascii_uppercase,
    n_copies: int = 3,
    seed: int = 0,
) -> None:
    """Write each letter of each font as image files: folder/A/family,style,0.png ….

    fonts: as `find_fonts` gives them, which is asked if there are none. Of each letter
    there are n_copies, each turned by up to 5 degrees and cut out with another margin,
    black on white, 31 to 36 pixels wide and high. 8,000 files take some seconds.
    """
    rng = np.random.default_rng(seed)
    fonts = find_fonts() if fonts is None else fonts
    for letter in letters:
        Path(folder, letter).mkdir(parents=True, exist_ok=True)
        for name, path in fonts.items():
            sheet = _draw_letter(letter, path)
            for copy in range(n_copies):
                image = _cut_out(sheet, rng)
                image.save(Path(folder, letter, f"{name},{copy}.png"))


def load_patches(side: int = 16, *, seed: int = 0) -> Patches:
    """Overlapping colour patches of two photographs, about 4,500, 1,000 and 1,000.

    The photographs are cut into 80 blocks of 80 × 80 pixels, these are divided, and
    then each is cut into patches, half a side apart: patches that overlap are nearly
    copies, and this way they come into one part.
    """
    from sklearn.datasets import load_sample_images  # not at the top: it loads 90 MB

    photographs = torch.tensor(np.stack(load_sample_images().images)).movedim(-1, 1)
    blocks = _cut(photographs[:, :, : 5 * _BLOCK], _BLOCK, _BLOCK)
    # NumPy keeps this generator's stream fixed for ever, so the split is fixed too.
    order = torch.from_numpy(np.random.RandomState(seed).permutation(len(blocks)))
    parts = blocks[order].split([len(blocks) - 24, 12, 12])
    return Patches(*(_cut(part, side, side // 2) for part in parts))


def _read_name(path: Path) -> str:
    """Family and style of a font that draws the letters A to Z; else nothing."""
    try:
        font = FT2Font(str(path))
        glyphs = [font.get_char_index(ord(letter)) for letter in ascii_uppercase]
        drawn = [font.get_glyph_name(glyph) for glyph in glyphs]
        ImageFont.truetype(str(path), 26)
    except (OSError, RuntimeError, ValueError):  # not for FreeType, or without names
        return ""
    if drawn != [*ascii_uppercase]:
        return ""
    names = (font.family_name, font.style_name)
    return ",".join("".join(c for c in n if c.isalnum() or c == " ") for n in names)


def _draw_letter(letter: str, path: Path) -> Image.Image:
    """The letter in the middle of a sheet, black on white."""
    font = ImageFont.truetype(str(path), 26)
    left, top, right, bottom = font.getbbox(letter)
    sheet = Image.new("L", (_PAPER, _PAPER), "white")
    corner = (_PAPER - left - right) / 2, (_PAPER - top - bottom) / 2
    ImageDraw.Draw(sheet).text(corner, letter, fill="black", font=font)
    return sheet


def _cut_out(sheet: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A square around the middle of the sheet, a little turned."""
    angle, side = rng.uniform(-5, 5), int(rng.integers(31, 37))
    turned = sheet.rotate(angle, Image.Resampling.BICUBIC, fillcolor="white")
    edge = (_PAPER - side) // 2
    return turned.crop((edge, edge, edge + side, edge + side))


def _cut(images: Tensor, side: int, step: int) -> Tensor:
    """All squares of an even grid: (N, 3, H, W) → (M, 3, side, side)."""
    squares = images.unfold(2, side, step).unfold(3, side, step)
    return squares.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
