"""Images of your own: a folder of image files in memory, split into three parts.

`load_folder("my/images")` is all a notebook needs; first used in notebook 09.
"""

import os
import unicodedata
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vae_helpers.data import find_from_project
from vae_helpers.image_files import ImageFile, UnreadableImageError, read_image

import numpy as np
import torch
from PIL import ImageColor
from torch import Tensor

_FEW = 200  # images; of fewer, some twenty are for testing
_MOST_BYTES = 2_000_000_000  # of pixels; while they are split, it is twice as much


@dataclass(frozen=True)
class FolderData:
    """The images of a folder in memory, split into training, validation and test.

    Of each part: `train_images` (N, C, H, W), float32 in [0, 1]; `train_labels` (N,),
    int64, each an index into `class_names`; `train_files`, the N paths from `folder`
    on, such as "cats/1.png". `skipped` tells of each file that was left out why; `name`
    is the folder's, and `note` one line that says what was read.
    """

    train_images: Tensor
    train_labels: Tensor
    train_files: tuple[str, ...]
    validation_images: Tensor
    validation_labels: Tensor
    validation_files: tuple[str, ...]
    test_images: Tensor
    test_labels: Tensor
    test_files: tuple[str, ...]
    class_names: tuple[str, ...]
    skipped: dict[str, str]
    folder: Path
    name: str
    note: str

    def to(self, device: torch.device | str) -> "FolderData":
        """The same data with its tensors on `device`."""
        moved: dict[str, Any] = {
            name: part.to(device)
            for name, part in vars(self).items()
            if isinstance(part, Tensor)
        }
        return replace(self, **moved)


def load_folder(
    folder: str | Path | None = None,
    *,
    example: str | Path | None = None,
    size: tuple[int, int] = (28, 28),
    mode: str = "L",
    group: Callable[[Path], Hashable] | None = None,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    background: str = "white",
    seed: int = 0,
) -> FolderData:
    """Read a folder of image files into memory, and print one line that says what.

    folder: its sub-folders are the classes, as torchvision's `ImageFolder` has it; one
        without sub-folders is a single class. Without `folder`, the environment
        variable `VAE_IMAGES` (a relative path starts at the project's folder), and
        without that, `example`. Hidden files are passed over.
    size: (height, width). An image is scaled until it covers this, with antialiasing,
        and what then sticks out is cut off, as much on either side.
    mode: "L" for grey, C = 1, or "RGB" for colour, C = 3.
    group: the original that a file is a copy of, from its path within the folder; all
        copies of one original come into the same part. Without it, each file is its
        own. `lambda path: path.stem` keeps the letters of one font together, where the
        sub-folders are letters and the files fonts. If copies came into several parts,
        the model would have seen the test images, or nearly, and a good score on them
        would say nothing about new images.
    fractions: of the originals for training, validation and test; a part whose fraction
        is not 0 has at least one. What rounding leaves is for training.
    background: what transparent pixels show, a colour as Pillow names it.
    seed: decides which original comes into which part.

    Any format that Pillow opens: of an animation the first frame, a photograph upright
    as its EXIF data says, greys of 16 bits divided by 65,535. A file that cannot be
    read is skipped, and `skipped` says why.

    Raises `FileNotFoundError` where there is no such folder, and `ValueError` for one
    that holds nothing to learn from, or a wrong argument; each says what to do.
    """
    _refuse_bad_arguments(size, mode, fractions, background)
    root = _find_folder(folder, example)
    files = _list_files(root)
    _refuse_too_many(len(files), size, mode)
    images, skipped = _read_all(root, files, size, mode, background)
    classes = list(dict.fromkeys(map(_class_of, images)))

    def stack(part: list[str]) -> tuple[Tensor, Tensor, tuple[str, ...]]:
        pixels = torch.empty(len(part), len(mode), *size)
        for row, file in zip(pixels, part, strict=True):
            row.copy_(images[file].pixels)
        labels = [classes.index(_class_of(file)) for file in part]
        return pixels, torch.tensor(labels, dtype=torch.long), tuple(part)

    groups = {file: group(Path(file)) if group else file for file in images}
    train, validation, test = _split(groups, fractions, seed)
    names = tuple(name or root.name for name in classes)
    parts = *stack(train), *stack(validation), *stack(test)
    data = FolderData(*parts, names, skipped, root, root.name, note="")
    remarks = _describe(data, len(set(groups.values())))
    remarks += _tell_what_was_done(list(images.values()), skipped, background)
    data = replace(data, note=" ".join(remarks + _find_faults(data)))
    print(data.note)
    return data


# ── the files ───────────────────────────────────────────────────────────────────────


def _find_folder(folder: str | Path | None, example: str | Path | None) -> Path:
    said, origin = str(folder or ""), ""
    if not said and (wish := os.environ.get("VAE_IMAGES", "").strip()):
        said = str(find_from_project(wish))
        origin = " (environment variable VAE_IMAGES)"
    said = said or str(example or "")
    if not said:
        raise ValueError(
            'no folder is named: say load_folder("my/images"), or set the environment '
            "variable VAE_IMAGES"
        )
    root = Path(said).expanduser().absolute()
    if not root.exists():
        raise FileNotFoundError(
            f"there is no folder {said!r}{origin}: check the spelling; a relative path "
            f"starts at {str(Path.cwd())!r}"
        )
    if not root.is_dir():
        raise ValueError(
            f"{said!r}{origin} is a file: name the folder that holds the images, and "
            "unpack an archive first"
        )
    return root


def _list_files(root: Path) -> list[str]:
    """All files but hidden ones, as paths from `root`, in the same order everywhere."""
    found = []
    for parent, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    if not found:
        raise ValueError(
            f"the folder {root.name!r} is empty: put image files into it, or a "
            "sub-folder of image files for each class"
        )
    return sorted((path.relative_to(root).as_posix() for path in found), key=_spell)


def _spell(file: str) -> str:
    """A name to sort by: some systems write é as two characters, e and an accent."""
    return unicodedata.normalize("NFC", file)


def _class_of(file: str) -> str:
    """The first sub-folder on the way to a file, or, without one, the empty string."""
    return file.partition("/")[0] if "/" in file else ""


def _read_all(
    root: Path, files: list[str], size: tuple[int, int], mode: str, background: str
) -> tuple[dict[str, ImageFile], dict[str, str]]:
    """The images of the files, and of those that are skipped, why."""
    images, skipped = {}, {}
    for file in files:
        try:
            images[file] = read_image(root / file, size, mode, background)
        except UnreadableImageError as error:
            skipped[file] = str(error)
    if any(map(_class_of, images)):
        for file in [file for file in images if not _class_of(file)]:
            del images[file]
            skipped[file] = "it lies beside the classes: move it into a sub-folder"
    if not images:
        (file, why), *_ = skipped.items()
        raise ValueError(
            f"the folder {root.name!r} holds no image that can be used. Of {file!r}: "
            f"{why}. Name a folder of image files, PNG or JPEG for example, or of a "
            "sub-folder of them for each class"
        )
    return images, skipped


def _split(
    groups: dict[str, Hashable], fractions: Sequence[float], seed: int
) -> tuple[list[str], list[str], list[str]]:
    """Files for training, validation and test; `groups` has the original of each."""
    originals = list(dict.fromkeys(groups.values()))
    n = len(originals)
    n_validation, n_test = (
        max(1, round(fraction * n)) if fraction else 0 for fraction in fractions[1:]
    )
    n_train = n - n_validation - n_test
    if n_train < 1:
        few = f"the images are too few ({n})"
        if n < len(groups):
            few = f"the {len(groups)} images are copies of too few originals ({n})"
        raise ValueError(
            f"{few} to keep some for validation and testing: add images, look at what "
            "`group` makes of their paths, or say fractions=(1, 0, 0) to train on all"
        )
    # NumPy keeps this generator's stream fixed for ever, so the split is fixed too.
    order = np.random.RandomState(seed).permutation(n)
    cuts = np.split(order, [n_train, n_train + n_validation])
    chosen = [{originals[i] for i in cut} for cut in cuts]
    train, validation, test = (
        [file for file, original in groups.items() if original in part]
        for part in chosen
    )
    return train, validation, test


# ── what there is to say ────────────────────────────────────────────────────────────


def _describe(data: FolderData, n_originals: int) -> list[str]:
    sizes = [len(data.train_files), len(data.validation_files), len(data.test_files)]
    originals = f" of {n_originals:,} originals" if n_originals < sum(sizes) else ""
    classes = f" in {len(data.class_names)} classes" if data.class_names[1:] else ""
    shape = "×".join(map(str, data.train_images.shape[1:]))
    return [
        f"{data.name}: {sum(sizes):,} images{originals}{classes}, {sizes[0]:,} for "
        f"training, {sizes[1]:,} for validation, {sizes[2]:,} for testing; {shape}, "
        "in [0, 1]."
    ]


def _tell_what_was_done(
    images: list[ImageFile], skipped: dict[str, str], background: str
) -> list[str]:
    remarks = []
    if n_resized := sum(image.was_resized for image in images):
        n_cropped = sum(image.was_cropped for image in images)
        cut = f"; {n_cropped:,} of another shape lost two edges" if n_cropped else ""
        remarks.append(f"{n_resized:,} were resized{cut}.")
    if n_deep := sum(image.was_deep for image in images):
        remarks.append(f"{n_deep:,} have greys of 16 bits: divided by 65,535.")
    if n_transparent := sum(image.was_transparent for image in images):
        remarks.append(f"{n_transparent:,} were transparent: laid on {background}.")
    if skipped:
        (file, why), *_ = skipped.items()
        remarks.append(f"Skipped: {len(skipped):,} (see `skipped`), as {file}: {why}.")
    return remarks


def _find_faults(data: FolderData) -> list[str]:
    """Sentences on what may spoil a result although nothing fails."""
    faults = []
    held_out = (*data.validation_images, *data.test_images)
    n = len(data.train_images) + len(held_out)
    if n < _FEW:
        faults.append(
            f"So few images are enough to try the cells, not to judge a model: with "
            f"{_FEW} or more, numbers begin to mean something."
        )
    seen = {hash(image.numpy().tobytes()) for image in data.train_images}
    n_known = sum(hash(image.numpy().tobytes()) in seen for image in held_out)
    if n_known:
        faults.append(
            f"{n_known:,} images for validation or testing equal one for training: if "
            "these are copies, remove them or name their original by `group`."
        )
    known = set(data.train_labels.tolist())
    new = [name for i, name in enumerate(data.class_names) if i not in known]
    if new:
        faults.append(
            f"No image for training in {', '.join(new)}: add some, or try another seed."
        )
    return faults


def _refuse_too_many(n: int, size: tuple[int, int], mode: str) -> None:
    n_bytes = 4 * n * len(mode) * size[0] * size[1]
    if n_bytes > _MOST_BYTES:
        raise ValueError(
            f"{n:,} images of this size take {n_bytes / 1e9:.1f} GB: choose a "
            "smaller size, or read them batch by batch with a DataLoader, as "
            "section 13 of notebook 09 does"
        )


def _refuse_bad_arguments(
    size: tuple[int, int], mode: str, fractions: Sequence[float], background: str
) -> None:
    if not isinstance(size, Sequence) or len(size) != 2 or min(size) < 1:
        raise ValueError(f"size is {size!r}: say (height, width), such as (28, 28)")
    if mode not in ("L", "RGB"):
        raise ValueError(f"mode is {mode!r}: say 'L' for grey or 'RGB' for colour")
    ok = len(fractions) == 3 and min(fractions) >= 0 and fractions[0] > 0
    if not (ok and abs(sum(fractions) - 1) < 1e-6):
        raise ValueError(
            f"fractions is {fractions}: say three for training, validation and test "
            "that add up to 1, such as (0.8, 0.1, 0.1)"
        )
    try:
        ImageColor.getrgb(background)
    except ValueError:
        raise ValueError(
            f"background is {background!r}: say a colour, such as 'white' or '#ff8800'"
        ) from None
