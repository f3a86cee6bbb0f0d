"""Small trained models, so that exploring starts in seconds.

A model is two files in `weights/`: its weights, as float16 in safetensors, a format
that holds numbers and nothing that could run, and a card in JSON: data, settings, seed,
test figures, and the checksum of the weights. What the trainings of a notebook gave, on
MNIST, is two files as well, `notebook-04.safetensors` and its card; the matrices in it
have 8 bits a number. `scripts/train_pretrained.py` made them all.
"""

import hashlib
import json
import os
from collections import namedtuple
from pathlib import Path
from typing import TypeAlias

from vae_helpers.models import VAE, Autoencoder

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

# What a run may hold besides tensors; a named tuple is one of its fields.
Value: TypeAlias = "bool | float | str | Tensor | dict | list | tuple"

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
    if "model" not in card:
        raise ValueError(f"{name!r} is the run of a notebook: load_run gives it")
    weights = _read_tensors(name, card)
    try:
        model = _CLASSES[card["model"]](**card["options"])
    except (TypeError, ValueError) as error:
        what = f"{name}.json has options that make no {card['model']}: {error}"
        raise _trouble(name, what) from None
    try:
        model.load_state_dict({key: part.float() for key, part in weights.items()})
    except RuntimeError as error:
        raise _misfit(name, error) from None
    return model


def should_train(data_name: str) -> bool:
    """Whether a notebook trains its models, or loads what training gave before.

    True, unless the environment variable VAE_TRAIN_NOW says "no" and the data are those
    of the stored runs, "mnist". A lecturer sets it once for all notebooks; a reader
    writes True or False in a notebook. Raises `ValueError` for another value.
    """
    chosen = os.environ.get("VAE_TRAIN_NOW", "").strip() or "yes"
    if chosen.lower() in ("no", "0", "false"):
        return data_name != "mnist"
    if chosen.lower() in ("yes", "1", "true"):
        return True
    raise ValueError(f"VAE_TRAIN_NOW is {chosen!r}: say 'yes' or 'no'")


def load_run(notebook: str, data_name: str) -> dict[str, Value]:
    """What the trainings of a notebook such as "04b" gave: name → value, on the CPU.

    The weights of a model are there as its `load_state_dict` takes them, other values
    as the notebook has them. All are of one run on MNIST: raises `ValueError` for other
    data or a notebook without a stored run, and `PretrainedError` for a file that is
    missing or damaged.
    """
    if data_name != "mnist":
        raise ValueError(
            f"the stored runs are of mnist, and these are {data_name}: train_now = True"
        )
    name = f"notebook-{notebook}"
    card = read_card(name)
    tensors = _read_tensors(name, card)
    try:
        run = {key: _decode(value, tensors) for key, value in card["values"].items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _misfit(name, error) from None
    print(f"Loaded what training gave on MNIST: {', '.join(run)}.")
    return run


def read_card(name: str) -> dict:
    """What is known of a pretrained model: data, settings, seed, test figures."""
    known = sorted({file.stem for file in _FOLDER.iterdir()})
    if name not in known:
        choices = ", ".join(map(repr, known))
        raise ValueError(f"no pretrained model {name!r}: choose one of {choices}")
    file = _FOLDER / f"{name}.json"
    try:
        card = json.loads(_read(file, name))
        if "values" not in card:  # a model, not a notebook
            _CLASSES[card["model"]], card["options"]
        card["sha256"]
    except (ValueError, KeyError, TypeError):
        raise _trouble(name, f"{file.name} is damaged") from None
    return card


def _read_tensors(name: str, card: dict) -> dict[str, Tensor]:
    file = _FOLDER / f"{name}.safetensors"
    content = _read(file, name)
    if hashlib.sha256(content).hexdigest() != card["sha256"]:
        raise _trouble(name, f"{file.name} is damaged: its checksum is not its card's")
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise _misfit(name, error) from None


def _decode(value: bool | float | str | dict, tensors: dict[str, Tensor]) -> Value:
    """The value that `encode` in scripts/train_pretrained.py wrote into a card."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        tensor = tensors[content]
        if tensor.dtype == torch.int8:  # a matrix in 8 bits, with a scale for each row
            return tensor * tensors[f"{content} scale"]
        return tensor.float() if tensor.dtype == torch.float16 else tensor
    if kind == "dict":
        return {_decode(k, tensors): _decode(v, tensors) for k, v in content}
    if kind in ("list", "tuple"):
        parts = [_decode(part, tensors) for part in content]
        return parts if kind == "list" else tuple(parts)
    fields = {name: _decode(part, tensors) for name, part in content.items()}
    return namedtuple(kind, fields)(**fields)


def _read(file: Path, name: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _trouble(name, f"{file.name} cannot be read: {error.strerror}") from None


def _misfit(name: str, error: Exception) -> PretrainedError:
    return _trouble(name, f"{name}.safetensors does not fit its card: {error}")


def _trouble(name: str, what: str) -> PretrainedError:
    return PretrainedError(
        f"{name!r} cannot be loaded: {what}. It lies in {_FOLDER}. "
        "`git checkout -- vae_helpers/weights` brings back the course's files, and "
        f"`python scripts/train_pretrained.py {name}` trains it again."
    )
