"""Explorers whose decoder runs in the browser, so that the image follows the hand."""

from vae_helpers.explorers.latent import LatentExplorer
from vae_helpers.explorers.posterior import PosteriorExplorer

__all__ = ["LatentExplorer", "PosteriorExplorer"]
