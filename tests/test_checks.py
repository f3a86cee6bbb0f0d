"""A claim that holds prints a line that never changes; one that fails says so."""

import numpy as np
import pytest
import torch

from vae_helpers.checks import checkpoint


@pytest.mark.parametrize("holds", [True, np.bool_(True), torch.tensor(3) > 2])
def test_a_claim_that_holds_prints_itself_and_not_the_figures(holds, capsys):
    checkpoint("the loss falls", holds, "from 3.21 to 1.23")
    assert capsys.readouterr().out == "✓ the loss falls\n"


@pytest.mark.parametrize("holds", [False, np.bool_(False), torch.tensor(1) > 2])
def test_a_claim_that_fails_prints_the_figures_and_stops_nothing(holds, capsys):
    checkpoint("the loss falls", holds, "(from 1.2 to 3.4)")
    expected = "✗ not on this run: the loss falls (from 1.2 to 3.4)\n"
    assert capsys.readouterr().out == expected


def test_a_claim_that_fails_without_figures_leaves_no_blank_at_the_end(capsys):
    checkpoint("the loss falls", False)
    assert capsys.readouterr().out == "✗ not on this run: the loss falls\n"
