"""The ✓ lines of the lessons."""


def checkpoint(claim: str, holds: bool, measured: str = "") -> None:
    """Print `✓ claim` where the claim holds on this run, else `✗` and the figures.

    The line for a claim that holds never changes, so the tests can compare it; a claim
    that fails does not stop the notebook, because changing things to see them fail is a
    good way to learn.
    """
    if bool(holds):
        print(f"✓ {claim}")
    else:
        print(f"✗ not on this run: {claim} {measured}".rstrip())
