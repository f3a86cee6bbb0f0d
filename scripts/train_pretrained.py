"""Train the pretrained models again, on full MNIST, and write their cards.

    .venv/bin/python scripts/train_pretrained.py            # all of them
    .venv/bin/python scripts/train_pretrained.py vae-2d     # only those named

Needs MNIST, which `load_images` finds. `vae_helpers.pretrained` loads what this makes.
"""

import hashlib
import json
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

import safetensors.torch
import torch
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


def main(names: list[str]) -> None:
    data = load_images("mnist")
    for name in names or RECIPES:
        print(name, train_and_save(name, data, WEIGHTS)["test"])


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
