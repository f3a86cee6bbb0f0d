"""The images of the course: MNIST, Fashion-MNIST, and digits that need no network.

`load_images()` is all a notebook needs. Raw files are checked before every use, and
lie as torchvision lays them out: a folder that it has filled works here, and the other
way round.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vae_helpers.raw_files import RawFilesError, Source, read_raw_files

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SOURCES = {
    "mnist": Source(
        title="MNIST",
        megabytes=11,
        folder="MNIST",
        page="https://github.com/cvdfoundation/mnist",
        mirrors=(
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        md5={
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        },
    ),
    "fashion": Source(
        title="Fashion-MNIST",
        megabytes=30,
        folder="FashionMNIST",
        page="https://github.com/zalandoresearch/fashion-mnist#get-the-data",
        mirrors=(
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        md5={
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        },
    ),
}
_CHOICES = ("auto", *SOURCES, "digits")


class DataUnavailableError(RuntimeError):
    """A data set asked for by name is not here and could not be fetched."""


@dataclass(frozen=True)
class ImageData:
    """A data set in memory, split once and for all.

    `train_images` (N, 1, 28, 28) and `test_images` (M, 1, 28, 28) are float32 in
    [0, 1]; `train_labels` (N,) and `test_labels` (M,) are int64 in 0…9. `name` is the
    data set's name and `note` one line that says what was loaded, and why if it is a
    substitute.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    name: str
    note: str

    def to(self, device: torch.device | str) -> "ImageData":
        """The same data with its tensors on `device`."""
        return replace(
            self,
            train_images=self.train_images.to(device),
            train_labels=self.train_labels.to(device),
            test_images=self.test_images.to(device),
            test_labels=self.test_labels.to(device),
        )


def load_images(
    name: str = "auto", *, root: str | Path | None = None, download: bool = True
) -> ImageData:
    """Load a data set into memory as (N, 1, 28, 28) float32 images in [0, 1].

    name: `mnist`, `fashion`, `digits` (bundled, no network), or `auto`: MNIST where it
        is here or can be fetched, else `digits`, unless the environment variable
        `VAE_DATASET` names one. With `auto`, one printed line says what was taken.
    root: the folder that holds `MNIST/raw` or `FashionMNIST/raw`. Without it, the
        environment variable `VAE_DATA_DIR`, where a relative path starts at the
        project's folder; without that, the project's `data/`. Where the helpers are
        installed without the project, these are the current folder and the user's
        cache folder.
    download: whether files that are missing or damaged may be fetched.

    Raises `DataUnavailableError` when a data set asked for by name cannot be had, with
    what was tried and what to do, and `ValueError` for an unknown name.
    """
    chosen = _choose_name(name)
    if chosen == "digits":
        images = _load_digits()
    else:
        images = _load(chosen, _find_root(root), download)
    if name == "auto":
        print(images.note)
    return images


def find_from_project(chosen: str | Path) -> Path:
    """The path that an environment variable names; `~` is the user's home.

    A relative one starts at the project's folder, whichever folder a notebook runs in,
    or at the current folder where the helpers are installed without the project.
    """
    base = _find_project() or Path.cwd()
    return Path(os.path.abspath(base / Path(chosen).expanduser()))


def _choose_name(name: str) -> str:
    chosen, origin = name, ""
    wish = os.environ.get("VAE_DATASET", "").strip().lower()
    if name == "auto" and wish:
        chosen, origin = wish, " (environment variable VAE_DATASET)"
    if chosen not in _CHOICES:
        choices = ", ".join(map(repr, _CHOICES))
        raise ValueError(
            f"unknown data set {chosen!r}{origin}: choose one of {choices}"
        )
    return chosen


def _find_project() -> Path | None:
    """The project's folder; none where the helpers are an installed wheel."""
    project = Path(__file__).resolve().parent.parent
    return project if (project / "pyproject.toml").is_file() else None


def _find_root(root: str | Path | None) -> Path:
    if root:
        return Path(root).expanduser().absolute()
    if chosen := os.environ.get("VAE_DATA_DIR"):
        return find_from_project(chosen)
    if project := _find_project():
        return project / "data"
    return _find_cache()


def _find_cache() -> Path:
    import pooch  # not at the top: it is needed nowhere else here

    return Path(pooch.os_cache("vae-helpers"))


def _load(name: str, root: Path, download: bool) -> ImageData:
    wanted = "mnist" if name == "auto" else name
    source = SOURCES[wanted]
    folder = root / source.folder / "raw"
    try:
        files = read_raw_files(source, folder, download)
    except RawFilesError as error:
        if name == "auto":
            return _load_digits(_explain_in_one_line(source, folder, *error.args))
        raise DataUnavailableError(_explain(source, folder, *error.args)) from None
    train_images, train_labels = _decode(files, "train", folder.parent)
    test_images, test_labels = _decode(files, "t10k", folder.parent)
    sizes = f"{len(train_labels):,} training and {len(test_labels):,} test images"
    note = f"{source.title}: {sizes}, 28×28 pixels in [0, 1]."
    if wanted == "fashion":
        note += " The notebooks' checkpoints were never tried on it: some may fail."
    return ImageData(train_images, train_labels, test_images, test_labels, wanted, note)


def _decode(files: dict[str, bytes], split: str, folder: Path) -> tuple[Tensor, Tensor]:
    """Images and labels of a split; the IDX headers are as checked as the rest."""
    name = f"{split}-images-idx3-ubyte"
    pixels = np.frombuffer(files[name], np.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = np.frombuffer(files[f"{split}-labels-idx1-ubyte"], np.uint8, offset=8)
    floats = _share_floats(pixels, folder, f"{name}.float32")
    return torch.from_numpy(floats), torch.from_numpy(labels.astype(np.int64))


def _explain_in_one_line(source: Source, folder: Path, found: str, tried: str) -> str:
    return (
        f"Using scikit-learn's 1,797 digits instead of MNIST ({found}; fetching: "
        f"{tried}). MNIST by hand: put the four .gz files linked at "
        f"{source.page} into {folder} and run this again."
    )


def _explain(source: Source, folder: Path, found: str, tried: str) -> str:
    return (
        f"{source.title} could not be loaded.\n"
        f"Looked in {folder}: {found}.\n"
        f"Fetching: {tried}.\n"
        "What to do, one of these:\n"
        "- Check the network and run this again; files already fetched are kept.\n"
        f"- Put the four .gz files linked at {source.page} into the folder above.\n"
        "- Pass as root=, or set as the environment variable VAE_DATA_DIR, a folder "
        f"that has {source.folder}/raw in it.\n"
        f'- Go on without {source.title}: load_images("digits") needs no network.'
    )


# ── floats that all processes share ─────────────────────────────────────────────────

_FLOATS = np.arange(256, dtype=np.float32) / 255  # of each byte


def _share_floats(pixels: np.ndarray, folder: Path, name: str) -> np.ndarray:
    """Bytes as floats in [0, 1], from a file that every process maps into its memory.

    The system then keeps MNIST's 220 MB once, however many kernels look at them, and
    copies only the pages that a kernel writes to (copy on write). The file lies beside
    the raw files, else in the user's cache folder; where neither can be had, the floats
    are this process's own.
    """
    for place in _find_places(folder):
        with contextlib.suppress(OSError):
            return _map_floats(pixels, place / name)
    return _FLOATS[pixels]


def _find_places(folder: Path) -> Iterator[Path]:
    yield folder
    yield _find_cache() / folder.name


def _map_floats(pixels: np.ndarray, path: Path) -> np.ndarray:
    """The file's floats; it is written anew unless it agrees with each of the pixels.

    To compare them all takes less time than a checksum of the file.
    """
    blocks = [slice(start, start + 1000) for start in range(0, len(pixels), 1000)]
    with contextlib.suppress(FileNotFoundError, ValueError):  # not there, or too short
        floats = np.memmap(path, np.float32, "c", shape=pixels.shape)
        if all(np.array_equal(floats[b], _FLOATS[pixels[b]]) for b in blocks):
            return floats
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.stat().st_mode & 0o222:  # which does not stop root by itself
        raise PermissionError(f"{path.parent} is read-only")
    # Processes that write at once write the same bytes to the same places of this file;
    # the first to finish gives it its name. What a killed one left is written over.
    scratch = path.with_suffix(".part")
    try:
        scratch.touch()  # creates it, but does not empty it
        with scratch.open("r+b") as file:
            for b in blocks:
                _FLOATS[pixels[b]].tofile(file)
            file.truncate()
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    return np.memmap(path, np.float32, "c", shape=pixels.shape)


# ── scikit-learn's digits, made to look like MNIST ──────────────────────────────────


def _load_digits(note: str = "") -> ImageData:
    """The 1,797 handwritten 8×8 digits bundled with scikit-learn, as 28×28 images.

    Enlarged to 20×20 (bicubic), contrast restored by a soft threshold, padded to 28×28.
    """
    from sklearn.datasets import load_digits  # not at the top: it loads 90 MB

    bundled = load_digits()
    small = torch.tensor(bundled.images, dtype=torch.float32).unsqueeze(1) / 16
    large = F.interpolate(small, size=(20, 20), mode="bicubic", align_corners=False)
    ends = torch.sigmoid(torch.tensor([-4.0, 4.0]))
    sharp = (torch.sigmoid(8 * (large - 0.5)) - ends[0]) / (ends[1] - ends[0])
    images = F.pad(sharp.clamp(0, 1), (4, 4, 4, 4))  # (1797, 1, 28, 28)
    labels = torch.tensor(bundled.target)
    # NumPy keeps this generator's stream fixed for ever, so the split is fixed too.
    order = torch.from_numpy(np.random.RandomState(0).permutation(len(labels)))
    train, test = order[:1500], order[1500:]
    note = note or "digits: 1,500 training and 297 test images, 28×28 pixels in [0, 1]."
    return ImageData(
        images[train], labels[train], images[test], labels[test], "digits", note
    )
