"""The stored results of notebook 05 are those of the command that makes them."""

import json

from vae_helpers.sprites import make_sprites

import pytest
import run_sprites
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def stored():
    return json.loads(run_sprites.RESULT.read_text("utf-8"))


def test_the_file_was_made_with_the_settings_of_the_command(stored):
    settings = json.loads(json.dumps(run_sprites.make_settings()))
    assert stored["settings"] == settings


def test_every_beta_and_seed_is_there_once(stored):
    found = sorted((run["beta"], run["seed"]) for run in stored["runs"])
    wanted = [(beta, seed) for beta in run_sprites.BETAS for seed in run_sprites.SEEDS]
    assert found == sorted(wanted)
    assert len(run_sprites.SEEDS) >= 5


def test_a_short_run_gives_the_same_kind_of_row(stored, monkeypatch):
    monkeypatch.setitem(run_sprites.TRAINING, "steps", 5)
    monkeypatch.setattr(run_sprites, "N_SAMPLES", 10)
    world = make_sprites(**run_sprites.WORLD, y=[0.42, 0.5, 0.58, 0.6])
    row = run_sprites.run(world, beta=4, seed=0)
    assert set(row) == set(stored["runs"][0])
    assert row["kl"] == pytest.approx(sum(row["kl_per_dimension"]), abs=0.01)
    assert row["elbo"] < row["log_px"] < 0
    assert row["elbo"] != row["elbo_train"]
