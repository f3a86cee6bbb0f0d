"""Layers counted by hand; PyTorch's loss and scikit-learn's PCA as referees."""

import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from vae_helpers.models import Autoencoder, mlp
from vae_helpers.objectives import squared_error
from vae_helpers.training import fit

torch.set_num_threads(1)  # for matrices this small, more threads only take turns


def make_images(n, seed=0):
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(seed))


def linear_sizes(module):
    return [(m.in_features, m.out_features) for m in module if isinstance(m, nn.Linear)]


def test_mlp_has_an_activation_between_any_two_layers_and_none_at_the_end():
    kinds = [type(layer) for layer in mlp([6, 5, 4, 3], nn.Tanh)]
    assert kinds == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]
    assert linear_sizes(mlp([6, 5, 4, 3], nn.Tanh)) == [(6, 5), (5, 4), (4, 3)]
    assert [type(layer) for layer in mlp([6, 3], nn.Tanh)] == [nn.Linear]


def test_the_decoder_mirrors_the_encoder():
    model = Autoencoder(2, hidden_sizes=(50, 20))
    assert linear_sizes(model.encoder) == [(784, 50), (50, 20), (20, 2)]
    assert linear_sizes(model.decoder) == [(2, 20), (20, 50), (50, 784)]


def test_encode_decode_and_forward_have_the_documented_shapes():
    model, x = Autoencoder(3, hidden_sizes=(5,)), make_images(4)
    z = model.encode(x)
    assert z.shape == (4, 3)
    assert model.decode(z).shape == (4, 1, 28, 28)
    assert torch.equal(model(x), model.decode(z))


def test_decoded_pixels_keep_their_places():
    model = Autoencoder(784, hidden_sizes=())
    for layer in (model.encoder[0], model.decoder[0]):
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    x = make_images(3)
    torch.testing.assert_close(model(x), x)


@pytest.mark.parametrize("hidden_sizes", [(), (30,)])
def test_only_a_model_without_hidden_layers_is_linear(hidden_sizes):
    torch.manual_seed(0)
    model = Autoencoder(2, hidden_sizes=hidden_sizes).double()
    a, b = make_images(2).double() * 8
    middle = model(torch.stack([(a + b) / 2]))
    is_linear = torch.allclose(middle[0], model(torch.stack([a, b])).mean(0))
    assert is_linear == (hidden_sizes == ())


def test_squared_error_is_one_number_per_image_and_agrees_with_pytorch():
    torch.manual_seed(0)
    model, x = Autoencoder(2, hidden_sizes=(5,)), make_images(6)
    losses = squared_error(model, x)
    assert losses.shape == (6,)
    total = nn.functional.mse_loss(model(x), x, reduction="sum")
    torch.testing.assert_close(losses.mean(), total / 6)
    for image, loss in zip(x.split(1), losses, strict=True):
        alone = nn.functional.mse_loss(model(image), image, reduction="sum")
        torch.testing.assert_close(loss, alone)


def test_a_trained_linear_autoencoder_comes_to_the_error_of_pca_and_never_below():
    """Rank 2 plus noise; by Eckart and Young no linear code of 2 numbers is better."""
    random = torch.Generator().manual_seed(0)
    left_half = (torch.arange(784) % 28 < 14).float()
    brightness = torch.rand(32, 2, generator=random)
    noise = torch.randn(32, 784, generator=random)
    pixels = 0.1 + 0.8 * brightness @ torch.stack([left_half, 1 - left_half])
    pixels = (pixels + 0.05 * noise).clamp(0, 1)
    pca = PCA(2).fit(pixels.numpy())
    kept = torch.tensor(pca.inverse_transform(pca.transform(pixels.numpy())))
    best = (kept - pixels).square().sum(1).mean().item()

    torch.manual_seed(0)
    model, images = Autoencoder(2, hidden_sizes=()), pixels.unflatten(1, (1, 28, 28))
    fit(model, squared_error, images, steps=1500, batch_size=32, lr=3e-3, quiet=True)
    with torch.no_grad():
        error = squared_error(model, images).mean().item()
    assert 0.999 * best <= error < 1.1 * best
