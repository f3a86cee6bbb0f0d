"""What the models are trained for: one number per image, shape (B,)."""

from torch import Tensor, nn


def squared_error(model: nn.Module, x: Tensor) -> Tensor:
    """‖x − model(x)‖², summed over pixels: images (B, 1, 28, 28) → (B,).

    Source: written in the open in notebook 01.
    """
    return (model(x) - x).square().flatten(1).sum(1)
