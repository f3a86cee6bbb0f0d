"""Claims about `vae_helpers.data`, tried against a local server that misbehaves.

The files are small stand-ins for MNIST and Fashion-MNIST; torchvision reads them with
its own code. Run as a script, this file is the second process of one test.
"""

import _thread
import contextlib
import errno
import gzip
import hashlib
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from vae_helpers import data, raw_files
from vae_helpers.data import DataUnavailableError, load_images

import numpy as np
import pytest
import torch
import torchvision

COUNTS = {"train": 60, "t10k": 20}
FOLDERS = {"mnist": "MNIST", "fashion": "FashionMNIST"}
NAMES = sorted(FOLDERS)
BRIEF = 0.35  # seconds of patience; here an answer takes milliseconds
TRAIN_IMAGES = "train-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"  # the first file that is fetched
HOSTS = "storage.googleapis.com, ossci-datasets.s3.amazonaws.com, yann.lecun.com"


def make_raw_files(name: str) -> dict[str, bytes]:
    rng = np.random.default_rng(NAMES.index(name))
    files = {}
    for split, count in COUNTS.items():
        head = count.to_bytes(4, "big")
        size = (28).to_bytes(4, "big")
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = rng.permutation(np.arange(count, dtype=np.uint8) % 10)
        files[f"{split}-images-idx3-ubyte"] = (
            b"\0\0\x08\x03" + head + size + size + pixels.tobytes()
        )
        files[f"{split}-labels-idx1-ubyte"] = b"\0\0\x08\x01" + head + labels.tobytes()
    return files


RAW = {name: make_raw_files(name) for name in NAMES}
GZ = {
    name: {f"{raw}.gz": gzip.compress(RAW[name][raw], mtime=0) for raw in RAW[name]}
    for name in NAMES
}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def use_small_files(set_attribute) -> None:
    for name, folder in FOLDERS.items():
        resources = [(file, md5(content)) for file, content in GZ[name].items()]
        set_attribute(getattr(torchvision.datasets, folder), "resources", resources)
    checksums = {n: {f: md5(c) for f, c in RAW[n].items()} for n in NAMES}
    set_attribute(raw_files, "_RAW_MD5", checksums)
    set_attribute(raw_files, "_COUNTS", COUNTS)
    set_attribute(raw_files, "_MIN_BYTES", 10_000)  # of files with less than 50,000


def use_mirrors(set_attribute, *urls: str) -> None:
    """Let exactly these addresses be the mirrors of both data sets."""
    set_attribute(
        raw_files, "_FIRST_MIRRORS", {name: f"{urls[0]}{name}/" for name in NAMES}
    )
    for name, folder in FOLDERS.items():
        others = [f"{url}{name}/" for url in urls[1:]]
        set_attribute(getattr(torchvision.datasets, folder), "mirrors", others)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers `/<how to behave>/<data set>/<file>`."""

    def do_GET(self) -> None:
        self.server.requested.append(self.path)
        _, behaviour, name, file = self.path.split("/")
        with contextlib.suppress(ConnectionError):  # when the reader has had enough
            getattr(self, behaviour)(GZ[name][file])

    def log_message(self, *args) -> None:
        pass

    def send(self, content: bytes, status: int = 200, length: int | None = None):
        self.send_response(status)
        if length != 0:
            self.send_header("Content-Length", str(length or len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def good(self, content: bytes) -> None:
        self.send(content)

    def http404(self, content: bytes) -> None:
        self.send(b"no such file", 404)

    def http503(self, content: bytes) -> None:
        self.send(b"come again", 503)

    def login_page(self, content: bytes) -> None:
        self.send(b"<html>Please log in to this network</html>")

    def hangs(self, content: bytes) -> None:
        self.server.released.wait(10)

    def late(self, content: bytes) -> None:
        self.server.released.wait(10)
        self.send(content)

    def hangs_midway(self, content: bytes) -> None:
        self.send(content[: len(content) // 2], length=len(content))
        self.server.released.wait(10)

    def drips(self, content: bytes) -> None:
        self.send(b"", length=len(content))
        for byte in content[:500]:  # ten seconds
            if self.server.released.wait(0.02):
                return
            self.wfile.write(bytes([byte]))

    def slow_but_steady(self, content: bytes) -> None:
        self.send(b"", length=len(content))
        for start in range(0, len(content), 4096):
            time.sleep(0.04)
            self.wfile.write(content[start : start + 4096])

    def breaks_off(self, content: bytes) -> None:
        self.send(content[: len(content) // 2], length=len(content))

    def truncates(self, content: bytes) -> None:
        self.send(content[: len(content) // 2])

    def corrupts(self, content: bytes) -> None:
        middle = len(content) // 2
        wrong = bytes([content[middle] ^ 1])
        self.send(content[:middle] + wrong + content[middle + 1 :])

    def endless(self, content: bytes) -> None:
        self.send(content, length=0)
        while self.server.sent < 100_000_000 and not self.server.released.is_set():
            self.wfile.write(bytes(100_000))
            self.server.sent += 100_000

    def has_no_images(self, content: bytes) -> None:
        if self.path.endswith("images-idx3-ubyte.gz"):
            self.http404(content)
        else:
            self.good(content)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requested: list[str] = []
        self.released = threading.Event()  # ends whatever hangs
        self.sent = 0

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/"

    def handle_error(self, request, client_address) -> None:
        pass  # the reader hung up; what it makes of that is what the tests look at


@pytest.fixture
def server():
    with Server() as server:
        work = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        work.start()
        yield server
        server.released.set()
        server.shutdown()
        work.join(5)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for variable in ("VAE_DATASET", "VAE_DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def mirrors(server, monkeypatch):
    """Call it with behaviours (or whole addresses) to make them the mirrors."""
    use_small_files(monkeypatch.setattr)

    def choose(*behaviours: str, patience: float = BRIEF) -> None:
        monkeypatch.setattr(raw_files, "_PATIENCE", patience)
        urls = [b if "/" in b else server.url(b) for b in behaviours]
        use_mirrors(monkeypatch.setattr, *urls)

    choose(refusing_url())  # a test that forgets to choose fetches nothing
    return choose


def refusing_url() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def raw_folder(root: Path, name: str) -> Path:
    return root / FOLDERS[name] / "raw"


def fill(root: Path, name: str, *, packed: bool = False) -> Path:
    folder = raw_folder(root, name)
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in (GZ if packed else RAW)[name].items():
        (folder / file).write_bytes(content)
    return folder


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of change of every file below `folder`, hidden ones too."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_is_source(images: data.ImageData, name: str) -> None:
    for split, got_images, got_labels in (
        ("train", images.train_images, images.train_labels),
        ("t10k", images.test_images, images.test_labels),
    ):
        pixels = np.frombuffer(RAW[name][f"{split}-images-idx3-ubyte"][16:], np.uint8)
        labels = np.frombuffer(RAW[name][f"{split}-labels-idx1-ubyte"][8:], np.uint8)
        wanted = pixels.reshape(-1, 1, 28, 28).astype(np.float32) / 255
        assert got_images.dtype == torch.float32
        assert got_labels.dtype == torch.int64
        np.testing.assert_array_equal(got_images.numpy(), wanted)
        np.testing.assert_array_equal(got_labels.numpy(), labels)
    assert images.name == name


def assert_only_good_files(folder: Path, name: str) -> None:
    """All four raw files as they should be, and no temporary leftovers."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == RAW[name]


# ── fetching ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_a_fetched_data_set_equals_its_source(name, mirrors, tmp_path, capfd):
    mirrors("good", patience=5)
    assert_is_source(load_images(name, root=tmp_path), name)
    assert_only_good_files(raw_folder(tmp_path, name), name)
    printed = capfd.readouterr()
    assert printed.err == ""  # neither pooch nor torchvision reports there
    assert printed.out.startswith("Fetching ")
    assert printed.out.count("\n") == 1


def test_a_second_call_fetches_nothing(mirrors, server, tmp_path, capfd):
    mirrors("good", patience=5)
    load_images("mnist", root=tmp_path)
    requested = list(server.requested)
    assert len(requested) == 4
    before = snapshot(tmp_path)
    capfd.readouterr()
    load_images("mnist", root=tmp_path)
    assert server.requested == requested
    assert snapshot(tmp_path) == before
    assert capfd.readouterr().out == ""


FAULTS = {
    "http404": "HTTP 404 from",
    "http503": "HTTP 503 from",
    "login_page": "damaged file from",
    "hangs": "no complete answer in time from",
    "hangs_midway": "no complete answer in time from",
    "drips": "no complete answer in time from",
    "breaks_off": "connection cut by",
    "truncates": "damaged file from",
    "corrupts": "damaged file from",
    "endless": "damaged file from",
    "refuses": "no connection to",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_mirror_helps_where_one_fails(fault, mirrors, tmp_path):
    mirrors(refusing_url() if fault == "refuses" else fault, "good")
    assert_is_source(load_images("mnist", root=tmp_path), "mnist")
    assert_only_good_files(raw_folder(tmp_path, "mnist"), "mnist")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_server_leaves_no_file_and_is_named(
    fault, mirrors, server, tmp_path, capfd
):
    url = refusing_url() if fault == "refuses" else server.url(fault)
    mirrors(url)
    started = time.monotonic()
    with pytest.raises(DataUnavailableError) as caught:
        load_images("fashion", root=tmp_path)
    assert time.monotonic() - started < 3  # one mirror: 0.35 s, and room to breathe
    host = url.split("/")[2]
    assert f"Fetching: {FAULTS[fault]} {host}.\n" in str(caught.value)
    assert list(raw_folder(tmp_path, "fashion").iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_mirror_that_fails_later_hands_over_the_rest(mirrors, server, tmp_path):
    mirrors("has_no_images", "good")
    assert_is_source(load_images("mnist", root=tmp_path), "mnist")
    behaviours = [path.split("/")[1] for path in server.requested]
    assert behaviours == ["has_no_images"] * 3 + ["good"] * 2


def test_files_that_came_are_kept_when_the_rest_fails(mirrors, server, tmp_path):
    mirrors("has_no_images")
    with pytest.raises(DataUnavailableError, match="HTTP 404"):
        load_images("mnist", root=tmp_path)
    kept = {path.name for path in raw_folder(tmp_path, "mnist").iterdir()}
    assert kept == {"train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"}
    server.requested.clear()
    mirrors("good", patience=5)
    assert_is_source(load_images("mnist", root=tmp_path), "mnist")
    assert len(server.requested) == 2  # the images only


def test_a_slow_but_steady_mirror_is_not_given_up(mirrors, tmp_path):
    # 47 kB in 0.5 s: longer than the patience, but 16 kB come every 0.16 s.
    mirrors("slow_but_steady", patience=0.4)
    assert_is_source(load_images("mnist", root=tmp_path), "mnist")


def test_an_endless_answer_does_not_fill_the_disk(mirrors, server, tmp_path):
    mirrors("endless")
    with pytest.raises(DataUnavailableError):
        load_images("mnist", root=tmp_path)
    assert server.sent < 20_000_000  # what the sockets hold, of 100 MB offered


def test_two_processes_at_once_both_succeed(mirrors, server, tmp_path):
    # The first mirror hangs, so the other process ends with a thread left behind. The
    # second is slow, so both are in the middle of the same files.
    behaviours = ["hangs", "slow_but_steady"]
    mirrors(*behaviours, patience=1)
    other = subprocess.Popen(
        [sys.executable, __file__, str(tmp_path), *map(server.url, behaviours)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert other.stdout.readline() == b"ready\n"  # imports take seconds
        other.stdin.write(b"go\n")
        other.stdin.flush()
        assert_is_source(load_images("mnist", root=tmp_path), "mnist")
        out, err = other.communicate(timeout=8)  # less than _TIMEOUT
    finally:
        other.kill()
    assert (other.returncode, err) == (0, b"")
    assert out.endswith(b"equals its source\n")
    requests = [path for path in server.requested if "slow" in path]
    assert len(requests) > len(set(requests))  # they did fetch the same at once
    assert_only_good_files(raw_folder(tmp_path, "mnist"), "mnist")


def test_many_threads_at_once_all_succeed(mirrors, tmp_path):
    # Closer together in time than two processes ever are.
    mirrors("good", patience=5)
    results = []
    work = [
        threading.Thread(
            target=lambda: results.append(load_images("mnist", root=tmp_path))
        )
        for _ in range(6)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join(20)
    assert len(results) == 6
    for images in results:
        assert_is_source(images, "mnist")
    assert_only_good_files(raw_folder(tmp_path, "mnist"), "mnist")


def test_a_download_given_up_does_no_harm_later(mirrors, server, tmp_path, capfd):
    mirrors("late")
    before = set(threading.enumerate())
    with pytest.raises(DataUnavailableError):
        load_images("mnist", root=tmp_path)
    left_behind = set(threading.enumerate()) - before
    assert left_behind
    server.released.set()  # now the good file comes after all
    for thread in left_behind:
        thread.join(5)
        assert not thread.is_alive()
    assert list(raw_folder(tmp_path, "mnist").iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_an_interrupt_stops_the_fetching_and_leaves_nothing(mirrors, tmp_path):
    mirrors("hangs", "hangs", "hangs")
    # What runs in the background of a shell ignores the signal; not here.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.2, _thread.interrupt_main).start()
        with pytest.raises(KeyboardInterrupt):
            load_images("mnist", root=tmp_path)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert list(raw_folder(tmp_path, "mnist").iterdir()) == []


# ── files on disk ───────────────────────────────────────────────────────────────────


def flip_a_pixel(files: dict[str, bytes]) -> tuple[str, bytes, str]:
    content = bytearray(files[TRAIN_IMAGES])
    content[5000] ^= 1
    return TRAIN_IMAGES, bytes(content), "damaged (wrong checksum)"


def cut_in_half(files: dict[str, bytes]) -> tuple[str, bytes, str]:
    content = files[TRAIN_IMAGES]
    half = len(content) // 2
    return TRAIN_IMAGES, content[:half], f"incomplete ({half:,} of {len(content):,}"


def change_the_count(files: dict[str, bytes]) -> tuple[str, bytes, str]:
    content = bytearray(files[TRAIN_IMAGES])
    content[7] += 1
    return TRAIN_IMAGES, bytes(content), "damaged (wrong type or count in its header)"


def write_a_label_above_9(files: dict[str, bytes]) -> tuple[str, bytes, str]:
    content = bytearray(files[TEST_LABELS])
    content[-1] = 10
    return TEST_LABELS, bytes(content), "damaged (labels above 9)"


def swap_two_labels(files: dict[str, bytes]) -> tuple[str, bytes, str]:
    content = bytearray(files[TEST_LABELS])
    content[8], content[9] = content[9], content[8]
    return TEST_LABELS, bytes(content), "damaged (wrong checksum)"


def empty_a_file(files: dict[str, bytes]) -> tuple[str, bytes, str]:
    return TEST_LABELS, b"", "incomplete (0 of"


DAMAGES = [
    flip_a_pixel,
    cut_in_half,
    change_the_count,
    write_a_label_above_9,
    swap_two_labels,
    empty_a_file,
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_raw_file_is_replaced_from_the_network(
    damage, name, mirrors, server, tmp_path
):
    folder = fill(tmp_path, name)
    file, content, _ = damage(RAW[name])
    (folder / file).write_bytes(content)
    mirrors("good", patience=5)
    assert_is_source(load_images(name, root=tmp_path), name)
    assert server.requested == [f"/good/{name}/{file}.gz"]
    assert_only_good_files(folder, name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_raw_file_is_replaced_from_the_gz_beside_it(
    damage, name, mirrors, server, tmp_path
):
    fill(tmp_path, name, packed=True)
    folder = fill(tmp_path, name)
    file, content, _ = damage(RAW[name])
    (folder / file).write_bytes(content)
    assert_is_source(load_images(name, root=tmp_path), name)
    assert server.requested == []
    assert (folder / file).read_bytes() == RAW[name][file]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_raw_file_without_network_is_named_and_left_alone(
    damage, name, mirrors, tmp_path
):
    folder = fill(tmp_path, name)
    file, content, fault = damage(RAW[name])
    (folder / file).write_bytes(content)
    before = snapshot(tmp_path)
    mirrors(refusing_url())
    with pytest.raises(DataUnavailableError) as caught:
        load_images(name, root=tmp_path)
    assert f"Looked in {folder}: {fault}" in str(caught.value)
    assert f": {file}.\n" in str(caught.value)  # and no other file is blamed
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "fault", ["truncates", "corrupts", "endless", "breaks_off", "login_page"]
)
def test_good_files_are_never_changed_by_a_bad_server(fault, mirrors, tmp_path):
    folder = fill(tmp_path, "mnist")
    (folder / TEST_LABELS).unlink()
    before = snapshot(tmp_path)
    mirrors(fault, fault)
    with pytest.raises(DataUnavailableError):
        load_images("mnist", root=tmp_path)
    assert snapshot(tmp_path) == before


def test_a_raw_file_is_replaced_in_one_step(mirrors, tmp_path):
    # Who has the old file open goes on reading the old one, never a part of the new.
    folder = fill(tmp_path, "mnist")
    (folder / TRAIN_IMAGES).write_bytes(b"old")
    mirrors("good", patience=5)
    with (folder / TRAIN_IMAGES).open("rb") as old:
        load_images("mnist", root=tmp_path)
        assert old.read() == b"old"
    assert_only_good_files(folder, "mnist")


def test_files_that_another_process_brings_meanwhile_are_taken(
    mirrors, monkeypatch, tmp_path
):
    def fail_late(*args):
        fill(tmp_path, "mnist")  # by the other process
        return "HTTP 404 from here"

    monkeypatch.setattr(raw_files, "_fetch_all", fail_late)
    assert_is_source(load_images("mnist", root=tmp_path), "mnist")


@pytest.mark.parametrize("name", NAMES)
def test_gz_files_put_there_by_hand_need_no_network(name, mirrors, server, tmp_path):
    folder = fill(tmp_path, name, packed=True)
    before = snapshot(tmp_path)
    assert_is_source(load_images(name, root=tmp_path, download=False), name)
    assert server.requested == []
    after = snapshot(folder)
    assert {f: c for f, (c, _) in after.items()} == RAW[name] | GZ[name]
    assert before.items() <= snapshot(tmp_path).items()  # the .gz files are untouched


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>not a gz file</html>", "damaged"),
        (GZ["mnist"][f"{TEST_LABELS}.gz"][:30], "damaged"),
        (GZ["fashion"][f"{TEST_LABELS}.gz"], "damaged (wrong checksum)"),
        (gzip.compress(RAW["mnist"][TEST_LABELS][:-1]), "incomplete (27 of 28 bytes)"),
    ],
    ids=["a web page", "half a file", "another data set", "half a raw file"],
)
def test_a_bad_gz_put_there_by_hand_is_named(content, reason, mirrors, tmp_path):
    folder = fill(tmp_path, "mnist", packed=True)
    (folder / f"{TEST_LABELS}.gz").write_bytes(content)
    mirrors(refusing_url())
    with pytest.raises(DataUnavailableError) as caught:
        load_images("mnist", root=tmp_path)
    wanted = f"missing, and the .gz beside it is of no use ({reason}): {TEST_LABELS}.\n"
    assert wanted in str(caught.value)
    assert (folder / f"{TEST_LABELS}.gz").read_bytes() == content
    assert not (folder / TEST_LABELS).exists()


def test_a_bad_gz_does_not_spoil_a_good_raw_file(mirrors, server, tmp_path):
    fill(tmp_path, "fashion")
    folder = raw_folder(tmp_path, "fashion")
    (folder / f"{TEST_LABELS}.gz").write_bytes(b"rubbish")
    assert_is_source(load_images("fashion", root=tmp_path), "fashion")
    assert server.requested == []


def test_unchecked_files_of_old_torchvision_are_not_read(mirrors, tmp_path):
    fill(tmp_path, "mnist")
    processed = tmp_path / "MNIST" / "processed"
    processed.mkdir()
    for file in ("training.pt", "test.pt"):
        (processed / file).write_bytes(b"half a file")
    assert_is_source(load_images("mnist", root=tmp_path), "mnist")


@pytest.mark.parametrize("name", ["mnist", "fashion", "auto"])
def test_download_false_never_connects(name, mirrors, server, tmp_path, capfd):
    mirrors("good", patience=5)
    root = tmp_path / "not there"
    if name == "auto":
        assert load_images("auto", root=root, download=False).name == "digits"
        message = capfd.readouterr().out
    else:
        with pytest.raises(DataUnavailableError) as caught:
            load_images(name, root=root, download=False)
        message = str(caught.value)
    assert "missing: all four files" in message
    assert "switched off by download=False" in message
    assert server.requested == []
    assert not root.exists()


def forbid_writing(folder: Path, monkeypatch) -> None:
    """Make `folder` read-only, also for root, whom file modes do not stop."""
    folder.chmod(0o555)

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    if os.access(folder, os.W_OK):
        monkeypatch.setattr(raw_files.tempfile, "TemporaryDirectory", refuse)


def test_a_complete_read_only_folder_works(mirrors, server, monkeypatch, tmp_path):
    forbid_writing(fill(tmp_path, "mnist"), monkeypatch)
    assert_is_source(load_images("mnist", root=tmp_path), "mnist")
    assert server.requested == []


def test_a_read_only_folder_that_lacks_a_file_is_said(
    mirrors, server, monkeypatch, tmp_path
):
    folder = fill(tmp_path, "mnist")
    (folder / TEST_LABELS).unlink()
    forbid_writing(folder, monkeypatch)
    mirrors("good", "good")
    with pytest.raises(DataUnavailableError) as caught:
        load_images("mnist", root=tmp_path)
    assert f"Looked in {folder}: missing: {TEST_LABELS}.\n" in str(caught.value)
    cannot = f"Fetching: cannot write into {folder} (Permission denied).\n"
    assert cannot in str(caught.value)
    assert server.requested == []  # nothing is fetched that cannot be kept


def test_a_gz_in_a_read_only_folder_is_said(mirrors, monkeypatch, tmp_path):
    folder = fill(tmp_path, "mnist", packed=True)
    forbid_writing(folder, monkeypatch)
    with pytest.raises(DataUnavailableError, match=r"use \(Permission denied\)"):
        load_images("mnist", root=tmp_path)


def test_a_root_that_is_a_file_is_said(mirrors, server, tmp_path, capfd):
    root = tmp_path / "file"
    root.write_text("precious")
    with pytest.raises(DataUnavailableError) as caught:
        load_images("mnist", root=root)
    assert "(Not a directory)" in str(caught.value)
    assert load_images("auto", root=root).name == "digits"
    assert "(Not a directory)" in capfd.readouterr().out
    assert root.read_text() == "precious"
    assert server.requested == []


def test_a_folder_in_the_place_of_a_file_is_said(mirrors, tmp_path):
    folder = fill(tmp_path, "mnist")
    (folder / TEST_LABELS).unlink()
    (folder / TEST_LABELS).mkdir()
    mirrors("good", patience=5)
    with pytest.raises(DataUnavailableError, match=r"\(Is a directory\)"):
        load_images("mnist", root=tmp_path)


def test_a_full_disk_is_said_and_leaves_nothing(mirrors, monkeypatch, tmp_path):
    def fill_up(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    mirrors("good", "good")
    monkeypatch.setattr(raw_files.shutil, "copyfileobj", fill_up)
    with pytest.raises(DataUnavailableError, match=r"\(No space left on device\)"):
        load_images("mnist", root=tmp_path)
    assert list(raw_folder(tmp_path, "mnist").iterdir()) == []


# ── what `auto` does ────────────────────────────────────────────────────────────────


def test_auto_takes_mnist_where_it_is(mirrors, server, tmp_path, capfd):
    fill(tmp_path, "mnist")
    images = load_images(root=tmp_path)
    assert_is_source(images, "mnist")
    assert capfd.readouterr() == (images.note + "\n", "")
    assert server.requested == []


def test_auto_without_network_says_in_one_line_what_why_and_how(
    monkeypatch, tmp_path, capfd
):
    def fail(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)  # the real mirrors, offline
    images = load_images("auto", root=tmp_path)
    assert images.name == "digits"
    folder = raw_folder(tmp_path, "mnist")
    line = (
        "Using scikit-learn's 1,797 digits instead of MNIST (missing: all four files; "
        f"fetching: no connection to {HOSTS}). MNIST by hand: put the four .gz files "
        f"linked at https://github.com/cvdfoundation/mnist into {folder} and run this "
        "again."
    )
    assert images.note == line
    assert capfd.readouterr() == (line + "\n", "")
    assert len(line.replace(str(folder), "")) + 50 < 350  # with a folder of 50 letters


def test_the_line_stays_short_when_all_mirrors_fail_in_their_own_way(
    mirrors, tmp_path, capfd
):
    mirrors("http404", "truncates", "breaks_off")
    load_images("auto", root=tmp_path)
    printed = capfd.readouterr()
    assert printed.out.count("\n") == 1
    # Three times two letters for 127.0.0.1:50000 stand for three longer host names.
    assert len(printed.out.replace(str(tmp_path), "")) < 330
    assert printed.err == ""


def test_auto_against_three_hanging_mirrors_is_back_in_15_seconds(
    server, monkeypatch, tmp_path, capfd
):
    use_mirrors(monkeypatch.setattr, *[server.url("hangs")] * 3)
    started = time.monotonic()
    assert load_images("auto", root=tmp_path).name == "digits"  # with the real limits
    assert 11 < time.monotonic() - started < 15
    assert "no complete answer in time from" in capfd.readouterr().out


def test_a_hanging_name_server_costs_no_more_than_the_patience(
    mirrors, server, monkeypatch, tmp_path, capfd
):
    # No time-out of requests or urllib3 covers this call.
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: server.released.wait(10))
    mirrors(*["http://localhost/hangs/"] * 3)
    started = time.monotonic()
    assert load_images("auto", root=tmp_path).name == "digits"
    assert time.monotonic() - started < 3 * BRIEF + 1
    assert "no complete answer in time from localhost" in capfd.readouterr().out
    assert list(raw_folder(tmp_path, "mnist").iterdir()) == []


@pytest.mark.parametrize("fault", ["hangs_midway", "drips"])
def test_auto_is_as_quick_when_only_images_are_missing(fault, mirrors, tmp_path):
    folder = fill(tmp_path, "mnist")
    (folder / TRAIN_IMAGES).unlink()
    mirrors(fault, fault, fault)
    started = time.monotonic()
    assert load_images("auto", root=tmp_path).name == "digits"
    assert time.monotonic() - started < 3 * BRIEF + 1


def test_a_connection_ends_itself_within_10_seconds(mirrors, monkeypatch, tmp_path):
    assert raw_files._TIMEOUT <= 10
    monkeypatch.setattr(raw_files, "_TIMEOUT", 0.2)
    mirrors("hangs", patience=10)
    started = time.monotonic()
    with pytest.raises(DataUnavailableError):
        load_images("mnist", root=tmp_path)
    assert time.monotonic() - started < 3


def test_the_limits_add_up_to_less_than_15_seconds():
    assert 3 * raw_files._PATIENCE <= 12
    assert raw_files._TIMEOUT <= 10


def test_no_more_than_three_mirrors_are_tried(mirrors, server, tmp_path):
    mirrors(*["http404"] * 5)
    with pytest.raises(DataUnavailableError):
        load_images("mnist", root=tmp_path)
    assert len(server.requested) == 3


# ── choosing: arguments, environment, messages ──────────────────────────────────────


def test_an_error_says_what_was_tried_and_what_to_do(mirrors, server, tmp_path):
    closed = refusing_url()
    mirrors(closed, "http404", "corrupts")
    with pytest.raises(DataUnavailableError) as caught:
        load_images("fashion", root=tmp_path)
    here, folder = f"127.0.0.1:{server.server_port}", raw_folder(tmp_path, "fashion")
    assert str(caught.value) == (
        "Fashion-MNIST could not be loaded.\n"
        f"Looked in {folder}: missing: all four files.\n"
        f"Fetching: no connection to {closed.split('/')[2]}; HTTP 404 from {here}; "
        f"damaged file from {here}.\n"
        "What to do, one of these:\n"
        "- Check the network and run this again; files already fetched are kept.\n"
        "- Put the four .gz files linked at https://github.com/zalandoresearch/"
        "fashion-mnist#get-the-data into the folder above.\n"
        "- Pass as root=, or set as the environment variable VAE_DATA_DIR, a folder "
        "that has FashionMNIST/raw in it.\n"
        '- Go on without Fashion-MNIST: load_images("digits") needs no network.'
    )


@pytest.mark.parametrize("name", ["mnits", "", None, "MNIST"])
def test_an_unknown_name_lists_the_choices(name):
    with pytest.raises(ValueError, match="'auto', 'mnist', 'fashion', 'digits'"):
        load_images(name)


def test_an_unknown_name_in_the_environment_names_the_variable(monkeypatch):
    monkeypatch.setenv("VAE_DATASET", "mnits")
    with pytest.raises(ValueError, match=r"'mnits' .*variable VAE_DATASET"):
        load_images()


def test_vae_dataset_decides_what_auto_means(mirrors, monkeypatch, tmp_path, capfd):
    fill(tmp_path, "mnist")
    fill(tmp_path, "fashion")
    monkeypatch.setenv("VAE_DATASET", "fashion")
    assert load_images(root=tmp_path).name == "fashion"
    assert load_images("mnist", root=tmp_path).name == "mnist"
    monkeypatch.setenv("VAE_DATASET", "digits")
    assert load_images(root=tmp_path).name == "digits"
    monkeypatch.setenv("VAE_DATASET", "")  # the same as not set
    assert load_images(root=tmp_path).name == "mnist"


def test_a_data_set_named_in_the_environment_is_never_replaced(
    mirrors, monkeypatch, tmp_path
):
    monkeypatch.setenv("VAE_DATASET", "mnist")
    mirrors(refusing_url())
    with pytest.raises(DataUnavailableError):
        load_images(root=tmp_path)


def test_vae_data_dir_is_the_root_unless_one_is_given(mirrors, monkeypatch, tmp_path):
    fill(tmp_path / "here", "mnist")
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path / "here"))
    assert load_images("mnist", download=False).name == "mnist"
    with pytest.raises(DataUnavailableError):
        load_images("mnist", root=tmp_path / "elsewhere", download=False)
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path / "elsewhere"))
    assert load_images("mnist", root=str(tmp_path / "here")).name == "mnist"


def test_a_tilde_in_the_root_means_home(mirrors, monkeypatch, tmp_path):
    fill(tmp_path / "images", "mnist")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("VAE_DATA_DIR", "~/images")
    assert load_images("mnist", download=False).name == "mnist"


def test_without_either_the_root_is_a_git_ignored_folder_of_the_project():
    project = Path(data.__file__).resolve().parent.parent
    assert data._find_root(None) == project / "data"
    assert "/data/" in (project / ".gitignore").read_text().splitlines()


# ── the digits ──────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def digits() -> data.ImageData:
    return load_images("digits")


def test_digits_need_neither_network_nor_root(mirrors, server, tmp_path, capfd):
    root = tmp_path / "not there"
    assert load_images("digits", root=root).name == "digits"
    assert server.requested == []
    assert not root.exists()
    assert capfd.readouterr() == ("", "")


def test_digits_have_the_form_of_mnist(digits):
    for images, labels in (
        (digits.train_images, digits.train_labels),
        (digits.test_images, digits.test_labels),
    ):
        assert images.shape == (len(labels), 1, 28, 28)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert images.min() == 0
        assert images.max() == 1
        assert labels.unique().tolist() == list(range(10))
    assert len(digits.train_labels) + len(digits.test_labels) == 1797
    assert "\n" not in digits.note


def test_digits_are_split_without_overlap_and_completely(digits):
    train = {image.numpy().tobytes() for image in digits.train_images}
    test = {image.numpy().tobytes() for image in digits.test_images}
    assert train.isdisjoint(test)
    # All 1,797 images differ, so no index stands twice and none is lost.
    assert len(train) + len(test) == 1797


def test_digits_are_the_same_at_every_call(digits):
    torch.manual_seed(5)
    np.random.seed(5)  # the split must not hang on the global state
    again = load_images("digits")
    for field in ("train_images", "train_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(again, field), getattr(digits, field))
    # The same as on the machine where this was written, too.
    assert again.train_labels[:10].tolist() == [2, 8, 2, 6, 6, 7, 1, 9, 8, 5]
    assert again.train_images.mean().item() == pytest.approx(0.1597, abs=1e-4)


def test_digits_look_like_mnist(digits):
    images = torch.cat([digits.train_images, digits.test_images])
    border = images.clone()
    border[:, :, 4:24, 4:24] = 0
    assert border.max() == 0  # as in MNIST, four empty pixels all around
    rows, columns = images.amax((0, 1, 3)), images.amax((0, 1, 2))
    for ink in (rows[4], rows[23], columns[4], columns[23]):
        assert ink > 0.3  # and no more than four
    assert 0.10 < images.mean() < 0.20  # MNIST: 0.13
    grey = ((images > 0.1) & (images < 0.9)).float().mean()
    assert grey < 0.15  # MNIST: 0.09; without the soft threshold it would be 0.3


def test_digits_keep_the_label_of_their_image(digits):
    # The nearest training image has the same label nearly always.
    test, train = digits.test_images.flatten(1), digits.train_images.flatten(1)
    distances = torch.cdist(test, train)
    guesses = digits.train_labels[distances.argmin(1)]
    assert (guesses == digits.test_labels).float().mean() > 0.95


# ── the real MNIST ──────────────────────────────────────────────────────────────────

REAL_ROOT = os.environ.get("VAE_DATA_DIR", "")


@pytest.mark.skipif(
    not (Path(REAL_ROOT) / "MNIST" / "raw").is_dir() or not REAL_ROOT,
    reason="set VAE_DATA_DIR to a folder that has MNIST/raw to test the real MNIST",
)
def test_the_real_mnist_is_accepted():
    images = load_images("mnist", root=REAL_ROOT, download=False)
    assert images.train_images.shape == (60_000, 1, 28, 28)
    assert images.test_images.shape == (10_000, 1, 28, 28)
    assert images.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert images.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert images.train_images.mean().item() == pytest.approx(0.1307, abs=1e-4)
    assert images.train_images.min() == 0
    assert images.train_images.max() == 1
    assert images.note.startswith("MNIST: 60,000 training and 10,000 test images")


if __name__ == "__main__":  # the other process of the test with two
    use_small_files(setattr)
    raw_files._PATIENCE = 1
    use_mirrors(setattr, *sys.argv[2:])
    print("ready", flush=True)
    sys.stdin.readline()
    assert_is_source(load_images("mnist", root=sys.argv[1]), "mnist")
    print("equals its source", flush=True)


def test_the_data_set_of_the_environment_is_announced(monkeypatch, capfd):
    monkeypatch.setenv("VAE_DATASET", "digits")
    images = data.load_images()
    assert capfd.readouterr() == (images.note + "\n", "")


def test_a_relative_vae_data_dir_starts_at_the_project(monkeypatch, tmp_path):
    project = Path(data.__file__).resolve().parent.parent
    monkeypatch.chdir(tmp_path)  # notebooks run in their own folder
    monkeypatch.setenv("VAE_DATA_DIR", "../shared/data")
    assert data._find_root(None) == project.parent / "shared" / "data"
    assert data._find_root("here") == tmp_path / "here"


def test_images_move_to_a_device_and_keep_their_name():
    images = data.load_images("digits")
    moved = images.to("meta")
    assert moved.test_labels.device.type == moved.train_images.device.type == "meta"
    assert (moved.name, moved.note) == (images.name, images.note)
