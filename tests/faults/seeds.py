"""Random numbers that depend on a seed and a purpose, never on the order of the draws."""

import random


def rng(seed: int, *purpose: object) -> random.Random:
    """Return a generator for one purpose: the same in every process that asks."""
    return random.Random("/".join(map(str, (seed, *purpose))))  # noqa: S311 - to be repeated, not secret
