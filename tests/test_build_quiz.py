"""The quiz: its form, its places in the notebooks, and its numbers computed anew."""

import math
import re
import sys
import tomllib
from collections import Counter

import build_quiz
import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

QUESTIONS = tomllib.loads(build_quiz.QUIZ.read_text("utf-8"))["question"]
by_id = pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: one["id"])


def test_there_are_twenty_at_three_levels_from_all_notebooks():
    assert len(QUESTIONS) == len({question["id"] for question in QUESTIONS}) == 20
    levels = Counter(question["level"] for question in QUESTIONS)
    assert set(levels) == {"concept", "computation", "diagnosing"}
    assert min(levels.values()) >= 5
    told = {question["teaches"][:2] for question in QUESTIONS}
    assert told == {f"{number:02}" for number in range(10)}


def test_the_answer_cannot_be_guessed_from_its_place_or_length():
    places = Counter(build_quiz.right(question) for question in QUESTIONS)
    assert places == dict.fromkeys(range(4), 5)
    longest = 0
    for question in QUESTIONS:
        lengths = [len(choice[0]) for choice in question["choices"]]
        own = lengths.pop(build_quiz.right(question))
        longest += own > max(lengths)
    assert longest <= 7


@by_id
def test_one_choice_is_right_and_each_other_has_its_mistake(question):
    assert len(question["choices"]) == 4
    assert sorted(len(choice) for choice in question["choices"]) == [1, 2, 2, 2]
    texts = [choice[0] for choice in question["choices"]]
    reasons = [question["why"], *(choice[-1] for choice in question["choices"])]
    assert len(set(texts)) == 4
    assert len(set(reasons)) == 5
    assert all(len(c[1]) > 15 for c in question["choices"] if len(c) == 2)
    assert question["text"].count("?") == 1


@by_id
def test_the_cell_that_teaches_it_is_there(question):
    cells, index = build_quiz.find(question["teaches"])
    assert cells[index]["cell_type"] == "markdown"
    assert build_quiz.heading(question["teaches"])


def test_a_cell_in_the_middle_of_a_section_has_the_heading_above_it():
    place = "04b_likelihoods_and_pitfalls 2665c43b"  # a heading of its own at its end
    assert build_quiz.heading(place) == "5.2 Mean instead of sum"
    assert build_quiz.section("02_elbo 75177411") == "02, 6 · The ELBO"


@pytest.mark.parametrize("place", ["02_elbo none", "02_none 75177411"])
def test_a_place_that_is_gone_is_named(place):
    with pytest.raises(LookupError, match="none"):
        build_quiz.section(place)


# What the choices of a computation must say, in their order.
HALF, LOG_2, LOG_3 = math.log(0.5), math.log(2), math.log(3)
FAIR, NINE = Bernoulli(0.5), Bernoulli(0.9)
Q = Normal(torch.tensor([2.0, 0.0]), torch.ones(2))
PIXELS = Bernoulli(torch.tensor([0.5, 0.5, 0.25])).log_prob(torch.tensor([1, 1, 0.0]))
PAPER_AS_INK = torch.tensor([0.5, 0.5, 0.25]).log().sum()
KL = kl_divergence(Q, Normal(0.0, 1.0))
NUMBERS = {
    "three-pixels": [PIXELS.mean(), PAPER_AS_INK, PIXELS.sum(), -PIXELS.sum()],
    "coin": [
        kl_divergence(NINE, FAIR),
        kl_divergence(FAIR, NINE),
        -0.5 * math.log(0.9) - 0.5 * math.log(0.1),
        kl_divergence(FAIR, NINE) / LOG_2,
    ],
    "gaussian-kl": [2 * KL.sum(), KL.mean(), KL.sum(), 0],
    "mse": [784, 1, 784 / 2, 1],
    "price": [8 / 12, (112 - 100) / (20 - 12), 1, (112 + 12) - (100 + 20)],
    "information": [6.5 + 0.4, 0.4, 11 - 6.5, 6.5 - 0.4],
    "two-weights": [LOG_3 / 2, 0.75 * LOG_3, math.log((1 + 3) / 2), math.log(1 + 3)],
    "bits": [109 / 784, 109 / 784 / LOG_2, 109 / 784 * LOG_2, 109 / LOG_2],
}


def test_every_computation_is_computed_here():
    asked = {one["id"] for one in QUESTIONS if one["level"] == "computation"}
    assert asked == set(NUMBERS)


@pytest.mark.parametrize("name", NUMBERS)
def test_the_numbers(name):
    (question,) = [one for one in QUESTIONS if one["id"] == name]
    for (text, *_), value in zip(question["choices"], NUMBERS[name], strict=True):
        said = re.match(r"−?\d+(\.\d+)?", text)[0].replace("−", "-")
        decimals = len(said.partition(".")[2])
        assert float(said) == pytest.approx(float(value), abs=0.51 * 10**-decimals)


def test_the_logarithms_that_are_given():
    values = {"½": 0.5, "¼": 0.25, "¾": 0.75, "60,000": 60_000}
    for question in QUESTIONS:
        for number, said in re.findall(
            r"log ([\d½¼¾.,]+) = (−?[\d.]+)", question["text"]
        ):
            value = math.log(values.get(number) or float(number))
            decimals = len(said.partition(".")[2])
            said = float(said.replace("−", "-"))
            assert said == pytest.approx(value, abs=0.51 * 10**-decimals)


def test_a_mean_over_pixels_makes_beta_392():
    """The question on mse: the gradients of the line and of ½ SSE + 392 KL agree."""
    x, x_hat = torch.rand(2, 784, dtype=torch.float64)
    kl = torch.rand((), dtype=torch.float64)
    line = nn.functional.mse_loss(x_hat, x) + kl
    gaussian = -Independent(Normal(x_hat, torch.tensor(1.0)), 1).log_prob(x)
    constant = 392 * math.log(2 * math.pi)
    assert (392 * line).item() == pytest.approx((gaussian - constant + 392 * kl).item())


@pytest.mark.parametrize("cut", [True, False])
def test_after_sample_the_encoder_learns_from_the_kl_only(cut):
    """The question on sample."""
    torch.manual_seed(0)
    mu, weight = torch.tensor([0.5], requires_grad=True), torch.ones(1)
    weight.requires_grad_()
    q = Normal(mu, 1.0)
    z = q.sample() if cut else q.rsample()
    reconstruction = -Normal(weight * z, 1.0).log_prob(torch.tensor([3.0])).sum()
    (reconstruction + kl_divergence(q, Normal(0.0, 1.0)).sum()).backward()
    only_kl = mu.grad.item() == pytest.approx(0.5)  # the derivative of ½ μ² is μ
    assert only_kl == cut
    assert weight.grad.abs() > 0.1


def test_a_constant_in_the_sum_is_seen_in_two_dimensions():
    """The question on two-dimensions: 1 and 0.159 = 1/2π."""
    for n_dims, expected in ((1, 1.0), (2, 1 / (2 * math.pi))):
        too_often = (n_dims - 1) * n_dims / 2 * math.log(2 * math.pi)
        assert math.exp(-too_often) == pytest.approx(expected)
    assert f"{1 / (2 * math.pi):.3f}" == "0.159"


def test_the_script_writes_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["build_quiz.py", "--out", str(tmp_path)])
    build_quiz.main()
    assert "20 questions" in capsys.readouterr().out
    sheet = (tmp_path / "quiz.md").read_text("utf-8")
    page = (tmp_path / "quiz.html").read_text("utf-8")
    key = (tmp_path / "answers.md").read_text("utf-8")
    assert page.count("✓") == 20
    assert page.count("✗") == 60
    assert "http" not in page  # opens without a network
    for question in QUESTIONS:
        assert question["text"] in sheet
        assert question["why"] not in sheet
        assert question["why"] in key
        assert ("picture" in question) == (tmp_path / f"{question['id']}.png").exists()
