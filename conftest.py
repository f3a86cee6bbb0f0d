"""The tests run on the bundled digits, unless the environment asks for other data."""

import os

os.environ.setdefault("VAE_DATASET", "digits")
