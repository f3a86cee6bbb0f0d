"""The classroom server's configuration, without a JupyterHub."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "teaching" / "server" / "jupyterhub_config.py"


class Settings:
    """As traitlets' own: a section is there as soon as it is named."""

    def __getattr__(self, section: str) -> SimpleNamespace:
        return self.__dict__.setdefault(section, SimpleNamespace())


@pytest.fixture
def load(monkeypatch, tmp_path):
    """Run the configuration as the hub does; returns its names and its settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAE_CLASS_PASSWORD", "blackboard")
    monkeypatch.delenv("VAE_DATA_DIR", raising=False)

    def run():
        c = Settings()
        return runpy.run_path(str(CONFIG), {"get_config": lambda: c}), c

    return run


def spawn(c, name: str) -> Path:
    c.Spawner.pre_spawn_hook(SimpleNamespace(user=SimpleNamespace(name=name)))
    template = c.SimpleLocalProcessSpawner.home_dir_template
    return Path(template.format(username=name)) / "notebooks"


def test_each_student_gets_the_course_and_keeps_their_work(load, tmp_path):
    _, c = load()
    ada = spawn(c, "ada")
    assert ada == tmp_path / "students" / "ada" / "notebooks"
    for name in ("00_start_here.ipynb", "pictures/vae_00.svg"):
        original = ROOT / "notebooks" / name
        assert (ada / name).read_bytes() == original.read_bytes()
    assert {path.name for path in ada.rglob("*.ipynb")} == {
        path.name for path in (ROOT / "notebooks").rglob("[!.]*.ipynb")
    }
    (ada / "00_start_here.ipynb").write_text("my work")
    (ada / "04_vae.ipynb").unlink()
    (ada / "mine.txt").write_text("mine, too")
    spawn(c, "ada")  # the next day
    assert (ada / "00_start_here.ipynb").read_text() == "my work"
    assert (ada / "mine.txt").read_text() == "mine, too"
    assert (ada / "04_vae.ipynb").exists()  # thrown away, so given again
    assert not list(ada.rglob(".*"))
    assert (spawn(c, "bob") / "00_start_here.ipynb").stat().st_size > 10_000


def test_a_student_can_write_what_comes_from_a_read_only_course(
    load, monkeypatch, tmp_path
):
    _, c = load()
    course = tmp_path / "course"
    (course / "notebooks").mkdir(parents=True)
    (course / "notebooks" / "00.ipynb").write_text("{}")
    (course / "notebooks" / "00.ipynb").chmod(0o444)
    (course / "notebooks").chmod(0o555)
    monkeypatch.setitem(c.Spawner.pre_spawn_hook.__globals__, "COURSE", course)
    folder = spawn(c, "ada")
    for path in (folder, folder / "00.ipynb"):
        assert path.stat().st_mode & 0o200
    (course / "notebooks").chmod(0o755)


def test_limits_and_shared_folders_reach_the_students(load, monkeypatch):
    names, c = load()
    assert c.Spawner.environment["OMP_NUM_THREADS"] == str(names["THREADS"])
    assert c.Spawner.environment["VAE_DATA_DIR"] == str(ROOT / "data")
    assert f"--data={names['MEMORY']}" in c.Spawner.cmd
    monkeypatch.setenv("VAE_DATA_DIR", "../elsewhere")
    _, c = load()
    assert c.Spawner.environment["VAE_DATA_DIR"] == str(ROOT.parent / "elsewhere")


@pytest.mark.parametrize("password", ["", "short"])
def test_without_a_password_it_says_what_to_do(load, monkeypatch, password):
    monkeypatch.setenv("VAE_CLASS_PASSWORD", password)
    with pytest.raises(SystemExit, match="VAE_CLASS_PASSWORD"):
        load()
