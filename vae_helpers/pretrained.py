"""Small trained models, so that exploring starts in seconds.

A model is two files in `weights/`: its weights, as float16 in safetensors, a format
that holds numbers and nothing that could run, and a card in JSON: data, settings, seed,
test figures, and the checksum of the weights. `scripts/train_pretrained.py` made them.
"""

import hashlib
import json
from pathlib import Path

from vae_helpers.models import VAE, Autoencoder

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

_FOLDER = Path(__file__).parent / "weights"
_CLASSES = {"VAE": VAE, "Autoencoder": Autoencoder}


class PretrainedError(RuntimeError):
    """A pretrained model is missing or damaged."""


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
    try:
        model = _CLASSES[card["model"]](**card["options"])
    except (TypeError, ValueError) as error:
        what = f"{name}.json has options that make no {card['model']}: {error}"
        raise _trouble(name, what) from None
    try:
        weights = safetensors.torch.load(content)
        model.load_state_dict({key: part.float() for key, part in weights.items()})
    except (SafetensorError, RuntimeError) as error:
        raise _trouble(name, f"{file.name} does not fit its card: {error}") from None
    return model


def read_card(name: str) -> dict:
    """What is known of a pretrained model: data, settings, seed, test figures."""
    known = sorted({file.stem for file in _FOLDER.iterdir()})
    if name not in known:
        choices = ", ".join(map(repr, known))
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
        f"`python scripts/train_pretrained.py {name}` trains it again."
    )
