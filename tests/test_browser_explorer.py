"""Explorers in a real browser: in JupyterLab, and as pages of their own.

Needs Chromium and `pip install -e '.[browser]'`; skipped without them, never in CI.
"""

import base64
import io
import json
import re
from pathlib import Path

from vae_helpers.explorers import LatentExplorer, PosteriorExplorer
from vae_helpers.explorers.packing import pack_decoder, to_base64
from vae_helpers.explorers.page import SCRIPT
from vae_helpers.plots import CLASS_COLORS, COLORS, spread_apart

import numpy as np
import pytest
import torch
from browser import (
    chromium,
    expect,
    jupyterlab,
    run_cell,
    skip_without_browser,
    wait_until,
    write_notebook,
)
from explorer_models import MODELS, make_model, make_model_of_shape
from matplotlib.colors import to_rgb
from PIL import Image

pytestmark = skip_without_browser
MODULE = f"{SCRIPT}\nexport {{ makeDecoder, makeMeter, spreadApart }};"
CELLS = [
    """
import sys
sys.path.insert(0, TESTS)
import torch
from explorer_models import make_model
from vae_helpers.explorers import LatentExplorer, PosteriorExplorer
codes = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
labels = torch.arange(500) % 10
model = make_model("relu")
explorer = LatentExplorer(model, codes, labels, title="<b>A map</b>", limits=(-4, 4))
explorer
""",
    "print('read', explorer.z, two.z)",
    "explorer.z = [1.5, -0.5]",
    "two = LatentExplorer(make_model('ten')); two",
]


# ── the module on its own ───────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def script(browser):
    """An empty page that can call the module's functions: `script(body, argument)`."""
    page = browser.new_page()
    code = base64.b64encode(MODULE.encode()).decode()
    address = f"data:text/javascript;base64,{code}"

    def call(body, argument):
        text = json.dumps(argument, default=to_base64)
        return page.evaluate(
            f"""async (text) => {{
                const module = await import("{address}");
                return (({body}))(module, JSON.parse(text));
            }}""",
            text,
        )

    yield call
    page.close()


@pytest.mark.parametrize("name", MODELS)
def test_the_browser_decodes_what_python_decodes(script, name):
    model = make_model(name)
    packed = pack_decoder(model)
    z = 2 * torch.randn(20, packed["layers"][0]["n_in"])
    images = script(
        "(module, [packed, points]) => points.map("
        "(z) => [...module.makeDecoder(packed)(z)])",
        [packed, z.tolist()],
    )
    with torch.no_grad():
        means = model.decode(z) if name == "autoencoder" else model.pixel_means(z)
    expected = means.clamp(0, 1).flatten(1).numpy()
    assert np.abs(np.array(images) - expected).max() < 0.5 / 255
    assert expected.std(axis=0).max() > 0.05  # the images do differ


def test_numerals_step_aside_for_each_other_and_the_cross(script):
    homes = np.random.default_rng(0).normal((200, 180), 25, (10, 2))
    cross, box = homes[3], [46, 8, 346, 346]
    places = script(
        "(module, [homes, cross, box]) =>"
        " module.spreadApart(homes, 25, cross, 30, box)",
        [homes.tolist(), cross.tolist(), box],
    )
    gaps = np.linalg.norm(np.array(places)[:, None] - places, axis=-1)
    assert gaps[np.triu_indices(10, 1)].min() > 24
    assert np.linalg.norm(places - cross, axis=1).min() > 29
    expected = spread_apart(homes, 25, clear_of=cross, berth=30)  # as in the figures
    np.testing.assert_allclose(places, expected, atol=1e-6)
    outside = script(
        "(module, [homes, cross, box]) =>"
        " module.spreadApart(homes, 25, cross, 30, box)",
        [[[0, 0], [500, 200]], cross.tolist(), box],
    )
    assert outside == [[46 + 12.5, 8 + 12.5], [392 - 12.5, 200]]


@pytest.mark.parametrize("name", ["relu", "linear"])
def test_elbo_and_kl_add_up_to_log_px_wherever_q_is_put(script, name):
    model = make_model(name)
    with torch.no_grad():
        x = model.pixel_means(torch.tensor([[0.4, -0.9]]))[0].clamp(0, 1).round()
    explorer = PosteriorExplorer(model, x)
    rng = np.random.default_rng(0)
    mu, sigma = explorer.limits["mu"], explorer.limits["sigma"]
    draws = [
        {
            "mu": rng.uniform(*np.transpose(mu)).tolist(),
            "sigma": rng.uniform(*np.transpose(sigma)).tolist(),
        }
        for _ in range(40)
    ]
    narrow, wide = sigma[0]
    for m1 in mu[0]:  # the corners of what the sliders allow
        for m2 in mu[1]:
            for s in ([narrow, narrow], [wide, wide], [narrow, wide]):
                draws.append({"mu": [m1, m2], "sigma": s})
    found = script(
        "(module, [setup, draws]) => draws.map(module.makeMeter(setup))",
        [explorer._setup, draws],
    )
    for q, terms in zip(draws, found, strict=True):
        total = terms["elbo"] + terms["kl"]
        assert total == pytest.approx(explorer.grid.log_px, abs=1e-3)
        assert terms["kl"] > -1e-3
        explorer.mu, explorer.sigma = q["mu"], q["sigma"]
        assert terms["elbo"] == pytest.approx(explorer.elbo, abs=1e-3)
    best, _ = script(
        "(module, [setup, draws]) => draws.map(module.makeMeter(setup))",
        [explorer._setup, [explorer._setup["best"], explorer._setup["encoder"]]],
    )
    assert best["elbo"] >= max(terms["elbo"] for terms in found) - 1e-6


# ── pages of their own ──────────────────────────────────────────────────────────────


def open_page(browser, path, **options):
    """The page from the disk, without a network; a list of what it asked for."""
    context = browser.new_context(offline=True, **options)
    page = context.new_page()
    asked, faults = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda message: message.type == "error" and faults.append(message.text),
    )
    page.goto(path.as_uri())
    return page, asked, faults


def pixels(page, index=-1, picture=".vae-picture canvas"):
    """What a picture's canvas shows, 0 black to 255 white: (height, width, 3)."""
    address = (
        page.locator(picture).all()[index].evaluate("(canvas) => canvas.toDataURL()")
    )
    png = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def shows(page, image):
    """Whether the last picture is this one: (H, W) as ink, (H, W, 3) in colour."""
    expected = image if image.ndim == 3 else 1 - image[:, :, None]
    return np.abs(pixels(page) / 255 - expected).max() <= 1 / 255


def read_out(page):
    return page.locator(".vae-readout").first


def on_map(page, x, y):
    """Where a place of the map, 400 wide as it is drawn, lies in the window."""
    box = page.locator(".vae-map").first.bounding_box()
    return box["x"] + x * box["width"] / 400, box["y"] + y * box["width"] / 400


def press_on_map(page, x, y):
    page.mouse.move(*on_map(page, x, y))
    page.mouse.down()


@pytest.mark.parametrize("name", ["relu", "leaky", "tanh", "ten", "autoencoder"])
def test_the_page_draws_what_python_decodes_and_asks_for_nothing(
    browser, name, tmp_path
):
    model = make_model(name)
    n = model.decoder[0].in_features
    z = [0.7, -1.3, 0.2, 1.0, -0.4, 0.9, -1.1, 0.3, 0.5, -0.6][:n]
    explorer = LatentExplorer(model, z=z, limits=(-3, 3), title="<i>A page</i>")
    path = explorer.to_html(tmp_path / "page.html")
    assert path.stat().st_size < 2_000_000
    page, asked, faults = open_page(browser, path)
    assert shows(page, explorer.image)
    for d in range(n):  # every slider is alive
        slider = page.get_by_role("slider").nth(d)
        slider.focus()
        page.keyboard.press("Home" if d % 2 else "End")
        z[d] = -3.0 if d % 2 else 3.0
        explorer.z = z
        wait_until(lambda: shows(page, explorer.image))
        end = "−3.00" if d % 2 else "3.00"
        expect(slider).to_have_attribute("aria-valuetext", end)
    page.get_by_role("button", name="reset").click()
    explorer.z = explorer._setup["start"]
    wait_until(lambda: shows(page, explorer.image))
    expect(page.get_by_role("heading")).to_have_text("<i>A page</i>")
    assert [url for url in asked if url != path.as_uri()] in ([], ["data:,"])
    assert faults == []
    page.context.close()


@pytest.mark.parametrize("shape", [(1, 20, 28), (3, 8, 12)])
def test_the_page_draws_images_of_any_shape(browser, shape, tmp_path):
    explorer = LatentExplorer(
        make_model_of_shape(shape), z=[0.5, -1.0], background="manifold"
    )
    path = explorer.to_html(tmp_path / "page.html")
    page, _, faults = open_page(browser, path)
    assert pixels(page).shape == (*shape[1:], 3)
    assert shows(page, explorer.image)
    assert explorer.image.std() > 0.05
    assert faults == []
    page.context.close()


def test_the_page_follows_pointer_touch_and_keys(browser, tmp_path):
    explorer = LatentExplorer(make_model("relu"), background="manifold", limits=(-3, 3))
    page, _, faults = open_page(
        browser, explorer.to_html(tmp_path / "page.html"), has_touch=True
    )
    # On the canvas the plane goes from 46 to 392 and, downwards, from 8 to 354.
    page.touchscreen.tap(*on_map(page, 46 + 346 * 0.75, 8 + 346 * 0.25))
    expect(read_out(page)).to_have_text("z = (1.50, 1.50)")
    page.keyboard.press("ArrowLeft")  # the tap has given the map the focus
    page.keyboard.press("Shift+ArrowDown")
    expect(read_out(page)).to_have_text("z = (1.40, 1.00)")
    explorer.z = [1.4, 1.0]
    wait_until(lambda: shows(page, explorer.image))
    press_on_map(page, 200, 200)
    page.mouse.move(*on_map(page, 5000, -5000))  # far outside: to the corner
    expect(read_out(page)).to_have_text("z = (3.00, 3.00)")
    page.mouse.up()
    page.mouse.move(*on_map(page, 100, 100))
    page.wait_for_timeout(200)
    expect(read_out(page)).to_have_text("z = (3.00, 3.00)")
    expect(page.locator(".vae-map")).to_have_role("application")
    expect(page.locator(".vae-map")).to_have_accessible_name(re.compile("Arrow keys"))
    expect(read_out(page)).to_have_attribute("aria-live", "polite")
    assert faults == []
    page.context.close()


def map_pixels(page):
    """The map as drawn, two dots a pixel, brought to one: (400, 400, 3)."""
    return pixels(page, 0, ".vae-map").reshape(400, 2, 400, 2, 3).mean(axis=(1, 3))


def test_the_manifold_lies_where_its_points_are(browser, tmp_path):
    explorer = LatentExplorer(make_model("tanh"), background="manifold", limits=(-3, 3))
    page, _, _ = open_page(browser, explorer.to_html(tmp_path / "page.html"))
    drawn = map_pixels(page).mean(axis=2)
    size = 346 / 18
    for row, column in [(0, 0), (0, 17), (17, 0), (2, 9), (15, 4)]:
        explorer.z = [-3 + (column + 0.5) / 3, 3 - (row + 0.5) / 3]
        top, left = round(8 + row * size), round(46 + column * size)
        tile = drawn[top : top + 19, left : left + 19]
        expected = Image.fromarray(255 * (1 - explorer.image)).resize((19, 19))
        alike = np.corrcoef(
            tile[2:-2, 2:-2].ravel(), np.array(expected)[2:-2, 2:-2].ravel()
        )
        assert alike[0, 1] > 0.4  # another image: below 0.1
    page.context.close()


def test_codes_lie_where_they_are_in_the_colour_of_their_class(browser, tmp_path):
    codes = torch.tensor([[2.0, 1.0], [2.0, 1.0], [1.0, -2.0], [1.0, -2.2]])
    labels = torch.tensor([4, 4, 7, 7])
    explorer = LatentExplorer(make_model("relu"), codes, labels, limits=(-3, 3))
    page, _, _ = open_page(browser, explorer.to_html(tmp_path / "page.html"))
    drawn = map_pixels(page)
    for z, label in [((2, 1), 4), ((1, -2.1), 7)]:
        x, y = round(46 + 346 * (z[0] + 3) / 6), round(8 + 346 * (3 - z[1]) / 6)
        ring = drawn[y - 12 : y - 7, x].astype(float)
        color = 255 * np.array(to_rgb(CLASS_COLORS[label]))
        assert np.abs(ring - color).sum(axis=1).min() < 30, label
        assert (drawn[y - 5 : y + 6, x - 5 : x + 6] < 90).any()  # the numeral
    page.context.close()


def test_without_javascript_the_page_shows_the_still_picture(browser, tmp_path):
    explorer = LatentExplorer(make_model("relu"), alt="A still map.")
    path = explorer.to_html(tmp_path / "page.html")
    page, _, _ = open_page(browser, path, java_script_enabled=False)
    still = page.get_by_alt_text("A still map.")
    shot = np.asarray(Image.open(io.BytesIO(still.screenshot())).convert("L"))
    assert shot.shape[1] > 600
    assert shot.std() > 20
    page.context.close()


class PosteriorPage:
    """A posterior explorer on a page of its own, and a hand to move its q."""

    def __init__(self, browser, explorer, path, **options):
        self.explorer = explorer
        self.page, self.asked, self.faults = open_page(
            browser, explorer.to_html(path), **options
        )
        (left, right), _ = explorer.limits["mu"]
        self.scale = 346 / (right - left)  # pixels a unit

    def is_at(self, mu, sigma):
        texts = self.page.locator(".vae-slider output").all_inner_texts()
        numbers = [float(text.replace("−", "-")) for text in texts]
        return np.allclose(numbers, [*mu, *sigma], atol=0.0051)

    def at(self, z):
        """Where z lies on the canvas."""
        (left, _), (bottom, _) = self.explorer.limits["mu"]
        return 46 + self.scale * (z[0] - left), 354 - self.scale * (z[1] - bottom)

    def drag(self, start, end):
        press_on_map(self.page, *self.at(start))
        self.page.mouse.move(*on_map(self.page, *self.at(end)), steps=3)
        self.page.mouse.up()

    def adds_up(self):
        words = read_out(self.page).inner_text().replace("−", "-").split()
        return float(words[1]) + float(words[4]) == pytest.approx(
            self.explorer.grid.log_px, abs=0.016
        )

    def elbo_width(self):
        """How many pixels of the bar have the ELBO's colour."""
        row = pixels(self.page, 0, ".vae-bars")[94]
        color = 255 * np.array(to_rgb(COLORS["elbo"]))
        return (np.abs(row - color).max(axis=1) < 3).sum()


@pytest.fixture(scope="module")
def posterior_explorer():
    model = make_model("linear")
    with torch.no_grad():
        x = model.pixel_means(torch.tensor([[0.4, -0.9]]))[0]
    return PosteriorExplorer(model, x)


def test_the_posterior_page_is_dragged_widened_and_put_back(
    browser, posterior_explorer, tmp_path
):
    explorer = posterior_explorer
    shown = PosteriorPage(browser, explorer, tmp_path / "page.html")
    (mu, sigma), half = explorer.encoder_q, explorer.limits["sigma"][0][1] * 3
    assert shown.is_at(mu, sigma)
    new = [mu[0] - half / 8, mu[1] + half / 10]
    shown.drag([mu[0] + sigma[0] / 2, mu[1]], [new[0] + sigma[0] / 2, new[1]])
    wait_until(lambda: shown.is_at(new, sigma))
    shown.drag([new[0] + sigma[0], new[1]], [new[0] + 0.6 * sigma[0], new[1]])
    wait_until(lambda: shown.is_at(new, [0.6 * sigma[0], sigma[1]]))
    shown.page.wait_for_timeout(200)
    assert shown.adds_up()
    shown.page.get_by_role("button", name="best Gaussian").click()
    wait_until(lambda: shown.is_at(*explorer.best_q))
    shown.page.get_by_role("slider", name="σ₂").focus()
    shown.page.keyboard.press("Home")
    narrow = explorer.limits["sigma"][1][0]
    wait_until(lambda: shown.is_at(explorer.best_q[0], [explorer.best_q[1][0], narrow]))
    shown.page.get_by_role("button", name="encoder").click()
    wait_until(lambda: shown.is_at(mu, sigma))
    shown.page.wait_for_timeout(200)
    assert shown.adds_up()
    assert (len(shown.asked) <= 2, shown.faults) == (True, [])
    shown.page.context.close()


def test_a_narrow_ellipse_is_dragged_at_its_centre_and_widened_at_its_handles(
    browser, posterior_explorer, tmp_path
):
    explorer = posterior_explorer
    mu = [sum(ends) / 2 for ends in explorer.limits["mu"]]
    sigma = [ends[0] for ends in explorer.limits["sigma"]]
    explorer.mu, explorer.sigma = mu, sigma
    shown = PosteriorPage(browser, explorer, tmp_path / "page.html")
    assert sigma[0] * shown.scale < 8  # the handles would lie on the centre
    unit = 1 / shown.scale  # a pixel
    for dx, dy in [(0, 0), (7, 0), (0, 7), (-9, 0)]:  # where the hand takes hold
        start = [mu[0] + dx * unit, mu[1] + dy * unit]
        mu = [mu[0] + 20 * unit, mu[1] - 15 * unit]
        shown.drag(start, [mu[0] + dx * unit, mu[1] + dy * unit])
        wait_until(lambda mu=mu: shown.is_at(mu, sigma))
    shown.drag([mu[0] + 26 * unit, mu[1]], [mu[0] + 56 * unit, mu[1]])
    wait_until(lambda: shown.is_at(mu, [sigma[0] + 30 * unit, sigma[1]]))
    shown.drag([mu[0], mu[1] + 26 * unit], [mu[0], mu[1] + 46 * unit])
    wait_until(lambda: shown.is_at(mu, [sigma[0] + 30 * unit, sigma[1] + 20 * unit]))
    shown.page.context.close()


def test_the_bars_move_from_the_first_step(browser, tmp_path):
    """However far from log p(x) the encoder's ELBO is."""
    model = make_model("linear")
    with torch.no_grad():
        model.decoder[0].weight.mul_(3)
        x = model.pixel_means(torch.tensor([[0.4, -0.9]]))[0]
        model.to_mu.bias += torch.tensor([3.0, 0.0])  # the encoder is wrong
    explorer = PosteriorExplorer(model, x)
    assert explorer.grid.log_px - explorer.elbo > 50
    shown = PosteriorPage(browser, explorer, tmp_path / "page.html")
    widths = [shown.elbo_width()]
    shown.page.locator(".vae-map").focus()
    for _ in range(3):
        shown.page.keyboard.press("ArrowLeft")
        widths.append(shown.elbo_width())
    assert widths[0] > 20
    assert (np.diff(widths) >= 1).all()
    shown.page.get_by_role("button", name="best Gaussian").click()
    assert shown.elbo_width() > 300
    shown.page.context.close()


def test_the_page_says_where_it_cannot_show_the_encoders_q(
    browser, posterior_explorer, tmp_path
):
    model = make_model("linear")
    with torch.no_grad():
        x = model.pixel_means(torch.tensor([[0.4, -0.9]]))[0]
    away = PosteriorExplorer(model, x, window=(2.0, 2.0, 0.5))
    encoder_q = away._setup["encoder"]
    assert not away.grid.resolves(encoder_q["mu"], encoder_q["sigma"])
    for explorer, names in (
        (away, ["best Gaussian"]),
        (posterior_explorer, ["encoder’s q", "best Gaussian"]),
    ):
        explorer.mu, explorer.sigma = explorer.best_q
        shown = PosteriorPage(browser, explorer, tmp_path / "page.html")
        assert shown.page.locator(".vae-button").all_inner_texts() == names
        notes = shown.page.locator(".vae-note").all_inner_texts()
        assert notes == [explorer._setup["note"]] * (explorer is away)
        assert shown.is_at(*explorer.best_q)
        shown.page.context.close()


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 800)])
def test_a_page_fills_the_window_and_says_what_to_do(
    browser, posterior_explorer, size, tmp_path
):
    width, height = size
    latent = LatentExplorer(make_model("relu"), title="A map")
    for explorer in (latent, posterior_explorer):
        page, _, faults = open_page(
            browser,
            explorer.to_html(tmp_path / "page.html"),
            viewport={"width": width, "height": height},
        )
        whole = page.evaluate(
            "(({scrollWidth, scrollHeight}) => [scrollWidth, scrollHeight])"
            "(document.documentElement)"
        )
        assert whole == [width, height]  # nothing is to be scrolled
        edges = page.locator(".vae-body > *").evaluate_all(
            "(all) => all.map((part) => part.getBoundingClientRect())"
            ".map(({right, bottom}) => [right, bottom])"
        )
        right, bottom = np.max(edges, axis=0)
        assert max(right / width, bottom / height) > 0.88  # it was 860 pixels wide
        hint = page.locator(".vae-hint")
        expect(hint).to_have_text(re.compile("^Drag the (cross|blue ellipse)"))
        assert hint.bounding_box()["height"] < 0.06 * height  # one line
        assert faults == []
        page.context.close()


def test_the_posterior_fits_a_phone(browser, posterior_explorer, tmp_path):
    shown = PosteriorPage(
        browser,
        posterior_explorer,
        tmp_path / "page.html",
        viewport={"width": 360, "height": 800},
    )
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 360
    for part in shown.page.locator("canvas, input, output, button").all():
        box = part.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    shown.page.context.close()


# ── JupyterLab ──────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """A notebook in JupyterLab with two explorers in it."""
    folder = tmp_path_factory.mktemp("lab")
    tests = repr(str(Path(__file__).parent))
    cells = [code.replace("TESTS", tests) for code in CELLS]
    write_notebook(folder / "demo.ipynb", *cells)
    with jupyterlab(folder) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.goto(f"{address}/tree/demo.ipynb?reset")
        run_cell(page, page.locator(".vae-map"))
        run_again(page, 3)
        page.locator(".vae-explorer").nth(1).wait_for()
        yield page
        page.close()


def run_again(page, index):
    """Run a cell and wait until it has a number again."""
    prompt = page.locator(".jp-CodeCell .jp-InputPrompt").nth(index)
    prompt.evaluate("(element) => (element.textContent = '')")
    page.locator(".cm-content").nth(index).click()
    page.keyboard.press("Control+Enter")
    expect(prompt).to_have_text(re.compile(r"\[\d+\]"), timeout=60_000)


def read_in_python(page):
    """`explorer.z` and `two.z`, as the kernel prints them."""
    run_again(page, 1)
    text = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea-output")
    first, second = text.inner_text().removeprefix("read ").split("] [")
    return json.loads(first + "]"), json.loads("[" + second)


def in_python(z, limits=((-4, 4), (-4, 4))):
    return LatentExplorer(make_model("relu"), z=z, limits=limits[0]).image


def test_a_drag_moves_cross_picture_sliders_and_the_kernels_z(page):
    press_on_map(page, 219, 181)
    for x, y in [(250, 150), (300, 90), (305.5, 94.5)]:
        page.mouse.move(*on_map(page, x, y))
    page.mouse.up()
    z = [2.0, 2.0]  # a quarter of the frame from its right and upper edges
    expect(read_out(page)).to_have_text("z = (2.00, 2.00)")
    first = page.locator(".vae-explorer").first
    expect(first.locator("output")).to_have_text(["2.00", "2.00"])
    picture = ".vae-explorer >> nth=0 >> .vae-picture canvas"
    shown = pixels(page, 0, picture)
    assert np.abs(shown[:, :, 0] / 255 - (1 - in_python(z))).max() <= 1 / 255
    found, other = read_in_python(page)
    assert found == pytest.approx(z)
    assert other == [0] * 10  # the other explorer has not moved


def test_keys_move_it_and_do_not_reach_jupyterlab(page):
    press_on_map(page, 219, 181)
    page.mouse.up()
    before = page.evaluate("document.querySelector('.jp-Notebook').innerText.length")
    for key in ("ArrowUp", "Shift+ArrowUp", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    step = 8 / 60
    expected = f"z = ({step:.2f}, {5 * step:.2f})"
    expect(read_out(page)).to_have_text(expected)
    after = page.evaluate("document.querySelector('.jp-Notebook').innerText.length")
    assert abs(after - before) < 20
    assert read_in_python(page)[0] == pytest.approx([step, 5 * step])


def test_setting_z_in_python_moves_everything(page):
    run_again(page, 2)
    expect(read_out(page)).to_have_text("z = (1.50, −0.50)")
    shown = pixels(page, 0, ".vae-explorer >> nth=0 >> .vae-picture canvas")
    assert np.abs(shown[:, :, 0] / 255 - (1 - in_python([1.5, -0.5]))).max() <= 1 / 255
    page.wait_for_timeout(300)  # nothing comes back to change it
    assert read_in_python(page)[0] == [1.5, -0.5]


def test_each_of_ten_sliders_moves_its_own_explorer(page):
    second = page.locator(".vae-explorer").nth(1)
    for d in (0, 9):
        second.get_by_role("slider").nth(d).focus()
        page.keyboard.press("ArrowRight")
    text = second.locator(".vae-readout")
    expected = f"z = ({', '.join(['0.10'] + 8 * ['0.00'] + ['0.10'])})"
    expect(text).to_have_text(expected)
    found, other = read_in_python(page)
    assert other == pytest.approx([0.1] + 8 * [0] + [0.1])
    assert found == [1.5, -0.5]


def test_each_move_is_drawn_before_the_next_and_python_ends_at_the_last(page):
    """No wait for the kernel, no jump back; benchmark_explorers.py measures times."""
    press_on_map(page, 219, 181)
    faults = page.evaluate(
        """async () => {
            const root = document.querySelector('.vae-explorer');
            const map = root.querySelector('.vae-map');
            const {left, top} = map.getBoundingClientRect();
            const output = root.querySelector('output');
            const picture = root.querySelector('.vae-picture canvas');
            const pixels = () => picture.getContext('2d').getImageData(
                0, 0, picture.width, picture.height).data.join();
            const faults = [];
            for (let k = 1; k <= 60; k++) {
                const [z, image] = [output.textContent, pixels()];
                map.dispatchEvent(new PointerEvent('pointermove', {
                    pointerId: 1, bubbles: true,
                    clientX: left + 219 + 150 * Math.sin(k / 6),
                    clientY: top + 181 + 150 * Math.sin(k / 2)}));
                const moved = output.textContent;
                if (moved === z || pixels() === image) faults.push(`${k}: not drawn`);
                await new Promise(requestAnimationFrame);
                if (output.textContent !== moved) faults.push(`${k}: jumped back`);
            }
            return faults;
        }"""
    )
    page.mouse.up()
    assert faults == []
    text = page.locator(".vae-explorer").first.locator("output").all_inner_texts()
    page.wait_for_timeout(300)
    found, _ = read_in_python(page)
    assert [f"{value:.2f}".replace("-", "−") for value in found] == text


def test_running_the_cell_again_gives_a_fresh_explorer(page):
    run_again(page, 0)
    expect(page.locator(".vae-explorer")).to_have_count(2)
    expect(page.locator(".jp-RenderedImage:visible")).to_have_count(0)  # no stills
    expect(read_out(page)).to_have_text("z = (0.00, 0.00)")
    run_again(page, 2)
    expect(read_out(page)).to_have_text("z = (1.50, −0.50)")


def test_an_explorer_grows_with_the_page(page):
    def size(width, height):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(300)
        return page.locator(".vae-explorer").first.evaluate(
            "(root) => [root.querySelector('.vae-map').clientWidth, root.clientHeight]"
        )

    map_width, whole = size(1280, 800)
    assert map_width == pytest.approx(400, abs=1)
    assert whole < 640
    map_width, whole = size(1920, 1080)
    assert map_width > 500
    assert whole < 900
    size(1280, 1400)


def test_after_a_restart_the_old_one_harms_nothing_and_a_new_one_lives(page):
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.locator(".lm-MenuBar-item", has_text="Kernel").click()
    page.locator("[data-command='kernelmenu:restart']").click()
    page.locator(".jp-Dialog .jp-mod-accept").click()
    page.wait_for_timeout(1500)
    if page.locator(".vae-map").count():  # it needs no kernel to follow
        press_on_map(page, 305.5, 94.5)
        page.mouse.up()
        expect(read_out(page)).to_have_text("z = (2.00, 2.00)")
    run_again(page, 0)
    run_again(page, 3)
    expect(page.locator(".vae-explorer")).to_have_count(2)
    expect(read_out(page)).to_have_text("z = (0.00, 0.00)")
    run_again(page, 2)
    expect(read_out(page)).to_have_text("z = (1.50, −0.50)")
    assert faults == []
