"""The exercises of notebook 01: distances, PCA, neighbours, denoising."""

from vae_helpers.exercises.engine import Exercise, Wrong, normal, uniform

import torch
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from torch import Generator, Tensor


def _differences(a: Tensor, b: Tensor) -> Tensor:
    return a.flatten(1)[:, None] - b.flatten(1)


check_distances = Exercise(
    name="distances",
    fresh=lambda generator: {
        "a": uniform(generator, 2, 1, 3, 3),
        "b": uniform(generator, 4, 1, 3, 3),
    },
    referee=lambda a, b: cdist(a.flatten(1).numpy(), b.flatten(1).numpy()),
    remember="a table of M × N distances in pixel space needs no loop: broadcasting "
    "makes all pairs.",
    wrongs=[
        Wrong(
            "These are *squared* distances. What did you leave out at the end?",
            lambda a, b: _differences(a, b).square().sum(-1),
        ),
        Wrong(
            "You average over the pixels. What does the definition in section 1 say?",
            lambda a, b: _differences(a, b).square().mean(-1).sqrt(),
        ),
        Wrong(
            "You add absolute values. What happens to each difference before the sum?",
            lambda a, b: _differences(a, b).abs().sum(-1),
        ),
        Wrong(
            "Your table is turned: which images are its rows?",
            lambda a, b: _differences(b, a).norm(dim=-1),
        ),
        Wrong(
            "The root comes once, after the sum. Where is yours?",
            lambda a, b: _differences(a, b).square().mean(-1),
        ),
    ],
    tolerance=2e-4,  # a² + b² − 2ab loses digits in 32 bits, and is right as well
)


def _principal(x: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    mean = x.mean(0)
    u, _, vt = torch.linalg.svd(x - mean, full_matrices=False)
    return mean, u, vt[:n]


def _on(values: Tensor, directions: Tensor) -> Tensor:
    return values @ directions.T @ directions


def _without_sizes(x: Tensor, n: int) -> Tensor:
    mean, u, directions = _principal(x, n)
    return mean + u[:, :n] @ directions


check_pca = Exercise(
    name="pca",
    fresh=lambda generator: {
        "x": normal(generator, 12, 5) @ normal(generator, 5, 5) + 3,
        "n": 2,
    },
    referee=lambda x, n: (fitted := PCA(n).fit(x.numpy())).inverse_transform(
        fitted.transform(x.numpy())
    ),
    remember="PCA is: subtract the mean, keep the first n right singular vectors, add "
    "the mean back.",
    wrongs=[
        Wrong(
            "The directions must be those along which the images *vary*. What do you "
            "subtract before looking for them?",
            lambda x, n: _on(x, torch.linalg.svd(x, full_matrices=False)[2][:n]),
        ),
        Wrong(
            "Your images have lost their mean. When does it come back?",
            lambda x, n: _on(x - x.mean(0), _principal(x, n)[2]),
        ),
        Wrong(
            "You project the images with their mean, and add it again. What should be "
            "projected?",
            lambda x, n: x.mean(0) + _on(x, _principal(x, n)[2]),
        ),
        Wrong(
            "All your directions count alike. Which of the three factors of the SVD "
            "says how far the images lie along each?",
            _without_sizes,
        ),
        Wrong(
            "Those are the *last* n directions. In which order do they come?",
            lambda x, n: (
                x.mean(0) + _on(x - x.mean(0), _principal(x, x.shape[1])[2][-n:])
            ),
        ),
    ],
    tolerance=1e-3,  # singular vectors in 32 bits
)


def _two_kinds(generator: Generator) -> dict:
    """Codes of two classes that overlap; an odd number of votes has no tie."""
    labels = torch.tensor([2, 7] * 8)
    library = normal(generator, 16, 2)
    return {
        "queries": normal(generator, 12, 2),
        "library": library + 0.3 * (labels == 7)[:, None],
        "labels": labels,
        "k": 5,
    }


def _votes(
    queries: Tensor, library: Tensor, labels: Tensor, k: int, *, largest: bool = False
) -> Tensor:
    nearest = torch.cdist(queries, library).topk(k, largest=largest).indices
    return labels[nearest]


check_nearest_vote = Exercise(
    name="nearest_vote",
    fresh=_two_kinds,
    referee=lambda queries, library, labels, k: (
        KNeighborsClassifier(k)
        .fit(library.numpy(), labels.numpy())
        .predict(queries.numpy())
    ),
    remember="a good code classifies by looking around: no training, only a vote of "
    "the neighbours.",
    wrongs=[
        Wrong(
            "You ask the codes that are farthest away. What is the default of `topk`?",
            lambda *inputs: _votes(*inputs, largest=True).mode(1).values,
        ),
        Wrong(
            "Only the very nearest code votes. What about the other k − 1?",
            lambda queries, library, labels, k: _votes(queries, library, labels, 1)[
                :, 0
            ],
        ),
        Wrong(
            "You average the labels. What class is half-way between a 2 and a 7?",
            lambda *inputs: _votes(*inputs).double().mean(1),
        ),
        Wrong(
            "Those are places in the library. How do you look up their labels?",
            lambda queries, library, labels, k: (
                torch.cdist(queries, library).topk(k, largest=False).indices
            ),
        ),
        Wrong(
            "Those are the labels of all k neighbours. How do you count the votes?",
            _votes,
        ),
    ],
)


class _Linear:
    """A linear autoencoder of images with 3 × 3 pixels: 9 → 2 → 9."""

    def __init__(self, w: Tensor) -> None:
        self.w = w  # (2, 9)

    def __call__(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.w.to(x).T @ self.w.to(x)).view(x.shape)


def _model_and_images(generator: Generator) -> dict:
    return {
        "model": _Linear(0.4 * normal(generator, 2, 9)),
        "x": uniform(generator, 4, 1, 3, 3),
        "noise": 0.3 * normal(generator, 4, 1, 3, 3),
    }


def _squared(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().flatten(1)


def _denoising_by_matrix(model: _Linear, x: Tensor, noise: Tensor) -> Tensor:
    """‖Wᵀ W (x + noise) − x‖², one image at a time."""
    pairs = zip(x.flatten(1), noise.flatten(1), strict=True)
    square = model.w.double().T @ model.w.double()
    return torch.stack([torch.linalg.norm(square @ (v + e) - v) ** 2 for v, e in pairs])


check_denoising_loss = Exercise(
    name="denoising_loss",
    fresh=_model_and_images,
    referee=_denoising_by_matrix,
    remember="a denoising autoencoder sees the noisy image and is asked for the clean "
    "one. The noise must be new at every step.",
    wrongs=[
        Wrong(
            "You ask for the *noisy* image, so the model would learn to keep the "
            "noise. Which image is the target?",
            lambda model, x, noise: _squared(model(x + noise), x + noise).sum(1),
        ),
        Wrong(
            "The model never sees any noise. What goes into it?",
            lambda model, x, noise: _squared(model(x), x).sum(1),
        ),
        Wrong(
            "The clean image goes in and the noisy one is asked for. Which way round "
            "would remove noise?",
            lambda model, x, noise: _squared(model(x), x + noise).sum(1),
        ),
        Wrong(
            "You average over the pixels. The course sums; which number should be "
            "comparable with `squared_error`?",
            lambda model, x, noise: _squared(model(x + noise), x).mean(1),
        ),
        Wrong(
            "One number for all images: `fit` wants one for each, and averages itself.",
            lambda model, x, noise: _squared(model(x + noise), x).sum(1).mean(),
        ),
        Wrong(
            "That is a distance. In section 2 the error of an image is its square.",
            lambda model, x, noise: _squared(model(x + noise), x).sum(1).sqrt(),
        ),
    ],
)
