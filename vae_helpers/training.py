"""One plain training loop with a panel to watch it by."""

import math
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, pairwise

from vae_helpers.densities import refuse_bad_count
from vae_helpers.panel import TrainingPanel
from vae_helpers.plots import running_mean

import torch
from torch import Tensor, nn

Objective = Callable[..., Tensor]  # of (model, x) or (model, x, y)
Batch = tuple[Tensor, ...]  # (x,) or (x, y)


class TrainingDivergedError(FloatingPointError):
    """The loss became NaN or infinite. `.history` holds the steps before it."""

    def __init__(self, message: str, history: "History") -> None:
        super().__init__(message)
        self.history = history


@dataclass
class History:
    """What happened in `fit`: the mean loss per image of each step's batch."""

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False


def pick_device() -> torch.device:
    """The accelerator of this machine, such as cuda or mps; without one, the CPU."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return found or torch.device("cpu")


def fit(
    model: nn.Module,
    objective: Objective,
    images: Tensor | Iterable,
    labels: Tensor | bool | None = None,
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
        over the batch is minimised. With labels, it is `objective(model, x, y)`.
    images: a tensor (N, …), of any shape that the model takes; it is moved to the
        model's device once. Or, for data larger than memory, a `DataLoader` or anything
        else that gives batches x or (x, y) every time it is iterated over.
    labels: a tensor (N, …), a label for each image; True for those of a loader. Without
        it, a loader's y are not used.
    batch_size: of a tensor's batches; those of a loader are as it makes them.
    schedule: "constant", or "one-cycle": the learning rate rises to `lr` over the first
        tenth of the steps, then falls to zero, as in notebook 04 (after Smith & Topin
        2019). It allows a several times larger `lr`; Adam then averages squares over
        about 100 steps instead of 1,000, to keep up.
    seed: decides the order of the images and any noise the objective draws; the global
        random state is left as it was. (Seed the model's weights before you build it.)
        So it does with a `DataLoader` that has no generator of its own, but order and
        noise are others than for the same images in a tensor.
    preview: a few images (n, …); the panel shows `model(preview)` as it learns.
    title: names the run in the panel, or in the one line that `quiet=True` prints.

    Interrupting the kernel ends training early and returns the history so far; the
    model keeps what it has learned. Raises `TrainingDivergedError` when the loss is NaN
    or infinite, and `ValueError` for pixels that are and for a model or an objective
    with nothing to train. Which other pixels are wrong is for the objective to say: a
    Bernoulli likelihood takes none outside [0, 1]. A loss below 0 where none can be is
    said in one line at the end.
    """
    refuse_bad_count("steps", steps)
    refuse_bad_count("batch_size", batch_size)
    if preview is not None:
        _refuse_bad_images("preview", preview)
    like = _find_like(model)  # has the device and the number type to use
    batches = _find_batches(images, labels, like, batch_size, seed)
    history, panel = History(), None
    started = time.perf_counter()
    try:
        with _interrupts_wait():
            optimizer, scheduler = _make_optimizer(model, lr, schedule, steps)
        panel = None if quiet else TrainingPanel(title, steps, preview)
        started = time.perf_counter()
        with _own_random_state(like.device, seed):
            for batch in islice(batches, steps):
                loss = _mean_loss(objective, model, batch)
                optimizer.zero_grad()
                _differentiate(loss, model)
                _refuse_bad_loss(loss, lr, history, model)
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
    if suspicion := _find_suspicion(model, history.losses):
        print(f"{title}: {suspicion}")
    return history


def time_steps(
    models: Sequence[nn.Module],
    objective: Objective,
    images: Tensor,
    *,
    batch_size: int = 64,
    n_steps: int = 50,
) -> list[float]:
    """Seconds that a training step of each model takes: the median of n_steps.

    The models take steps in turn, so that whatever else the computer does slows all of
    them alike; the first ten rounds do not count, since they are slow. Their weights
    change: give models that you do not need.
    """
    adams = [torch.optim.Adam(model.parameters(), fused=True) for model in models]
    rounds = []
    for _ in range(10 + n_steps):
        clock = [time.perf_counter()]
        for model, adam in zip(models, adams, strict=True):
            rows = torch.randperm(len(images))[:batch_size].to(images.device)
            loss = objective(model, images[rows]).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            loss.item()  # waits until a GPU is ready
            clock.append(time.perf_counter())
        rounds.append([after - before for before, after in pairwise(clock)])
    return [statistics.median(times) for times in zip(*rounds[10:], strict=True)]


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Let an interrupt wait for the end of the block.

    The first Adam of a kernel imports for seconds, and PyTorch does not survive that an
    import of it is cut short: no later one works.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # interrupts go to the main thread
        return
    waiting: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: waiting.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting:
        signal.raise_signal(signal.SIGINT)


def _make_optimizer(
    model: nn.Module, lr: float, schedule: str, steps: int
) -> tuple[torch.optim.Adam, torch.optim.lr_scheduler.LRScheduler]:
    """Adam and what sets its rate at each step, as notebooks 01 and 04 have them."""
    parameters, rates = model.parameters(), torch.optim.lr_scheduler
    if schedule == "constant":
        optimizer = torch.optim.Adam(parameters, lr=lr)
        return optimizer, rates.ConstantLR(optimizer, factor=1)
    if schedule == "one-cycle":
        optimizer = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.99), fused=True)
        rise = 0.1 if steps >= 10 else 0.0  # OneCycleLR divides by 0 at 9 steps
        return optimizer, rates.OneCycleLR(
            optimizer,
            lr,
            steps + 1,  # it counts the state before the first step as one
            pct_start=rise,
            anneal_strategy="linear",
            cycle_momentum=False,
        )
    raise ValueError(f"schedule is {schedule!r}: say 'constant' or 'one-cycle'")


@contextmanager
def _own_random_state(device: torch.device, seed: int) -> Iterator[None]:
    """Sample from `seed` inside; afterwards the random state is as it was before."""
    devices = [] if device.type in ("cpu", "meta") else [device]
    with torch.random.fork_rng(devices, device_type=device.type):
        torch.manual_seed(seed)
        yield


def _find_batches(
    images: Tensor | Iterable,
    labels: Tensor | bool | None,
    like: Tensor,
    batch_size: int,
    seed: int,
) -> Iterator[Batch]:
    """Batches without end, as `fit` has them; what is wrong is refused at once."""
    if not isinstance(images, Tensor):
        _refuse_bad_loader(images, labels)
        return _repeat(images, bool(labels), like)
    _refuse_bad_images("images", images)
    data: Batch = (images.to(like),)  # device and dtype
    if labels is not None:
        if not isinstance(labels, Tensor) or len(labels) != len(images):
            raise ValueError(f"labels must be a tensor with {len(images)} rows")
        data = (*data, labels.to(like.device))
    return _shuffle(data, batch_size, seed)


def _shuffle(data: Batch, batch_size: int, seed: int) -> Iterator[Batch]:
    """Every image once an epoch, in a new random order each time."""
    generator = torch.Generator().manual_seed(seed)
    n_images, device = len(data[0]), data[0].device
    while True:
        order = torch.randperm(n_images, generator=generator)
        for rows in order.split(int(batch_size)):  # an int of NumPy's will not do
            rows = rows.to(device)
            yield tuple(part[rows] for part in data)


def _repeat(loader: Iterable, with_labels: bool, like: Tensor) -> Iterator[Batch]:
    """The batches of a loader, epoch after epoch, on the device of the model."""
    while True:
        batch = None
        for batch in loader:
            x, *rest = batch if isinstance(batch, (tuple, list)) else (batch,)
            _refuse_bad_images("a batch of the loader", x)
            if not with_labels:
                yield (x.to(like),)
            elif len(rest) == 1:
                yield x.to(like), rest[0].to(like.device)
            else:
                raise ValueError("with labels=True, a loader must give batches (x, y)")
        if batch is None:
            raise ValueError(
                "the loader gave no batch, so there is nothing to train on"
            )


def _mean_loss(objective: Objective, model: nn.Module, batch: Batch) -> Tensor:
    losses, n = objective(model, *batch), len(batch[0])
    if getattr(losses, "shape", None) != (n,):
        is_tensor = isinstance(losses, Tensor)
        got = f"shape {tuple(losses.shape)}" if is_tensor else f"a {type(losses)}"
        raise ValueError(
            f"the objective returned {got} for "
            f"a batch of {n} images: return one number per image, shape "
            f"({n},), summed over pixels and not averaged over the batch"
        )
    return losses.mean()


def _find_like(model: nn.Module) -> Tensor:
    """A weight of the model; refused are models that cannot be trained."""
    weights = list(model.parameters())
    if not weights:
        raise ValueError(
            "the model has no weights to train: a module finds those of the layers "
            "that are its attributes or in an nn.ModuleList, not in a plain list"
        )
    if not any(weight.requires_grad for weight in weights):
        raise ValueError(
            "all weights of the model are frozen (requires_grad is False), so there is "
            "nothing to train: model.requires_grad_(True) frees them"
        )
    if any(weight.dtype == torch.float16 for weight in weights):
        raise ValueError(
            "the model has weights in half precision (float16), which Adam's division "
            "by small numbers turns into NaN: train it as model.float()"
        )
    return weights[0]


def _refuse_bad_loader(loader: Iterable, labels: Tensor | bool | None) -> None:
    if not isinstance(loader, Iterable) or hasattr(loader, "__array__"):
        raise TypeError(f"images is a {type(loader)}: make it a torch tensor")
    if isinstance(loader, Iterator):
        raise TypeError(
            "images can be iterated over only once: give a list of batches, or a "
            "DataLoader"
        )
    if isinstance(labels, Tensor):
        raise TypeError("the labels of a loader come with its batches: say labels=True")


def _refuse_bad_images(name: str, images: Tensor) -> None:
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} is a {type(images)}: make it a torch tensor")
    if images.ndim < 2 or len(images) == 0:
        raise ValueError(
            f"{name} has shape {tuple(images.shape)}: fit needs (N, …), such as "
            "(N, 1, 28, 28), with at least one image"
        )
    low, high = images.min().item(), images.max().item()  # NaN if any pixel is
    if math.isnan(low):
        raise ValueError(f"some pixels of {name} are NaN: look where they come from")
    if math.isinf(low) or math.isinf(high):
        raise ValueError(f"the pixels of {name} range from {low} to {high}, not finite")


def _differentiate(loss: Tensor, model: nn.Module) -> None:
    if loss.requires_grad:
        loss.backward()
    if all(weight.grad is None for weight in model.parameters()):
        raise ValueError(
            "no gradient leads from the loss to this model's weights: look in the "
            "objective for another model, and there and in the model for .detach(), "
            ".item(), .numpy() and torch.no_grad()"
        )


def _refuse_bad_loss(
    loss: Tensor, lr: float, history: History, model: nn.Module
) -> None:
    if math.isfinite(loss.item()):
        return
    cause = _find_suspicion(model, history.losses) or (
        f"usual causes are a learning rate that is too large (lr={lr:g}; try "
        f"{lr / 10:g}), the logarithm of 0, or a division by 0 in the objective"
    )
    raise TrainingDivergedError(
        f"the loss became {loss.item()} at step {len(history.losses) + 1}, so training "
        f"stopped before this step changed the weights; {cause}. Build the model anew "
        "before you go on.",
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


def _find_suspicion(model: nn.Module, losses: list[float]) -> str:
    """What must be wrong where the loss ends below 0 and no −ELBO can; else nothing."""
    _, means = running_mean(losses)
    if getattr(model, "likelihood", "") != "bernoulli" or not (means[-1:] < 0).any():
        return ""
    return (
        f"a loss of {means[-1]:.4g} is no −ELBO, which is never below 0 for Bernoulli "
        "pixels: look for a wrong sign (is it +ELBO or −KL that is minimised?), or "
        "pixels outside [0, 1] in a likelihood of your own"
    )


def _summary(title: str, steps: int, history: History) -> str:
    done = len(history.losses)
    _, means = running_mean(history.losses)
    number = f"{means[-1]:#.4g}".rstrip(".") if done else ""  # 20.10 and not 20.1
    loss = f", loss {number} per image" if done else ""
    if history.interrupted:
        return (
            f"{title}: stopped by you after {done:,} of {steps:,} steps{loss}; "
            "the model keeps what it has learned"
        )
    return f"{title}: {done:,} steps{loss}"
