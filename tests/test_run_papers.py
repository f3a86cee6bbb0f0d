"""The command behind the numbers of notebook 07b, with everything in it made small."""

import json

from vae_helpers.evaluation import log_evidence_importance
from vae_helpers.models import VAE

import pytest
import run_papers
import torch

torch.set_num_threads(1)

LINE = {"training_minutes": 0.0, "active_units": 2}


def make_images(n, seed=0):
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """What was asked of `VAE`, `fit` and the importance sampling, which do less."""
    asked = {"vae": [], "fit": [], "n_samples": [], "log_px": []}
    fit = run_papers.fit

    def small_vae(latent_dim, *, hidden_sizes, activation):
        asked["vae"].append((latent_dim, hidden_sizes, activation))
        return VAE(2, hidden_sizes=(3,), activation=activation)

    def short_fit(model, objective, images, *, steps, **options):
        asked["fit"].append({"objective": objective, "steps": steps, **options})
        return fit(model, objective, images, steps=2, **options)

    def few_samples(model, images, n_samples):
        asked["n_samples"].append(n_samples)
        estimate = log_evidence_importance(model, images, 20)
        asked["log_px"].append(estimate.value)
        return estimate

    monkeypatch.setattr(run_papers, "VAE", small_vae)
    monkeypatch.setattr(run_papers, "fit", short_fit)
    monkeypatch.setattr(run_papers, "log_evidence_importance", few_samples)
    monkeypatch.setattr(run_papers, "RESULT", tmp_path / "papers.json")
    return asked


def test_the_published_schedule_has_3280_passes_at_falling_rates():
    """Burda et al. (2016), section 5: 3^i passes at 0.001 · 10^(−i/7), i = 0 … 7."""
    passes, rates = zip(*run_papers.STAGES, strict=True)
    assert passes == (1, 3, 9, 27, 81, 243, 729, 2187)
    assert sum(passes) == 3280
    published = [0.001 * 10 ** (-i / 7) for i in range(8)]
    assert rates == pytest.approx(published, rel=0.03)  # they round to 1e-5
    assert rates == pytest.approx([round(rate, 5) for rate in published])
    assert set(run_papers.FULL.values()) == {1, 5, 50}
    assert not set(run_papers.FULL) & set(run_papers.RUNS)


KEYS = {
    *("k", "passes", "batch_size", "training_minutes", "nll", "nll_error"),
    *("minus_elbo", "active_units", "scoring_minutes"),
}


@pytest.mark.parametrize("name", [*run_papers.RUNS, *run_papers.FULL])
def test_a_run_trains_as_planned_and_gives_every_number(name, small):
    images = make_images(300)
    row = run_papers.run(name, images, images[:6].round())
    assert set(row) == KEYS
    assert json.loads(json.dumps(row)) == row
    assert small["vae"] == [(50, (200, 200), torch.nn.Tanh)]
    assert small["n_samples"] == [5_000]
    steps = [stage["steps"] for stage in small["fit"]]
    rates = [stage["lr"] for stage in small["fit"]]
    if name in run_papers.FULL:
        assert (row["k"], row["batch_size"]) == (run_papers.FULL[name], 20)
        assert steps == [15 * 3**i for i in range(8)]  # 300 images by 20
        assert rates == [rate for _, rate in run_papers.STAGES]
        assert len({stage["seed"] for stage in small["fit"]}) == 8
        assert not any("schedule" in stage for stage in small["fit"])
    else:
        plan = run_papers.RUNS[name]
        assert (row["k"], row["passes"]) == (plan["k"], plan["passes"])
        assert steps == [3 * plan["passes"]]  # 300 images by 100
        assert rates == [3e-3]
        assert small["fit"][0]["schedule"] == "one-cycle"
    assert 300 < row["nll"] < 700  # an untrained net, 784 · log 2 = 543
    assert row["minus_elbo"] > row["nll"] - 0.1
    nll = -small["log_px"][0].numpy()
    assert row["nll"] == pytest.approx(nll.mean(), abs=0.006)
    assert row["nll_error"] == pytest.approx(nll.std(ddof=1) / 6**0.5, abs=0.006)
    assert row["active_units"] in (0, 1, 2)


@pytest.mark.parametrize("name", ["vae-80", "iwae-50-20"])
def test_the_objective_is_the_bound_of_k_samples_on_binarized_pixels(name, small):
    images = make_images(100)
    run_papers.run(name, images, images[:6].round())
    objective = small["fit"][0]["objective"]
    seen, draws = [], []

    class Watched:
        def encode(self, x):
            seen.append(x)
            return torch.zeros(2, len(x), 2)

        def log_likelihood(self, x, z):
            draws.append(len(z))
            return z.sum(-1)

    loss = objective(Watched(), images)
    assert loss.shape == (100,)
    assert draws == [run_papers.RUNS[name]["k"]]
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}


def test_a_pixel_is_one_as_often_as_it_is_dark():
    torch.manual_seed(0)
    x = torch.tensor([0.0, 0.2, 0.7, 1.0]).expand(10_000, 4)
    binary = run_papers.binarize(x)
    assert binary.dtype == x.dtype
    assert set(binary.unique().tolist()) == {0.0, 1.0}
    assert binary.mean(0).tolist() == pytest.approx([0, 0.2, 0.7, 1], abs=0.02)
    assert binary.mean(0)[0] == 0
    assert binary.mean(0)[3] == 1


def test_a_latent_size_gives_every_number(small):
    images, test = make_images(200), make_images(10, 1).round()
    row = run_papers.run_latent_size(3, 10, images, test)
    assert set(row) == {
        *("latent_dim", "passes", "training_minutes", "elbo_train", "elbo_test"),
        "active_units",
    }
    assert (row["latent_dim"], row["passes"]) == (3, 10)
    assert small["vae"] == [(3, (500,), torch.nn.Tanh)]
    assert small["fit"][0]["steps"] == 20
    assert -700 < row["elbo_train"] < -300
    assert -700 < row["elbo_test"] < -300
    row = run_papers.run_latent_size(3, 1, torch.zeros(200, 1, 28, 28), test)
    assert row["elbo_test"] < -1000 < -10 < row["elbo_train"] < 0  # it knows black


def test_keep_replaces_one_line_and_keeps_the_others(small):
    for name, units in (("vae", 1), ("iwae-5", 2), ("a", 3), ("vae", 4)):
        run_papers.keep(name, LINE | {"active_units": units})
    body = run_papers.RESULT.read_text("utf-8")
    lines = json.loads(body)
    assert {name: line["active_units"] for name, line in lines.items()} == {
        "a": 3,
        "iwae-5": 2,
        "vae": 4,
    }
    assert list(lines) == sorted(lines)
    assert len(body.splitlines()) == 2 + 3  # a line each, for a readable diff
    for line in lines.values():
        assert set(line) == {*LINE, "threads", "peak_mib"}
        assert line["threads"] == torch.get_num_threads()
        assert 10 < line["peak_mib"] < 100_000


def test_the_command_does_what_it_is_asked_and_keeps_each_line(small, monkeypatch):
    images = make_images(100)
    sets = type("Sets", (), {"train_images": images, "test_images": images[:6]})
    monkeypatch.setattr(run_papers, "load_images", lambda name: sets)
    monkeypatch.setattr(run_papers, "LATENT_SIZES", (3,))
    monkeypatch.setattr(run_papers, "PASSES", (1, 3))
    monkeypatch.setattr(run_papers, "RUNS", {"vae": {"k": 1, "passes": 2}})
    run_papers.main(["latent-sizes"])
    kept = json.loads(run_papers.RESULT.read_text("utf-8"))
    assert set(kept) == {"latent-3-passes-1", "latent-3-passes-3"}
    run_papers.main([])
    kept = json.loads(run_papers.RESULT.read_text("utf-8"))
    assert set(kept) == {"latent-3-passes-1", "latent-3-passes-3", "vae"}


def test_the_stored_runs_bear_out_what_notebook_07b_says_of_them():
    lines = json.loads(run_papers.RESULT.read_text("utf-8"))
    assert lines["vae-80"]["nll"] <= 89.5
    short = [lines[name] for name in ("vae-20", "iwae-5-20", "iwae-50-20")]
    assert [run["nll"] for run in short] == sorted(
        (run["nll"] for run in short), reverse=True
    )
    assert [run["active_units"] for run in short] == sorted(
        run["active_units"] for run in short
    )
    assert lines["iwae-5-80"]["nll"] < lines["vae-80"]["nll"]
    assert max(run["peak_mib"] for run in lines.values()) < 4096
    behind = {
        passes: lines[f"latent-20-passes-{passes}"]["elbo_test"]
        - lines[f"latent-200-passes-{passes}"]["elbo_test"]
        for passes in run_papers.PASSES
    }
    assert behind[1] > 6
    assert max(behind[n] for n in (3, 10, 30)) < 1
    active = [
        lines[f"latent-200-passes-{n}"]["active_units"] for n in run_papers.PASSES
    ]
    assert active == [200, 200, 66, 34]  # the gap closes before they are switched off
    # by minutes the order turns round
    assert lines["vae-80"]["training_minutes"] < lines["iwae-5-20"]["training_minutes"]
    assert lines["vae-80"]["nll"] < lines["iwae-5-20"]["nll"]
    last = [lines[f"latent-{n}-passes-30"] for n in run_papers.LATENT_SIZES]
    apart = [run["elbo_train"] - run["elbo_test"] for run in last]
    assert apart == sorted(apart, reverse=True)
