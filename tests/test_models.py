"""Layers counted by hand; PyTorch, its distributions and example, and PCA as referees.

The linear VAE, whose optimum is known, is in test_evaluation.py.
"""

import math
import re

from vae_helpers.densities import reparameterize
from vae_helpers.models import VAE, Autoencoder, mlp
from vae_helpers.objectives import negative_elbo, squared_error
from vae_helpers.training import fit

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from sklearn.decomposition import PCA
from torch import nn
from torch.distributions import Bernoulli, Normal
from torch.nn import functional as F
from torch.testing import assert_close

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


# ── the VAE ─────────────────────────────────────────────────────────────────────────

BERNOULLI = {"likelihood": "bernoulli"}
LEARNED = {"likelihood": "gaussian"}
FIXED = {"likelihood": "gaussian", "sigma": 0.3}
kinds = pytest.mark.parametrize("kind", [BERNOULLI, LEARNED, FIXED])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small_vae(kind, latent_dim=2, hidden_sizes=(5,)):
    torch.manual_seed(0)
    return VAE(latent_dim, hidden_sizes=hidden_sizes, **kind)


def ignore_the_code(model):
    nn.init.zeros_(model.decoder[-1].weight)
    return model


@pytest.mark.parametrize(
    ("model", "trunk", "code", "decoder", "kind"),
    [
        (
            VAE(3, hidden_sizes=(500,), activation=nn.Tanh),  # Kingma & Welling
            [(784, 500)],
            (500, 3),
            [(3, 500), (500, 784)],
            nn.Tanh,
        ),
        (
            VAE(20),  # PyTorch's example
            [(784, 400)],
            (400, 20),
            [(20, 400), (400, 784)],
            nn.ReLU,
        ),
        (
            VAE(10, hidden_sizes=(400, 400), activation=lambda: nn.LeakyReLU(0.2)),
            [(784, 400), (400, 400)],
            (400, 10),
            [(10, 400), (400, 400), (400, 784)],
            nn.LeakyReLU,
        ),
        (
            VAE(50, hidden_sizes=(200, 200), activation=nn.Tanh),  # Burda et al.
            [(784, 200), (200, 200)],
            (200, 50),
            [(50, 200), (200, 200), (200, 784)],
            nn.Tanh,
        ),
        (VAE(2, hidden_sizes=()), [], (784, 2), [(2, 784)], nn.ReLU),
    ],
)
def test_published_variants_have_their_layers(model, trunk, code, decoder, kind):
    """Hidden layers are followed by an activation; mu, logvar and pixels are not."""
    assert linear_sizes(model.trunk) == trunk
    assert linear_sizes([model.to_mu, model.to_logvar]) == [code, code]
    assert linear_sizes(model.decoder) == decoder
    layers = [type(layer) for layer in (*model.trunk, *model.decoder)]
    assert layers == [nn.Linear, kind] * (2 * len(trunk)) + [nn.Linear]


def test_the_vaes_decoder_mirrors_its_encoder():
    model = VAE(2, hidden_sizes=(50, 20))
    assert linear_sizes(model.trunk) == [(784, 50), (50, 20)]
    assert linear_sizes([model.to_mu, model.to_logvar]) == [(20, 2), (20, 2)]
    assert linear_sizes(model.decoder) == [(2, 20), (20, 50), (50, 784)]


class PyTorchExample(nn.Module):
    """The model and the loss of github.com/pytorch/examples, vae/main.py."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 400)
        self.fc21, self.fc22 = nn.Linear(400, 20), nn.Linear(400, 20)
        self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

    def loss(self, x):
        h1 = F.relu(self.fc1(x.view(-1, 784)))
        mu, logvar = self.fc21(h1), self.fc22(h1)
        std = torch.exp(0.5 * logvar)
        z = mu + torch.randn_like(std) * std
        recon = torch.sigmoid(self.fc4(F.relu(self.fc3(z))))
        error = F.binary_cross_entropy(recon, x.view(-1, 784), reduction="sum")
        return error - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def test_vae_20_is_the_model_of_pytorchs_example():
    model, example, x = VAE(20), PyTorchExample(), make_images(6)
    weights = zip(example.state_dict(), model.state_dict().values(), strict=True)
    example.load_state_dict(dict(weights))
    torch.manual_seed(1)
    expected = example.loss(x)
    torch.manual_seed(1)
    assert_close(negative_elbo(model, x).sum(), expected)


@kinds
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_and_number_types_are_as_documented(kind, dtype):
    model, x = small_vae(kind).to(dtype), make_images(4).to(dtype)
    mu, logvar = model.encode(x)
    outputs = {
        (4, 2): [mu, logvar, reparameterize(mu, logvar)],
        (4,): [model.log_likelihood(x, mu)],
        (3, 4): [model.log_likelihood(x, mu.expand(3, 4, 2))],
        (4, 1, 28, 28): [model(x), model.sample(4), model.sample(4, draw_pixels=True)],
    }
    for batch in [(), (0,), (4,), (3, 4)]:
        z = torch.zeros(*batch, 2, dtype=dtype)
        outputs.setdefault((*batch, 1, 28, 28), []).append(model.decode(z))
        outputs[*batch, 1, 28, 28].append(model.pixel_means(z))
    for shape, tensors in outputs.items():
        assert {(tuple(t.shape), t.dtype) for t in tensors} == {(shape, dtype)}


@kinds
def test_everything_stays_on_the_models_device(kind):
    model = small_vae(kind).to("meta")  # a device without numbers, on every machine
    x = torch.empty(4, 1, 28, 28, device="meta")
    z = reparameterize(*model.encode(x))
    draws = [model.sample(2), model.sample(2, draw_pixels=True), model(x), z]
    assert all(tensor.is_meta for tensor in draws)


def test_encoded_and_decoded_pixels_keep_their_places():
    model, x = small_vae(LEARNED, 784, hidden_sizes=()), make_images(3)
    for layer in (model.to_mu, model.decoder[0]):
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    assert_close(model(x), x)


@pytest.mark.parametrize("samples", [(), (3,)])
@kinds
def test_log_likelihood_is_that_of_torch_distributions(kind, samples):
    model, x = small_vae(kind).double(), make_images(4).double()
    z = torch.randn(*samples, 4, 2, generator=seeded()).double()
    output = model.decoder(z).unflatten(-1, (1, 28, 28))
    if kind == BERNOULLI:
        p = Bernoulli(logits=output, validate_args=False)
    else:
        p = Normal(output, kind.get("sigma", 1.0))
    expected = p.log_prob(x).sum((-3, -2, -1))
    assert_close(model.log_likelihood(x, z), expected, rtol=1e-6, atol=0)
    assert_close(model.pixel_means(z), p.mean)


@kinds
def test_forward_decodes_the_mean_and_draws_nothing(kind):
    model, x, before = small_vae(kind), make_images(4), torch.get_rng_state()
    assert torch.equal(model(x), model.pixel_means(model.encode(x)[0]))
    assert torch.equal(torch.get_rng_state(), before)


DRAWS = [
    lambda model, **noise: reparameterize(*model.encode(make_images(3)), **noise),
    lambda model, **noise: model.sample(3, **noise),
    lambda model, **noise: model.sample(3, draw_pixels=True, **noise),
]


@kinds
@pytest.mark.parametrize("draw", DRAWS)
def test_the_generator_or_else_the_global_seed_decides_the_draws(draw, kind):
    model, before = small_vae(kind), torch.get_rng_state()
    a, b, c = (draw(model, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    d, e = draw(model), draw(model)
    assert torch.equal(a, b)
    assert torch.equal(a, d)
    assert not torch.equal(a, c)
    assert not torch.equal(d, e)


@kinds
@pytest.mark.parametrize("draw", DRAWS)
def test_train_and_eval_draw_the_same(draw, kind):
    model = small_vae(kind)
    training = draw(model.train(), generator=seeded())
    assert torch.equal(draw(model.eval(), generator=seeded()), training)


def test_the_noise_of_q_has_standard_deviation_exp_half_logvar():
    for mu, logvar in ((2.0, -3.0), (-1.0, 1.0)):
        q = torch.full((5000, 2), mu), torch.full((5000, 2), logvar)
        z = reparameterize(*q, generator=seeded()).flatten().numpy()
        assert kstest(z, "norm", (mu, math.exp(logvar / 2))).pvalue > 1e-4


def test_samples_decode_draws_from_the_prior():
    model = small_vae(LEARNED, hidden_sizes=())
    nn.init.eye_(model.decoder[0].weight)  # the first two pixels are z
    nn.init.zeros_(model.decoder[0].bias)
    z = model.sample(20_000, generator=seeded()).flatten(1)[:, :2]
    assert all(kstest(values.numpy(), "norm").pvalue > 1e-4 for values in z.T)
    assert abs(torch.corrcoef(z.T)[0, 1]) < 5 / math.sqrt(20_000)


def test_drawn_bernoulli_pixels_are_0_or_1_with_the_pixel_means_as_their_mean():
    model, n = ignore_the_code(small_vae(BERNOULLI)), 4000
    nn.init.uniform_(model.decoder[-1].bias, -3, 3)
    pixels = model.sample(n, draw_pixels=True, generator=seeded())
    p = model.pixel_means(torch.zeros(2)).detach()
    assert set(pixels.unique().tolist()) == {0, 1}
    assert ((pixels.mean(0) - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all()


@pytest.mark.parametrize("sigma", [None, 0.05, 0.3])
def test_drawn_gaussian_pixels_deviate_by_sigma_from_the_mean_of_the_same_z(sigma):
    model = small_vae({"likelihood": "gaussian", "sigma": sigma})
    if sigma is None:
        nn.init.constant_(model.pixel_logvar, 2 * math.log(0.7))
    means = model.sample(200, generator=seeded())
    noise = model.sample(200, draw_pixels=True, generator=seeded()) - means
    noise = noise.flatten().numpy() / (sigma or 0.7)
    assert kstest(noise, "norm").pvalue > 1e-4
    assert abs(noise.std() - 1) < 5 / math.sqrt(2 * noise.size)


def test_a_sample_needs_no_gradients():
    for kind in (BERNOULLI, LEARNED):
        assert not small_vae(kind).sample(2, draw_pixels=True).requires_grad


@kinds
def test_gradients_reach_every_parameter(kind):
    model = small_vae(kind)
    negative_elbo(model, make_images(20)).mean().backward()
    for name, parameter in model.named_parameters():
        if kind == FIXED and name == "pixel_logvar":
            assert parameter.grad is None
        else:
            assert parameter.grad.abs().sum() > 0, name


def test_the_gradient_of_a_learned_sigma_is_that_of_finite_differences():
    model, x, z = small_vae(LEARNED).double(), make_images(4).double(), torch.ones(4, 2)
    model.log_likelihood(x, z.double()).sum().backward()
    values = []
    for logvar in (1e-5, -1e-5):
        nn.init.constant_(model.pixel_logvar, logvar)
        values.append(model.log_likelihood(x, z.double()).sum().item())
    slope = (values[0] - values[1]) / 2e-5
    assert model.pixel_logvar.grad.item() == pytest.approx(slope, rel=1e-6)


def test_fit_learns_a_sigma_unless_it_is_given():
    for kind, starts_at in ((LEARNED, 1.0), (FIXED, 0.3)):
        model = small_vae(kind)
        assert model.pixel_logvar.item() == pytest.approx(2 * math.log(starts_at))
        start = model.pixel_logvar.item()
        fit(model, negative_elbo, make_images(8), steps=3, quiet=True)
        assert (model.pixel_logvar.item() != start) == (kind == LEARNED)


@kinds
def test_a_saved_model_comes_back_with_its_sigma(kind, tmp_path):
    model, x = small_vae(kind), make_images(4)
    if kind == LEARNED:
        nn.init.constant_(model.pixel_logvar, -1.5)
    torch.save(model.state_dict(), tmp_path / "vae.pt")
    other = {**kind, "sigma": 0.9} if kind == FIXED else kind
    loaded = VAE(2, hidden_sizes=(5,), **other)
    loaded.load_state_dict(torch.load(tmp_path / "vae.pt"))
    z = model.encode(x)[0]
    assert torch.equal(loaded.log_likelihood(x, z), model.log_likelihood(x, z))


# ── the start at the mean image ─────────────────────────────────────────────────────


@kinds
def test_an_untrained_decoder_starts_at_the_mean_image(kind):
    images = make_images(9) ** 3
    images[:, 0, 0], images[:, 0, 1] = 0, 1  # never ink, always ink
    model = ignore_the_code(small_vae(kind))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert model.start_at_mean_image(images) is model
    after = model.state_dict()
    mean = images.mean(0)
    if kind == BERNOULLI:
        mean = mean.clamp(0.001, 0.999)
    painted = model.pixel_means(torch.randn(3, 2))
    assert_close(painted, mean.expand(3, 1, 28, 28))
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    sigma_too = {"pixel_logvar"} if kind == LEARNED else set()
    assert changed == {"decoder.2.bias"} | sigma_too
    assert all(value.isfinite().all() for value in after.values())
    if kind == LEARNED:
        deviation = (0.5 * model.pixel_logvar).exp().item()
        assert deviation == pytest.approx(images.sub(mean).square().mean().sqrt())
    assert model.decoder[-1].bias.requires_grad


def test_the_start_at_the_mean_image_is_the_best_picture_that_ignores_the_code():
    for kind in (BERNOULLI, LEARNED):
        model, images = ignore_the_code(small_vae(kind)), make_images(9)
        model.start_at_mean_image(images)
        model.log_likelihood(images, torch.zeros(9, 2)).mean().backward()
        assert_close(model.decoder[-1].bias.grad, torch.zeros(784), rtol=0, atol=1e-5)
        if kind == LEARNED:
            assert model.pixel_logvar.grad.item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("grey", [0.0, 0.4, 1.0])
def test_identical_images_start_at_a_finite_sigma(grey):
    model = small_vae(LEARNED).start_at_mean_image(torch.full((3, 1, 28, 28), grey))
    assert model.pixel_logvar.isfinite()
    assert model.pixel_logvar.item() < math.log(1e-4)  # yet small
    assert model.log_likelihood(make_images(3), torch.zeros(3, 2)).isfinite().all()


# ── images of any shape ─────────────────────────────────────────────────────────────


SHAPES = [(1, 28, 28), (3, 5, 4), (1, 1, 6), (2, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@kinds
def test_a_vae_takes_and_gives_images_of_its_shape(kind, shape):
    torch.manual_seed(0)
    model = VAE(2, hidden_sizes=(5,), image_shape=list(shape), **kind)
    x, n_pixels = torch.rand(6, *shape, generator=seeded()), math.prod(shape)
    assert model.image_shape == shape
    assert linear_sizes(model.trunk) == [(n_pixels, 5)]
    assert linear_sizes(model.decoder) == [(2, 5), (5, n_pixels)]
    mu, _ = model.encode(x)
    assert model(x).shape == model.sample(6, draw_pixels=True).shape == x.shape
    assert model.decode(mu.expand(3, 6, 2)).shape == (3, 6, *shape)
    assert model.log_likelihood(x, mu.expand(3, 6, 2)).shape == (3, 6)
    assert_close(
        model.log_likelihood(x, mu)[1:2], model.log_likelihood(x[1:2], mu[1:2])
    )
    painted = ignore_the_code(model).start_at_mean_image(x)(x)
    assert_close(painted, x.mean(0).clamp(1e-3, 1 - 1e-3).expand_as(x))
    history = fit(model, negative_elbo, x, steps=2, quiet=True)
    assert all(map(math.isfinite, history.losses))


@pytest.mark.parametrize("shape", SHAPES)
def test_an_autoencoder_takes_and_gives_images_of_its_shape(shape):
    torch.manual_seed(0)
    model = Autoencoder(2, hidden_sizes=(5,), image_shape=shape)
    x = torch.rand(6, *shape, generator=seeded())
    assert model.image_shape == shape
    assert (model.encode(x).shape, model(x).shape) == ((6, 2), x.shape)
    before = squared_error(model, x).mean().item()
    fit(model, squared_error, x, steps=50, lr=0.03, quiet=True)
    assert squared_error(model, x).mean().item() < before


COLOUR = (3, 5, 4)


@pytest.mark.parametrize(
    ("shape", "given", "advice"),
    [
        ((1, 28, 28), (9, 784), r"images.reshape(-1, 1, 28, 28) gives"),
        ((1, 28, 28), (9, 28, 28), r"images.reshape(-1, 1, 28, 28) gives"),
        ((1, 28, 28), (9, 28, 28, 1), r"images.reshape(-1, 1, 28, 28) gives"),
        ((1, 28, 28), (1, 28, 28), r"images.reshape(-1, 1, 28, 28) gives"),
        ((1, 28, 28), (9, 3, 28, 28), r"image_shape=(3, 28, 28) builds a model"),
        ((1, 28, 28), (9, 1, 32, 32), r"image_shape=(1, 32, 32) builds a model"),
        ((1, 28, 28), (9, 14, 56), r"image_shape=(14, 56) builds a model"),
        (COLOUR, (9, 60), r"images.reshape(-1, 3, 5, 4) gives"),
        (COLOUR, COLOUR, r"images.reshape(-1, 3, 5, 4) gives"),
        (COLOUR, (9, 5, 4, 3), r"images.permute(0, 3, 1, 2) puts"),
        (COLOUR, (9, 1, 5, 4), r"image_shape=(1, 5, 4) builds a model"),
        (COLOUR, (9, 3, 4, 5), r"image_shape=(3, 4, 5) builds a model"),
    ],
)
def test_images_of_another_shape_are_refused_with_advice_that_works(
    shape, given, advice
):
    images = torch.rand(given)
    wanted = f"images have shape {given}: this model takes (N, {str(shape)[1:]}; "
    for kind in (VAE, Autoencoder):
        model = kind(2, hidden_sizes=(5,), image_shape=shape)
        with pytest.raises(ValueError, match=re.escape(wanted + advice)):
            model.encode(images)
        if advice.startswith("images."):
            model.encode(eval(advice.rpartition(" ")[0]))  # it is code, and works


# ── what is refused ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ({"likelihood": "normal"}, "likelihood is 'normal': say 'bernoulli' or 'gau"),
        ({"sigma": 0.1}, "a Bernoulli pixel has no sigma: say likelihood='gaussian'"),
        ({**LEARNED, "sigma": 0.0}, r"sigma is 0\.0: the standard deviation .* is pos"),
        ({**LEARNED, "sigma": -1}, "sigma is -1: the standard deviation of a pixel"),
        ({**LEARNED, "sigma": math.nan}, "sigma is nan: the standard deviation"),
    ],
)
def test_likelihoods_that_make_no_sense_are_refused(kind, advice):
    with pytest.raises(ValueError, match=advice):
        VAE(2, **kind)


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
@pytest.mark.parametrize(
    ("settings", "error", "advice"),
    [
        ({"latent_dim": 0}, ValueError, "latent_dim is 0: it must be at least 1"),
        ({"latent_dim": -1}, ValueError, "latent_dim is -1: it must be at least 1"),
        ({"latent_dim": "2"}, TypeError, "latent_dim is '2': .* a whole number"),
        ({"latent_dim": 2.0}, TypeError, r"latent_dim is 2\.0: .* a whole number"),
        ({"hidden_sizes": 400}, TypeError, r"hidden_sizes is 400: .*\(400,\) is one"),
        ({"hidden_sizes": None}, TypeError, "hidden_sizes is None: .* a size for each"),
        ({"hidden_sizes": (5, 0)}, ValueError, "a size in hidden_sizes is 0: .* least"),
        (
            {"hidden_sizes": [5.0]},
            TypeError,
            r"in hidden_sizes is 5\.0: .* whole",
        ),
        (
            {"activation": nn.LeakyReLU(0.1)},
            TypeError,
            r"activation is LeakyReLU\(.*, one layer: .* nn\.LeakyReLU without paren",
        ),
    ],
)
def test_sizes_and_activations_that_make_no_model_are_refused(
    kind, settings, error, advice
):
    with pytest.raises(error, match=advice):
        kind(**({"latent_dim": 2} | settings))


def test_numpys_whole_numbers_and_any_sequence_are_sizes():
    model = VAE(np.int64(3), hidden_sizes=np.array([5, 4]))
    assert model(make_images(2)).shape == (2, 1, 28, 28)


def test_the_bernoulli_vae_refuses_pixels_outside_0_and_1():
    model, z = small_vae(BERNOULLI), torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"in \[0, 1\]; divide bytes by 255"):
        model.log_likelihood(2 * make_images(3), z)
    small_vae(LEARNED).log_likelihood(2 * make_images(3), z)


def test_codes_that_do_not_match_are_refused():
    model = small_vae(BERNOULLI)
    with pytest.raises(ValueError, match=r"x must be \(B, …\), and logits the same"):
        model.log_likelihood(make_images(3), torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"mu has .* both must be \(B, D\)"):
        reparameterize(torch.zeros(3, 2), torch.zeros(3, 1))
