"""The raw files of MNIST and Fashion-MNIST, checked and fetched safely by pooch."""

import gzip
import hashlib
import math
import os
import shutil
import tempfile
import threading
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import pooch
import requests  # what pooch itself downloads with
import torchvision

TITLES = {"mnist": "MNIST", "fashion": "Fashion-MNIST"}
# Tried in this order, then torchvision's own list; every copy is checked by its MD5.
_FIRST_MIRRORS = {
    "mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "fashion": "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
}
_MEGABYTES = {"mnist": 11, "fashion": 30}
_COUNTS = {"train": 60_000, "t10k": 10_000}
_RAW_MD5 = {  # of the unpacked files; torchvision knows those of the .gz files
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
# A mirror that gives fewer bytes than this in so many seconds is given up. There are
# three at most, so without network `auto` falls back to the digits within 12 seconds.
_MIN_BYTES = 50_000
_PATIENCE = 4.0
_TIMEOUT = 10.0  # seconds until a connection given up ends itself


class MNIST(torchvision.datasets.MNIST):
    """torchvision's, but blind to the unchecked `processed/*.pt` of old releases."""

    def _check_legacy_exist(self) -> bool:
        return False


class FashionMNIST(MNIST, torchvision.datasets.FashionMNIST):
    """torchvision's, likewise."""


CLASSES = {"mnist": MNIST, "fashion": FashionMNIST}  # named like their folders


def make_ready(name: str, folder: Path, download: bool) -> tuple[str, str] | None:
    """Leave four good raw files in `folder`, else say what was found and tried."""
    # The smallest first: it shows soon whether there is a network at all.
    resources = sorted(CLASSES[name].resources, key=lambda r: ("images" in r[0], r[0]))
    wanted = [(folder / archive.removesuffix(".gz"), md5) for archive, md5 in resources]
    faults = {raw: _restore(name, raw) for raw, _ in wanted}
    bad = [(raw, md5) for raw, md5 in wanted if faults[raw]]
    found = _group((f"{faults[raw]}:", raw.name) for raw, _ in bad)
    if bad and not download:
        return found, "switched off by download=False"
    try:
        tried = _fetch_all(name, bad)
    except OSError as error:
        tried = f"cannot write into {folder} ({error.strerror})"
    # Whatever went wrong, another process may have brought the files meanwhile.
    still_bad = any(_find_fault(name, raw) for raw, _ in bad)
    return (found, tried) if still_bad else None


def _group(pairs: Iterable[tuple[str, str]]) -> str:
    """Join pairs of reason and name: `no connection to a, b; HTTP 404 from c`."""
    names: dict[str, list[str]] = {}
    for reason, name in pairs:
        names.setdefault(reason, []).append(name)
    if [len(group) for group in names.values()] == [4]:
        return f"{next(iter(names))} all four files"
    return "; ".join(f"{reason} {', '.join(names[reason])}" for reason in names)


def _restore(name: str, raw: Path) -> str | None:
    """Say what is wrong with a raw file, after unpacking a good .gz put beside it."""
    fault = _find_fault(name, raw)
    archive = raw.with_name(f"{raw.name}.gz")
    if fault is None or not os.path.exists(archive):
        return fault
    try:
        problem = _unpack(name, archive, raw)
    except (OSError, EOFError, zlib.error) as error:
        problem = getattr(error, "strerror", None) or "damaged"
    return problem and f"{fault}, and the .gz beside it is of no use ({problem})"


def _find_fault(name: str, raw: Path) -> str | None:
    """Say in words what is wrong with a raw IDX file, or None if it is good."""
    try:
        content = raw.read_bytes()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"not readable ({error.strerror})"
    header, size = _find_layout(raw.name)
    if len(content) != size:
        return f"incomplete ({len(content):,} of {size:,} bytes)"
    if not content.startswith(header):
        return "damaged (wrong type or count in its header)"
    if "labels" in raw.name and max(content[len(header) :]) > 9:
        return "damaged (labels above 9)"
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return None if md5 == _RAW_MD5[name][raw.name] else "damaged (wrong checksum)"


def _find_layout(raw_name: str) -> tuple[bytes, int]:
    """The header an IDX file must have, and the size of the whole file in bytes."""
    count = _COUNTS[raw_name.split("-")[0]]
    shape = [count, 28, 28] if "images" in raw_name else [count]
    sizes = b"".join(size.to_bytes(4, "big") for size in shape)
    return bytes([0, 0, 8, len(shape)]) + sizes, 4 + len(sizes) + math.prod(shape)


def _make_scratch(folder: Path) -> tempfile.TemporaryDirectory:
    """A folder of our own on the same disk: what is good moves out in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(
        dir=folder, prefix=".fetch-", ignore_cleanup_errors=True
    )


def _unpack(name: str, archive: Path, raw: Path) -> str | None:
    """Unpack a .gz and put the result in place if it is good, else say its fault."""
    with _make_scratch(raw.parent) as scratch:
        unpacked = Path(scratch) / raw.name
        with gzip.open(archive) as packed, unpacked.open("wb") as file:
            shutil.copyfileobj(packed, file)
        fault = _find_fault(name, unpacked)
        if fault is None:
            os.replace(unpacked, raw)
    return fault


def _fetch_all(name: str, raw_files: list[tuple[Path, str]]) -> str:
    """Fetch the files from one mirror, the rest from the next where it fails."""
    failures = []
    left = list(raw_files)
    # Three mirrors at most, so that the time until `auto` gives up stays bounded.
    for mirror in [_FIRST_MIRRORS[name], *CLASSES[name].mirrors][:3]:
        while left:
            reason = _fetch(name, mirror, *left[0])
            if reason:
                failures.append((reason, urlparse(mirror).netloc))
                break
            if len(left) == len(raw_files):
                size = f"{_MEGABYTES[name]} MB, once"
                print(f"Fetching {TITLES[name]} ({size}) …", flush=True)
            left.pop(0)
    return _group(failures)


def _fetch(name: str, mirror: str, raw: Path, md5: str) -> str | None:
    """Put one raw file in place, or say why not, in words that the host completes.

    It works in a thread, because nothing else bounds a look-up of the host's name or a
    trickle of bytes. A thread given up can write only into its own scratch folder.
    """
    with _make_scratch(raw.parent) as scratch:
        archive = Path(scratch) / f"{raw.name}.gz"
        transfer = _Transfer(mirror + archive.name, md5, archive)
        work = threading.Thread(target=transfer.run, daemon=True)
        work.start()
        goal, deadline = _MIN_BYTES, time.monotonic() + _PATIENCE
        try:
            while work.is_alive() and time.monotonic() < deadline:
                work.join(0.05)
                if transfer.received >= goal:
                    goal = transfer.received + _MIN_BYTES
                    deadline = time.monotonic() + _PATIENCE
        finally:  # also when the reader interrupts the cell
            transfer.given_up = True
        if archive.exists():  # pooch gives this name only to a file with the right MD5
            return _unpack(name, archive, raw)
        return transfer.problem


@dataclass
class _Transfer:
    """One download by pooch, followed and stopped from another thread."""

    url: str
    md5: str
    archive: Path
    received: int = 0
    given_up: bool = False
    problem: str = "no complete answer in time from"

    def run(self) -> None:
        pooch.get_logger().setLevel("ERROR")  # else it reports each file on stderr
        path, name = self.archive.parent, self.archive.name
        try:
            pooch.retrieve(self.url, f"md5:{self.md5}", name, path, downloader=self)
        except Exception as error:  # whatever happens to a mirror, the next may work
            self.problem = _in_words(error)

    def __call__(self, url: str, output: str, _: object) -> None:
        """Write what `url` gives to the file `output`, for pooch to check."""
        most = _find_layout(self.archive.stem)[1] + 1000  # packed is hardly ever larger
        with requests.get(url, stream=True, timeout=_TIMEOUT) as response:
            response.raise_for_status()
            with open(output, "wb") as file:
                for chunk in response.iter_content(2**14):
                    file.write(chunk)
                    self.received += len(chunk)
                    if self.given_up or self.received > most:
                        raise ValueError("too late, or longer than a whole file")


def _in_words(error: Exception) -> str:
    """Why a download failed, in words that the mirror's name completes."""
    if getattr(error, "response", None) is not None:
        return f"HTTP {error.response.status_code} from"
    if isinstance(error, requests.exceptions.SSLError):
        return "no trusted certificate from"
    if isinstance(error, requests.ConnectionError):
        return "no connection to"
    if isinstance(error, requests.RequestException):
        return "connection cut by"
    if isinstance(error, OSError):
        return f"cannot save ({error.strerror}) the file from"
    return "damaged file from"
