"""Raw files of known MD5: checked before each use, mended, fetched from mirrors."""

import contextlib
import gzip
import hashlib
import io
import os
import shutil
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

_LONGEST = 2**26  # bytes; no file is longer, packed or not


@dataclass(frozen=True)
class Source:
    """Where a data set's files come from, and the MD5 of each when unpacked.

    A mirror that sends fewer than `pace` bytes in `patience` seconds is given up, so
    two mirrors without a network cost ten seconds at most.
    """

    title: str
    megabytes: int
    folder: str  # as torchvision names it, so that either finds the other's files
    page: str  # links to the four .gz files, for a browser
    mirrors: tuple[str, ...]
    md5: dict[str, str]  # the smallest file first: it shows soon if there is a network
    patience: float = 5.0
    pace: int = 2**16


class RawFilesError(Exception):
    """Not all files are there: says what was found, and what was tried."""


def read_raw_files(source: Source, folder: Path, download: bool) -> dict[str, bytes]:
    """Read the files in `folder`, by name, each with the right MD5.

    What is missing or damaged comes from a .gz beside it, else from the network if
    `download` allows it. Raises `RawFilesError` when that does not help.
    """
    files, faults = _read_all(source, folder)
    tried = "switched off by download=False"
    if faults and download:
        tried = _fetch(source, folder, list(faults))
        # Whatever went wrong, another process may have brought the files meanwhile.
        files, faults = _read_all(source, folder)
    if faults:
        which = ", ".join(faults) if files else "all four files"
        found = f"{', '.join(sorted(set(faults.values())))}: {which}"
        raise RawFilesError(found, tried)
    for left in folder.glob(".fetch-*"):  # by a killed process; nobody needs it now
        with contextlib.suppress(OSError):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    return files


def _read_all(source: Source, folder: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """The content of the good files, and what is wrong with the others."""
    files, faults = {}, {}
    for name, md5 in source.md5.items():
        try:
            files[name] = _read(folder / name, md5)
        except FileNotFoundError:
            faults[name] = "missing"
        except (OSError, ValueError) as error:
            faults[name] = getattr(error, "strerror", None) or str(error)
    return files, faults


def _read(raw: Path, md5: str) -> bytes:
    archive = raw.with_name(f"{raw.name}.gz")
    try:
        return _check(raw.read_bytes(), md5)
    except (OSError, ValueError):
        if not os.path.exists(archive):
            raise
    content = _unpack(archive.read_bytes(), md5)
    with contextlib.suppress(OSError):  # in a folder where we may only read
        _put(raw, content)
    return content


def _check(content: bytes, md5: str) -> bytes:
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise ValueError("damaged or incomplete")
    return content


def _unpack(packed: bytes, md5: str) -> bytes:
    try:
        with gzip.open(io.BytesIO(packed)) as file:
            return _check(file.read(_LONGEST), md5)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError("damaged or incomplete .gz") from error


def _put(raw: Path, content: bytes) -> None:
    """Write a file in one step, so that nobody ever finds half of it."""
    raw.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=raw.parent, prefix=".fetch-") as scratch:
        new = Path(scratch) / raw.name
        new.write_bytes(content)
        os.replace(new, raw)


def _fetch(source: Source, folder: Path, names: list[str]) -> str:
    """Fetch files from one mirror, what is left from the next; say what failed."""
    left, failures = list(names), []
    for mirror in source.mirrors:
        while left:
            name = left[0]
            try:
                packed = _download(f"{mirror}{name}.gz", source)
                content = _unpack(packed, source.md5[name])
            except Exception as error:  # whatever happens here, the next may work
                failures.append(f"{_explain(error)} {mirror.split('/')[2]}")
                break
            try:
                _put(folder / name, content)
            except OSError as error:
                return f"cannot write into {folder} ({error.strerror})"
            if len(left) == len(names):
                size = f"{source.megabytes} MB, once"
                print(f"Fetching {source.title} ({size}) …", flush=True)
            left.remove(name)
    return "; ".join(failures)


def _download(url: str, source: Source) -> bytes:
    """What `url` gives; raises what pooch raises, or `TimeoutError` if it is too slow.

    pooch works in a thread, because its time-outs bound neither a look-up of the host's
    name nor a trickle of bytes. Closing the inbox ends a thread that is given up.
    """
    import pooch  # not at the top: it is needed once, and not at all for the digits

    get = pooch.HTTPDownloader(chunk_size=source.pace, timeout=source.patience)
    failures: list[Exception] = []

    def work() -> None:
        try:
            get(url, inbox, None)
        except Exception as error:
            failures.append(error)

    with io.BytesIO() as inbox:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        size, deadline = 0, time.monotonic() + source.patience
        while thread.is_alive():
            thread.join(0.05)
            if inbox.tell() > size:
                size, deadline = inbox.tell(), time.monotonic() + source.patience
            if time.monotonic() > deadline or size > _LONGEST:
                raise TimeoutError
        if failures:
            raise failures[0]
        return inbox.getvalue()


def _explain(error: Exception) -> str:
    """Why a download failed, in words that the mirror's name completes."""
    import requests  # what pooch raises

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code} from"
    if isinstance(error, requests.Timeout | TimeoutError):
        return "no answer in time from"
    if isinstance(error, requests.ConnectionError):
        return "no connection to"
    return "damaged file from"
