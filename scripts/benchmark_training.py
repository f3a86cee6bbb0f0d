"""How fast is `fit`? The plain way and ours, in one run and in turn, to one figure.

    .venv/bin/python scripts/benchmark_training.py            # race and growth
    .venv/bin/python scripts/benchmark_training.py --race     # the race only
    .venv/bin/python scripts/benchmark_training.py --cores    # how it shares cores

Both train the VAE of PyTorch's example, 784-400-20 with ReLU, on grey MNIST until the
test −ELBO is at most 105.5 nats per image. Each row runs in a process of its own, so
that its peak memory is its own, and begins with one step that is not on the clock.
Needs MNIST in `data/`, or where `VAE_DATA_DIR` says. Compare ratios: seconds are those
of this machine, at this moment.

`--cores` needs no data, but a machine that does nothing else. It shows the milliseconds
a step takes alone, beside one busy process, and with two trainings side by side: with
OpenMP told to share the cores, as `vae_helpers` does, and as it is by default.
"""

import contextlib
import os
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from vae_helpers.data import _find_root, load_images
from vae_helpers.evaluation import mean_elbo
from vae_helpers.models import VAE
from vae_helpers.objectives import negative_elbo
from vae_helpers.training import fit

import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

GOAL = 105.5  # test −ELBO, nats per image, grey pixels
BATCH_SIZE = 128


def warm_up():
    """One step of a throw-away model: PyTorch loads a second's worth of code in it."""
    with contextlib.redirect_stdout(None):  # the line that `quiet` prints
        fit(VAE(2), negative_elbo, torch.rand(9, 1, 28, 28), steps=1, quiet=True)


def train_plainly():
    """A DataLoader over torchvision's data set, as in PyTorch's own VAE example."""
    warm_up()
    torch.manual_seed(0)
    images = datasets.MNIST(
        _find_root(None), train=True, transform=transforms.ToTensor()
    )
    loader = DataLoader(images, batch_size=BATCH_SIZE, shuffle=True)
    test_images = load_images("mnist").test_images
    model = VAE(20)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    seconds, n_images, reached = 0.0, 0, float("inf")
    while reached > GOAL:
        started = time.perf_counter()
        for x, _ in loader:
            loss = negative_elbo(model, x).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            n_images += len(x)
        seconds += time.perf_counter() - started  # the test is not on the clock
        reached = -mean_elbo(model, test_images).elbo
    return seconds, n_images, reached


def train_with_fit(epochs, lr, schedule, mean_image):
    warm_up()
    data = load_images("mnist")
    torch.manual_seed(0)
    model = VAE(20)
    if mean_image:
        model.start_at_mean_image(data.train_images)
    steps = round(epochs * len(data.train_images) / BATCH_SIZE)
    options = {"batch_size": BATCH_SIZE, "lr": lr, "schedule": schedule}
    with contextlib.redirect_stdout(None):
        history = fit(
            model, negative_elbo, data.train_images, steps=steps, quiet=True, **options
        )
    reached = -mean_elbo(model, data.test_images).elbo
    return history.seconds, steps * BATCH_SIZE, reached


def time_one_pass(n_hidden, latent_dim, n_images):
    """Seconds for one pass over `n_images`."""
    warm_up()
    images = load_images("mnist").train_images[:n_images]
    torch.manual_seed(0)
    model = VAE(latent_dim, hidden_sizes=(n_hidden,))
    steps = n_images // BATCH_SIZE
    with contextlib.redirect_stdout(None):
        history = fit(model, negative_elbo, images, steps=steps, quiet=True)
    return history.seconds, steps * BATCH_SIZE


def flops_per_image(n_hidden=400, latent_dim=20):
    """Multiplications and additions of all matrix products of one training step."""
    pixels = 784 * n_hidden
    codes = 3 * latent_dim * n_hidden  # mu, logvar, and the decoder's first layer
    # Forward, gradient of the weights, gradient of the input; none for the image.
    return 2 * (2 * pixels + 3 * pixels + 3 * codes)


def matmul_peak():
    """Operations per second of this machine's matrix product, the best of several."""
    a = torch.randn(2048, 2048)
    fastest = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        a @ a
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * 2048**3 / fastest


def measure(function, *args):
    """Run in a process of its own; the result and its peak memory in MiB."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_with_memory, function, args).result()


def _with_memory(function, args):
    result = function(*args)
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return result, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def race():
    rows = {
        "plain: DataLoader, Adam 1e-3": (train_plainly,),
        "fit: data in memory, Adam 1e-3": (train_with_fit, 10, 1e-3, "constant", False),
        "fit: one cycle to 8e-3": (train_with_fit, 3, 8e-3, "one-cycle", True),
    }
    peak, _ = measure(matmul_peak)
    print(
        f"matrix products: {peak / 1e9:.0f} GFLOP/s, {torch.get_num_threads()} threads"
    )
    print(f"{'':32s} seconds  ratio  images/s  of peak   MiB  test −ELBO")
    plain_seconds = None
    for name, call in rows.items():
        (seconds, n_images, reached), memory = measure(*call)
        plain_seconds = plain_seconds or seconds
        speed = n_images / seconds
        share = speed * flops_per_image() / peak
        print(
            f"{name:32s} {seconds:7.1f} {plain_seconds / seconds:5.1f}× {speed:9,.0f}"
            f" {share:8.0%} {memory:5.0f} {reached:8.2f}",
            "" if reached <= GOAL else f"(above {GOAL})",
        )


def growth():
    settings = [(n, 20, 60_000) for n in (100, 200, 400, 800, 1600)]
    settings += [(400, d, 60_000) for d in (2, 20, 200)]
    settings += [(400, 20, n) for n in (7_500, 15_000, 30_000, 60_000)]
    print("\none pass:  hidden  latent  images  seconds  images/s   MiB")
    for n_hidden, latent_dim, n_images in settings:
        (seconds, done), memory = measure(time_one_pass, n_hidden, latent_dim, n_images)
        print(
            f"{n_hidden:17d} {latent_dim:7d} {n_images:7,d} {seconds:8.2f}"
            f" {done / seconds:9,.0f} {memory:5.0f}"
        )


# How long GNU's OpenMP waits in a loop: the number it takes if nobody says one. It has
# to be said here, because `vae_helpers` would say another.
BY_DEFAULT = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}


def time_steps(seconds=3.0):
    """Milliseconds a step of `fit` takes, over so many seconds."""
    warm_up()
    torch.manual_seed(0)
    model, images = VAE(20), torch.rand(10 * BATCH_SIZE, 1, 28, 28)
    ends = time.perf_counter() + seconds

    def objective(model, x):
        if time.perf_counter() > ends:
            raise KeyboardInterrupt  # as the stop button does
        return negative_elbo(model, x)

    with contextlib.redirect_stdout(None):
        history = fit(model, objective, images, steps=10**6, quiet=True)
    return 1e3 * history.seconds / len(history.losses)


def time_beside(situation):
    """`time_steps` in processes of their own, in one of the situations of `cores`."""
    context = get_context("spawn")
    n = 2 if situation == "two side by side" else 1
    busy = context.Process(target=stay_busy, daemon=True)
    if situation == "beside one busy":
        busy.start()
    try:
        with ProcessPoolExecutor(n, mp_context=context) as pool:
            runs = [pool.submit(time_steps) for _ in range(n)]
            return max(run.result() for run in runs)
    finally:
        if busy.pid:
            busy.kill()


def stay_busy():
    while True:
        pass


def cores(rounds=3):
    situations = ["alone", "beside one busy", "two side by side"]
    policies = {"shared": {}, "by default": BY_DEFAULT}
    times = {(p, s): [] for p in policies for s in situations}
    before = dict(os.environ)
    for _ in range(rounds):
        for policy, situation in times:
            os.environ.update(policies[policy])  # read when the child loads PyTorch
            times[policy, situation].append(time_beside(situation))
            os.environ.update(before)
    print(f"ms a step, median of {rounds}; {torch.get_num_threads()} threads")
    print(f"{'':12s}" + "".join(f"{situation:>25s}" for situation in situations))
    medians = {cell: statistics.median(values) for cell, values in times.items()}
    for policy in policies:
        alone = medians[policy, "alone"]
        line = [
            f"{medians[policy, s]:8.1f} ({medians[policy, s] / alone:.1f}×)"
            for s in situations
        ]
        print(f"{policy:12s}" + "".join(f"{cell:>25s}" for cell in line))
    ratio = medians["shared", "alone"] / medians["by default", "alone"]
    print(f"alone, shared against by default: {ratio:.2f}×")


if __name__ == "__main__":
    if "--cores" in sys.argv:
        cores()
    else:
        race()
        if "--race" not in sys.argv:
            growth()
