"""The long experiment of notebook 05: β-VAEs on sprites, several seeds for each β.

    .venv/bin/python scripts/run_sprites.py     # → notebooks/results/05_sprites.json

Seven minutes on one core. Two worlds of ellipses with three factors, scale, x and
y: in "unequal" y moves less than x, in "equal" as far. All else is as in the notebook,
which reads the file and runs a smaller version of it. The last digits depend on the
machine, and so does a single run's MIG; compare the spreads.
"""

import json
import time
from pathlib import Path

from vae_helpers.densities import reparameterize
from vae_helpers.evaluation import active_units, kl_per_dimension, mean_elbo
from vae_helpers.metrics import factor_vae_score, mutual_information_gap
from vae_helpers.models import VAE
from vae_helpers.objectives import beta_objective
from vae_helpers.sprites import make_sprites
from vae_helpers.training import fit

import torch

RESULT = Path(__file__).resolve().parent.parent / "notebooks/results/05_sprites.json"
WORLD = {"size": 28, "shape": ["ellipse"], "scale": 6, "rotation": 1, "x": 16}
Y_ENDS = {"unequal": (0.42, 0.58), "equal": (0.3, 0.7)}
BETAS = {"unequal": (1, 2, 4, 8, 16), "equal": (1, 2, 4, 8)}
SEEDS = range(5)
N_TRAIN, N_TEST = 30_000, 20_000
MODEL = {"latent_dim": 6, "hidden_sizes": [256]}
TRAINING = {"steps": 2_000, "lr": 5e-3, "schedule": "one-cycle", "batch_size": 128}


def main() -> None:
    torch.set_num_threads(1)
    runs = []
    for world, ends in Y_ENDS.items():
        y = torch.linspace(*ends, 8 if world == "unequal" else 16).tolist()
        train = make_sprites(N_TRAIN, seed=0, **WORLD, y=y)
        test = make_sprites(N_TEST, seed=1, **WORLD, y=y)
        for beta in BETAS[world]:
            for seed in SEEDS:
                runs.append({"world": world} | run(train.images, test, beta, seed))
                print(runs[-1], flush=True)
    RESULT.parent.mkdir(exist_ok=True)
    lines = ",\n".join(f"  {json.dumps(one)}" for one in runs)
    text = f'{{"settings": {json.dumps(make_settings())},\n "runs": [\n{lines}\n]}}\n'
    RESULT.write_text(text, "utf-8")


def make_settings() -> dict:
    """All that the results depend on, besides β and the seed."""
    return {
        "world": WORLD,
        "y": Y_ENDS,
        "train": N_TRAIN,
        "test": N_TEST,
        "model": MODEL,
        "training": TRAINING,
    }


def run(images, test, beta: float, seed: int) -> dict:
    """Train one model and measure it on the test sprites."""
    torch.manual_seed(seed)
    model = VAE(**MODEL).start_at_mean_image(images)
    history = fit(
        model,
        lambda model, x: beta_objective(model, x, beta),
        images,
        seed=seed,
        quiet=True,
        title=f"β = {beta}, seed {seed}",
        **TRAINING,
    )
    with torch.no_grad():
        mu, logvar = model.encode(test.images)
        generator = torch.Generator().manual_seed(0)
        z = reparameterize(mu, logvar, generator=generator)
    score = mean_elbo(model, test.images)
    return {
        "beta": beta,
        "seed": seed,
        "mig_z": round(mutual_information_gap(z, test.factor_indices), 4),
        "mig_mu": round(mutual_information_gap(mu, test.factor_indices), 4),
        "factor_vae": round(factor_vae_score(z, test.factor_indices), 4),
        "elbo": round(score.elbo, 3),
        "kl": round(score.kl, 3),
        "kl_per_dimension": [
            round(k.item(), 3) for k in kl_per_dimension(model, test.images)
        ],
        "active_units": int(active_units(model, test.images).sum()),
        "seconds": round(history.seconds, 1),
    }


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"{time.perf_counter() - started:.0f} s in all")
