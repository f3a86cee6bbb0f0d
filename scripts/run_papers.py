"""The numbers of notebook 07b: our models beside those of two papers.

    .venv/bin/python scripts/run_papers.py              # what takes minutes: see RUNS
    .venv/bin/python scripts/run_papers.py vae-80       # that one alone
    .venv/bin/python scripts/run_papers.py vae-in-full  # their plan: hours; see FULL
    .venv/bin/python scripts/run_papers.py latent-sizes

Each run adds its line to notebooks/results/07_papers.json as soon as it ends. Needs
MNIST, which `load_images` finds. The last digits depend on the machine.

On some processors the logarithm in PyTorch's AVX-512 code is ten times slower than in
its AVX2 code; before a long run, try ATEN_CPU_CAPABILITY=avx2.
"""

import json
import resource
import sys
import time
from pathlib import Path

from vae_helpers.data import load_images
from vae_helpers.evaluation import active_units, log_evidence_importance, mean_elbo
from vae_helpers.models import VAE
from vae_helpers.objectives import iwae_bound, negative_elbo
from vae_helpers.training import fit

import torch
from torch import Tensor, nn

RESULT = Path(__file__).resolve().parent.parent / "notebooks/results/07_papers.json"

# Burda et al. (2016): 784-200-200-50, tanh; k samples in the objective. Notebook 07b
# lists what differs: initial weights, Adam's settings, training set, order of images.
RUNS = {
    "vae-20": {"k": 1, "passes": 20},
    "iwae-5-20": {"k": 5, "passes": 20},
    "iwae-50-20": {"k": 50, "passes": 20},
    "vae-80": {"k": 1, "passes": 80},
    "iwae-5-80": {"k": 5, "passes": 80},
    "vae-200": {"k": 1, "passes": 200},
}
ONE_CYCLE = {"batch_size": 100, "lr": 3e-3, "schedule": "one-cycle"}
# Their schedule: 3^i passes at the rate of 1e-4 · round(10^(1 − i/7), 1), i = 0 … 7.
FULL = {"vae-in-full": 1, "iwae-5-in-full": 5, "iwae-50-in-full": 50}
STAGES = [(3**i, 1e-4 * round(10 ** (1 - i / 7), 1)) for i in range(8)]

# Kingma & Welling (2014), figure 2: one hidden layer of 500, tanh, batches of 100.
LATENT_SIZES = (3, 5, 10, 20, 200)
PASSES = (1, 3, 10, 30)


def main(names: list[str]) -> None:
    data = load_images("mnist")
    generator = torch.Generator().manual_seed(0)
    test = torch.bernoulli(data.test_images, generator=generator)
    for name in names or [*RUNS, "latent-sizes"]:
        if name == "latent-sizes":
            for latent_dim in LATENT_SIZES:
                for passes in PASSES:
                    line = run_latent_size(latent_dim, passes, data.train_images, test)
                    keep(f"latent-{latent_dim}-passes-{passes}", line)
        else:
            keep(name, run(name, data.train_images, test))


def binarize(x: Tensor) -> Tensor:
    """Sample each pixel as 0 or 1, with its grey value as the probability of a 1."""
    return (torch.rand_like(x) < x).to(x.dtype)


def run(name: str, images: Tensor, test: Tensor) -> dict:
    """Train the net of Burda et al. and score it on all test images with K = 5,000."""
    k = FULL[name] if name in FULL else RUNS[name]["k"]

    def objective(model: nn.Module, x: Tensor) -> Tensor:
        if k == 1:
            return negative_elbo(model, binarize(x))
        return -iwae_bound(model, binarize(x), k)

    torch.manual_seed(0)
    model = VAE(50, hidden_sizes=(200, 200), activation=nn.Tanh)
    model.start_at_mean_image(images)
    if name in FULL:
        plan = [
            {"passes": n, "batch_size": 20, "lr": lr, "seed": i}
            for i, (n, lr) in enumerate(STAGES)
        ]
    else:
        plan = [ONE_CYCLE | {"passes": RUNS[name]["passes"]}]
    seconds = sum(train(name, model, objective, images, **part) for part in plan)
    started = time.perf_counter()
    nll = -log_evidence_importance(model, test, 5_000).value
    return {
        "k": k,
        "passes": sum(part["passes"] for part in plan),
        "batch_size": plan[0]["batch_size"],
        "training_minutes": round(seconds / 60, 1),
        "nll": round(nll.mean().item(), 2),
        "nll_error": round(nll.std().item() / len(nll) ** 0.5, 2),
        "minus_elbo": round(-mean_elbo(model, test).elbo, 2),
        "active_units": int(active_units(model, test).sum()),
        "scoring_minutes": round((time.perf_counter() - started) / 60, 1),
    }


def run_latent_size(latent_dim: int, passes: int, images: Tensor, test: Tensor) -> dict:
    """Train the net of Kingma & Welling; its ELBO on both kinds of images."""
    torch.manual_seed(0)
    model = VAE(latent_dim, hidden_sizes=(500,), activation=nn.Tanh)
    model.start_at_mean_image(images)
    seconds = train(
        f"latent-{latent_dim}",
        model,
        lambda model, x: negative_elbo(model, binarize(x)),
        images,
        passes=passes,
        **ONE_CYCLE,
    )
    generator = torch.Generator().manual_seed(1)
    seen = torch.bernoulli(images[: len(test)], generator=generator)
    return {
        "latent_dim": latent_dim,
        "passes": passes,
        "training_minutes": round(seconds / 60, 1),
        "elbo_train": round(mean_elbo(model, seen).elbo, 2),
        "elbo_test": round(mean_elbo(model, test).elbo, 2),
        "active_units": int(active_units(model, test).sum()),
    }


def train(name, model, objective, images, *, passes, batch_size, **options) -> float:
    """`fit` for so many passes over the images; the seconds it took."""
    steps = passes * len(images) // batch_size
    options |= {"steps": steps, "batch_size": batch_size, "quiet": True, "title": name}
    return fit(model, objective, images, **options).seconds


def keep(name: str, line: dict) -> None:
    """Add one line to the file of results, in the place of an older one."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line |= {"threads": torch.get_num_threads(), "peak_mib": round(used)}
    print(name, line, flush=True)
    lines = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    lines[name] = line
    body = ",\n".join(f'"{key}": {json.dumps(lines[key])}' for key in sorted(lines))
    RESULT.write_text(f"{{\n{body}\n}}\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
