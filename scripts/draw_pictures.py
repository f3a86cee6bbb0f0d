"""Draw the schematics of the lessons: notebooks/pictures/*.svg.

    .venv/bin/python scripts/draw_pictures.py

Plain SVG on a white card, so that they read on light and on dark pages. The colours are
those of `vae_helpers.plots.COLORS`; the digit is one of the bundled ones, the letter
is of a font that matplotlib brings.
"""

import base64
import io
from functools import partial
from html import escape
from math import log
from pathlib import Path

from vae_helpers.data import load_images
from vae_helpers.plots import COLORS

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

FOLDER = Path(__file__).resolve().parent.parent / "notebooks" / "pictures"
INK, FAINT, WHITE = "#1b1b1b", "#c9ced6", "#ffffff"
Q, DECODER, PRIOR = COLORS["q"], COLORS["decoder"], COLORS["prior"]
POSTERIOR, KL, ELBO = COLORS["posterior"], COLORS["kl"], COLORS["elbo"]
NOISE = "#a96b59"
PALE_KL = "#ffd480"
WORDS = "font-family='Helvetica, Arial, sans-serif'"
LETTERS = "font-family='STIX Two Text, Cambria, Georgia, serif' font-style='italic'"


class Picture:
    """A list of SVG elements; `save` puts them on a white card."""

    def __init__(self, width: int, height: int, title: str):
        self.width, self.height, self.title = width, height, title
        self.parts: list[str] = []
        self.opacity = 1.0

    def add(self, element: str) -> None:
        if self.opacity < 1:
            element = f"<g opacity='{self.opacity}'>{element}</g>"
        self.parts.append(element)

    def lit(self, is_lit: bool) -> None:
        """Draw what follows in full, or pale."""
        self.opacity = 1.0 if is_lit else 0.22

    def text(self, x, y, text, size=15, color=INK, anchor="middle", font=WORDS, **more):
        style = "".join(f" {key.replace('_', '-')}='{v}'" for key, v in more.items())
        self.add(
            f"<text x='{x}' y='{y}' font-size='{size}' fill='{color}' {font} "
            f"text-anchor='{anchor}'{style}>{escape(text)}</text>"
        )

    def math(self, x, y, text, size=18, color=INK, anchor="middle"):
        self.text(x, y, text, size, color, anchor, LETTERS)

    def shape(self, points, fill, stroke=None, width=2):
        corners = " ".join(f"{x},{y}" for x, y in points)
        stroke = stroke or fill
        self.add(
            f"<polygon points='{corners}' fill='{fill}' fill-opacity='0.16' "
            f"stroke='{stroke}' stroke-width='{width}' stroke-linejoin='round'/>"
        )

    def box(self, x, y, w, h, fill, radius=8, strong=False):
        opacity = 1 if strong else 0.16
        self.add(
            f"<rect x='{x}' y='{y}' width='{w}' height='{h}' rx='{radius}' "
            f"fill='{fill}' fill-opacity='{opacity}' stroke='{fill}' stroke-width='2'/>"
        )

    def circle(self, x, y, radius, color):
        self.add(
            f"<circle cx='{x}' cy='{y}' r='{radius}' fill='{color}' fill-opacity='0.16'"
            f" stroke='{color}' stroke-width='2'/>"
        )

    def curve(self, d, color=INK, width=2, dashed=False, fill="none"):
        dash = " stroke-dasharray='6 5'" if dashed else ""
        self.add(
            f"<path d='{d}' fill='{fill}' stroke='{color}' stroke-width='{width}'{dash}"
            " stroke-linecap='round' stroke-linejoin='round'/>"
        )

    def arrow(self, *points, color=INK, dashed=False, width=2):
        """A line through the points, with a head at the last."""
        (x0, y0), (x1, y1) = points[-2:]
        way = np.array([x1 - x0, y1 - y0]) / np.hypot(x1 - x0, y1 - y0)
        base = np.array([x1, y1]) - 10 * way
        side = 5 * np.array([-way[1], way[0]])
        line = [*points[:-1], tuple(base + 2 * way)]
        self.curve(
            "M" + " L".join(f"{x:g} {y:g}" for x, y in line), color, width, dashed
        )
        head = " ".join(
            f"{x:.1f},{y:.1f}" for x, y in ((x1, y1), base + side, base - side)
        )
        self.add(f"<polygon points='{head}' fill='{color}'/>")

    def image(self, x, y, side, pixels, color=INK):
        """Grey values (n, n) in [0, 1], 0 white to 1 black, in a frame."""
        buffer = io.BytesIO()
        grey = np.rint(255 * (1 - pixels)).astype(np.uint8)
        Image.fromarray(grey).save(buffer, format="png", optimize=True)
        data = base64.b64encode(buffer.getvalue()).decode()
        place = f"x='{x}' y='{y}' width='{side}' height='{side}'"
        self.add(
            f"<image {place} href='data:image/png;base64,{data}' "
            "style='image-rendering: pixelated'/>"
            f"<rect {place} fill='none' stroke='{color}'/>"
        )

    def save(self, name: str) -> None:
        self.opacity = 1.0
        size = f"width='{self.width}' height='{self.height}'"
        text = (
            f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img' "
            f"viewBox='0 0 {self.width} {self.height}'>"
            f"<title>{escape(self.title)}</title>"
            f"<rect {size} rx='10' fill='{WHITE}'/>{''.join(self.parts)}</svg>\n"
        )
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{name}.svg").write_text(text, "utf-8")


def digit() -> np.ndarray:
    """A handwritten 3, (28, 28) in [0, 1]."""
    data = load_images("digits")
    threes = data.test_images[data.test_labels == 3]
    return threes[2, 0].numpy()


def capital() -> np.ndarray:
    """A capital R, (28, 28) in [0, 1]."""
    path = Path(get_data_path(), "fonts", "ttf", "DejaVuSerif-Italic.ttf")
    page = Image.new("L", (28, 28))
    font = ImageFont.truetype(str(path), 25)
    ImageDraw.Draw(page).text((14, 14), "R", fill=255, font=font, anchor="mm")
    return np.asarray(page) / 255


def blurred(pixels: np.ndarray) -> np.ndarray:
    """The same image, as a decoder might give it back."""
    return gaussian_filter(pixels, 1.3)


def bell(x, y, width, height) -> str:
    """The path of a bell curve that stands on (x, y)."""
    places = np.linspace(-2.6, 2.6, 41)
    points = zip(
        x + places / 2.6 * width / 2, y - height * np.exp(-(places**2) / 2), strict=True
    )
    return "M" + " L".join(f"{a:.1f} {b:.1f}" for a, b in points)


def encoder(art: Picture, x, y, label="encoder", sign="q(z|x)") -> None:
    art.shape([(x, y - 62), (x + 120, y - 30), (x + 120, y + 30), (x, y + 62)], Q)
    art.text(x + 60, y - 2, label, color=INK)
    art.math(x + 60, y + 20, sign, 15)


def decoder(art: Picture, x, y, label="decoder", sign="p(x|z)") -> None:
    corners = [(x, y - 30), (x + 120, y - 62), (x + 120, y + 62), (x, y + 30)]
    art.shape(corners, DECODER)
    art.text(x + 60, y - 2, label)
    art.math(x + 60, y + 20, sign, 15)


# ── the recurring picture ───────────────────────────────────────────────────────────

ALL = {"x", "encoder", "heads", "noise", "z", "decoder", "out", "prior", "kl", "rec"}
LIT = {  # notebook → the parts it is about
    "00": {"prior", "z", "decoder", "out"},
    "01": {"x", "encoder", "z", "decoder", "out"},
    "02": {"x", "encoder", "heads", "z", "decoder", "out", "prior", "kl", "rec"},
    "03": {"heads", "noise", "z"},
    "04": ALL,
    "05": {"heads", "prior", "kl", "rec"},
    "06": {"z", "prior", "decoder", "out"},
    "07": {"x", "z", "prior", "decoder", "out", "rec"},
    "09": ALL,
}


def draw_vae(name: str, lit: set[str]) -> None:
    art = Picture(
        920, 300, "x, encoder, mean and standard deviation, z, decoder, p(x|z)"
    )
    y, pixels = 140, capital() if name == "vae_09" else digit()
    shown = lambda *parts: art.lit(bool(lit & set(parts)))  # noqa: E731
    shown("x")
    art.image(24, y - 44, 88, pixels)
    art.math(68, y + 70, "x", 20)
    art.lit("x" in lit and "encoder" in lit)
    art.arrow((116, y), (150, y))
    shown("encoder")
    encoder(art, 154, y)
    shown("heads")
    art.arrow((278, y - 14), (322, y - 44))
    art.arrow((278, y + 14), (322, y + 44))
    for dy, letter, word in ((-46, "μ", "mean"), (46, "σ", "standard deviation")):
        art.box(326, y + dy - 20, 44, 40, Q)
        art.math(348, y + dy + 7, letter, 22)
        art.text(348, y + dy + (-28 if dy < 0 else 38), word, 13)
    art.arrow((374, y - 44), (430, y - 12))
    art.arrow((374, y + 44), (430, y + 12))
    shown("noise")
    art.circle(452, y + 92, 20, NOISE)
    art.math(452, y + 99, "ε", 22)
    art.text(480, y + 97, "noise", 13, anchor="start")
    art.arrow((452, y + 70), (452, y + 27))
    shown("z")
    art.circle(452, y, 23, Q)
    art.math(452, y + 7, "z", 24)
    art.lit({"noise", "z", "heads"} <= lit)
    art.math(492, y + 44, "z = μ + σ ε", 16, anchor="start")
    art.lit({"z", "decoder"} <= lit)
    art.arrow((479, y), (586, y))
    shown("decoder")
    decoder(art, 590, y)
    shown("out")
    art.arrow((714, y), (744, y))
    art.image(748, y - 44, 88, blurred(pixels), DECODER)
    art.text(792, y + 68, "pixel probabilities", 13)
    shown("prior")
    art.curve(bell(452, 66, 120, 40), PRIOR, 2.5)
    art.curve("M388 66 H516", PRIOR, 1.5)
    art.text(452, 18, "prior p(z) = N(0, I)", 13, PRIOR)
    shown("kl")
    art.box(196, 256, 170, 30, KL)
    art.math(281, 277, "KL(q(z|x) ‖ p(z))", 16)
    shown("rec")
    art.box(700, 256, 184, 30, DECODER)
    art.math(792, 277, "log p(x|z)", 16)
    art.lit({"kl", "rec"} <= lit)
    art.text(540, 277, "ELBO = E[log p(x|z)] − KL", 15, ELBO, font_weight="bold")
    art.save(name)


# ── the others ──────────────────────────────────────────────────────────────────────


def draw_autoencoder() -> None:
    art = Picture(760, 220, "image, encoder, code, decoder, reconstruction")
    y = 96
    art.image(24, y - 44, 88, digit())
    art.arrow((118, y), (158, y))
    encoder(art, 162, y, sign="784 → 100 → 2")
    art.arrow((286, y), (336, y))
    art.box(340, y - 30, 66, 60, Q)
    art.math(373, y + 8, "z", 26)
    art.arrow((410, y), (460, y))
    decoder(art, 464, y, sign="2 → 100 → 784")
    art.arrow((588, y), (630, y))
    art.image(634, y - 44, 88, blurred(digit()), DECODER)
    for x, word, more in (
        (68, "image x", "784 numbers"),
        (373, "code z", "2 numbers: the bottleneck"),
        (678, "reconstruction", "784 numbers"),
    ):
        art.text(x, y + 78, word)
        art.text(x, y + 98, more, 13, PRIOR)
    art.save("autoencoder")


def photograph(shift: float, blur: float, side: int = 15) -> np.ndarray:
    rows, columns = np.indices((side, side)) - side // 2
    return np.exp(-((columns - shift) ** 2 + rows**2) / (2 * blur**2))


def draw_camera() -> None:
    art = Picture(860, 300, "pose, focus and kind of object, a camera, an image")
    for row, (word, icon) in enumerate(
        (
            ("pose", "where it points"),
            ("focus", "how sharp it is"),
            ("kind", "what it sees"),
        )
    ):
        y = 60 + 70 * row
        art.circle(60, y, 23, PRIOR)
        art.math(60, y + 6, ("z₁", "z₂", "z₃")[row], 19)
        art.text(96, y - 2, word, anchor="start", font_weight="bold")
        art.text(96, y + 17, icon, 13, PRIOR, "start")
        art.arrow((214, y), (316, 130 + (y - 130) / 4), color=DECODER)
    kinds = ((-60, "ball"), (0, "box"), (60, "ring"))
    for dx, kind in kinds:
        x = 150 + dx * 0.55
        if kind == "box":
            art.add(f"<rect x='{x - 9}' y='232' width='18' height='18' fill='{INK}'/>")
        else:
            fill = INK if kind == "ball" else "none"
            art.add(
                f"<circle cx='{x}' cy='241' r='9' fill='{fill}' stroke='{INK}' "
                "stroke-width='4'/>"
            )
    art.box(320, 92, 118, 76, DECODER, 12)
    art.circle(372, 130, 24, DECODER)
    art.circle(372, 130, 10, DECODER)
    art.add(f"<rect x='404' y='80' width='22' height='12' rx='3' fill='{DECODER}'/>")
    art.text(379, 192, "camera: p(x|z)")
    art.arrow((446, 130), (496, 130), color=DECODER)
    grain = np.random.RandomState(1).rand(15, 15) * 0.25
    art.image(500, 74, 112, np.clip(photograph(-2, 2.4) + grain, 0, 1))
    art.text(556, 210, "image x: all we see")
    art.text(117, 284, "latent variables z: hidden", color=INK)
    art.arrow((630, 130), (700, 130), color=POSTERIOR, dashed=True)
    art.curve(bell(760, 142, 100, 52), POSTERIOR, 2.5)
    art.curve("M706 142 H814", POSTERIOR, 1.5)
    art.math(760, 168, "p(z|x)", 18, POSTERIOR)
    art.text(760, 194, "Which z may", 13)
    art.text(760, 211, "have made it?", 13)
    art.save("camera")


def draw_graphs() -> None:
    art = Picture(
        880, 310, "a sample cuts the graph; noise from outside leaves it whole"
    )
    for x, title in ((0, "z = sample(μ, σ)"), (440, "z = μ + σ · ε")):
        art.text(x + 220, 32, title, 17, font_weight="bold")
        art.box(x + 24, 120, 84, 54, Q)
        art.math(x + 66, 154, "μ, σ", 21)
        art.text(x + 66, 108, "encoder, φ", 13)
        art.circle(x + 264, 147, 24, Q)
        art.math(x + 264, 154, "z", 24)
        art.box(x + 336, 122, 84, 50, ELBO)
        art.text(x + 378, 152, "loss")
        art.arrow((x + 290, 147), (x + 332, 147))
        art.arrow(
            (x + 378, 176),
            (x + 378, 226),
            (x + 268, 226),
            (x + 268, 176),
            color=INK,
            dashed=True,
            width=3,
        )
    art.text(323, 248, "gradient", 14)
    art.shape([(170, 112), (206, 147), (170, 182), (134, 147)], NOISE)
    art.text(170, 151, "sample", 13)
    art.arrow((112, 147), (132, 147))
    art.arrow((208, 147), (236, 147))
    art.curve("M150 208 L190 246 M190 208 L150 246", INK, 5)
    art.text(170, 276, "The gradient stops: z keeps no", 14)
    art.text(170, 294, "record of μ and σ.", 14)
    art.arrow((552, 147), (676, 147))
    art.circle(704, 72, 20, NOISE)
    art.math(704, 79, "ε", 22)
    art.text(734, 68, "noise comes", 13, anchor="start")
    art.text(734, 84, "from outside", 13, anchor="start")
    art.arrow((704, 94), (704, 120))
    art.arrow(
        (700, 176), (700, 226), (506, 226), (506, 180), color=INK, dashed=True, width=3
    )
    art.text(606, 276, "The gradient goes on to μ and σ:", 14)
    art.text(606, 294, "∂z/∂μ = 1 and ∂z/∂σ = ε.", 14)
    art.text(763, 248, "gradient", 14)
    art.save("graphs")


def draw_bars(name: str, rows, title: str) -> None:
    """Bars that end at the same line log p(x); each row is (label, [(share, …)])."""
    height = 96 + 78 * len(rows)
    art = Picture(860, height, title)
    left, right = 190, 720
    for index, (label, parts) in enumerate(rows):
        y, x = 62 + 78 * index, left
        for line, words in enumerate(label):
            art.text(left - 16, y + 20 + 18 * line, words, 15, anchor="end")
        for share, color, words in parts:
            width = share * (right - left)
            art.add(
                f"<rect x='{x:g}' y='{y}' width='{width:g}' height='42' "
                f"fill='{color}'/>"
            )
            ink = WHITE if color == ELBO else INK
            art.text(x + width / 2, y + 27, words, 15, ink)
            x += width
    art.curve(f"M{right} 46 V{height - 34}", COLORS["log_px"], 4)
    art.math(right, 34, "log p(x)", 19)
    art.arrow((left, height - 30), (right + 60, height - 30), color=PRIOR)
    art.text(right + 66, height - 25, "nats", 14, PRIOR, "start")
    art.text(left, height - 10, "lower", 13, PRIOR, "start")
    art.text(right - 10, height - 10, "higher is better", 13, PRIOR, "end")
    art.save(name)


def draw_jensen() -> None:
    art = Picture(640, 380, "the logarithm lies above its chord")
    to_x = lambda v: 80 + v * 140  # noqa: E731
    to_y = lambda v: 190 - v * 120  # noqa: E731
    values = np.linspace(0.42, 3.7, 80)
    path = "M" + " L".join(f"{to_x(v):.1f} {to_y(log(v)):.1f}" for v in values)
    art.curve(path, INK, 3)
    art.arrow((70, to_y(0)), (620, to_y(0)), color=PRIOR, width=1.5)
    art.text(606, to_y(0) + 22, "number u", 14, PRIOR)
    art.arrow((80, 340), (80, 30), color=PRIOR, width=1.5)
    art.text(92, 40, "log u", 14, PRIOR, "start")
    low, high = (to_x(1), to_y(0)), (to_x(3), to_y(log(3)))
    art.curve(f"M{low[0]} {low[1]} L{high[0]} {high[1]}", ELBO, 3)
    middle, average, above = to_x(2), to_y(log(3) / 2), to_y(log(2))
    art.curve(f"M{middle} {average} V{above}", KL, 7)
    for x, y, color in ((*low, ELBO), (*high, ELBO), (middle, average, ELBO)):
        art.add(f"<circle cx='{x}' cy='{y}' r='6' fill='{color}'/>")
    art.add(f"<circle cx='{middle}' cy='{above}' r='6' fill='{INK}'/>")
    for value in (1, 2, 3):
        art.curve(f"M{to_x(value)} {to_y(0) - 5} V{to_y(0) + 5}", PRIOR, 1.5)
        art.text(to_x(value), to_y(0) + 24, str(value), 14)
    art.text(
        middle - 14, above - 14, "log of the average, log 2 = 0.69", 15, INK, "end"
    )
    art.text(middle + 18, average + 26, "average of the logs,", 15, ELBO, "start")
    art.text(middle + 18, average + 46, "(log 1 + log 3)/2 = 0.55", 15, ELBO, "start")
    art.text(320, 330, "The curve bends downwards, so the chord lies below it:", 15)
    art.text(320, 354, "the average of the logs is never the larger one.", 15)
    art.save("jensen")


def draw_loop() -> None:
    art = Picture(920, 210, "the five steps of training a VAE, in a loop")
    steps = (
        ("1  take", ("a minibatch", "of images x"), PRIOR),
        ("2  encode", ("μ and log σ²", "of q(z|x)"), Q),
        ("3  sample", ("ε ~ N(0, I),", "z = μ + σ ε"), Q),
        ("4  decode, score", ("−ELBO = KL", "− log p(x|z)"), DECODER),
        ("5  improve", ("gradient, and one", "step of Adam"), ELBO),
    )
    for index, (head, lines, color) in enumerate(steps):
        x = 20 + 180 * index
        art.box(x, 40, 148, 92, color)
        art.text(x + 74, 66, head, 15, font_weight="bold")
        for row, line in enumerate(lines):
            art.text(x + 74, 92 + 22 * row, line, 15)
        if index < len(steps) - 1:
            art.arrow((x + 152, 86), (x + 176, 86))
    art.arrow((814, 136), (814, 176), (94, 176), (94, 137))
    art.text(454, 196, "again, with the next minibatch", 14, PRIOR)
    art.save("training_loop")


def draw_map() -> None:
    art = Picture(940, 330, "five families of generative models and what each can do")
    columns = (
        ("autoregressive", "one pixel after", "another", ("slow", "exact", "no")),
        ("flow", "an invertible", "map of noise", ("yes", "exact", "same size as x")),
        ("VAE", "a code and", "a decoder", ("yes", "a lower bound", "a short code")),
        ("GAN", "a generator and", "a critic", ("yes", "no", "no")),
        (
            "diffusion",
            "many small steps",
            "out of noise",
            ("slow", "a bound", "same size as x"),
        ),
    )
    rows = ("new images?", "log p(x)?", "a code for x?")
    for row, words in enumerate(rows):
        art.text(160, 182 + 54 * row, words, 15, anchor="end", font_weight="bold")
    for index, (name, first, second, answers) in enumerate(columns):
        x = 250 + 150 * index
        is_ours = name == "VAE"
        art.lit(True)
        if is_ours:
            art.box(x - 72, 14, 144, 302, ELBO)
        art.text(x, 46, name, 18, ELBO if is_ours else INK, font_weight="bold")
        art.text(x, 78, first, 14, PRIOR)
        art.text(x, 96, second, 14, PRIOR)
        for row, answer in enumerate(answers):
            color = {"no": "#8a8a8a"}.get(answer, INK)
            art.text(x, 182 + 54 * row, answer, 16, color)
    art.curve("M24 134 H916", FAINT, 1.5)
    for row in (0, 1):
        art.curve(f"M24 {204 + 54 * row} H916", FAINT, 1)
    art.save("model_map")


def draw_outlook() -> None:
    art = Picture(940, 420, "a VAE, and what its successors change or keep")
    y = 220
    art.image(30, y - 40, 80, capital())
    art.math(70, y + 66, "x", 20)
    art.arrow((116, y), (168, y))
    encoder(art, 172, y)
    art.arrow((296, y), (396, y))
    art.circle(424, y, 26, Q)
    art.math(424, y + 8, "z", 26)
    art.arrow((454, y), (556, y))
    decoder(art, 560, y)
    art.arrow((684, y), (722, y))
    art.image(726, y - 40, 80, blurred(capital()), DECODER)
    art.curve(bell(424, 148, 120, 40), PRIOR, 2.5)
    art.curve("M360 148 H488", PRIOR, 1.5)
    art.text(424, 170, "p(z)", 14, PRIOR)
    notes = (  # where, colour, the successors, what they change, and a line to the part
        (424, 30, PRIOR, "VampPrior · flow prior · latent diffusion", "a learned p(z)"),
        (300, 350, Q, "hierarchical VAE", "z on many levels"),
        (548, 350, Q, "VQ-VAE", "z from a table of vectors"),
        (806, 350, ELBO, "GAN", "the decoder alone, no bound"),
    )
    for x, top, color, names, change in notes:
        half = 168 if top < 100 else 112
        art.box(x - half, top - 18, 2 * half, 56, color)
        art.text(x, top + 4, names, 15, font_weight="bold")
        art.text(x, top + 26, change, 14)
    for points, color in (
        (((424, 72), (424, 102)), PRIOR),
        (((340, 328), (406, 252)), Q),
        (((510, 328), (442, 252)), Q),
        (((736, 328), (668, 286)), ELBO),
    ):
        art.arrow(*points, color=color, dashed=True)
    art.save("outlook")


def main() -> None:
    """Draw all of them."""
    for notebook, lit in LIT.items():
        draw_vae(f"vae_{notebook}", lit)
    draw_autoencoder()
    draw_camera()
    draw_graphs()
    elbo = partial(lambda share: (share, ELBO, "ELBO"))
    gap = "KL(q ‖ p(z|x))"
    poor = (("some q",), [elbo(0.5), (0.5, KL, gap)])
    good = (("a better q",), [elbo(0.78), (0.22, KL, "KL")])
    draw_bars("elbo_bar", [poor, good], "ELBO plus KL is log p(x), whatever q is")
    missing = (0.25, PALE_KL, "approximation gap")
    encoder_q = (
        ("the encoder's q",),
        [
            elbo(0.46),
            (0.29, KL, "amortization gap"),
            (0.25, PALE_KL, "approximation gap"),
        ],
    )
    best_q = (
        ("the best Gaussian", "for this image"),
        [elbo(0.75), missing],
    )
    draw_bars("gaps", [encoder_q, best_q], "the gap has two parts")
    draw_jensen()
    draw_loop()
    draw_map()
    draw_outlook()


if __name__ == "__main__":
    main()
