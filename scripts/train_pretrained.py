"""Train the pretrained models again, on full MNIST, and write their cards.

    .venv/bin/python scripts/train_pretrained.py                       # all of them
    .venv/bin/python scripts/train_pretrained.py vae-2d notebook-04    # those named

For a notebook, its own cells run, and what they found is stored. Needs MNIST, which
`load_images` finds. `vae_helpers.pretrained` loads what this makes.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from vae_helpers import pretrained
from vae_helpers.data import ImageData, load_images
from vae_helpers.evaluation import mean_elbo
from vae_helpers.models import VAE, Autoencoder
from vae_helpers.objectives import beta_objective, squared_error
from vae_helpers.training import fit

import nbformat
import safetensors.torch
import torch
from nbclient import NotebookClient
from save_notebooks import NOTEBOOKS
from torch import Tensor, nn

WEIGHTS = Path(pretrained.__file__).parent / "weights"
CLASSES = {"VAE": VAE, "Autoencoder": Autoencoder}


@dataclass(frozen=True)
class Recipe:
    """How a pretrained model came about; all of it stands on its card."""

    model: str
    options: dict = field(default_factory=dict)
    beta: float = 1.0
    steps: int = 14_000
    batch_size: int = 128
    lr: float = 4e-3
    schedule: str = "one-cycle"
    seed: int = 0


RECIPES = {
    "ae-2d": Recipe("Autoencoder", {"latent_dim": 2, "hidden_sizes": [400]}, lr=2e-3),
    "vae-2d": Recipe("VAE", {"latent_dim": 2, "hidden_sizes": [400]}, steps=23_400),
    "vae-20d": Recipe("VAE", {"latent_dim": 20, "hidden_sizes": [400]}),
}
# The sweep of notebook 05, trained longer than it is there.
RECIPES |= {
    f"beta-{beta:g}": Recipe(
        "VAE", {"latent_dim": 10, "hidden_sizes": [50]}, beta, steps=4_700, lr=6e-3
    )
    for beta in (0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 40)
}
# What the trainings of a notebook give, as it stands in the notebook.
RUNS = {
    "notebook-01": [
        *("autoencoder", "losses", "models", "linear", "precision", "far_off"),
    ],
    "notebook-04": [
        *("parts", "trace", "ae20", "sampled", "far", "holes", "paths", "shifts"),
        "q_no_kl",
    ],
    "notebook-04b": [
        *("unit_vae", "sigma_vae", "at_six_sigmas", "results"),
        *("wide_score", "unit_kls", "kept", "cut"),
        *("standardized_log", "averaged_log", "collapsed_score", "half_log"),
        *("half_score", "logged", "true_loss", "depths"),
    ],
    "notebook-05": [
        *("before", "after", "log_px", "changed"),
        *("deep_runs", "shallow.trunk", "plain.trunk", "sprite_vaes"),
    ],
    "notebook-07": [
        *("vae", "differences", "by_quadrature", "climb_q", "climb_prior", "n_eff"),
        *("n_eff_prior", "chosen", "gap_parts", "judged", "scores", "scores_all"),
    ],
    "notebook-07b": ["nll", "n_active", "finals"],
}


def main(names: list[str]) -> None:
    for name in names or [*RECIPES, *RUNS]:
        if name in RUNS:
            print(name, run_notebook(name))
        else:
            print(name, train_and_save(name, load_images("mnist"), WEIGHTS)["test"])


def run_notebook(name: str) -> str:
    """Run a notebook, but for its exercises, and `save_run` at its end."""
    os.environ |= {"VAE_DATASET": "mnist", "VAE_TRAIN_NOW": "yes"}
    (path,) = NOTEBOOKS.glob(f"{name.removeprefix('notebook-')}_*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [
        cell
        for cell in notebook.cells
        if "exercise" not in cell.metadata.get("tags", [])
    ]
    values = ", ".join(f"{value!r}: {value}" for value in RUNS[name])
    source = f"""
import sys; sys.path.append({str(Path(__file__).parent)!r})
from train_pretrained import WEIGHTS, save_run
save_run({name!r}, {{{values}}}, WEIGHTS)"""
    notebook.cells.append(nbformat.v4.new_code_cell(source))
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=None, resources=resources).execute()
    return f"{(WEIGHTS / f'{name}.safetensors').stat().st_size / 1e6:.2f} MB"


def save_run(name: str, values: dict, folder: Path) -> None:
    """Save what a notebook's trainings gave, so that `load_run` has it again."""
    tensors: dict[str, Tensor] = {}
    coded = {key: encode(value, key, tensors) for key, value in values.items()}
    content = safetensors.torch.save(tensors)
    card = {
        "name": name,
        "data": "the grey training images of mnist, pixels in [0, 1]",
        "numbers": "matrices in 8 bits, with a scale for each row; images float16",
        "torch": torch.__version__,
        "license": "MIT",
        "sha256": hashlib.sha256(content).hexdigest(),
        "values": coded,
    }
    (folder / f"{name}.safetensors").write_bytes(content)
    text = json.dumps(card, ensure_ascii=False) + "\n"
    (folder / f"{name}.json").write_text(text, "utf-8")


def encode(
    value: object, key: str, tensors: dict[str, Tensor]
) -> bool | float | str | dict:
    """A value for a card, which `pretrained` decodes; its tensors go into `tensors`."""
    if isinstance(value, nn.Module):
        weights = {k: nn.Parameter(w) for k, w in value.state_dict().items()}
        return encode(weights, key, tensors)
    if isinstance(value, Tensor):
        tensor = value.detach().cpu().clone()
        if isinstance(value, nn.Parameter) and value.ndim == 2:
            scale = tensor.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
            tensors[f"{key} scale"] = scale
            tensor = (tensor / scale).round().to(torch.int8)
        elif value.ndim > 2 and tensor.is_floating_point():  # images
            tensor = tensor.half()
        tensors[key] = tensor
        return {"tensor": key}
    if isinstance(value, dict):
        items = [
            [encode(k, "", {}), encode(v, f"{key}.{k}", tensors)]
            for k, v in value.items()
        ]
        return {"dict": items}
    if isinstance(value, list | tuple):
        parts = [encode(v, f"{key}.{i}", tensors) for i, v in enumerate(value)]
        if hasattr(value, "_fields"):
            return {type(value).__name__: dict(zip(value._fields, parts, strict=True))}
        return {type(value).__name__: parts}
    return float(f"{value:.5g}") if isinstance(value, float) else value


def train_and_save(name: str, data: ImageData, folder: Path) -> dict:
    """Train the model of that name by its recipe, save it with its card, return that.

    The test figures are those of the weights as saved, rounded to float16.
    """
    model = train(RECIPES[name], data.train_images, title=name)
    model.half().float()
    weights = {key: part.half() for key, part in model.state_dict().items()}
    content = safetensors.torch.save(weights)
    card = {
        "name": name,
        **asdict(RECIPES[name]),
        "objective": "squared error per image, in squared pixels"
        if isinstance(model, Autoencoder)
        else "−log p(x|z) + beta · KL, in nats per image, from the mean image",
        "data": f"{len(data.train_images):,} grey training images of {data.name}, "
        "pixels in [0, 1]",
        "test": score(model, data.test_images),
        "torch": torch.__version__,
        "license": "MIT",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes(content)
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    (folder / f"{name}.json").write_text(text, "utf-8")
    return card


def train(recipe: Recipe, images: Tensor, title: str) -> nn.Module:
    torch.manual_seed(recipe.seed)
    model = CLASSES[recipe.model](**recipe.options)
    if isinstance(model, VAE):
        model.start_at_mean_image(images)
    settings = asdict(recipe)
    what_to_fit = ("steps", "batch_size", "lr", "schedule", "seed")
    options = {key: settings[key] for key in what_to_fit}
    fit(model, find_objective(recipe), images, title=title, quiet=True, **options)
    return model


def find_objective(recipe: Recipe) -> Callable[[nn.Module, Tensor], Tensor]:
    if recipe.model == "Autoencoder":
        return squared_error
    return partial(beta_objective, beta=recipe.beta)


@torch.no_grad()
def score(model: nn.Module, images: Tensor) -> dict:
    """The figures on a model's card, means over all test images."""
    if isinstance(model, Autoencoder):
        return {"squared_error": round(squared_error(model, images).mean().item(), 2)}
    terms = mean_elbo(model, images)
    return {key: round(value, 3) for key, value in terms._asdict().items()}


if __name__ == "__main__":
    main(sys.argv[1:])
