"""One plain training loop over images in memory, with a panel to watch it by."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from vae_helpers.models import IMAGE_SHAPE
from vae_helpers.panel import TrainingPanel
from vae_helpers.plots import running_mean

import torch
from torch import Tensor, nn

Objective = Callable[[nn.Module, Tensor], Tensor]


class TrainingDivergedError(FloatingPointError):
    """The loss became NaN or infinite. `.history` holds the steps before it."""

    def __init__(self, message: str, history: "History"):
        super().__init__(message)
        self.history = history


@dataclass
class History:
    """What happened in `fit`: the mean loss per image of each step's batch."""

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False


def pick_device() -> torch.device:
    """The fastest device this machine has: cuda, else mps, else cpu."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def fit(
    model: nn.Module,
    objective: Objective,
    images: Tensor,
    *,
    steps: int,
    batch_size: int = 128,
    lr: float = 1e-3,
    schedule: str = "constant",
    seed: int = 0,
    preview: Tensor | None = None,
    title: str = "training",
    quiet: bool = False,
) -> History:
    """Train `model` with Adam on random batches; the loop is the one of notebook 01.

    objective: `objective(model, x)` gives the loss of each image, shape (B,); its mean
        over the batch is minimised.
    images: (N, 1, 28, 28) in [0, 1]; they are moved to the model's device once.
    schedule: "constant", or "one-cycle": the learning rate rises to `lr` over the first
        tenth of the steps, then falls to zero, as in notebook 04 (after Smith & Topin
        2019). It allows a several times larger `lr`; Adam then averages squares over
        about 100 steps instead of 1,000, to keep up.
    seed: decides the order of the images and any noise the objective draws; the global
        random state is left as it was. (Seed the model's weights before you build it.)
    preview: a few images (n, 1, 28, 28); the panel shows `model(preview)` as it learns.
    title: names the run in the panel, or in the one line that `quiet=True` prints.

    Interrupting the kernel ends training early and returns the history so far; the
    model keeps what it has learned. Raises `TrainingDivergedError` when the loss is NaN
    or infinite, and `ValueError` for pixels outside [0, 1] or wrong shapes.
    """
    if min(steps, batch_size) < 1:
        raise ValueError("fit needs at least one step and one image per batch")
    _refuse_bad_images("images", images)
    if preview is not None:
        _refuse_bad_images("preview", preview)
    weights = next(model.parameters())
    device, images = weights.device, images.to(weights)  # device and dtype
    optimizer, scheduler = _make_optimizer(model, lr, schedule, steps)
    history = History()
    panel = None if quiet else TrainingPanel(title, steps, preview)
    started = time.perf_counter()
    try:
        with _own_random_state(device, seed):
            for batch in _batches(len(images), batch_size, steps, seed):
                loss = _mean_loss(objective, model, images[batch.to(device)])
                optimizer.zero_grad()
                loss.backward()
                _refuse_bad_loss(loss, lr, history)
                optimizer.step()
                scheduler.step()
                history.losses.append(loss.item())
                if panel and panel.is_due():
                    panel.redraw(history.losses, _reconstruct(model, preview))
    except KeyboardInterrupt:
        history.interrupted = True
    finally:
        history.seconds = time.perf_counter() - started
        if panel:
            panel.close(history.losses, _reconstruct(model, preview))
    if quiet or history.interrupted:
        print(_summary(title, steps, history))
    return history


def _make_optimizer(model: nn.Module, lr: float, schedule: str, steps: int):
    """Adam and what sets its rate at each step, as notebooks 01 and 04 have them."""
    parameters, rates = model.parameters(), torch.optim.lr_scheduler
    if schedule == "constant":
        optimizer = torch.optim.Adam(parameters, lr=lr)
        return optimizer, rates.ConstantLR(optimizer, factor=1)
    if schedule == "one-cycle":
        optimizer = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.99), fused=True)
        rise = 0.1 if steps >= 10 else 0.0  # OneCycleLR divides by 0 at 9 steps
        options = {"pct_start": rise, "anneal_strategy": "linear"}
        # It counts the state before the first step as one.
        return optimizer, rates.OneCycleLR(
            optimizer, lr, steps + 1, cycle_momentum=False, **options
        )
    raise ValueError(f"schedule is {schedule!r}: say 'constant' or 'one-cycle'")


@contextmanager
def _own_random_state(device: torch.device, seed: int) -> Iterator[None]:
    """Draw from `seed` inside; afterwards the random state is as it was before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _batches(n_images: int, batch_size: int, steps: int, seed: int):
    """Yield `steps` index tensors: every image once an epoch, in a new random order."""
    generator = torch.Generator().manual_seed(seed)
    step = 0
    while step < steps:
        for batch in torch.randperm(n_images, generator=generator).split(batch_size):
            if step == steps:
                return
            step += 1
            yield batch


def _mean_loss(objective: Objective, model: nn.Module, x: Tensor) -> Tensor:
    losses = objective(model, x)
    if getattr(losses, "shape", None) != (len(x),):
        is_tensor = isinstance(losses, Tensor)
        got = f"shape {tuple(losses.shape)}" if is_tensor else f"a {type(losses)}"
        raise ValueError(
            f"the objective returned {got} for "
            f"a batch of {len(x)} images: return one number per image, shape "
            f"({len(x)},), summed over pixels and not averaged over the batch"
        )
    return losses.mean()


def _refuse_bad_images(name: str, images: Tensor) -> None:
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} is a {type(images)}: make it a torch tensor")
    if tuple(images.shape[1:]) != IMAGE_SHAPE or len(images) == 0:
        raise ValueError(
            f"{name} has shape {tuple(images.shape)}: fit needs (N, 1, 28, 28) with at "
            f"least one image; {name}.reshape(-1, 1, 28, 28) does that for flat pixels"
        )
    low, high = images.min().item(), images.max().item()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"the pixels of {name} range from {low:.3g} to {high:.3g}: fit needs them "
            "in [0, 1]; divide bytes by 255, and undo any standardization"
        )


def _refuse_bad_loss(loss: Tensor, lr: float, history: History) -> None:
    if math.isfinite(loss.item()):
        return
    raise TrainingDivergedError(
        f"the loss became {loss.item()} at step {len(history.losses) + 1}, so training "
        f"stopped before this step changed the weights. Usual causes: a learning rate "
        f"that is too large (lr={lr:g}; try {lr / 10:g}), the logarithm of 0, or a "
        "division by 0 in the objective. Build the model anew before you go on.",
        history,
    )


@torch.no_grad()
def _reconstruct(model: nn.Module, preview: Tensor | None) -> Tensor | None:
    """What `model` makes of `preview`; noise it draws is its own, always the same."""
    if preview is None:
        return None
    weights = next(model.parameters())
    with _own_random_state(weights.device, seed=0):
        return model(preview.to(weights))  # device and dtype


def _summary(title: str, steps: int, history: History) -> str:
    done = len(history.losses)
    _, means = running_mean(history.losses)
    loss = f", loss {means[-1]:.4g} per image" if done else ""
    if history.interrupted:
        return (
            f"{title}: stopped by you after {done:,} of {steps:,} steps{loss}; "
            "the model keeps what it has learned"
        )
    return f"{title}: {done:,} steps{loss}"
