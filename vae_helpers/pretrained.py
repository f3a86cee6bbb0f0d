"""Small trained models, so that exploring starts in seconds.

    python -m vae_helpers.pretrained            # train all of them again, on full MNIST
    python -m vae_helpers.pretrained vae-2d     # only those named

A model is two files in `weights/`: its weights, as float16 in safetensors, a format
that holds numbers and nothing that could run, and a card in JSON: data, settings, seed,
test figures, and the checksum of the weights. Needs MNIST, which `load_images` finds.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from vae_helpers.data import ImageData, load_images
from vae_helpers.evaluation import mean_elbo
from vae_helpers.models import VAE, Autoencoder
from vae_helpers.objectives import beta_objective, squared_error
from vae_helpers.training import fit

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

_FOLDER = Path(__file__).parent / "weights"
_CLASSES = {"VAE": VAE, "Autoencoder": Autoencoder}


class PretrainedError(RuntimeError):
    """A pretrained model is missing or damaged."""


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


def load_pretrained(name: str) -> nn.Module:
    """The model of that name, on the CPU.

    Names: "ae-2d", "vae-2d", "vae-20d", and "beta-0.25" to "beta-40", the twelve of
    notebook 05. Trained on all 60,000 grey MNIST images; `read_card(name)` tells how,
    and how good it is. Raises `ValueError` for an unknown name and `PretrainedError`
    for a file that is missing or damaged.
    """
    card = read_card(name)
    file = _FOLDER / f"{name}.safetensors"
    content = _read(file, name)
    if hashlib.sha256(content).hexdigest() != card["sha256"]:
        raise _trouble(name, f"{file.name} is damaged: its checksum is not its card's")
    model = _CLASSES[card["model"]](**card["options"])
    try:
        weights = safetensors.torch.load(content)
        model.load_state_dict({key: part.float() for key, part in weights.items()})
    except (SafetensorError, RuntimeError) as error:
        raise _trouble(name, f"{file.name} does not fit its card: {error}") from None
    return model


def read_card(name: str) -> dict:
    """What is known of a pretrained model: data, settings, seed, test figures."""
    if name not in RECIPES:
        choices = ", ".join(repr(known) for known in RECIPES)
        raise ValueError(f"no pretrained model {name!r}: choose one of {choices}")
    file = _FOLDER / f"{name}.json"
    try:
        card = json.loads(_read(file, name))
        _CLASSES[card["model"]], card["options"], card["sha256"]
    except (ValueError, KeyError, TypeError):
        raise _trouble(name, f"{file.name} is damaged") from None
    return card


def _read(file: Path, name: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _trouble(name, f"{file.name} cannot be read: {error.strerror}") from None


def _trouble(name: str, what: str) -> PretrainedError:
    return PretrainedError(
        f"The pretrained model {name!r} cannot be loaded: {what}. It lies in {_FOLDER}."
        " `git checkout -- vae_helpers/weights` brings back the course's files, and "
        f"`python -m vae_helpers.pretrained {name}` trains it again."
    )


# ── the command that makes them ─────────────────────────────────────────────────────


def train_and_save(name: str, data: ImageData, folder: Path = _FOLDER) -> dict:
    """Train the model of that name by its recipe, save it with its card, return that.

    The test figures are those of the weights as saved, rounded to float16.
    """
    recipe = RECIPES[name]
    torch.manual_seed(recipe.seed)
    model = _CLASSES[recipe.model](**recipe.options)
    if recipe.model == "VAE":
        model.start_at_mean_image(data.train_images)
    settings = asdict(recipe)
    what_to_fit = ("steps", "batch_size", "lr", "schedule", "seed")
    options = {key: settings[key] for key in what_to_fit}
    objective = _find_objective(recipe)
    fit(model, objective, data.train_images, title=name, quiet=True, **options)
    model.half().float()
    weights = {key: part.half() for key, part in model.state_dict().items()}
    content = safetensors.torch.save(weights)
    card = {
        "name": name,
        **settings,
        "objective": "squared error per image, in squared pixels"
        if recipe.model == "Autoencoder"
        else "−log p(x|z) + beta · KL, in nats per image, from the mean image",
        "data": f"{len(data.train_images):,} grey training images of {data.name}, "
        "pixels in [0, 1]",
        "test": _test(model, data.test_images),
        "torch": torch.__version__,
        "license": "MIT",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes(content)
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    (folder / f"{name}.json").write_text(text, "utf-8")
    return card


def _find_objective(recipe: Recipe) -> Callable[[nn.Module, Tensor], Tensor]:
    if recipe.model == "Autoencoder":
        return squared_error
    return partial(beta_objective, beta=recipe.beta)


@torch.no_grad()
def _test(model: nn.Module, images: Tensor) -> dict:
    """The figures on a model's card, means over all test images."""
    if isinstance(model, Autoencoder):
        return {"squared_error": round(squared_error(model, images).mean().item(), 2)}
    score = mean_elbo(model, images)
    return {key: round(value, 3) for key, value in score._asdict().items()}


if __name__ == "__main__":
    mnist = load_images("mnist")
    for chosen in sys.argv[1:] or RECIPES:
        print(chosen, train_and_save(chosen, mnist)["test"])
