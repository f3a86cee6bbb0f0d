"""OpenMP is told to share the cores before PyTorch loads it, unless told not to.

What that gains in time is measured by `scripts/benchmark_training.py --cores`.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"GOMP_SPINCOUNT": "5000", "KMP_BLOCKTIME": "1"}
THEIRS = {"OMP_WAIT_POLICY", *OURS}


def run(code, **variables):
    """Run in a new process, in which of the variables only those given are set."""
    environment = {k: v for k, v in os.environ.items() if k not in THEIRS} | variables
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({}, OURS),
        ({"GOMP_SPINCOUNT": "7"}, OURS | {"GOMP_SPINCOUNT": "7"}),
        ({"KMP_BLOCKTIME": "infinite"}, OURS | {"KMP_BLOCKTIME": "infinite"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_the_variables_are_set_without_pytorch_and_never_against_the_user(given, left):
    code = """
import json, os, sys
import vae_helpers
loaded = [name for name in ("torch", "numpy", "sklearn") if name in sys.modules]
print(json.dumps([loaded, dict(os.environ)]))
"""
    loaded, environment = json.loads(run(code, **given)[0])
    assert loaded == []
    assert {k: v for k, v in environment.items() if k in THEIRS} == left


@pytest.mark.parametrize("user", [{}, {"GOMP_SPINCOUNT": "7"}])
def test_pytorchs_openmp_has_read_them(user):
    shown = run("import vae_helpers, torch", OMP_DISPLAY_ENV="verbose", **user)[1]
    if "GOMP_SPINCOUNT" not in shown:
        pytest.skip("PyTorch has another OpenMP here than GNU's")
    counts = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", shown)
    assert set(counts) == {user.get("GOMP_SPINCOUNT", "5000")}


# What loads an OpenMP. A package of ours loads vae_helpers first by itself.
LOADERS = {"torch", "torchvision", "sklearn", "safetensors"}


def imported(code):
    """The packages a piece of code imports, in the order of its lines."""
    names = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names += [
                (alias.lineno, alias.col_offset, alias.name) for alias in node.names
            ]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append((node.lineno, node.col_offset, node.module))
    return [name.partition(".")[0] for *_, name in sorted(names)]


def loads_pytorch_first(packages):
    """Whether a loader comes before vae_helpers or without it."""
    first = next((i for i, name in enumerate(packages) if name in LOADERS), None)
    return first is not None and "vae_helpers" not in packages[:first]


def code_of(file):
    text = file.read_text("utf-8")
    if file.suffix == ".py":
        return text
    cells = json.loads(text)["cells"]
    sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    lines = "\n".join(sources).splitlines()
    return "\n".join(re.sub(r"^(\s*)[%!].*", r"\1pass", line) for line in lines)


FILES = [
    *ROOT.glob("*.py"),
    *ROOT.glob("scripts/*.py"),
    *ROOT.glob("tests/*.py"),
    *ROOT.glob("notebooks/**/*.ipynb"),
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_imports_vae_helpers_before_pytorch(file):
    packages = imported(code_of(file))
    if file.parent.name == "tests" and "vae_helpers" not in packages:
        return  # referees that tests import, after vae_helpers
    assert not loads_pytorch_first(packages)


@pytest.mark.parametrize(
    ("code", "too_late"),
    [
        ("import torch\nfrom vae_helpers import data", True),
        ("import torch.nn as nn", True),
        ("def f():\n    from sklearn.decomposition import PCA", True),
        ("from vae_helpers.data import load_images\nimport torch", False),
        ("import vae_helpers, torch", False),
        ("import numpy", False),
    ],
)
def test_the_check_of_the_order_can_fail(code, too_late):
    assert loads_pytorch_first(imported(code)) == too_late
