"""Claims about `vae_helpers.data`, tried against a local server that misbehaves.

The files are small stand-ins for MNIST and Fashion-MNIST. torchvision is the referee.
"""

import _thread
import contextlib
import dataclasses
import errno
import gzip
import hashlib
import http.server
import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from vae_helpers import data, raw_files
from vae_helpers.data import DataUnavailableError, load_images

import numpy as np
import pytest
import torch
import torchvision

NAMES = ("mnist", "fashion")
TRAIN_IMAGES = "train-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"  # the first file that is fetched
BRIEF = {"patience": 0.35}  # seconds; an answer, where one comes, takes milliseconds


def make_raw_files(seed: int) -> dict[str, bytes]:
    rng = np.random.default_rng(seed)
    files = {}
    for split, n in (("t10k", 20), ("train", 60)):
        head, side = n.to_bytes(4, "big"), (28).to_bytes(4, "big")
        labels = bytes(b % 10 for b in rng.bytes(n))
        pixels = 2 * side + rng.bytes(n * 28**2)
        files[f"{split}-labels-idx1-ubyte"] = b"\0\0\x08\x01" + head + labels
        files[f"{split}-images-idx3-ubyte"] = b"\0\0\x08\x03" + head + pixels
    return dict(sorted(files.items(), key=lambda file: len(file[1])))


RAW = {name: make_raw_files(seed) for seed, name in enumerate(NAMES)}
GZ = {n: {f"{f}.gz": gzip.compress(c) for f, c in RAW[n].items()} for n in NAMES}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers `/<how to behave>/<data set>/<file>`."""

    def do_GET(self) -> None:
        self.server.requested.append(self.path)
        _, behaviour, name, file = self.path.split("/")
        with contextlib.suppress(ConnectionError):  # when the reader has had enough
            getattr(self, behaviour)(GZ[name][file])

    def log_message(self, *args) -> None:
        pass

    def good(self, content: bytes, length: int | None = None, status: int = 200):
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def http404(self, content: bytes) -> None:
        self.good(b"no such file", status=404)

    def login_page(self, content: bytes) -> None:
        self.good(b"<html>Please log in to this network</html>")

    def hangs(self, content: bytes) -> None:
        self.server.released.wait(20)
        self.good(content)

    def trickles(self, content: bytes, pace: int = 1, pause: float = 0.05) -> None:
        self.good(b"", len(content))
        for start in range(0, len(content), pace):
            if self.server.released.wait(pause):
                return
            self.wfile.write(content[start : start + pace])

    def slow_but_steady(self, content: bytes) -> None:
        self.trickles(content, 4096, 0.15)

    def breaks_off(self, content: bytes) -> None:
        self.good(content[: len(content) // 2], len(content))

    def truncates(self, content: bytes) -> None:
        self.good(content[: len(content) // 2])

    def corrupts(self, content: bytes) -> None:
        self.good(gzip.compress(gzip.decompress(content)[:-1] + b"\xff"))

    def labels_only(self, content: bytes) -> None:
        (self.http404 if "-images-" in self.path else self.good)(content)

    def in_pairs(self, content: bytes) -> None:
        """Answer when both processes have asked for this file, not before."""
        self.server.barrier.wait(60)
        self.good(content)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requested: list[str] = []
        self.released = threading.Event()  # ends whatever hangs
        self.barrier = threading.Barrier(2)

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


@pytest.fixture
def mirrors(server, monkeypatch, tmp_path):
    """Call it with behaviours or addresses to make them the mirrors, with limits."""
    for variable in ("VAE_DATASET", "VAE_DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def choose(*behaviours: str, name: str = "mnist", **limits: float) -> dict:
        here = f"http://127.0.0.1:{server.server_port}"
        settings = {
            "mirrors": [b if "/" in b else f"{here}/{b}/{name}/" for b in behaviours],
            "md5": {f: hashlib.md5(c).hexdigest() for f, c in RAW[name].items()},
            **limits,
        }
        source = dataclasses.replace(data.SOURCES[name], **settings)
        monkeypatch.setitem(data.SOURCES, name, source)
        return settings

    choose("http404", name="fashion")
    choose("http404")
    return choose


def refusing_url() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def raw_folder(root: Path, name: str = "mnist") -> Path:
    return root / {"mnist": "MNIST", "fashion": "FashionMNIST"}[name] / "raw"


def fill(root: Path, name: str = "mnist", *, packed: bool = False) -> Path:
    folder = raw_folder(root, name)
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in (GZ if packed else RAW)[name].items():
        (folder / file).write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file's content, and None for each folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def assert_loads(root: Path, name: str = "mnist", **options) -> None:
    """The images are those that torchvision reads from the same folder, in [0, 1]."""
    images = load_images(name, root=root, **options)
    assert images.name == name
    for train, got_images, got_labels in (
        (True, images.train_images, images.train_labels),
        (False, images.test_images, images.test_labels),
    ):
        folder = raw_folder(root, name).parent.name
        wanted = getattr(torchvision.datasets, folder)(root, train=train)
        assert (got_images.dtype, got_labels.dtype) == (torch.float32, torch.int64)
        assert torch.equal(got_images, wanted.data[:, None].float() / 255)
        assert torch.equal(got_labels, wanted.targets)


# ── fetching ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_a_data_set_is_fetched_once(name, mirrors, server, tmp_path, capfd):
    mirrors("good", name=name)
    assert_loads(tmp_path, name)
    assert contents(raw_folder(tmp_path, name)) == RAW[name]
    size = {"mnist": "MNIST (11 MB, once)", "fashion": "Fashion-MNIST (30 MB, once)"}
    assert capfd.readouterr() == (f"Fetching {size[name]} …\n", "")
    assert len(server.requested) == 4
    assert_loads(tmp_path, name)
    assert len(server.requested) == 4
    assert capfd.readouterr() == ("", "")


FAULTS = {
    "http404": "HTTP 404 from",
    "login_page": "damaged file from",
    "hangs": "no answer in time from",
    "trickles": "no answer in time from",  # two seconds for the smallest file
    "breaks_off": "damaged file from",
    "truncates": "damaged file from",
    "corrupts": "damaged file from",
    "refuses": "no connection to",
}


@pytest.mark.parametrize("missing", [TEST_LABELS, TRAIN_IMAGES])
@pytest.mark.parametrize("fault", FAULTS)
def test_auto_names_bad_mirrors_and_a_good_one_helps(
    fault, missing, mirrors, tmp_path, capfd
):
    folder = fill(tmp_path)
    (folder / missing).unlink()
    before = contents(folder)
    bad = refusing_url() if fault == "refuses" else fault
    chosen = mirrors(bad, bad, **BRIEF)["mirrors"]
    assert load_images("auto", root=tmp_path).name == "digits"
    said = f"{FAULTS[fault]} {chosen[0].split('/')[2]}"
    assert f"(missing: {missing}; fetching: {said}; {said})" in capfd.readouterr().out
    assert contents(folder) == before
    mirrors(bad, "good", **BRIEF)
    assert_loads(tmp_path)
    assert contents(folder) == RAW["mnist"]


def test_a_mirror_that_fails_later_hands_over_the_rest(mirrors, server, tmp_path):
    mirrors("labels_only")
    with pytest.raises(DataUnavailableError, match=f"missing: .*, {TRAIN_IMAGES}.\n"):
        load_images("mnist", root=tmp_path)
    assert len(contents(raw_folder(tmp_path))) == 2  # what came is kept
    (raw_folder(tmp_path) / TEST_LABELS).unlink()
    server.requested.clear()
    mirrors("labels_only", "good")
    assert_loads(tmp_path)
    behaviours = [path.split("/")[1] for path in server.requested]
    assert behaviours == ["labels_only"] * 2 + ["good"] * 2


def test_a_slow_but_steady_mirror_is_not_given_up(mirrors, tmp_path):
    # 47 kB in 1.8 s: longer than the patience, but 4 kB come every 0.15 s.
    mirrors("slow_but_steady", patience=1.2, pace=4096)
    assert_loads(tmp_path)


def test_auto_gives_up_a_name_server_that_hangs(
    mirrors, server, monkeypatch, tmp_path, capfd
):
    # No time-out of requests or urllib3 covers this call.
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: server.released.wait(20))
    mirrors("http://localhost/hangs/", "http://localhost/", **BRIEF)
    assert load_images("auto", root=tmp_path).name == "digits"
    assert capfd.readouterr().out.count("no answer in time from localhost") == 2


def test_the_limits_add_up_to_less_than_15_seconds():
    for source in data.SOURCES.values():
        assert len(source.mirrors) * source.patience <= 12  # and three to load digits


def test_what_has_no_end_is_cut(mirrors, monkeypatch, tmp_path):
    bomb = bytes(1001)
    monkeypatch.setattr(raw_files, "_LONGEST", 1000)
    with pytest.raises(ValueError, match="damaged"):
        raw_files._unpack(gzip.compress(bomb), hashlib.md5(bomb).hexdigest())
    source = data.SOURCES["mnist"]
    url = mirrors("slow_but_steady", pace=100)["mirrors"][0] + TRAIN_IMAGES + ".gz"
    with pytest.raises(TimeoutError):
        raw_files._download(url, dataclasses.replace(source, pace=100))


OTHER_PROCESS = """
import dataclasses, json, os, signal, sys
from vae_helpers import data

source = dataclasses.replace(data.SOURCES["mnist"], **json.loads(sys.argv[2]))
data.SOURCES["mnist"] = source
if sys.argv[3] == "killed":
    os.replace = lambda *files: os.kill(os.getpid(), signal.SIGKILL)
images = data.load_images("mnist", root=sys.argv[1])
"""


def start_other_process(root: Path, settings: dict, fate: str) -> subprocess.Popen:
    arguments = [str(root), json.dumps(settings), fate]
    return subprocess.Popen([sys.executable, "-c", OTHER_PROCESS, *arguments])


def test_two_processes_at_once_both_succeed(mirrors, server, tmp_path):
    other = start_other_process(tmp_path, mirrors("in_pairs", patience=60), "lives")
    try:
        assert_loads(tmp_path)
        assert other.wait(60) == 0
    finally:
        other.kill()
    assert len(server.requested) == 8  # each of the files at once by both
    assert contents(raw_folder(tmp_path)) == RAW["mnist"]


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
def test_what_a_killed_process_leaves_is_cleared_the_next_time(mirrors, tmp_path):
    folder = fill(tmp_path)
    (folder / TRAIN_IMAGES).write_bytes(b"old")
    killed = start_other_process(tmp_path, mirrors("good"), "killed")
    assert killed.wait(60) == -signal.SIGKILL
    left = set(contents(folder)) - set(RAW["mnist"])
    assert {Path(path).parts[0][:7] for path in left} == {".fetch-"}
    assert (folder / TRAIN_IMAGES).read_bytes() == b"old"  # and no half file
    (folder / ".fetch-file").write_bytes(b"")
    assert_loads(tmp_path)
    assert contents(folder) == RAW["mnist"]


def test_files_that_another_process_brings_meanwhile_are_taken(
    mirrors, monkeypatch, tmp_path
):
    def fail_late(*args):
        fill(tmp_path)  # by the other process, which cleared our scratch folder too
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    mirrors("good")
    monkeypatch.setattr(raw_files, "_put", fail_late)
    assert_loads(tmp_path)


def test_a_download_given_up_does_no_harm_later(mirrors, server, tmp_path, capfd):
    mirrors("hangs", "trickles", **BRIEF)
    (fill(tmp_path) / TRAIN_IMAGES).unlink()
    threads = set(threading.enumerate())
    with pytest.raises(DataUnavailableError):
        load_images("mnist", root=tmp_path)
    server.released.set()
    for thread in set(threading.enumerate()) - threads:
        thread.join(20)
        assert not thread.is_alive()
    assert TRAIN_IMAGES not in contents(raw_folder(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_an_interrupt_stops_the_fetching_and_leaves_nothing(mirrors, tmp_path):
    mirrors("hangs", patience=60)
    # What runs in the background of a shell ignores the signal; not here.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.3, _thread.interrupt_main).start()
        with pytest.raises(KeyboardInterrupt):
            load_images("mnist", root=tmp_path)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert contents(tmp_path) == {}


# ── files on disk ───────────────────────────────────────────────────────────────────

DAMAGES = {
    "flipped": RAW["mnist"][TRAIN_IMAGES][:-1] + b"\xff",
    "cut": RAW["mnist"][TRAIN_IMAGES][:9000],
    "empty": b"",
}


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_and_mended(content, mirrors, server, tmp_path):
    folder = fill(tmp_path)
    (folder / TRAIN_IMAGES).write_bytes(content)
    with pytest.raises(DataUnavailableError) as caught:
        load_images("mnist", root=tmp_path)
    assert f"{folder}: damaged or incomplete: {TRAIN_IMAGES}.\n" in str(caught.value)
    assert (folder / TRAIN_IMAGES).read_bytes() == content  # left alone
    server.requested.clear()
    mirrors("good")
    assert_loads(tmp_path)
    assert server.requested == [f"/good/mnist/{TRAIN_IMAGES}.gz"]
    assert contents(folder) == RAW["mnist"]
    (folder / TRAIN_IMAGES).write_bytes(content)  # and now by a .gz beside it
    fill(tmp_path, packed=True)
    assert_loads(tmp_path, download=False)
    assert contents(folder) == RAW["mnist"] | GZ["mnist"]


@pytest.mark.parametrize("name", NAMES)
def test_gz_files_put_there_by_hand_need_no_network(name, mirrors, tmp_path):
    folder = fill(tmp_path, name, packed=True)
    assert_loads(tmp_path, name, download=False)
    assert contents(folder) == RAW[name] | GZ[name]


BAD_GZ = {
    "a web page": b"<html>not a gz file</html>",
    "half a file": GZ["mnist"][f"{TEST_LABELS}.gz"][:30],
    "another data set": GZ["fashion"][f"{TEST_LABELS}.gz"],
}


@pytest.mark.parametrize("content", BAD_GZ.values(), ids=BAD_GZ)
def test_a_bad_gz_is_named_and_spoils_nothing(content, mirrors, tmp_path):
    folder = fill(tmp_path)
    (folder / f"{TEST_LABELS}.gz").write_bytes(content)
    assert_loads(tmp_path)
    (folder / TEST_LABELS).unlink()
    with pytest.raises(DataUnavailableError, match=rf"damaged .*\.gz: {TEST_LABELS}"):
        load_images("mnist", root=tmp_path)
    assert (folder / f"{TEST_LABELS}.gz").read_bytes() == content
    assert not (folder / TEST_LABELS).exists()


@pytest.mark.parametrize("packed", [False, True])
def test_a_read_only_folder_works_while_it_is_complete(
    packed, mirrors, monkeypatch, tmp_path
):
    def refuse(*args, **kwargs):  # also root, whom file modes do not stop
        raise PermissionError(errno.EACCES, "Permission denied")

    folder = fill(tmp_path, packed=packed)
    before = contents(folder)
    mirrors("good", "good")
    monkeypatch.setattr(raw_files.tempfile, "TemporaryDirectory", refuse)
    assert load_images("mnist", root=tmp_path).name == "mnist"
    assert contents(folder) == before
    (folder / min(before, key=len)).unlink()
    cannot = f"Fetching: cannot write into {folder} (Permission denied).\n"
    with pytest.raises(DataUnavailableError) as caught:
        load_images("mnist", root=tmp_path)
    assert cannot in str(caught.value)


def test_a_root_that_is_a_file_is_said_and_kept(mirrors, tmp_path, capfd):
    root = tmp_path / "file"
    root.write_text("precious")
    mirrors("good")
    assert load_images("auto", root=root).name == "digits"
    assert "(Not a directory)" in capfd.readouterr().out
    assert root.read_text() == "precious"


# ── floats that all processes share ─────────────────────────────────────────────────

FLOATS = {
    f"{split}-images-idx3-ubyte.float32": np.frombuffer(
        RAW["mnist"][f"{split}-images-idx3-ubyte"], np.uint8, offset=16
    ).astype(np.float32)
    / np.float32(255)
    for split in ("train", "t10k")
}
TRAIN_FLOATS = f"{TRAIN_IMAGES}.float32"


def floats_in(folder: Path) -> list[str]:
    """The files of floats in a folder, each as it should be, and nothing half done."""
    files = sorted(p for p in folder.iterdir() if p.is_file())
    for path in files:
        assert path.read_bytes() == FLOATS[path.name].tobytes()
    return [path.name for path in files]


READ_MEMORY = """
smaps = open("/proc/self/smaps").read()
mine = smaps[smaps.index(sys.argv[3]) :].splitlines()
sizes = dict(line.split()[:2] for line in mine[1:20])
print(sizes["Rss:"], sizes["Pss:"], sizes["Private_Dirty:"])
"""


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="reads /proc")
def test_two_processes_share_the_images(mirrors, tmp_path):
    fill(tmp_path)
    settings = mirrors("http404")
    images = load_images("mnist", root=tmp_path)
    images.train_images.sum()  # has every page of them in memory
    arguments = [str(tmp_path), json.dumps(settings), TRAIN_FLOATS]
    command = [sys.executable, "-c", OTHER_PROCESS + READ_MEMORY, *arguments]
    rss, pss, own = map(int, subprocess.check_output(command, text=True).split())
    assert rss >= FLOATS[TRAIN_FLOATS].nbytes / 1024  # kB
    assert pss <= rss / 2
    assert own == 0


def test_what_is_written_into_the_images_stays_here(mirrors, tmp_path):
    fill(tmp_path)
    for _ in range(2):  # written by this process, then found
        images = load_images("mnist", root=tmp_path)
        images.train_images.fill_(7)
        images.test_images.zero_()
    assert_loads(tmp_path)
    assert len(floats_in(tmp_path / "MNIST")) == 2


GOOD_FLOATS = FLOATS[TRAIN_FLOATS].tobytes()
BAD_FLOATS = {
    "empty": b"",
    "cut": GOOD_FLOATS[:-1],
    "one float off": GOOD_FLOATS[:-4] + np.float32(2).tobytes(),
    "not a number": np.float32(np.nan).tobytes() + GOOD_FLOATS[4:],
}


@pytest.mark.parametrize("content", BAD_FLOATS.values(), ids=BAD_FLOATS)
def test_damaged_floats_are_written_anew(content, mirrors, tmp_path):
    fill(tmp_path)
    path = tmp_path / "MNIST" / TRAIN_FLOATS
    path.write_bytes(content)
    assert_loads(tmp_path)
    assert len(floats_in(tmp_path / "MNIST")) == 2


def test_good_floats_are_not_written_again(mirrors, tmp_path):
    fill(tmp_path)
    assert_loads(tmp_path)
    before = (tmp_path / "MNIST" / TRAIN_FLOATS).stat()
    assert_loads(tmp_path)
    assert (tmp_path / "MNIST" / TRAIN_FLOATS).stat() == before


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
def test_floats_are_whole_whenever_the_writer_is_killed(mirrors, tmp_path):
    fill(tmp_path)
    killed = start_other_process(tmp_path, mirrors("http404"), "killed")
    assert killed.wait(60) == -signal.SIGKILL
    part = (tmp_path / "MNIST" / TRAIN_FLOATS).with_suffix(".part")
    assert [p for p in part.parent.iterdir() if p.is_file()] == [part]
    for content in (b"half", GOOD_FLOATS + b"more"):
        part.write_bytes(content)
        assert_loads(tmp_path)
        assert len(floats_in(part.parent)) == 2
        (part.parent / TRAIN_FLOATS).unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no modes there")
def test_a_read_only_folder_keeps_its_floats_in_the_users_cache(
    mirrors, tmp_path, capfd
):
    folder, cache = fill(tmp_path).parent, tmp_path / "cache/vae-helpers/MNIST"
    folder.chmod(0o555)
    try:
        for _ in range(2):
            assert_loads(tmp_path)
            assert floats_in(folder) == []
            assert len(floats_in(cache)) == 2
        (cache / TRAIN_FLOATS).unlink()
        cache.chmod(0o555)  # and where there is no room at all, they are not kept
        assert_loads(tmp_path)
        assert floats_in(folder) == []
        assert len(floats_in(cache)) == 1
    finally:
        folder.chmod(0o755), cache.chmod(0o755)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no modes there")
def test_floats_in_a_read_only_folder_are_used(mirrors, tmp_path):
    folder = fill(tmp_path).parent
    assert_loads(tmp_path)
    folder.chmod(0o555)
    try:
        assert_loads(tmp_path)
    finally:
        folder.chmod(0o755)
    assert not (tmp_path / "cache").exists()


def test_a_full_disk_costs_nothing_but_memory(mirrors, monkeypatch, tmp_path, capfd):
    def refuse(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = fill(tmp_path).parent
    monkeypatch.setattr(data.os, "replace", refuse)
    assert_loads(tmp_path)
    assert floats_in(folder) == floats_in(tmp_path / "cache/vae-helpers/MNIST") == []
    assert capfd.readouterr() == ("", "")


# ── choosing: `auto`, arguments, environment, messages ──────────────────────────────


def test_auto_takes_mnist_where_it_is(mirrors, server, tmp_path, capfd):
    fill(tmp_path)
    images = load_images(root=tmp_path)
    note = "MNIST: 60 training and 20 test images, 28×28 pixels in [0, 1]."
    assert (images.name, images.note) == ("mnist", note)
    assert capfd.readouterr() == (note + "\n", "")
    assert server.requested == []


def test_auto_without_network_says_in_one_line_what_why_and_how(
    monkeypatch, tmp_path, capfd
):
    def fail(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.delenv("VAE_DATASET", raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", fail)  # the real mirrors, offline
    images = load_images("auto", root=tmp_path)
    assert images.name == "digits"
    assert images.note == (
        "Using scikit-learn's 1,797 digits instead of MNIST (missing: all four files; "
        "fetching: no connection to storage.googleapis.com; no connection to "
        "ossci-datasets.s3.amazonaws.com). MNIST by hand: put the four .gz files "
        "linked at https://github.com/cvdfoundation/mnist into "
        f"{raw_folder(tmp_path)} and run this again."
    )
    assert capfd.readouterr() == (images.note + "\n", "")


def test_an_error_says_what_was_tried_and_what_to_do(mirrors, server, tmp_path):
    closed = refusing_url()
    mirrors(closed, "http404", name="fashion")
    with pytest.raises(DataUnavailableError) as caught:
        load_images("fashion", root=tmp_path)
    assert str(caught.value) == (
        "Fashion-MNIST could not be loaded.\n"
        f"Looked in {raw_folder(tmp_path, 'fashion')}: missing: all four files.\n"
        f"Fetching: no connection to {closed.split('/')[2]}; "
        f"HTTP 404 from 127.0.0.1:{server.server_port}.\n"
        "What to do, one of these:\n"
        "- Check the network and run this again; files already fetched are kept.\n"
        "- Put the four .gz files linked at https://github.com/zalandoresearch/"
        "fashion-mnist#get-the-data into the folder above.\n"
        "- Pass as root=, or set as the environment variable VAE_DATA_DIR, a folder "
        "that has FashionMNIST/raw in it.\n"
        '- Go on without Fashion-MNIST: load_images("digits") needs no network.'
    )


def test_download_false_never_connects(mirrors, server, tmp_path, capfd):
    root = tmp_path / "not there"
    said = "missing: all four files.\nFetching: switched off by download=False"
    for name in NAMES:
        with pytest.raises(DataUnavailableError, match=said):
            load_images(name, root=root, download=False)
    assert load_images("auto", root=root, download=False).name == "digits"
    assert "switched off by download=False" in capfd.readouterr().out
    assert server.requested == []
    assert not root.exists()


@pytest.mark.parametrize("name", ["mnits", "", None, "MNIST"])
def test_an_unknown_name_lists_the_choices(name):
    with pytest.raises(ValueError, match="'auto', 'mnist', 'fashion', 'digits'"):
        load_images(name)


def test_vae_dataset_decides_what_auto_means(mirrors, monkeypatch, tmp_path, capfd):
    wishes = {"fashion": "fashion", " MNIST ": "mnist", "Digits": "digits"}
    for wish, name in {**wishes, " ": "mnist"}.items():  # as if it were not set
        fill(tmp_path, "fashion"), fill(tmp_path)
        monkeypatch.setenv("VAE_DATASET", wish)
        images = load_images(root=tmp_path)
        assert images.name == name
        assert capfd.readouterr() == (images.note + "\n", "")
        assert ("checkpoints were never tried" in images.note) == (name == "fashion")
        assert load_images("mnist", root=tmp_path).name == "mnist"
    monkeypatch.setenv("VAE_DATASET", "mnist")
    with pytest.raises(DataUnavailableError):  # what is named there is never replaced
        load_images(root=tmp_path / "empty")
    monkeypatch.setenv("VAE_DATASET", "mnits")
    with pytest.raises(ValueError, match=r"'mnits' .*variable VAE_DATASET"):
        load_images()


def test_where_files_are_looked_for(mirrors, monkeypatch, tmp_path):
    project = Path(data.__file__).resolve().parent.parent
    monkeypatch.chdir(tmp_path)  # notebooks run in their own folder
    assert data._find_root(None) == project / "data"
    assert "/data/" in (project / ".gitignore").read_text().splitlines()
    monkeypatch.setenv("VAE_DATA_DIR", "../shared/data")
    assert data._find_root(None) == project.parent / "shared" / "data"
    assert data._find_root("here") == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("VAE_DATA_DIR", "~/images")
    assert data._find_root(None) == tmp_path / "images"
    assert data._find_root("~") == tmp_path


def test_an_installed_wheel_keeps_data_in_the_users_cache(
    mirrors, monkeypatch, tmp_path
):
    monkeypatch.setattr(data, "__file__", str(tmp_path / "lib/vae_helpers/data.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = data._find_root(None)
    assert root.name == "vae-helpers"
    assert tmp_path / "lib" not in root.parents
    assert root.parent == tmp_path / "cache" or sys.platform != "linux"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAE_DATA_DIR", "here")
    assert data._find_root(None) == tmp_path / "here"


def test_heavy_packages_are_imported_only_when_needed():
    code = """
import sys
from vae_helpers import data, plots
plots.image_rows({"two": data.np.zeros((2, 8, 8))})
print(*sys.modules)
"""
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert {"torch", "matplotlib"} <= set(loaded)
    # PyTorch's compiler, which torchvision brings, too, holds 80 MB of every kernel.
    heavy = {"sklearn", "torchvision", "torch._dynamo", "pooch", "requests"}
    assert not heavy & set(loaded)


# ── the digits ──────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def digits() -> data.ImageData:
    return load_images("digits", root="not there")


TENSORS = ("train_images", "train_labels", "test_images", "test_labels")


def test_digits_have_the_form_of_mnist(digits):
    for images, labels, n in (
        (digits.train_images, digits.train_labels, 1500),
        (digits.test_images, digits.test_labels, 297),
    ):
        assert (images.shape, labels.shape) == ((n, 1, 28, 28), (n,))
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert (images.min(), images.max()) == (0, 1)
        assert labels.unique().tolist() == list(range(10))
    assert digits.note.startswith("digits: 1,500 training and 297 test images, 28×28")


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
    for field in TENSORS:
        assert torch.equal(getattr(again, field), getattr(digits, field))
    # The same as on the machine where this was written, too.
    assert again.train_labels[:10].tolist() == [2, 8, 2, 6, 6, 7, 1, 9, 8, 5]
    assert again.train_images.mean().item() == pytest.approx(0.1597, abs=1e-4)
    assert again.train_images.std().item() == pytest.approx(0.3251, abs=1e-4)


def test_digits_look_like_mnist(digits):
    images = torch.cat([digits.train_images, digits.test_images])
    border = images.clone()
    border[:, :, 4:24, 4:24] = 0
    assert border.max() == 0  # as in MNIST, four empty pixels all around
    rows, columns = images.amax((0, 1, 3)), images.amax((0, 1, 2))
    for ink in (rows[4], rows[23], columns[4], columns[23]):
        assert ink > 0.3  # and no more than four
    grey = ((images > 0.1) & (images < 0.9)).float().mean()
    assert grey < 0.15  # MNIST: 0.09; without the soft threshold it would be 0.3


def test_digits_keep_the_label_of_their_image(digits):
    # The nearest training image has the same label nearly always.
    test, train = digits.test_images.flatten(1), digits.train_images.flatten(1)
    guesses = digits.train_labels[torch.cdist(test, train).argmin(1)]
    assert (guesses == digits.test_labels).float().mean() > 0.95


def test_images_move_to_a_device_and_keep_their_name(digits):
    moved = digits.to("meta")
    for field in TENSORS:
        assert getattr(moved, field).device.type == "meta"
        assert getattr(moved, field).shape == getattr(digits, field).shape
    assert (moved.name, moved.note) == (digits.name, digits.note)


# ── the real MNIST ──────────────────────────────────────────────────────────────────


@pytest.mark.skipif(
    not list((data._find_root(None) / "MNIST" / "raw").glob("t*ubyte*")),
    reason="set VAE_DATA_DIR to a folder that has MNIST/raw to test the real MNIST",
)
def test_the_real_mnist_is_accepted():
    images = load_images("mnist", download=False)
    assert images.train_images.shape == (60_000, 1, 28, 28)
    assert images.test_images.shape == (10_000, 1, 28, 28)
    assert images.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert images.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert images.train_images.mean().item() == pytest.approx(0.1307, abs=1e-4)
    assert (images.train_images.min(), images.train_images.max()) == (0, 1)
    assert images.note.startswith("MNIST: 60,000 training and 10,000 test images")
