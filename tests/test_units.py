"""KL per dimension and active units, on an encoder whose q is known."""

from vae_helpers.densities import gaussian_kl
from vae_helpers.evaluation import active_units, kl_per_dimension, mean_elbo
from vae_helpers.models import VAE

import pytest
import torch
from torch import nn
from torch.testing import assert_close

torch.set_num_threads(1)


class KnownEncoder(nn.Module):
    """mu is a row of a given table, whose number the image holds; logvar is fixed."""

    def __init__(self, mu, logvar):
        super().__init__()
        self.mu, self.logvar = nn.Parameter(mu), nn.Parameter(logvar)

    def encode(self, x):
        mu = self.mu[x.flatten().long()]
        return mu, self.logvar.expand_as(mu)


@pytest.fixture
def known():
    """Standard deviations of mu: 2, exactly the root of 0.01, a little more, and 0."""
    table = torch.tensor([[1.0, 1, 1, 0], [-1, -1, -1, 0]]).repeat(500, 1)
    unbiased = (999 / 1000) ** 0.5
    table = table * unbiased * torch.tensor([2, 0.0999, 0.1001, 0])
    return KnownEncoder(table, torch.tensor([-3.0, 0, 0, 0.5]))


IDS = torch.arange(1000.0).view(1000, 1)


def test_kl_of_each_dimension_is_that_of_torch_distributions(known):
    q = torch.distributions.Normal(known.mu, (0.5 * known.logvar).exp())
    prior = torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(q, prior).mean(0).detach()
    assert_close(kl_per_dimension(known, IDS).float(), expected)


def test_a_unit_is_active_where_the_variance_of_mu_exceeds_the_threshold(known):
    assert active_units(known, IDS).tolist() == [True, False, True, False]
    assert active_units(known, IDS, 0.0099).tolist() == [True, True, True, False]
    assert active_units(known, IDS, 5).sum() == 0
    at_it = KnownEncoder(torch.tensor([[0.0], [2.0]]), torch.zeros(1))
    assert not active_units(at_it, IDS[:2], 2.0)  # the variance is 2: not above it


@pytest.mark.parametrize("function", [kl_per_dimension, active_units])
def test_unequal_batches_change_nothing_and_no_images_are_refused(known, function):
    whole = function(known, IDS, batch_size=1000)
    assert_close(function(known, IDS, batch_size=300), whole)
    with pytest.raises(ValueError, match="there are no images to evaluate"):
        function(known, IDS[:0])


def test_one_image_has_a_kl_but_no_variance(known):
    alone = kl_per_dimension(known, IDS[1:2])
    assert_close(alone.sum().float(), gaussian_kl(*known.encode(IDS[1:2]))[0].detach())
    with pytest.raises(ValueError, match="active_units needs at least two"):
        active_units(known, IDS[:1])


def test_the_dimensions_add_up_to_the_kl_of_mean_elbo():
    torch.manual_seed(0)
    model, images = VAE(5, hidden_sizes=(8,)), torch.rand(30, 1, 28, 28)
    total = kl_per_dimension(model, images).sum().item()
    assert total == pytest.approx(mean_elbo(model, images).kl, rel=1e-5)
    assert not kl_per_dimension(model, images).requires_grad
