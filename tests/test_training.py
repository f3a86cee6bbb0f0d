"""`fit` against a loop written here, interrupts and bad input, and the panel it shows.

The panel is looked at where readers see it: in notebooks run by a real kernel.
"""

import base64
import io
import signal
import threading
import time
import warnings
from itertools import pairwise

from vae_helpers import training
from vae_helpers.models import VAE, Autoencoder
from vae_helpers.objectives import elbo, negative_elbo, squared_error
from vae_helpers.panel import TrainingPanel
from vae_helpers.training import TrainingDivergedError, fit, time_steps

import nbclient
import nbformat.v4
import numpy as np
import pytest
import torch
from benchmark_training import flops_per_image
from PIL import Image
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

torch.set_num_threads(1)  # for matrices this small, more threads only take turns


def make_images(n=10):
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def with_pixel(value):
    images = make_images()
    images[7, 0, 3, 3] = value
    return images


def make_model():
    torch.manual_seed(3)
    return Autoencoder(2, hidden_sizes=(8,))


def denoising_error(model, x):
    """An objective that draws noise, as the VAE's does."""
    return (model(x + 0.1 * torch.randn_like(x)) - x).square().flatten(1).sum(1)


def at_step(step, event, objective=squared_error):
    """`objective`, except that at `step` its losses go through `event`."""
    calls = []

    def changed(model, x):
        calls.append(len(x))
        losses = objective(model, x)
        return event(losses) if len(calls) == step else losses

    return changed


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def trained(steps, objective=squared_error, seed=0, **settings):
    """The weights and the losses of a quiet run on ten images, four a batch."""
    model = make_model()
    settings = {"batch_size": 4, "quiet": True, **settings}
    history = fit(model, objective, make_images(), steps=steps, seed=seed, **settings)
    return weights(model), history.losses


# ── the loop ────────────────────────────────────────────────────────────────────────


def train_by_hand(model, objective, images, *, steps, batch_size, lr, seed, cycle=None):
    """The plain loop; with `cycle`, the first `steps` of one cycle of that length."""
    order = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    if cycle:
        betas = (0.9, 0.99)
        optimizer = torch.optim.Adam(model.parameters(), betas=betas, fused=True)
        scheduler = OneCycleLR(
            optimizer,
            max_lr=lr,
            total_steps=cycle + 1,
            pct_start=0.1,
            anneal_strategy="linear",
            cycle_momentum=False,
        )
    losses, batches = [], []
    for _ in range(steps):
        if not batches:
            shuffled = torch.randperm(len(images), generator=order)
            batches = list(shuffled.split(batch_size))
        optimizer.zero_grad()
        loss = objective(model, images[batches.pop(0)]).mean()
        loss.backward()
        optimizer.step()
        if cycle:
            scheduler.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("objective", [squared_error, denoising_error])
def test_fit_is_the_plain_loop_bit_for_bit(objective):
    by_hand, by_fit = make_model(), make_model()
    settings = {"steps": 8, "batch_size": 4, "lr": 2e-3, "seed": 5}
    losses = train_by_hand(by_hand, objective, make_images(), **settings)
    history = fit(by_fit, objective, make_images(), quiet=True, **settings)
    assert history.losses == losses
    assert torch.equal(weights(by_fit), weights(by_hand))
    assert not history.interrupted
    assert history.seconds > 0


@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
@pytest.mark.parametrize("objective", [squared_error, denoising_error])
def test_the_seed_decides_the_run(objective, schedule):
    weights_a, losses_a = trained(6, objective, seed=1, schedule=schedule)
    weights_b, losses_b = trained(6, objective, seed=1, schedule=schedule)
    weights_c, losses_c = trained(6, objective, seed=2, schedule=schedule)
    assert torch.equal(weights_a, weights_b)
    assert losses_a == losses_b
    assert not torch.equal(weights_a, weights_c)
    assert losses_a != losses_c


def sampling_model():
    """A model that draws noise when it reconstructs."""
    model = make_model()
    decode = model.decode
    model.decode = lambda z: decode(z + torch.randn_like(z))
    return model


@pytest.mark.parametrize("quiet", [True, False])
@pytest.mark.parametrize("raises", [False, True])
def test_the_global_random_state_is_left_as_it_was(quiet, raises):
    model, images = sampling_model(), make_images()
    before = torch.get_rng_state()
    objective = at_step(2, lambda losses: losses * (torch.nan if raises else 1))
    try:
        fit(model, objective, images, steps=3, preview=images[:2], quiet=quiet)
    except TrainingDivergedError:
        assert raises
    assert torch.equal(torch.get_rng_state(), before)


def test_how_often_the_panel_redraws_changes_nothing(monkeypatch):
    runs = []
    for due in (True, False):
        monkeypatch.setattr(TrainingPanel, "is_due", lambda panel, due=due: due)
        model, images = sampling_model(), make_images()
        history = fit(model, squared_error, images, steps=5, preview=images[:3])
        runs.append((history.losses, weights(model)))
    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1], runs[1][1])


def seen_batches(n_images, **settings):
    """The numbers of the images in each batch: image i is grey of level i / 100."""
    levels = torch.arange(n_images) / 100
    images = levels.view(-1, 1, 1, 1).expand(-1, 1, 28, 28).clone()
    seen = []

    def objective(model, x):
        seen.append([round(100 * pixel) for pixel in x[:, 0, 0, 0].tolist()])
        return squared_error(model, x)

    history = fit(make_model(), objective, images, quiet=True, **settings)
    assert len(history.losses) == settings["steps"]
    return seen


def test_every_image_is_seen_once_an_epoch_in_a_new_order():
    batches = seen_batches(10, steps=9, batch_size=4)
    assert [len(batch) for batch in batches] == [4, 4, 2] * 3
    epochs = [[*a, *b, *c] for a, b, c in zip(*[iter(batches)] * 3, strict=True)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in [*epochs, range(10)]}) == 4


@pytest.mark.parametrize(
    ("steps", "batch_size", "sizes"),
    [(2, 3, [3, 3]), (4, 64, [10] * 4), (4, 10, [10] * 4), (1, 1, [1])],
)
def test_steps_are_counted_whatever_the_batch_size(steps, batch_size, sizes):
    batches = seen_batches(10, steps=steps, batch_size=batch_size)
    assert [len(batch) for batch in batches] == sizes


# ── the learning rate ───────────────────────────────────────────────────────────────


def rates_of(steps, **settings):
    """The learning rate of each step of a run."""
    rates = []

    def record(optimizer, args, kwargs):
        rates.extend(group["lr"] for group in optimizer.param_groups)

    hook = register_optimizer_step_pre_hook(record)
    try:
        trained(steps, **settings)
    finally:
        hook.remove()
    return rates


def test_the_default_rate_is_that_of_adam():
    assert rates_of(3) == [1e-3] * 3


def test_the_rate_is_constant_unless_asked():
    assert rates_of(12, lr=0.03) == rates_of(12, lr=0.03, schedule="constant")
    assert rates_of(12, lr=0.03) == [0.03] * 12


@pytest.mark.parametrize("steps", [19, 40, 100, 139])
def test_one_cycle_rises_for_a_tenth_of_the_steps_and_falls_to_zero(steps):
    lr = 0.02
    rates = rates_of(steps, lr=lr, schedule="one-cycle")
    top = rates.index(max(rates))
    assert len(rates) == steps
    assert 0.1 * steps - 2 <= top <= 0.1 * steps + 1
    assert rates[0] == pytest.approx(lr / 25)
    assert 0.9 * lr < rates[top] <= lr
    assert 0 < rates[-1] < 1.2 * lr / (0.9 * steps)
    assert all(a < b for a, b in pairwise(rates[: top + 1]))
    assert all(a > b for a, b in pairwise(rates[top:]))
    corners = [0, 0.1 * (steps + 1) - 1, steps]
    by_hand = np.interp(range(steps), corners, [lr / 25, lr, 0])
    assert rates == pytest.approx(by_hand, abs=1e-3 * lr)


@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
@pytest.mark.parametrize("steps", range(1, 13))
def test_short_runs_have_a_schedule_too(steps, schedule):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rates = rates_of(steps, lr=0.02, schedule=schedule)
    assert len(rates) == steps
    assert all(0 < rate <= 0.02 for rate in rates)
    assert max(rates) >= 0.01
    if schedule == "one-cycle":
        assert all(a > b for a, b in pairwise(rates[1:]))
        if steps < 10:  # no rise, and evenly to zero after the last step
            evenly = 0.02 * np.arange(steps, 0, -1) / (steps + 1)
            assert rates == pytest.approx(evenly, abs=1e-5)


@pytest.mark.parametrize("objective", [squared_error, denoising_error])
def test_one_cycle_is_the_loop_of_notebook_04_bit_for_bit(objective):
    by_hand, by_fit = make_model(), make_model()
    settings = {"steps": 25, "batch_size": 4, "lr": 2e-2, "seed": 5}
    losses = train_by_hand(by_hand, objective, make_images(), cycle=25, **settings)
    settings |= {"schedule": "one-cycle", "quiet": True}
    assert fit(by_fit, objective, make_images(), **settings).losses == losses
    assert torch.equal(weights(by_fit), weights(by_hand))


@pytest.mark.parametrize("event", ["interrupt", "nan"])
def test_a_cycle_that_ends_early_keeps_the_model_and_the_history_so_far(event):
    by_hand, by_fit = make_model(), make_model()
    settings = {"batch_size": 4, "lr": 2e-2, "seed": 5}
    losses = train_by_hand(
        by_hand, squared_error, make_images(), steps=14, cycle=100, **settings
    )
    settings |= {"steps": 100, "schedule": "one-cycle", "quiet": True}
    if event == "interrupt":
        history = fit(by_fit, at_step(15, interrupt), make_images(), **settings)
    else:
        spoilt = at_step(15, lambda losses: losses * torch.nan)
        with pytest.raises(TrainingDivergedError, match="step 15") as caught:
            fit(by_fit, spoilt, make_images(), **settings)
        history = caught.value.history
    assert history.losses == losses
    assert history.interrupted == (event == "interrupt")
    assert torch.equal(weights(by_fit), weights(by_hand))


@pytest.mark.parametrize("schedule", ["one cycle", "", None])
def test_an_unknown_schedule_is_refused_before_anything_changes(schedule):
    model, start = make_model(), weights(make_model())
    advice = f"schedule is {schedule!r}: say 'constant' or 'one-cycle'"
    with pytest.raises(ValueError, match=advice):
        fit(model, squared_error, make_images(), steps=1, schedule=schedule)
    assert torch.equal(weights(model), start)


# ── what ends a run early ───────────────────────────────────────────────────────────


def interrupt(losses):
    signal.raise_signal(signal.SIGINT)  # what the notebook's stop button sends
    return losses


@pytest.mark.parametrize("quiet", [True, False])
def test_an_interrupt_keeps_the_model_and_the_history_so_far(quiet, capsys):
    model, images = make_model(), make_images()
    objective = at_step(4, interrupt)
    history = fit(
        model, objective, images, steps=1000, batch_size=4, title="demo", quiet=quiet
    )
    line = capsys.readouterr().out
    kept, losses = trained(3)
    assert history.interrupted
    assert history.losses == losses
    assert torch.equal(weights(model), kept)
    assert line.startswith("demo: stopped by you after 3 of 1,000 steps")
    assert line.count("\n") == 1


def test_an_interrupt_before_the_first_step_is_no_error(capsys):
    model, start = make_model(), weights(make_model())
    history = fit(model, at_step(1, interrupt), make_images(), steps=5)
    assert (history.losses, history.interrupted) == ([], True)
    assert torch.equal(weights(model), start)
    assert "0 of 5 steps" in capsys.readouterr().out


@pytest.mark.parametrize("quiet", [True, False])
def test_an_interrupt_waits_for_adams_imports_and_is_one_line(
    quiet, monkeypatch, capsys
):
    """An import of PyTorch's that is cut short would leave it broken."""
    make, whole = training._make_optimizer, []

    def import_slowly(*settings):
        signal.raise_signal(signal.SIGINT)
        whole.append(True)
        return make(*settings)

    monkeypatch.setattr(training, "_make_optimizer", import_slowly)
    model, handler = make_model(), signal.getsignal(signal.SIGINT)
    history = fit(model, squared_error, make_images(), steps=5, quiet=quiet)
    assert whole
    assert (history.losses, history.interrupted) == ([], True)
    assert torch.equal(weights(model), weights(make_model()))
    line = "training: stopped by you after 0 of 5 steps; the model keeps what it has"
    assert capsys.readouterr().out.startswith(line)
    assert signal.getsignal(signal.SIGINT) is handler


def test_fit_runs_in_a_thread_which_no_interrupt_reaches():
    done = []
    thread = threading.Thread(target=lambda: done.append(trained(3)[1]))
    thread.start()
    thread.join()
    assert done == [trained(3)[1]]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_loss_that_is_no_number_stops_before_the_weights_change(bad, capsys):
    model = make_model()
    objective = at_step(4, lambda losses: losses * bad)
    with pytest.raises(TrainingDivergedError, match=r"step 4.*lr=0\.07") as caught:
        fit(model, objective, make_images(), steps=9, batch_size=4, lr=0.07, quiet=True)
    kept, losses = trained(3, lr=0.07)
    assert torch.equal(weights(model), kept)
    assert caught.value.history.losses == losses
    assert str(bad) in str(caught.value)


@pytest.mark.parametrize("bad_image", [0, 3])
def test_one_bad_image_in_the_batch_is_enough_to_stop(bad_image):
    def spoil(losses):
        return torch.where(torch.arange(len(losses)) == bad_image, torch.nan, losses)

    with pytest.raises(TrainingDivergedError):
        trained(1, at_step(1, spoil))


def plus_elbo(model, x):
    return elbo(model, x).elbo


def minus_kl(model, x):
    terms = elbo(model, x)
    return -1000 * terms.kl - terms.log_px_z


def cross_entropy_of_bytes(model, x):
    logits, bytes_ = model.decode(model.encode(x)[0]), 255 * x
    return (logits.clamp(min=0) - bytes_ * logits).flatten(1).sum(1)


def small_vae(**settings):
    torch.manual_seed(0)
    return VAE(2, hidden_sizes=(5,), **settings)


@pytest.mark.parametrize("objective", [plus_elbo, minus_kl, cross_entropy_of_bytes])
def test_a_loss_below_0_where_none_can_be_is_told_in_one_line(objective, capsys):
    settings = {"steps": 60, "lr": 0.03, "quiet": True, "title": "demo"}
    history = fit(small_vae(), objective, make_images(), **settings)
    lines = capsys.readouterr().out.splitlines()
    assert history.losses[-1] < 0
    assert lines[0].startswith("demo: 60 steps, loss -")
    assert lines[1].startswith("demo: a loss of -")
    assert "never below 0 for Bernoulli pixels" in lines[1]
    for suspect in ("wrong sign", "+ELBO", "−KL", r"outside [0, 1]"):
        assert suspect in lines[1]
    assert len(lines) == 2


def test_a_loss_below_0_is_no_news_where_it_may_be(capsys):
    """A Gaussian density may exceed 1, and of an unknown model nothing is known."""
    images = torch.zeros(10, 1, 28, 28)
    settings = {"steps": 3, "quiet": True}
    sharp = small_vae(likelihood="gaussian", sigma=0.1).start_at_mean_image(images)
    nn.init.zeros_(sharp.decoder[-1].weight)
    assert fit(sharp, negative_elbo, images, **settings).losses[-1] < 0
    fit(make_model(), lambda model, x: -squared_error(model, x), images, **settings)
    fit(small_vae(), negative_elbo, images, **settings)
    assert capsys.readouterr().out.count("\n") == 3


def test_a_wrong_sign_that_ends_in_no_number_is_not_blamed_on_the_rate():
    def spoilt(losses):
        return losses * torch.nan

    with pytest.raises(TrainingDivergedError, match=r"step 9.*wrong sign") as caught:
        fit(small_vae(), at_step(9, spoilt, plus_elbo), make_images(), steps=20)
    assert "lr=" not in str(caught.value)


# ── loaders and labels ──────────────────────────────────────────────────────────────


def run_of(images, labels=None, objective=denoising_error, **settings):
    model = make_model()
    settings = {"steps": 8, "batch_size": 4, "seed": 5, "quiet": True} | settings
    losses = fit(model, objective, images, labels, **settings).losses
    return losses, weights(model)


def same(a, b):
    return a[0] == b[0] and torch.equal(a[1], b[1])


def test_the_same_batches_from_a_list_and_from_a_tensor_are_the_same_run():
    images, order = make_images(), torch.Generator().manual_seed(5)
    epochs = [torch.randperm(10, generator=order).split(4) for _ in range(3)]
    batches = [images[rows] for epoch in epochs for rows in epoch]
    assert same(run_of(batches), run_of(images))


@pytest.mark.parametrize("pairs", [False, True])
def test_a_dataloader_is_read_epoch_after_epoch_and_the_seed_decides(pairs):
    images = make_images()
    data = TensorDataset(images, torch.arange(10)) if pairs else images
    sizes = []

    def objective(model, x):
        sizes.append(len(x))
        return denoising_error(model, x)

    loader = DataLoader(data, batch_size=4, shuffle=True)
    runs = [run_of(loader, objective=objective, seed=seed) for seed in (1, 1, 2)]
    assert sizes == [4, 4, 2, 4, 4, 2, 4, 4] * 3
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_a_loader_leaves_the_global_random_state_as_it_was():
    model = make_model()
    loader = DataLoader(make_images(), batch_size=4, shuffle=True)
    before = torch.get_rng_state()
    fit(model, denoising_error, loader, steps=5, quiet=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loaders_images_take_the_number_type_of_the_model():
    model = make_model().double()
    loader = DataLoader(make_images(), batch_size=4)
    fit(model, squared_error, loader, steps=2, quiet=True)
    assert weights(model).dtype == torch.float64


@pytest.mark.parametrize("kind", ["tensor", "loader", "list"])
def test_labels_go_with_their_images(kind):
    images, seen = make_images(), []
    labels = torch.arange(10)

    def objective(model, x, y):
        seen.extend(y.tolist())
        assert torch.equal(x, images[y])
        return squared_error(model, x)

    loader = DataLoader(TensorDataset(images, labels), batch_size=4, shuffle=True)
    data = {
        "tensor": (images, labels),
        "loader": (loader, True),
        "list": (list(zip(images.split(4), labels.split(4), strict=True)), True),
    }[kind]
    run_of(*data, objective=objective, steps=3)
    assert sorted(seen) == list(range(10))


@pytest.mark.parametrize(
    ("images", "labels", "error", "advice"),
    [
        (make_images(), torch.arange(9), ValueError, "tensor with 10 rows"),
        (make_images(), True, ValueError, "tensor with 10 rows"),
        (make_images().split(4), torch.arange(10), TypeError, "say labels=True"),
        (make_images().split(4), True, ValueError, r"must give batches \(x, y\)"),
        (iter(make_images().split(4)), None, TypeError, "only once"),
        ([], None, ValueError, "the loader gave no batch"),
        ([with_pixel(torch.nan)], None, ValueError, "batch of the loader are NaN"),
        ([make_images().numpy()], None, TypeError, "make it a torch tensor"),
        (7, None, TypeError, "make it a torch tensor"),
    ],
)
def test_bad_loaders_and_labels_are_refused(images, labels, error, advice):
    model, start = make_model(), weights(make_model())
    with pytest.raises(error, match=advice):
        fit(model, squared_error, images, labels, steps=1, quiet=True)
    assert torch.equal(weights(model), start)


# ── what is refused ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("images", "advice"),
    [
        (with_pixel(torch.nan), "some pixels of images are NaN"),
        (with_pixel(torch.inf), "range from .* to inf, not finite"),
        (with_pixel(-torch.inf), "range from -inf to .*, not finite"),
        (make_images().flatten(1), r"\(10, 784\).*reshape\(-1, 1, 28, 28\)"),
        (make_images().squeeze(1), r"\(10, 28, 28\).*reshape\(-1, 1, 28, 28\)"),
        (make_images()[0], r"\(1, 28, 28\).*reshape"),
        (torch.rand(4, 3, 28, 28), r"\(4, 3, 28, 28\).*image_shape=\(3, 28, 28\) b"),
        (torch.rand(4, 1, 32, 32), r"\(4, 1, 32, 32\).*image_shape=\(1, 32, 32\) b"),
        (torch.rand(0, 1, 28, 28), "at least one image"),
        (torch.tensor([]), r"\(0,\): fit needs \(N, …\)"),
    ],
)
def test_bad_images_are_refused_with_advice_before_anything_changes(images, advice):
    model, start = make_model(), weights(make_model())
    with pytest.raises(ValueError, match=advice):
        fit(model, squared_error, images, steps=1)
    assert torch.equal(weights(model), start)


@pytest.mark.parametrize("scale", [-1, 2, 255])
def test_which_finite_pixels_are_right_is_for_the_likelihood_to_say(scale):
    images = scale * make_images()
    fit(make_model(), squared_error, images, steps=1, quiet=True)
    torch.manual_seed(0)
    gaussian = VAE(2, hidden_sizes=(5,), likelihood="gaussian")
    fit(gaussian, negative_elbo, images, steps=1, quiet=True)
    bernoulli = VAE(2, hidden_sizes=(5,))
    start = weights(bernoulli)
    with pytest.raises(ValueError, match=r"Bernoulli .* \[0, 1\]; divide bytes by 255"):
        fit(bernoulli, negative_elbo, images, steps=1, quiet=True)
    assert torch.equal(weights(bernoulli), start)


@pytest.mark.parametrize("name", ["steps", "batch_size"])
def test_counts_are_whole_and_at_least_1(name):
    def train(value):
        settings = {"steps": 2, "quiet": True, name: value}
        return fit(make_model(), squared_error, make_images(), **settings)

    for value in (0, -3):
        with pytest.raises(ValueError, match=f"{name} is {value}: it must be at least"):
            train(value)
    for value in (1.5, 10.0, 128.0, "10", None):
        with pytest.raises(TypeError, match=f"{name} is {value!r}: .* whole number"):
            train(value)
    assert train(np.int64(3)).losses


def test_a_bad_preview_is_refused_before_training():
    with pytest.raises(ValueError, match="preview has shape"):
        fit(make_model(), squared_error, make_images(), steps=1, preview=torch.ones(3))


def test_arrays_are_refused_and_other_number_types_are_converted():
    images = make_images()
    with pytest.raises(TypeError, match="make it a torch tensor"):
        fit(make_model(), squared_error, images.numpy(), steps=1)
    for dtype in (torch.float64, torch.uint8, torch.bool):
        model, converted = make_model(), images.round().to(dtype)
        fit(model, squared_error, converted, steps=1, quiet=True)


class ListedLayers(nn.Module):
    """A novice's: no module sees the layers in a plain list."""

    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(784, 784)]


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        (ListedLayers(), "no weights to train: .* not in a plain list"),
        (make_model().requires_grad_(False), r"frozen.*model\.requires_grad_\(True\)"),
        (make_model().half(), r"half precision \(float16\).*model\.float\(\)"),
    ],
)
def test_models_that_cannot_be_trained_are_refused(model, advice):
    with pytest.raises(ValueError, match=advice):
        fit(model, squared_error, make_images(), steps=1)


def test_a_model_that_is_frozen_in_part_is_trained_in_part():
    model = make_model()
    model.encoder.requires_grad_(False)
    encoder, decoder = weights(model.encoder), weights(model.decoder)
    fit(model, squared_error, make_images(), steps=2, quiet=True)
    assert torch.equal(weights(model.encoder), encoder)
    assert not torch.equal(weights(model.decoder), decoder)


@torch.no_grad()
def without_gradient(model, x):
    return squared_error(model, x)


@pytest.mark.parametrize(
    "objective",
    [
        without_gradient,
        lambda model, x: squared_error(model, x).detach(),
        lambda model, x: squared_error(make_model(), x),
    ],
)
def test_a_loss_from_which_no_gradient_comes_is_refused(objective):
    model, start = make_model(), weights(make_model())
    with pytest.raises(ValueError, match=r"no gradient .* another model, .*detach\(\)"):
        fit(model, objective, make_images(), steps=5, quiet=True)
    assert torch.equal(weights(model), start)


@pytest.mark.parametrize(
    "reduce",
    [torch.mean, torch.sum, lambda losses: losses[:, None], lambda losses: losses[1:]],
)
@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_objective_must_give_one_number_per_image(reduce, batch_size):
    def objective(model, x):
        return reduce(squared_error(model, x))

    with pytest.raises(ValueError, match="return one number per image"):
        trained(1, objective, batch_size=batch_size)


# ── what the reader sees ────────────────────────────────────────────────────────────


def test_quiet_prints_one_line_and_nothing_else(capfd):
    losses = trained(7, title="my run")[1]
    out, err = capfd.readouterr()
    assert out == f"my run: 7 steps, loss {sum(losses) / 7:#.4g} per image\n"
    assert err == ""


SETUP = """
import signal, time
from vae_helpers.models import VAE, Autoencoder
from vae_helpers.objectives import negative_elbo, squared_error
from vae_helpers.training import TrainingDivergedError, fit, time_steps
import torch
torch.set_num_threads(1)
images = torch.rand(10, 1, 28, 28, generator=torch.Generator().manual_seed(0))

def run(steps=60, pause=0.0, stop=None, bad=None, **settings):
    torch.manual_seed(0)
    def objective(model, x):
        objective.step += 1
        time.sleep(pause)
        if objective.step == stop:
            signal.raise_signal(signal.SIGINT)
        return squared_error(model, x) * (torch.nan if objective.step == bad else 1)
    objective.step = 0
    model = Autoencoder(2, hidden_sizes=(8,))
    settings = dict(title="demo", preview=images[:4]) | settings
    return fit(model, objective, images, steps=steps, **settings)
"""
CELLS = {
    "imports": """
import sys
from vae_helpers.training import _make_optimizer
_make_optimizer(torch.nn.Linear(1, 1), 1e-3, "constant", 1)
loaded = set(sys.modules)
run(1, quiet=True, preview=None)
print(set(sys.modules) - loaded)
""",
    "slow": "slow = run(400, pause=0.002)",
    "quiet": "quiet = run(400, pause=0.002, quiet=True)",
    "same": "same = run()",
    "again": "again = run()",
    "plain": "plain = run(preview=None)",
    "colour": """
colours = torch.rand(9, 3, 8, 8)
model = VAE(2, hidden_sizes=(8,), image_shape=(3, 8, 8))
_ = fit(model, negative_elbo, colours, steps=5, preview=colours[:4])
""",
    "stopped": "stopped = run(stop=41)",
    "diverged": """
try:
    run(bad=41)
except TrainingDivergedError:
    pass
""",
    "refused": """
try:
    fit(VAE(2), negative_elbo, images * 2, steps=5)
except ValueError:
    pass
""",
    "figures": "import matplotlib.pyplot as plt; print(plt.get_fignums())",
}


class WatchingClient(nbclient.NotebookClient):
    """Runs a notebook and keeps what each cell showed before its last state."""

    def process_message(self, msg, cell, cell_index):
        if "transient" in msg["content"]:
            shown = msg["content"]["data"]["text/plain"]
            cell.metadata.setdefault("shown", []).append(shown)
        return super().process_message(msg, cell, cell_index)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """CELLS, run in order in one kernel: name → cell with the outputs that are left."""
    sources = {"setup": SETUP, **CELLS}
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(code) for code in sources.values()]
    folder = {"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}}
    WatchingClient(notebook, timeout=60, resources=folder).execute()
    return dict(zip(sources, notebook.cells, strict=True))


def open_panel(cell):
    """The picture and the alternative text of the one panel left in a cell."""
    (panel,) = (out for out in cell.outputs if out.output_type == "display_data")
    png = base64.b64decode(panel.data["image/png"])
    alt = panel.metadata["image/png"]["alt"]
    assert panel.data["text/plain"] == alt
    return Image.open(io.BytesIO(png)), alt


def test_the_first_run_of_a_kernel_imports_only_where_interrupts_wait(cells):
    assert cells["imports"].outputs[0].text.splitlines()[1:] == ["set()"]


def test_a_run_leaves_one_panel_in_its_last_state_and_nothing_else(cells):
    assert len(cells["slow"].outputs) == 1
    picture, alt = open_panel(cells["slow"])
    assert "demo" in alt
    assert "step 400 of 400" in alt
    assert "done" in alt
    assert "left" not in alt
    assert picture.width > picture.height > 100


def test_the_panel_is_redrawn_while_it_trains(cells):
    earlier = cells["slow"].metadata["shown"][:-1]
    assert len(earlier) >= 1
    assert all("s left" in state for state in earlier)


def test_the_same_run_leaves_the_same_panel(cells):
    assert cells["same"].outputs[0].data == cells["again"].outputs[0].data


def test_the_preview_is_part_of_the_panel(cells):
    assert cells["same"].outputs[0].data != cells["plain"].outputs[0].data


def test_the_panel_shows_colour_images(cells):
    picture, alt = open_panel(cells["colour"])
    assert "step 5 of 5" in alt
    red, _, blue = (np.asarray(band, float) for band in picture.convert("RGB").split())
    right = np.s_[:, picture.width // 2 :]  # the images; the curve has a colour too
    assert np.abs(red[right] - blue[right]).mean() > 5


def test_in_a_kernel_quiet_prints_one_line_and_nothing_else(cells):
    (output,) = cells["quiet"].outputs
    assert (output.output_type, output.name) == ("stream", "stdout")
    assert output.text.startswith("demo: 400 steps, loss ")
    assert output.text.count("\n") == 1


def test_a_stopped_run_leaves_its_panel_and_one_line(cells):
    _, alt = open_panel(cells["stopped"])
    assert "step 40 of 60" in alt
    assert "stopped" in alt
    (line,) = (out.text for out in cells["stopped"].outputs if "text" in out)
    assert line.startswith("demo: stopped by you after 40 of 60 steps")
    assert len(cells["stopped"].outputs) == 2


def test_a_diverged_run_leaves_the_panel_of_its_last_good_step(cells):
    assert "step 40 of 60" in open_panel(cells["diverged"])[1]
    assert len(cells["diverged"].outputs) == 1


def test_a_refused_run_shows_no_panel(cells):
    assert cells["refused"].outputs == []


def test_no_figure_is_left_open_and_nothing_goes_to_stderr(cells):
    assert cells["figures"].outputs[0].text == "[]\n"
    outputs = [out for cell in cells.values() for out in cell.outputs]
    assert not [out for out in outputs if out.get("name") == "stderr"]


def test_images_and_preview_take_the_number_type_of_the_model(monkeypatch):
    shown = []
    monkeypatch.setattr(TrainingPanel, "close", lambda *told: shown.append(told[-1]))
    model, images = make_model().double(), make_images()  # images are float32
    fit(model, squared_error, images, steps=1, preview=images[:2])
    assert shown[0].dtype == torch.float64


@pytest.mark.parametrize(("n_hidden", "latent_dim"), [(400, 20), (30, 7)])
def test_the_benchmark_counts_the_operations_that_pytorch_counts(n_hidden, latent_dim):
    model, x = VAE(latent_dim, hidden_sizes=(n_hidden,)), make_images(6)
    with FlopCounterMode(display=False) as counter:
        negative_elbo(model, x).mean().backward()
    assert counter.get_total_flops() == 6 * flops_per_image(n_hidden, latent_dim)


def test_the_benchmark_counts_for_the_vae_of_pytorchs_example_unless_asked():
    assert flops_per_image() == flops_per_image(400, 20)


# ── what a step costs ───────────────────────────────────────────────────────────────


def test_time_steps_finds_the_dearer_objective_and_trains_both():
    models = [VAE(2, hidden_sizes=(3,)) for _ in range(2)]
    before = [model.to_mu.weight.clone() for model in models]

    def objective(model, x):
        if model is models[1]:
            time.sleep(0.05)
        return negative_elbo(model, x)

    quick, slow = time_steps(models, objective, make_images(), n_steps=3)
    assert 0 < quick < slow
    assert slow > 0.05
    for model, weight in zip(models, before, strict=True):
        assert not torch.equal(model.to_mu.weight, weight)
