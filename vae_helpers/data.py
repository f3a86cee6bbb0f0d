"""The images of the course: MNIST, Fashion-MNIST, digits that need no network, sprites.

`load_images()` is all a notebook needs. Files are fetched by pooch, checked before
every use, and read by torchvision's own classes, so a folder that torchvision has
filled works here and the other way round.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from vae_helpers import raw_files

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

_TITLES = raw_files.TITLES | {"digits": "digits"}
_BY_HAND = {  # pages to open in a browser, with links to the four files
    "mnist": "https://github.com/cvdfoundation/mnist",
    "fashion": "https://github.com/zalandoresearch/fashion-mnist#get-the-data",
}


_TEXTS = ("name", "note")


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
        tensors = {key: value for key, value in vars(self).items() if key not in _TEXTS}
        return replace(self, **{key: t.to(device) for key, t in tensors.items()})


def load_images(
    name: str = "auto", *, root: str | Path | None = None, download: bool = True
) -> ImageData:
    """Load a data set into memory as (N, 1, 28, 28) float32 images in [0, 1].

    name: `mnist`, `fashion`, `digits` (bundled, no network), or `auto`: MNIST where it
        is here or can be fetched, else `digits`, unless the environment variable
        `VAE_DATASET` names one. With `auto`, one printed line says what was taken.
    root: the folder that holds `MNIST/raw` or `FashionMNIST/raw`. Without it, the
        environment variable `VAE_DATA_DIR`, else `data/`; there a relative path starts
        at the project's folder, where `vae_helpers/` lies.
    download: whether files that are missing or damaged may be fetched.

    Raises `DataUnavailableError` when a data set asked for by name cannot be had, with
    what was tried and what to do, and `ValueError` for an unknown name.
    """
    images = _load(_choose_name(name), _find_root(root), download)
    if name == "auto":
        print(images.note)
    return images


def _load(name: str, root: Path, download: bool) -> ImageData:
    if name == "digits":
        return _load_digits()
    wanted = "mnist" if name == "auto" else name
    folder = root / raw_files.CLASSES[wanted].__name__ / "raw"
    trouble = raw_files.make_ready(wanted, folder, download)
    if trouble is None:
        return _read_with_torchvision(wanted, root)
    if name == "auto":
        return _load_digits(_explain_in_one_line(folder, *trouble))
    raise DataUnavailableError(_explain(name, folder, *trouble))


def _choose_name(name: str) -> str:
    source = ""
    if name == "auto" and os.environ.get("VAE_DATASET"):
        name, source = os.environ["VAE_DATASET"], " (environment variable VAE_DATASET)"
    if name not in ("auto", *_TITLES):
        choices = ", ".join(repr(choice) for choice in ("auto", *_TITLES))
        raise ValueError(f"unknown data set {name!r}{source}: choose one of {choices}")
    return name


def _find_root(root: str | Path | None) -> Path:
    if root:
        return Path(root).expanduser().absolute()
    project = Path(__file__).resolve().parent.parent
    chosen = Path(os.environ.get("VAE_DATA_DIR") or "data").expanduser()
    return Path(os.path.abspath(project / chosen))


def _explain_in_one_line(folder: Path, found: str, tried: str) -> str:
    return (
        f"Using scikit-learn's 1,797 digits instead of MNIST ({found}; fetching: "
        f"{tried}). MNIST by hand: put the four .gz files linked at "
        f"{_BY_HAND['mnist']} into {folder} and run this again."
    )


def _explain(name: str, folder: Path, found: str, tried: str) -> str:
    title = _TITLES[name]
    return (
        f"{title} could not be loaded.\n"
        f"Looked in {folder}: {found}.\n"
        f"Fetching: {tried}.\n"
        "What to do, one of these:\n"
        "- Check the network and run this again; files already fetched are kept.\n"
        f"- Put the four .gz files linked at {_BY_HAND[name]} into the folder above.\n"
        "- Pass as root=, or set as the environment variable VAE_DATA_DIR, a folder "
        f"that has {folder.parent.name}/raw in it.\n"
        f'- Go on without {title}: load_images("digits") needs no network.'
    )


def _read_with_torchvision(name: str, root: Path) -> ImageData:
    train, test = (
        raw_files.CLASSES[name](root, train=train) for train in (True, False)
    )
    sizes = f"{len(train):,} training and {len(test):,} test images"
    note = f"{_TITLES[name]}: {sizes}, 28×28 pixels in [0, 1]."
    images = [part.data.unsqueeze(1).float().div_(255) for part in (train, test)]
    return ImageData(images[0], train.targets, images[1], test.targets, name, note)


# ── scikit-learn's digits, made to look like MNIST ──────────────────────────────────


def _load_digits(note: str = "") -> ImageData:
    """The 1,797 handwritten 8×8 digits bundled with scikit-learn, as 28×28 images.

    Enlarged to 20×20 (bicubic), contrast restored by a soft threshold, padded to 28×28.
    """
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
