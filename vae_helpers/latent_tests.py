"""Four tests of a code space: samples, holes, paths, smoothness.

Notebook 01 puts an autoencoder through them and notebook 04 a VAE. They know no model:
`decode` is any function from codes (n, D) to images (n, 1, 28, 28).

Every distance between images is Euclidean, in pixel space: the root of the sum of
squared differences over all pixels. Two 28×28 images in [0, 1] are at most 28 apart.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.spatial import Delaunay
from sklearn.mixture import GaussianMixture
from torch import Generator, Tensor

Decoder = Callable[[Tensor], Tensor]
N_COMPONENTS = 20  # Gaussians in the mixture
_MOST_CODES = 10_000  # more would only slow the mixture's fit down


@torch.no_grad()
def nearest_distance(
    images: Tensor, references: Tensor, batch_size: int = 500
) -> Tensor:
    """Distance in pixel space to the nearest reference: (n, …), (N, …) → (n,).

    A large distance tells that something is wrong with an image. A small one does not
    tell that it is good: a blank image lies close to many.
    """
    flat, distances = references.flatten(1), []
    for batch in images.flatten(1).split(batch_size):
        nearest = flat[torch.cdist(batch, flat).argmin(dim=1)]
        distances.append((batch - nearest).norm(dim=1))  # cdist's own is less exact
    return torch.cat(distances)


def sample_codes(codes: Tensor, labels: Tensor, n: int, how: str, seed: int) -> Tensor:
    """Test 1, samples: n codes (n, D), drawn in one of three ways.

    codes, labels: those of the training images, (N, D) and (N,).
    how: "normal": N(0, I), whatever the codes are. "per class": a class as frequent as
        in `labels`, then a Gaussian with the mean and the full covariance of its codes.
        "mixture": a mixture of 20 Gaussians with full covariances, fitted without
        labels to at most 10,000 codes, evenly chosen.
    """
    ways = {"normal": _normal, "per class": _per_class, "mixture": _mixture}
    if how not in ways:
        raise ValueError(f"how is {how!r}: say 'normal', 'per class' or 'mixture'")
    return ways[how](codes.cpu(), labels.cpu(), n, seed).to(codes)


@torch.no_grad()
def hole_distances(
    decode: Decoder, codes: Tensor, labels: Tensor, references: Tensor, n_side: int = 30
) -> tuple[Tensor, Tensor]:
    """Test 2, holes: how far from the data images from between the classes are.

    codes, labels: (N, 2) and (N,), of the training images; at least three classes.
    n_side: points of the square grid along the longer side of its frame.

    Returns the grid's points that lie between the classes, inside the polygon that the
    classes' medians span, (M, 2), and `nearest_distance` of their images, (M,).
    """
    if codes.shape[1] != 2:
        raise ValueError(f"holes are looked for on a plane, not in {codes.shape[1]}-D")
    medians = torch.stack([codes[labels == c].median(0)[0] for c in labels.unique()])
    low, high = medians.cpu().aminmax(dim=0)
    step = ((high - low).max() / (n_side - 1)).item()
    sides = [torch.arange(low[d].item(), high[d].item(), step) for d in (0, 1)]
    grid = torch.cartesian_prod(*sides)
    inside = Delaunay(medians.cpu().numpy()).find_simplex(grid.numpy()) >= 0
    places = grid[torch.from_numpy(inside)].to(codes)
    return places, nearest_distance(decode(places), references)


@torch.no_grad()
def path_distances(
    decode: Decoder, starts: Tensor, ends: Tensor, references: Tensor, n_steps: int = 11
) -> tuple[Tensor, Tensor]:
    """Test 3, paths: how far from the data images from the way between two codes are.

    starts, ends: (P, D), the codes at both ends of P straight lines.

    Returns the shares of the way, from 0 to 1, (n_steps,), and `nearest_distance` of
    the images decoded there, (n_steps, P).
    """
    shares = torch.linspace(0, 1, n_steps)
    steps = (torch.lerp(starts, ends, share.item()) for share in shares)
    decoded = torch.cat([decode(z) for z in steps])  # (n_steps · P, …)
    return shares, nearest_distance(decoded, references).view(n_steps, -1)


@torch.no_grad()
def image_shifts(
    decode: Decoder, codes: Tensor, shares: Sequence[float], seed: int
) -> Tensor:
    """Test 4, smoothness: how far an image moves when its code does: (S, N).

    shares: each coordinate of a code moves, up or down at random, by this share of its
        standard deviation over all `codes` (N, D). 0 gives 0.

    Each number is the distance in pixel space between the images before and after.
    """
    generator = Generator().manual_seed(seed)
    signs = 2 * torch.randint(2, codes.shape, generator=generator).to(codes) - 1
    push, before = signs * codes.std(dim=0), decode(codes)
    moved = [decode(codes + share * push) - before for share in shares]
    return torch.stack([change.flatten(1).norm(dim=1) for change in moved])


def _normal(codes: Tensor, labels: Tensor, n: int, seed: int) -> Tensor:
    return torch.randn(n, codes.shape[1], generator=Generator().manual_seed(seed))


def _per_class(codes: Tensor, labels: Tensor, n: int, seed: int) -> Tensor:
    generator = Generator().manual_seed(seed)
    chosen = labels[torch.randint(len(labels), (n,), generator=generator)]
    sample = torch.empty(n, codes.shape[1])
    for c in chosen.unique():
        own = codes[labels == c]
        root = (own - own.mean(0)) / max(len(own) - 1, 1) ** 0.5  # rootᵀ root = cov
        eps = torch.randn((chosen == c).sum(), len(own), generator=generator)
        sample[chosen == c] = own.mean(0) + eps @ root
    return sample


def _mixture(codes: Tensor, labels: Tensor, n: int, seed: int) -> Tensor:
    some = codes[:: -(-len(codes) // _MOST_CODES)].double().numpy()
    mixture = GaussianMixture(N_COMPONENTS, random_state=seed).fit(some)
    sample, _ = mixture.sample(n)  # sorted by component
    return torch.from_numpy(np.random.default_rng(seed).permutation(sample))
