"""The three lists of packages agree, and the README's commands are those CI runs."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PYPI_NAMES = {"pytorch": "torch"}  # conda-forge's name → PyPI's


def parse(line: str) -> tuple[str, str]:
    name, version = re.fullmatch(r"([\w-]+)(>=[\w.]+)", line.replace(" ", "")).groups()
    return PYPI_NAMES.get(name, name), version


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def requirements() -> list[tuple[str, str]]:
    """(requirement, reason) of each line that is not a comment."""
    text = (ROOT / "requirements.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(part.strip() for part in line.split("#")) for line in lines]


def environment() -> dict:
    return yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))


def test_the_three_lists_name_the_same_packages_and_versions():
    project = pyproject()
    wanted = project["dependencies"] + project["optional-dependencies"]["course"]
    wanted = dict(parse(line) for line in wanted)
    listed = dict(parse(line) for line, _ in requirements() if line != "-e .")
    conda = [line for line in environment()["dependencies"] if isinstance(line, str)]
    conda = dict(parse(line) for line in conda if line != "pip")
    assert conda.pop("python") == project["requires-python"]
    assert wanted == listed == conda


def test_a_wheel_holds_every_package_of_ours():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    listed = tomllib.loads(text)["tool"]["setuptools"]["packages"]
    found = (ROOT / "vae_helpers").rglob("__init__.py")
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in found}
    assert set(listed) == folders


def test_ci_runs_the_two_commands_of_the_readme():
    readme = (ROOT / "README.md").read_text("utf-8").splitlines()
    ci = (ROOT / ".ci/run").read_text("utf-8")
    patterns = re.findall(r"grep -m 1 (?:-- )?'([^']+)' README.md", ci)
    lines = [next(line for line in readme if pattern in line) for pattern in patterns]
    assert all(line.startswith("python3 -m venv .venv && ") for line in lines)
    assert lines[0].endswith("jupyter lab notebooks/00_start_here.ipynb")
    assert lines[1].endswith("python -m pytest -n 2")


def test_torch_and_torchvision_are_a_pair_that_works():
    listed = dict(parse(line) for line, _ in requirements() if line != "-e .")
    assert listed["torch"] == ">=2.14"
    assert listed["torchvision"] == ">=0.29"


def test_every_requirement_has_its_reason_and_the_helpers_are_among_them():
    assert all(len(reason) > 10 for _, reason in requirements())
    assert "-e ." in [line for line, _ in requirements()]


def test_conda_uses_conda_forge_alone_and_installs_the_helpers():
    channels = environment()["channels"]
    assert channels == ["conda-forge", "nodefaults"]
    assert environment()["dependencies"][-1] == {"pip": ["-e ."]}
