"""The weights that come with the course: whole, small, as good as their cards say."""

import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace

from vae_helpers import pretrained
from vae_helpers.data import DataUnavailableError, ImageData, load_images
from vae_helpers.densities import bernoulli_log_likelihood
from vae_helpers.evaluation import MeanElbo
from vae_helpers.models import VAE, Autoencoder
from vae_helpers.pretrained import (
    PretrainedError,
    load_pretrained,
    load_run,
    read_card,
    should_train,
)

import nbformat
import pytest
import torch
import train_pretrained
from save_notebooks import NOTEBOOKS
from train_pretrained import RECIPES, RUNS, save_run

torch.set_num_threads(1)
NAMES = list(RECIPES)
BELOW = ("models", "densities")  # what loading needs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the weights that a test may damage."""
    for file in pretrained._FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(pretrained, "_FOLDER", tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def mnist():
    """MNIST's test images, where they are on this disk."""
    try:
        return load_images("mnist", download=False).test_images
    except DataUnavailableError:
        if os.environ.get("VAE_DATASET") == "mnist":
            raise
        pytest.skip("needs MNIST on the disk")


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_what_its_card_and_its_recipe_say(name):
    card, recipe = read_card(name), RECIPES[name]
    assert {key: card[key] for key in vars(recipe)} == vars(recipe)
    model = load_pretrained(name)
    assert type(model).__name__ == card["model"]
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    for wanted in ("data", "seed", "test", "objective", "sha256", "torch", "license"):
        assert card[wanted] not in ("", None, {})


def test_the_files_are_small_and_all_there():
    files = list(pretrained._FOLDER.iterdir())
    names, kinds = [*NAMES, *RUNS], ("json", "safetensors")
    expected = {f"{name}.{kind}" for name in names for kind in kinds}
    assert {file.name for file in files} == expected
    sizes = [file.stat().st_size for file in files]
    assert max(sizes) <= 2.2e6
    assert sum(sizes) <= 12e6


@pytest.mark.parametrize("name", RUNS)
def test_a_run_holds_what_its_notebook_asks_for(name, capsys):
    number = name.removeprefix("notebook-")
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    source = "\n".join(cell.source for cell in nbformat.read(path, 4).cells)
    assert f'load_run("{number}", data.name)' in source
    asked = set(re.findall(r'(?:trained(?:\[|\.get\()|recall\()"([^"]+)"', source))
    assert asked == set(RUNS[name]) == set(load_run(number, "mnist"))
    assert capsys.readouterr().out.startswith("Loaded what training gave on MNIST: ")
    for wanted in ("data", "numbers", "sha256", "torch", "license"):
        assert read_card(name)[wanted]


@pytest.mark.parametrize(
    ("value", "on_mnist"),
    [
        *((None, True), ("", True), ("yes", True), ("1", True), ("True", True)),
        *(("no", False), (" No", False), ("0", False), ("FALSE", False)),
    ],
)
def test_one_switch_for_all_notebooks(monkeypatch, value, on_mnist):
    monkeypatch.delenv("VAE_TRAIN_NOW", raising=False)
    if value is not None:
        monkeypatch.setenv("VAE_TRAIN_NOW", value)
    assert should_train("mnist") is on_mnist
    assert should_train("digits") is should_train("fashion") is True


@pytest.mark.parametrize("value", ["maybe", "off", "2"])
def test_another_value_of_the_switch_is_refused(monkeypatch, value):
    monkeypatch.setenv("VAE_TRAIN_NOW", value)
    with pytest.raises(ValueError, match=f"VAE_TRAIN_NOW is '{value}': say 'yes' or"):
        should_train("mnist")


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("vae")])
def test_the_figures_on_a_card_hold_on_mnist(name, mnist):
    """Written out once more: one draw for each of the 10,000 test images."""
    model, test = load_pretrained(name), read_card(name)["test"]
    torch.manual_seed(7)
    with torch.no_grad():
        mu, logvar = model.encode(mnist)
        z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
        log_px_z = bernoulli_log_likelihood(mnist, model.decode(z)).mean().item()
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean().item()
    # The card's error is that of four draws an image; here is one, so twice as much.
    assert abs(log_px_z - test["log_px_z"]) < 6 * 2 * test["error"]
    assert abs(kl - test["kl"]) < 2e-3
    assert test["elbo"] == pytest.approx(test["log_px_z"] - test["kl"], abs=2e-3)


def test_the_autoencoders_figure_holds_on_mnist(mnist):
    with torch.no_grad():
        error = (load_pretrained("ae-2d")(mnist) - mnist).square().sum((1, 2, 3)).mean()
    assert error.item() == pytest.approx(
        read_card("ae-2d")["test"]["squared_error"], 1e-3
    )


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'ae-2d',.* 'vae-20d', 'vae-2d'"):
        load_pretrained("vae-3d")


def test_loading_imports_nothing_that_plots_fetches_or_trains():
    code = "import sys, vae_helpers.pretrained; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = set(subprocess.check_output(command, text=True).split())
    assert "vae_helpers.models" in loaded
    assert not loaded & {"matplotlib", "sklearn", "torchvision", "pooch", "IPython"}
    ours = {name for name in loaded if name.startswith("vae_helpers.")}
    assert ours == {f"vae_helpers.{room}" for room in ("pretrained", *BELOW)}


@pytest.mark.parametrize("kind", ["json", "safetensors"])
def test_a_missing_file_is_named_with_what_to_do(folder, kind):
    (folder / f"vae-2d.{kind}").unlink()
    with pytest.raises(
        PretrainedError, match=rf"vae-2d.{kind} cannot be read"
    ) as caught:
        load_pretrained("vae-2d")
    assert "git checkout" in str(caught.value)
    assert "python scripts/train_pretrained.py vae-2d" in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "one bit", "empty"])
def test_damaged_weights_are_refused(folder, damage):
    file = folder / "vae-2d.safetensors"
    content = bytearray(file.read_bytes())
    if damage == "one bit":
        content[-1000] ^= 1
    file.write_bytes({"cut": content[:-7], "one bit": content, "empty": b""}[damage])
    with pytest.raises(PretrainedError, match="is damaged: its checksum"):
        load_pretrained("vae-2d")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"model": "os.system"}', "\xff"]
)
def test_a_damaged_card_is_refused(folder, text):
    (folder / "vae-2d.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(PretrainedError, match=r"vae-2d\.json is damaged"):
        load_pretrained("vae-2d")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"latent_dim": "2"}, "latent_dim is '2': it must be a whole number"),
        ({"latent_dim": 0}, "latent_dim is 0: it must be at least 1"),
        ({"latent_dim": 2, "hidden_sizes": 400}, "hidden_sizes is 400: "),
        ({"latent_dim": 2, "likelihood": "normal"}, "likelihood is 'normal': "),
        ({"latent_dim": 2, "depth": 3}, "unexpected keyword argument 'depth'"),
        ({}, "missing 1 required positional argument: 'latent_dim'"),
        (None, "argument after .* must be a mapping"),
    ],
)
def test_a_card_with_options_that_make_no_model_is_refused(folder, options, error):
    card = read_card("vae-2d") | {"options": options}
    (folder / "vae-2d.json").write_text(json.dumps(card), "utf-8")
    advice = r"vae-2d\.json has options that make no VAE: .*" + error
    with pytest.raises(PretrainedError, match=advice):
        load_pretrained("vae-2d")


def test_weights_of_another_model_do_not_fit(folder):
    content = (folder / "vae-20d.safetensors").read_bytes()
    (folder / "vae-2d.safetensors").write_bytes(content)
    card = json.loads((folder / "vae-2d.json").read_text("utf-8"))
    card["sha256"] = read_card("vae-20d")["sha256"]
    (folder / "vae-2d.json").write_text(json.dumps(card), "utf-8")
    with pytest.raises(PretrainedError, match="does not fit its card"):
        load_pretrained("vae-2d")


def test_a_pickle_in_place_of_weights_is_never_run(folder, monkeypatch):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("a pickle was run",)

    content = pickle.dumps(Trap())
    (folder / "vae-2d.safetensors").write_bytes(content)
    card = json.loads((folder / "vae-2d.json").read_text("utf-8"))
    card["sha256"] = pretrained.hashlib.sha256(content).hexdigest()
    (folder / "vae-2d.json").write_text(json.dumps(card), "utf-8")
    with pytest.raises(PretrainedError, match="does not fit its card"):
        load_pretrained("vae-2d")


@pytest.mark.parametrize(("name", "kind"), [("ae-2d", Autoencoder), ("vae-20d", VAE)])
def test_the_command_makes_files_that_load_and_the_same_ones_again(
    tmp_path, monkeypatch, name, kind
):
    """With a recipe of three steps on made-up images."""
    monkeypatch.setitem(RECIPES, name, replace(RECIPES[name], steps=3))
    pixels = torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(40, dtype=torch.long)
    data = ImageData(pixels, labels, pixels[:9], labels[:9], "made-up", "")
    card = train_pretrained.train_and_save(name, data, tmp_path / "weights")
    again = train_pretrained.train_and_save(name, data, tmp_path / "again")
    assert card == again
    monkeypatch.setattr(pretrained, "_FOLDER", tmp_path / "weights")
    assert isinstance(load_pretrained(name), kind)
    assert "40 grey training images of made-up" in read_card(name)["data"]


def test_a_run_comes_back_as_it_was_and_weights_to_8_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "_FOLDER", tmp_path)
    model, other = (
        VAE(3, hidden_sizes=(5,), likelihood="gaussian", sigma=s) for s in (1, 2)
    )
    values = {
        "models": {2: model, "deep": [other.trunk]},
        "score": {0.5: MeanElbo(-1.0, 2.0, -3.0, 0.1)},
        "rows": [(1, "a", torch.rand(3, 4, dtype=torch.float64)), (True, None, 2.5)],
    }
    save_run("notebook-x", values, tmp_path)
    run = load_run("x", "mnist")
    assert list(run) == list(values)
    assert run["score"] == values["score"]
    assert run["score"][0.5].log_px_z == -1
    (one, two), (first, second) = run["rows"], values["rows"]
    assert one[:2] == first[:2]
    assert torch.equal(one[2], first[2])
    assert two == second
    before = {name: part.clone() for name, part in model.state_dict().items()}
    other.load_state_dict(run["models"][2])
    other.trunk.load_state_dict(run["models"]["deep"][0])
    model.load_state_dict(run["models"][2])
    for name, part in model.state_dict().items():
        if part.ndim < 2:
            assert torch.equal(part, before[name])
        else:
            error = (part - before[name]).abs()
            assert (error <= before[name].abs().amax(1, keepdim=True) / 253).all()
            assert error.max() > 0


def test_a_run_is_refused_for_other_data_and_other_notebooks(folder):
    with pytest.raises(ValueError, match="runs are of mnist, and these are digits"):
        load_run("04", "digits")
    with pytest.raises(ValueError, match="no pretrained model 'notebook-4': choose"):
        load_run("4", "mnist")
    with pytest.raises(ValueError, match="is the run of a notebook: load_run"):
        load_pretrained("notebook-04")
    (folder / "notebook-04.safetensors").write_bytes(b"")
    with pytest.raises(PretrainedError, match="is damaged: its checksum"):
        load_run("04", "mnist")


def test_a_run_whose_tensors_are_gone_does_not_fit(folder):
    content = (folder / "notebook-07.safetensors").read_bytes()
    card = read_card("notebook-04") | {"sha256": read_card("notebook-07")["sha256"]}
    (folder / "notebook-04.safetensors").write_bytes(content)
    (folder / "notebook-04.json").write_text(json.dumps(card), "utf-8")
    with pytest.raises(PretrainedError, match="does not fit its card") as caught:
        load_run("04", "mnist")
    assert "python scripts/train_pretrained.py notebook-04" in str(caught.value)


def test_a_notebooks_own_cells_make_its_run(tmp_path, monkeypatch):
    """But not its exercises; a stand-in for the kernel runs them."""

    class Client:
        def __init__(self, notebook, **_):
            self.cells = notebook.cells

        def execute(self):
            assert os.environ["VAE_TRAIN_NOW"] == "yes"
            exec("\n".join(cell.source for cell in self.cells), {})

    sources = ["x = [1, 2]", "x += [3]", "x = 0"]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[-1].metadata.tags = ["exercise"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "99_x.ipynb")
    for name, value in {"NOTEBOOKS": tmp_path, "WEIGHTS": tmp_path}.items():
        monkeypatch.setattr(train_pretrained, name, value)
    monkeypatch.setattr(train_pretrained, "NotebookClient", Client)
    monkeypatch.setattr(pretrained, "_FOLDER", tmp_path)
    monkeypatch.setitem(RUNS, "notebook-99", ["x"])
    for name in ("VAE_DATASET", "VAE_TRAIN_NOW"):
        monkeypatch.setenv(name, "")
    train_pretrained.run_notebook("notebook-99")
    assert load_run("99", "mnist") == {"x": [1, 2, 3]}
