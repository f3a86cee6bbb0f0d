"""Explorers, Python's half: what is refused, what is sent, what is kept.

The browser's half is driven in test_browser_explorer.py.
"""

import base64
import hashlib
import html
import io
import json
import math
import re
from html.parser import HTMLParser

from vae_helpers.explorers import LatentExplorer, PosteriorExplorer, packing
from vae_helpers.explorers.latent import tile_plane
from vae_helpers.explorers.packing import freeze_decoder, pack_decoder
from vae_helpers.explorers.page import SCRIPT
from vae_helpers.models import VAE, Autoencoder
from vae_helpers.plots import CLASS_COLORS, COLORS
from vae_helpers.stills import WIDGET

import nbclient
import nbformat.v4
import numpy as np
import pytest
import torch
import traitlets
from explorer_models import MODELS, make_model, make_model_of_shape
from matplotlib.colors import to_rgba
from PIL import Image
from save_notebooks import DRIVE_SLIDERS, find_faults, normalise
from torch import nn
from torch.distributions import Normal

HOSTILE = "</script><script>alert(1)</script> <b>&amp; \"quoted\" 'x' $x_1$"


@pytest.fixture(scope="module")
def posterior_explorer():
    return PosteriorExplorer(make_model("linear"), torch.rand(1, 28, 28) / 4)


def random_codes(n=300, d=2):
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(n, d, generator=generator)
    return codes, torch.arange(n) % 10


# ── the weights that travel ─────────────────────────────────────────────────────────


def decode_as_packed(packed, z):
    """NumPy's reading of what `pack_decoder` wrote: points (n, D) → pixels (n, 784)."""
    floats = np.frombuffer(packed["floats"], "<f4")
    integers = np.frombuffer(packed["integers"], "<i2")
    h = np.asarray(z, float)
    for layer in packed["layers"]:
        match layer["kind"]:
            case "linear":
                n_in, n_out = layer["n_in"], layer["n_out"]
                scale, bias, floats = np.split(floats, [n_out, 2 * n_out])
                weight, integers = np.split(integers, [n_in * n_out])
                h = h @ (weight.reshape(n_out, n_in) * scale[:, None]).T + bias
            case "leaky_relu":
                h = np.where(h > 0, h, layer["slope"] * h)
            case "tanh":
                h = np.tanh(h)
    assert len(floats) == len(integers) == 0
    if packed["output"] == "sigmoid":
        return 1 / (1 + np.exp(-h))
    return h.clip(0, 1)


@pytest.mark.parametrize("name", MODELS)
def test_the_packed_weights_decode_to_the_same_image_to_within_half_a_grey(name):
    model = make_model(name)
    z = 2 * torch.randn(100, model.decoder[0].in_features)
    with torch.no_grad():
        expected = model.decode(z)
        if name != "autoencoder":
            expected = model.pixel_means(z)
    found = decode_as_packed(pack_decoder(model), z)
    error = np.abs(found - expected.clamp(0, 1).flatten(1).numpy()).max()
    assert error < 0.5 / 255


def test_a_plain_decoder_without_biases_or_a_shape_is_packed():
    model = nn.Module()
    model.decoder = nn.Sequential(nn.Linear(2, 784, bias=False))
    z, packed = torch.randn(9, 2), pack_decoder(model)
    assert packed["shape"] == (1, 28, 28)
    expected = model.decoder(z).detach().clamp(0, 1).numpy()
    np.testing.assert_allclose(decode_as_packed(packed, z), expected, atol=0.002)


def test_the_explorer_keeps_the_weights_that_the_model_had():
    model = make_model("relu")
    explorer = LatentExplorer(model, z=[0.3, -0.4])
    image, sent = explorer.image.copy(), explorer._setup["decoder"]["integers"]
    with torch.no_grad():
        expected = model.pixel_means(torch.tensor([[0.3, -0.4]]))[0, 0].numpy()
        model.decoder[0].weight.zero_()
    np.testing.assert_array_equal(explorer.image, image)
    np.testing.assert_allclose(image, expected, atol=1e-6)
    assert explorer._setup["decoder"]["integers"] == sent


def test_other_decoders_are_refused_with_the_list_of_what_works():
    model = VAE(2, activation=nn.GELU)
    with pytest.raises(TypeError, match=r"nn\.Tanh and nn\.Sigmoid, not of GELU"):
        LatentExplorer(model)
    with pytest.raises(TypeError, match="not of NoneType"):
        LatentExplorer(nn.Linear(2, 784))
    model.decoder = nn.Sequential(nn.Linear(2, 783))
    with pytest.raises(TypeError, match=r"image_shape \(1, 28, 28\), with one channel"):
        LatentExplorer(model)


@pytest.mark.parametrize("shape", [(1, 20, 28), (3, 8, 12)])
def test_images_need_be_neither_square_nor_grey(shape, tmp_path):
    model = make_model_of_shape(shape)
    explorer = LatentExplorer(model, z=[0.5, -1.0], background="manifold")
    assert explorer._setup["decoder"]["shape"] == shape
    with torch.no_grad():
        pixels = model.decoder(torch.tensor([0.5, -1.0])).sigmoid().view(shape)
    expected = pixels[0] if shape[0] == 1 else pixels.movedim(0, -1)
    np.testing.assert_allclose(explorer.image, expected, atol=1e-6)
    tiles = tile_plane(freeze_decoder(model), [(-3, 3), (-3, 3)], n_tiles=2)
    side = max(shape[1:])
    assert tiles.shape[:2] == (2 * side, 2 * side)  # the images lie in squares
    assert explorer.to_html(tmp_path / "page.html").exists()
    assert Image.open(io.BytesIO(explorer.png)).size[0] > 600


# ── one description on both sides ───────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["Decoder", "Latent", "Codes", "Class", "Posterior"])
def test_what_javascript_reads_is_what_python_sends(name):
    described = describe_in_javascript(f"{name}Setup")
    assert described == set(getattr(packing, f"{name}Setup").__annotations__)


def test_an_explorer_sends_what_is_described(posterior_explorer):
    codes, labels = random_codes()
    setup = LatentExplorer(make_model("relu"), codes, labels)._setup
    assert set(setup) == describe_in_javascript("LatentSetup")
    assert set(setup["codes"]) == describe_in_javascript("CodesSetup")
    assert set(setup["classes"][0]) == describe_in_javascript("ClassSetup")
    assert set(setup["decoder"]) == describe_in_javascript("DecoderSetup")
    sent = posterior_explorer._setup
    assert set(sent) == describe_in_javascript("PosteriorSetup")
    assert set(sent["grid"]) == describe_in_javascript("GridSetup")
    assert set(sent["best"]) == set(sent["encoder"]) == {"mu", "sigma"}


def describe_in_javascript(name):
    """The properties of a `@typedef` in the browser's half."""
    (comment,) = re.findall(rf"@typedef {{object}} {name}\n(.*?)\*/", SCRIPT, re.S)
    return set(re.findall(r"@property \{.*\} (\w+)", comment))


def test_every_colour_of_a_quantity_comes_from_the_palette(posterior_explorer):
    for color in COLORS.values():
        if color != COLORS["log_px"]:  # also the colour of text
            assert color not in SCRIPT
    assert posterior_explorer._setup["colors"] == COLORS
    shades = np.frombuffer(posterior_explorer._setup["shades"], np.uint8)
    assert shades.reshape(256, 3)[0].tolist() == [255, 255, 255]


# ── z, codes and limits ─────────────────────────────────────────────────────────────


def test_z_is_read_and_set_from_python_and_by_the_browser():
    explorer = LatentExplorer(make_model("relu"))
    assert explorer.z == [0, 0]
    seen = []
    explorer.observe(lambda change: seen.append(change.new), names="z")
    explorer.z = np.array([0.5, -1.25])
    explorer.z = torch.tensor([1.0, 2.0])
    explorer.set_state({"z": [3, 4.5]})
    assert seen == [[0.5, -1.25], [1.0, 2.0], [3.0, 4.5]]
    assert repr(explorer) == "LatentExplorer(z=[3, 4.5])"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ([1.0], "must be 2 numbers"),
        ([1, 2, 3], "must be 2 numbers"),
        ([[1, 2]], "must be 2 numbers"),
        ("ab", "must be 2 numbers"),
        ([1, None], "not finite|must be 2 numbers"),
        ([1, math.nan], "not finite"),
        ([math.inf, 0], "not finite"),
    ],
)
def test_a_bad_z_is_refused_and_changes_nothing(bad, why):
    explorer = LatentExplorer(make_model("relu"), z=[1, 2])
    with pytest.raises(traitlets.TraitError, match=why):
        explorer.z = bad
    assert explorer.z == [1, 2]
    with pytest.raises(traitlets.TraitError, match=why):
        LatentExplorer(make_model("relu"), z=bad)


def test_arguments_that_do_not_fit_are_refused():
    model = make_model("relu")
    codes, labels = random_codes()
    for arguments, why in [
        ({"codes": codes[:, :1]}, r"codes has shape \(300, 1\): it must be \(N, 2\)"),
        ({"codes": codes / 0}, "not finite"),
        ({"labels": labels}, "labels without codes"),
        ({"codes": codes, "labels": labels[1:]}, "300 whole numbers"),
        ({"codes": codes, "labels": labels / 2}, "300 whole numbers"),
        ({"codes": codes, "labels": torch.arange(300)}, "300 classes"),
        ({"background": "space"}, "say 'codes' or 'manifold'"),
        ({"slider_names": ["only one"]}, "1 names for 2 dimensions"),
        ({"limits": (1, 1)}, "say \\(lowest, highest\\)"),
        ({"limits": (0, math.inf)}, "finite"),
    ]:
        with pytest.raises(ValueError, match=why):
            LatentExplorer(model, **arguments)
    with pytest.raises(ValueError, match="give codes="):
        LatentExplorer(Autoencoder(2))


def test_the_map_has_equal_scales_and_holds_the_codes():
    codes, labels = random_codes()
    codes[:, 0] *= 5
    explorer = LatentExplorer(make_model("autoencoder"), codes, labels)
    (low1, high1), (low2, high2) = explorer.limits["z"]
    assert high1 - low1 == pytest.approx(high2 - low2)
    inside = (codes[:, 0] > low1) & (codes[:, 0] < high1)
    assert inside.float().mean() > 0.98


def test_a_sent_class_has_its_colour_and_its_median():
    codes, labels = random_codes()
    setup = LatentExplorer(make_model("relu"), codes, labels + 3)._setup
    assert [part["name"] for part in setup["classes"]] == [str(n) for n in range(3, 13)]
    median = np.median(codes[labels == 4], axis=0)
    np.testing.assert_allclose(setup["classes"][4]["median"], median, atol=1e-6)
    assert setup["classes"][0]["color"] == setup["classes"][0]["color"].lower()
    places = np.frombuffer(setup["codes"]["places"], "<f4").reshape(-1, 2)
    np.testing.assert_array_equal(places, codes.numpy())


def test_codes_without_labels_are_one_nameless_class():
    codes = random_codes()[0].numpy()
    (only,) = packing.pack_codes(codes, None)[1]
    assert (only["name"], only["color"]) == ("", CLASS_COLORS[0])
    np.testing.assert_array_equal(only["median"], np.median(codes, axis=0))


def test_classes_have_names_where_labels_are_letters():
    codes, _ = random_codes(26 * 12)
    labels, letters = torch.arange(26 * 12) % 26, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    model = make_model("relu")
    explorer = LatentExplorer(model, codes, labels, class_names=letters)
    assert [part["name"] for part in explorer._setup["classes"]] == list(letters)
    plane = explorer._draw_still().axes[0]
    assert {text.get_text() for text in plane.texts} == set(letters)
    with pytest.raises(ValueError, match="25 names for labels from 0 to 25"):
        LatentExplorer(model, codes, labels, class_names=letters[:25])
    with pytest.raises(ValueError, match="class_names without labels"):
        LatentExplorer(model, codes, class_names=letters)


# ── what a notebook keeps ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("options", [{}, {"background": "manifold"}, {"n": 10}])
def test_the_still_picture_shows_the_decoded_image_and_follows_z(options):
    options = dict(options)
    n = options.pop("n", 2)
    explorer = LatentExplorer(
        make_model("ten" if n == 10 else "relu"), title=HOSTILE, **options
    )
    before = explorer.png
    explorer.z = [1.0] * n
    assert explorer.png != before
    width, height = Image.open(io.BytesIO(explorer.png)).size
    assert width <= 1050
    assert height <= 650
    assert len(explorer._alt) >= 20


def test_the_still_manifold_has_each_image_in_its_place():
    model = make_model("relu")
    ends = [(-3, 3), (0, 6)]
    tiles = tile_plane(freeze_decoder(model), ends, n_tiles=3)
    for row, column, z in [(0, 0, (-2, 5)), (0, 2, (2, 5)), (2, 1, (0, 1))]:
        tile = tiles[28 * row : 28 * row + 28, 28 * column : 28 * column + 28]
        with torch.no_grad():
            expected = model.pixel_means(torch.tensor([z]).float())[0, 0]
        np.testing.assert_allclose(tile, expected, atol=1e-5)


CELL = """
import torch
from vae_helpers.models import VAE
from vae_helpers.explorers import LatentExplorer, PosteriorExplorer
model = VAE(2, hidden_sizes=(10,))
LatentExplorer(model, title="A map", alt="A map of a model that has learned nothing.")
"""
SECOND = "PosteriorExplorer(model, torch.zeros(1, 28, 28))"


def test_the_saved_notebook_keeps_one_picture_and_no_widget(tmp_path):
    cells = [nbformat.v4.new_code_cell(code) for code in (CELL, SECOND, DRIVE_SLIDERS)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    folder = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=60, resources=folder).execute()
    notebook.cells.pop()
    for cell in notebook.cells:
        shown = [set(output.data) - {"text/plain"} for output in cell.outputs]
        assert shown == [{"image/png"}, {"text/html"}, {WIDGET}]
    normalise(notebook)
    assert find_faults(notebook) == []
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        output, text = cell.outputs
        assert set(output.data) == {"image/png", "text/plain"}
        assert set(text.data) == {"text/html"}  # for screen readers
        assert output.metadata["image/png"]["alt"] == output.data["text/plain"]
    alt = notebook.cells[0].outputs[0].data["text/plain"]
    assert alt == "A map of a model that has learned nothing."


# ── the page of its own ─────────────────────────────────────────────────────────────


class Page(HTMLParser):
    """Tags with their attributes, and the text of each script, style and title."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self._open = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        kind = dict(attributes).get("type", tag)
        self._open = kind if tag in ("script", "style", "title") else None

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, text):
        if self._open:
            self.texts[self._open] = self.texts.get(self._open, "") + text


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    codes, labels = random_codes()
    explorer = LatentExplorer(
        make_model("leaky"),
        codes,
        labels,
        z=[0.25, -0.5],
        title=HOSTILE,
        slider_names=[HOSTILE, "z₂"],
        alt=HOSTILE,
    )
    assert explorer.to_html(path) == path
    return explorer, path


def test_hostile_titles_names_and_alt_stay_text(written):
    explorer, path = written
    page = Page(path.read_text("utf-8"))
    assert page.texts["title"] == HOSTILE
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert "b" not in [tag for tag, _ in page.tags]
    state = json.loads(page.texts["application/json"])
    assert state["_setup"]["title"] == state["_setup"]["names"][0] == HOSTILE
    assert state["z"] == [0.25, -0.5]
    sent = base64.b64decode(state["_setup"]["decoder"]["integers"]["base64"])
    assert sent == explorer._setup["decoder"]["integers"]
    (still,) = (attributes for tag, attributes in page.tags if tag == "img")
    assert still["alt"] == HOSTILE
    assert html.escape(HOSTILE) in path.read_text("utf-8")


def test_the_page_needs_nothing_else_and_allows_nothing_else(written):
    _, path = written
    assert path.stat().st_size < 2_000_000
    text = path.read_text("utf-8")
    page = Page(text)
    assert ("html", {"lang": "en"}) in page.tags
    links = [a.get(k) for _, a in page.tags for k in ("src", "href") if k in a]
    assert all(link.startswith("data:") for link in links)
    assert not re.search(r"https?://|//cdn|@import|url\(", text)
    code = page.texts["module"]
    assert not re.search(r"\beval\b|Function\(|innerHTML|document\.write|fetch\(", code)
    policy = next(a["content"] for _, a in page.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for kind in ("module", "style"):
        digest = hashlib.sha256(page.texts[kind].encode()).digest()
        assert f"'sha256-{base64.b64encode(digest).decode()}'" in policy


# ── the posterior; its mathematics is tested in test_exact_posterior.py ──────────────


def test_a_posterior_explorer_refuses_what_does_not_fit(posterior_explorer):
    with pytest.raises(TypeError, match="a VAE with two latent dimensions"):
        PosteriorExplorer(VAE(3), torch.zeros(1, 28, 28))
    with pytest.raises(TypeError, match="a VAE with two latent dimensions"):
        PosteriorExplorer(Autoencoder(2), torch.zeros(1, 28, 28))
    with pytest.raises(ValueError, match=r"x has shape \(2, 1, 28, 28\)"):
        PosteriorExplorer(VAE(2), torch.zeros(2, 1, 28, 28))
    with pytest.raises(traitlets.TraitError, match="the grid holds"):
        posterior_explorer.sigma = [0.1, 1e-6]
    with pytest.raises(traitlets.TraitError, match="the grid holds"):
        posterior_explorer.mu = [99, 0]


def test_a_posterior_explorer_has_a_still_picture_and_a_page(
    posterior_explorer, tmp_path
):
    assert len(posterior_explorer._alt) >= 20
    assert Image.open(io.BytesIO(posterior_explorer.png)).size[0] > 600
    path = posterior_explorer.to_html(tmp_path / "page.html")
    assert path.stat().st_size < 2_000_000
    assert repr(posterior_explorer).startswith("PosteriorExplorer(mu=[")


def make_model_with_encoder(mu, sigma):
    """A linear model whose encoder answers N(mu, diag sigma²) whatever the image."""
    model = make_model("linear")
    with torch.no_grad():
        for head, target in (
            (model.to_mu, torch.tensor(mu)),
            (model.to_logvar, 2 * torch.tensor(sigma).log()),
        ):
            head.weight.zero_()
            head.bias.copy_(target)
        x = model.pixel_means(torch.tensor([[0.4, -0.9]]))[0]
    return model, x


@pytest.mark.parametrize(
    ("mu", "sigma", "window"),
    [
        ((0.3, -0.8), (0.02, 0.03), (2.0, 2.0, 0.5)),  # outside the window
        ((0.3, -0.8), (0.0016, 0.0016), None),  # too narrow for the grid
        ((0.3, -0.8), (0.4, 0.3), (0.3, -0.8, 0.6)),  # too wide for the window
    ],
)
def test_an_encoders_q_that_the_grid_cannot_hold_is_exact_and_told(mu, sigma, window):
    model, x = make_model_with_encoder(mu, sigma)
    explorer = PosteriorExplorer(model, x, window=window)
    assert explorer.encoder_q == (pytest.approx(mu), pytest.approx(sigma))
    q = Normal(torch.tensor(mu).double(), torch.tensor(sigma).double())
    z = q.sample((20_000,))  # an estimate that knows no grid
    with torch.no_grad():
        log_px_z = model.log_likelihood(x.expand(len(z), *x.shape), z.float()).double()
    terms = log_px_z + (Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)).sum(1)
    tolerance = 5 * terms.std().item() / len(z) ** 0.5
    assert explorer.encoder_elbo == pytest.approx(terms.mean().item(), abs=tolerance)
    assert (explorer.mu, explorer.sigma) == explorer.best_q
    note = explorer._setup["note"]
    assert "not shown" in note
    assert f"{explorer.encoder_elbo:.2f}".replace("-", "−") in note
    assert all(f"{s:.3g}" in note for s in sigma)
    assert explorer._setup["encoder"]["sigma"] == pytest.approx(sigma)
    drawn = explorer._draw_still()
    assert note in [text.get_text().replace("\n", " ") for text in drawn.texts]


def test_an_encoders_q_that_the_grid_holds_is_where_it_starts():
    model, x = make_model("linear"), torch.rand(1, 28, 28) / 4
    explorer = PosteriorExplorer(model, x)
    with torch.no_grad():
        mu, logvar = model.encode(x[None])
    assert explorer.mu == pytest.approx(mu[0].tolist())
    assert explorer.sigma == pytest.approx((0.5 * logvar[0]).exp().tolist())
    assert explorer.encoder_elbo == pytest.approx(explorer.elbo, abs=1e-3)
    assert explorer._setup["note"] == ""


def test_the_still_posterior_has_the_bar_that_its_alt_text_promises():
    model, x = make_model_with_encoder((1.2, -0.1), (0.2, 0.3))
    explorer = PosteriorExplorer(model, x)
    assert "a bar of its ELBO and KL" in explorer._alt
    log_px = explorer.grid.log_px
    for elbo in (explorer.elbo, log_px - 1e4):  # the second is off the scale
        explorer.grid.elbo = lambda mu, sigma, elbo=elbo: torch.tensor(elbo)
        (bar,) = [ax for ax in explorer._draw_still().axes if ax.patches]
        first, second = (patch.get_bbox() for patch in bar.patches)
        colors = [to_rgba(COLORS[name]) for name in ("elbo", "kl")]
        assert [patch.get_facecolor() for patch in bar.patches] == colors
        seen = max(elbo, bar.get_xlim()[0])
        assert (first.x1, second.x0) == (pytest.approx(seen), pytest.approx(seen))
        assert second.x1 == pytest.approx(log_px)
        texts = bar.get_legend().get_texts()
        words = [text.get_text().replace("−", "-") for text in texts]
        assert f"{elbo:.2f}" in words[0]
        assert f"{log_px - elbo:.2f}" in words[1]
        assert f"{log_px:.2f}" in words[2]
