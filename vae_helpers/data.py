"""The images of the course: MNIST, Fashion-MNIST, and digits that need no network.

`load_images()` is all a notebook needs. Files are fetched by pooch, checked before
every use, and read by torchvision's own classes, so a folder that torchvision has
filled works here and the other way round.
"""

import gzip
import os
import shutil
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pooch
import torch
import torchvision
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

_CLASSES = {
    "mnist": torchvision.datasets.MNIST,
    "fashion": torchvision.datasets.FashionMNIST,
}
_TITLES = {"mnist": "MNIST", "fashion": "Fashion-MNIST", "digits": "digits"}
# Tried in this order, then torchvision's own list; every copy is checked by its MD5.
_FIRST_MIRRORS = {
    "mnist": ["https://storage.googleapis.com/cvdf-datasets/mnist/"],
    "fashion": [
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
    ],
}
_MEGABYTES = {"mnist": 11, "fashion": 30}
_COUNTS = {"train": 60_000, "t10k": 10_000}
# CRC-32 of the raw files. For Fashion-MNIST it is read from the checked .gz beside.
_RAW_CRC32 = {
    "mnist": {
        "train-images-idx3-ubyte": 0xE9F4D8B3,
        "train-labels-idx1-ubyte": 0xE0CB4AD2,
        "t10k-images-idx3-ubyte": 0x91373BDF,
        "t10k-labels-idx1-ubyte": 0x4AB9EFF9,
    }
}
_CONNECTION_TIMEOUT = 5.0  # seconds, for connecting and for every read
_FIRST_FILE_LIMIT = 12.0  # seconds for the smallest file, all mirrors together
_ALL_FILES_LIMIT = 300.0  # seconds for everything, on a slow line


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


def load_images(
    name: str = "auto", *, root: str | Path | None = None, download: bool = True
) -> ImageData:
    """Load a data set into memory as (N, 1, 28, 28) float32 images in [0, 1].

    name: `mnist`, `fashion`, `digits` (bundled, no network), or `auto`: MNIST where it
        is here or can be fetched, else `digits`; `auto` prints one line that says
        which. The environment variable `VAE_DATASET` decides what `auto` means.
    root: the folder that holds `MNIST/raw` or `FashionMNIST/raw`. Without it, the
        environment variable `VAE_DATA_DIR`, else `data/` beside `vae_helpers/`.
    download: whether files that are missing or damaged may be fetched.

    Raises `DataUnavailableError` when a data set asked for by name cannot be had, with
    what was tried and what to do, and `ValueError` for an unknown name.
    """
    if name == "auto":
        name = os.environ.get("VAE_DATASET", "auto")
    if name not in ("auto", *_TITLES):
        choices = ", ".join(repr(choice) for choice in ("auto", *_TITLES))
        raise ValueError(f"no data set is called {name!r}: choose one of {choices}")
    if name == "digits":
        return _load_digits()
    if name != "auto":
        return _load_torchvision(name, _find_root(root), download)
    try:
        images = _load_torchvision("mnist", _find_root(root), download)
    except DataUnavailableError as error:
        images = _load_digits(f"Using scikit-learn's 1,797 digits. {error}")
    print(images.note)
    return images


def _find_root(root: str | Path | None) -> Path:
    project = Path(__file__).resolve().parent.parent
    return Path(root or os.environ.get("VAE_DATA_DIR") or project / "data")


def _load_torchvision(name: str, root: Path, download: bool) -> ImageData:
    dataset_class = _CLASSES[name]
    _make_ready(name, root / dataset_class.__name__ / "raw", download)
    train = dataset_class(root, train=True)
    test = dataset_class(root, train=False)
    return _image_data(name, train.data, train.targets, test.data, test.targets)


def _image_data(
    name: str,
    train_pixels: Tensor,
    train_labels: Tensor,
    test_pixels: Tensor,
    test_labels: Tensor,
    note: str | None = None,
) -> ImageData:
    """Scale uint8 pixels (N, 28, 28) to [0, 1]; float pixels are taken as they are."""

    def images(pixels: Tensor) -> Tensor:
        scale = 255 if pixels.dtype == torch.uint8 else 1
        return pixels.unsqueeze(1).float().div_(scale)

    sizes = f"{len(train_labels):,} training and {len(test_labels):,} test images"
    return ImageData(
        images(train_pixels),
        train_labels.long(),
        images(test_pixels),
        test_labels.long(),
        name,
        note or f"{_TITLES[name]}: {sizes}, 28×28 pixels in [0, 1].",
    )


# ── scikit-learn's digits, made to look like MNIST ──────────────────────────────────


def _load_digits(note: str | None = None) -> ImageData:
    """The 1,797 handwritten 8×8 digits bundled with scikit-learn, as 28×28 images.

    Enlarged to 20×20 (bicubic), contrast restored by a soft threshold, padded to 28×28.
    """
    bundled = load_digits()
    small = torch.tensor(bundled.images, dtype=torch.float32).unsqueeze(1) / 16
    large = F.interpolate(small, size=(20, 20), mode="bicubic", align_corners=False)
    ends = torch.sigmoid(torch.tensor([-4.0, 4.0]))
    sharp = (torch.sigmoid(8 * (large - 0.5)) - ends[0]) / (ends[1] - ends[0])
    pixels = F.pad(sharp.clamp(0, 1), (4, 4, 4, 4)).squeeze(1)  # (1797, 28, 28)
    labels = torch.tensor(bundled.target)
    # NumPy keeps this generator's stream fixed for ever, so the split is fixed too.
    order = torch.from_numpy(np.random.RandomState(0).permutation(len(labels)))
    train, test = order[:1500], order[1500:]
    return _image_data(
        "digits", pixels[train], labels[train], pixels[test], labels[test], note
    )


# ── fetching and checking the raw files ─────────────────────────────────────────────


def _make_ready(name: str, folder: Path, download: bool) -> None:
    """Leave four good raw files in `folder`, or raise `DataUnavailableError`."""
    # Smallest first: it finds out quickly whether there is a network at all.
    resources = sorted(_CLASSES[name].resources, key=lambda item: "images" in item[0])
    faults = {}
    for archive, md5 in resources:
        fault = _restore(name, folder / archive, md5)
        if fault:
            faults[archive, md5] = fault
    if not faults:
        return
    if set(faults.values()) == {"is missing"}:
        tried = [f"{len(faults)} of its 4 files are missing"]
    else:
        tried = [f"{archive[:-3]} {fault}" for (archive, _), fault in faults.items()]
    if download:
        problem = _fetch_all(name, folder, list(faults))
        if problem is None:
            return
        tried.append(problem)
    raise DataUnavailableError(
        f"{_TITLES[name]} could not be had: {'; '.join(tried)}. To get it by hand, put "
        f"the four .gz files of {_FIRST_MIRRORS[name][0]} into {folder}, or set "
        f"VAE_DATA_DIR to a folder that has {folder.parent.name}/raw."
    )


def _restore(name: str, archive: Path, md5: str) -> str | None:
    """Say what is wrong with the raw file of `archive`, unpacking a good .gz first."""
    raw = archive.with_suffix("")
    fault = _find_fault(name, raw, md5)
    if fault is None or not _is_good_archive(archive, md5):
        return fault
    try:
        _unpack(archive, raw)
    except OSError as error:
        return f"could not be unpacked ({error})"
    return _find_fault(name, raw, md5)


def _find_fault(name: str, raw: Path, md5: str) -> str | None:
    """Say in words what is wrong with a raw IDX file, or None if it is good."""
    try:
        content = raw.read_bytes()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    count = _COUNTS[raw.name.split("-")[0]]
    shape = [count, 28, 28] if "images" in raw.name else [count]
    header = b"\0\0\x08" + bytes([len(shape)])
    header += b"".join(size.to_bytes(4, "big") for size in shape)
    expected_size = len(header) + int(np.prod(shape))
    if len(content) != expected_size:
        return f"has {len(content):,} bytes instead of {expected_size:,}"
    if not content.startswith(header):
        return f"does not start with the header of {count:,} items"
    if "labels" in raw.name and max(content[len(header) :]) > 9:
        return "holds labels above 9"
    crc32 = _RAW_CRC32.get(name, {}).get(raw.name)
    archive = raw.with_name(raw.name + ".gz")
    if crc32 is None and _is_good_archive(archive, md5):
        crc32 = int.from_bytes(archive.read_bytes()[-8:-4], "little")
    if crc32 is not None and zlib.crc32(content) != crc32:
        return "is damaged: its checksum is wrong"
    return None


def _is_good_archive(archive: Path, md5: str) -> bool:
    return archive.is_file() and pooch.file_hash(str(archive), alg="md5") == md5


def _unpack(archive: Path, raw: Path) -> None:
    """Unpack beside the target, then move into place in one step."""
    with tempfile.NamedTemporaryFile(dir=raw.parent, delete=False) as part:
        try:
            with gzip.open(archive) as packed:
                shutil.copyfileobj(packed, part)
            part.close()
            os.chmod(part.name, 0o644)
            os.replace(part.name, raw)
        except BaseException:
            part.close()
            os.unlink(part.name)
            raise


def _fetch_all(name: str, folder: Path, resources: list) -> str | None:
    """Fetch and unpack `resources`; return what went wrong, or None."""
    mirrors = [*_FIRST_MIRRORS[name], *_CLASSES[name].mirrors]
    started = time.monotonic()
    for archive, md5 in resources:
        first = archive == resources[0][0]
        limit = _FIRST_FILE_LIMIT if first else _ALL_FILES_LIMIT
        left = limit - (time.monotonic() - started)
        problems: list[str] = []
        work = threading.Thread(
            target=_fetch, args=(folder / archive, md5, mirrors, problems), daemon=True
        )
        work.start()
        work.join(max(left, 0))
        if work.is_alive():
            problems.append(f"nothing complete came within {limit:.0f} seconds")
        fault = _restore(name, folder / archive, md5)
        if fault:
            return "; ".join(problems) or fault
        if first:
            size = f"{_MEGABYTES[name]} MB, once"
            print(f"Fetching {_TITLES[name]} ({size}) …", flush=True)
    return None


def _fetch(archive: Path, md5: str, mirrors: list[str], problems: list[str]) -> None:
    """Try the mirrors in turn until a copy with the right MD5 lies at `archive`.

    pooch writes to a temporary file beside it and moves only a checked one into place.
    """
    pooch.get_logger().setLevel("ERROR")
    downloader = pooch.HTTPDownloader(timeout=_CONNECTION_TIMEOUT)
    for mirror in list(mirrors):
        try:
            pooch.retrieve(
                mirror + archive.name,
                known_hash=f"md5:{md5}",
                fname=archive.name,
                path=archive.parent,
                downloader=downloader,
            )
            return
        except Exception as error:  # whatever happens to one mirror, try the next
            mirrors.remove(mirror)  # and do not wait for this one again
            problems.append(f"{urlparse(mirror).hostname}: {_in_words(error)}")


def _in_words(error: Exception) -> str:
    """One short reason for a failed download."""
    kind = type(error).__name__
    if "Timeout" in kind or "timed out" in str(error):
        return f"no answer within {_CONNECTION_TIMEOUT:.0f} seconds"
    if "hash" in str(error):
        return "what came is damaged (wrong checksum)"
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"answered HTTP {status}" if status else f"no connection ({kind})"
