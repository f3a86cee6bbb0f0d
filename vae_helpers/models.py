"""The models of the course, small enough to hold in the head."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

IMAGE_SHAPE = (1, 28, 28)
N_PIXELS = 28 * 28


def mlp(sizes: Sequence[int], activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Linear layers of the given sizes, an activation between any two, none at the end.

    `mlp([784, 100, 2], nn.ReLU)` maps (B, 784) to (B, 2).
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), activation()]
    return nn.Sequential(*layers[:-1])


class Autoencoder(nn.Module):
    """x → code z → reconstruction, with a linear code layer and a linear output.

    latent_dim: D, how many numbers the code holds.
    hidden_sizes: the encoder's hidden layers; the decoder mirrors them. Without any,
        the model is linear and its best reconstruction is PCA's.
    activation: makes the layer between two linear maps, e.g. `nn.ReLU`.

    Source: written in the open in notebook 01.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        hidden_sizes: Sequence[int] = (100,),
        activation: Callable[[], nn.Module] = nn.ReLU,
    ):
        super().__init__()
        sizes = [N_PIXELS, *hidden_sizes, latent_dim]
        self.encoder = mlp(sizes, activation)
        self.decoder = mlp(sizes[::-1], activation)

    def encode(self, x: Tensor) -> Tensor:
        """Images (B, 1, 28, 28) → codes (B, D)."""
        return self.encoder(x.flatten(1))

    def decode(self, z: Tensor) -> Tensor:
        """Codes (B, D) → images (B, 1, 28, 28); pixels may leave [0, 1] a little."""
        return self.decoder(z).unflatten(1, IMAGE_SHAPE)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct images: (B, 1, 28, 28) → (B, 1, 28, 28)."""
        return self.decode(self.encode(x))
