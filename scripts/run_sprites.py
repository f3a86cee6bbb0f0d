"""The long experiment of notebook 05: β-VAEs on sprites, several seeds for each β.

    .venv/bin/python scripts/run_sprites.py     # → notebooks/results/05_sprites.json

Four minutes on one core. A world of ellipses with three factors, scale, x and y, as in
the notebook, which reads the file and trains two of these models. A quarter of the
poses is held out. The last digits depend on the machine, and so does a single run's
MIG; compare the spreads.
"""

import json
import time
from pathlib import Path

from vae_helpers.densities import reparameterize
from vae_helpers.evaluation import (
    active_units,
    kl_per_dimension,
    log_evidence_importance,
    mean_elbo,
)
from vae_helpers.metrics import factor_vae_score, mutual_information_gap
from vae_helpers.models import VAE
from vae_helpers.objectives import beta_objective
from vae_helpers.sprites import Sprites, hold_out, make_sprites
from vae_helpers.training import fit

import torch

RESULT = Path(__file__).resolve().parent.parent / "notebooks/results/05_sprites.json"
WORLD = {"size": 28, "shape": ["ellipse"], "scale": 6, "rotation": 1, "x": 16}
Y_RANGE = (0.42, 0.58, 8)  # lowest, highest, how many
BETAS = (1, 2, 4, 8)
SEEDS = range(5)
MODEL = {"latent_dim": 6, "hidden_sizes": [256]}
TRAINING = {"steps": 2_000, "lr": 5e-3, "schedule": "one-cycle", "batch_size": 128}
N_CODES = 26  # of each pose, for the scores: 20,000 in all
N_SAMPLES = 1000  # of z, for log p(x)


def main() -> None:
    torch.set_num_threads(1)
    world = make_sprites(**WORLD, y=torch.linspace(*Y_RANGE).tolist())
    runs = [run(world, beta, seed) for beta in BETAS for seed in SEEDS]
    RESULT.parent.mkdir(exist_ok=True)
    lines = ",\n".join(f"  {json.dumps(one)}" for one in runs)
    text = f'{{"settings": {json.dumps(make_settings())},\n "runs": [\n{lines}\n]}}\n'
    RESULT.write_text(text, "utf-8")


def make_settings() -> dict:
    """All that the results depend on, besides β and the seed."""
    return {
        "world": WORLD,
        "y": Y_RANGE,
        "codes": N_CODES,
        "samples": N_SAMPLES,
        "model": MODEL,
        "training": TRAINING,
    }


def run(world: Sprites, beta: float, seed: int) -> dict:
    """Train one model on a world and measure it.

    Nats are those of the poses held out; MIG and the FactorVAE score ask about the code
    of the whole world, in which the factors are independent.
    """
    held_out = hold_out(world)
    images, test_images = world.images[~held_out], world.images[held_out]
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
        mu, logvar = model.encode(world.images)
        generator = torch.Generator().manual_seed(0)
        z = reparameterize(mu, logvar, N_CODES, generator).flatten(0, 1)
    factors = world.factor_indices.repeat(N_CODES, 1)
    score = mean_elbo(model, test_images)
    log_px = log_evidence_importance(model, test_images, N_SAMPLES)
    return {
        "beta": beta,
        "seed": seed,
        "mig_z": round(mutual_information_gap(z, factors), 4),
        "mig_mu": round(mutual_information_gap(mu, world.factor_indices), 4),
        "factor_vae": round(factor_vae_score(z, factors), 4),
        "elbo": round(score.elbo, 3),
        "elbo_train": round(mean_elbo(model, images).elbo, 3),
        "log_px": round(log_px.value.mean().item(), 3),
        "kl": round(score.kl, 3),
        "kl_per_dimension": [
            round(k.item(), 3) for k in kl_per_dimension(model, test_images)
        ],
        "active_units": int(active_units(model, world.images).sum()),
        "seconds": round(history.seconds, 1),
    }


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"{time.perf_counter() - started:.0f} s in all")
