"""One image file of any kind, read over Pillow as pixels of one size in [0, 1]."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset


class UnreadableImageError(ValueError):
    """A file that gives no image; the message goes on after the file's name."""


class ImageFile(NamedTuple):
    """Pixels (C, H, W), float32 in [0, 1], and what was done to come to them.

    was_cropped: by more than one pixel of the result. was_deep: had greys of 16 bits.
    """

    pixels: Tensor
    was_resized: bool
    was_cropped: bool
    was_transparent: bool
    was_deep: bool


class ImageFiles(Dataset):
    """Image files as tensors (C, H, W), each opened only when it is asked for.

    paths: the files. size, mode: those of `read_image`. turn_around: 1 − pixels, so
        that 1 is ink on white paper. For a `DataLoader`, also one with `num_workers`.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        size: tuple[int, int] = (28, 28),
        mode: str = "L",
        *,
        turn_around: bool = False,
    ) -> None:
        self.paths, self.size, self.mode = list(paths), size, mode
        self.turn_around = turn_around

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Tensor:
        pixels = read_image(self.paths[i], self.size, self.mode).pixels
        return 1 - pixels if self.turn_around else pixels


def read_image(
    path: str | Path,
    size: tuple[int, int] = (28, 28),
    mode: str = "L",
    background: str = "white",
) -> ImageFile:
    """Read an image file; the arguments are those of `folders.load_folder`.

    Raises `UnreadableImageError` for what is no image, broken or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd in a file, but can be read
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _bring_into_form(image, size, mode, background)
    except UnreadableImageError:
        raise
    except Image.UnidentifiedImageError:
        raise UnreadableImageError("Pillow finds no image in it") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        most = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise UnreadableImageError(
            f"it has more than {most} million pixels: make it smaller first"
        ) from None
    except Exception as error:  # Pillow raises whatever a broken file leads it to
        raise UnreadableImageError(
            f"it cannot be read ({getattr(error, 'strerror', None) or error}): fetch "
            "it anew, or save it again as PNG"
        ) from error


def _bring_into_form(
    image: Image.Image, size: tuple[int, int], mode: str, background: str
) -> ImageFile:
    was_size = image.size
    image.draft(None, (2 * max(size),) * 2)  # a large JPEG is decoded at ½, ¼ or ⅛
    was_reduced = image.size != was_size
    was_deep = image.mode[0] == "I"
    image = ImageOps.exif_transpose(image)
    image, was_transparent = _convert(image, mode, background)
    height, width = size
    scale = max(width / image.width, height / image.height)
    lost = max(image.width * scale - width, image.height * scale - height)
    was_resized = was_reduced or image.size != (width, height)
    image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    pixels = np.atleast_3d(np.array(image, np.float32))  # (H, W, 1) or (H, W, 3)
    if image.mode != "F":
        pixels /= 255
    pixels = np.broadcast_to(pixels, (height, width, len(mode)))
    channels_first = torch.from_numpy(np.moveaxis(pixels, -1, 0).copy())
    return ImageFile(channels_first, was_resized, lost > 1, was_transparent, was_deep)


def _convert(
    image: Image.Image, mode: str, background: str
) -> tuple[Image.Image, bool]:
    """The image in 8 bits in `mode`, or, if it is of finer greys, as floats in [0, 1].

    Also whether any of it was transparent.
    """
    if image.mode[0] in "IF":  # 16 or 32 bits, which `Image.convert` would clip
        greys = np.asarray(image, np.float32)
        greys = greys if image.mode == "F" else greys / 65535
        low, high = greys.min(), greys.max()
        if not (low >= 0 and high <= 1):  # NaN too
            top = 1 if image.mode == "F" else 65535
            raise UnreadableImageError(
                f"its greys go from {low * top:g} to {high * top:g} and must lie "
                f"between 0 and {top}: save it as PNG with 8 or 16 bits"
            )
        return Image.fromarray(greys), False
    if not image.has_transparency_data:
        return image.convert(mode), False
    image = image.convert("RGBA")
    clearest = np.asarray(image.getchannel("A")).min()
    page = Image.new("RGBA", image.size, background)
    return Image.alpha_composite(page, image).convert(mode), bool(clearest < 255)
