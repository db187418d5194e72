"""Subsets of the training set: a few per cent of it, or a few positives per tag."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Subset:
    """A random subset of the training set.

    Attributes:
        rows: (n,) indices, ascending.
        seed: number of the draw.
        fraction: of the training set; None for few-shot subsets.
        shots: positives per tag; None for fractions.
    """

    rows: np.ndarray
    seed: int
    fraction: float | None = None
    shots: int | None = None


def fraction_subsets(
    rows: int, fractions: Sequence[float] = (0.01, 0.05, 0.1, 0.2), seeds: int = 4
) -> list[Subset]:
    """Random fractions of the training set (section 3.3 of the multi-view comparison).

    Not stratified: at 1 % a tag may have no positive. The subsets of one seed are nested, so that
    a curve over the fractions only adds tracks.

    Args:
        rows: of the training set.
        fractions: above 0 and below 1.
        seeds: draws of each fraction.

    Raises:
        ValueError: a fraction of less than one row, or of all rows.
    """
    subsets = []
    for seed in range(seeds):
        order = np.random.default_rng([1, seed]).permutation(rows)
        for fraction in fractions:
            count = round(rows * fraction)
            if not 0 < count < rows:
                raise ValueError(f"a fraction of {fraction} of {rows} rows is {count} rows")
            subsets.append(Subset(np.sort(order[:count]), seed, fraction=fraction))
    return subsets


def few_shot_subsets(
    targets: np.ndarray, shots: Sequence[int] = (1, 2, 5, 10), seeds: int = 4
) -> list[Subset]:
    """Subsets of the training set with a number of positives of every tag.

    Tags are filled from the rarest to the most common. A track counts for all of its tags, so that
    common tags get more positives than `shots`; a tag with fewer positives gets all of them.

    Args:
        targets: (rows, tags), 1 for positives, of the training set.
        shots: positives per tag, above 0.
        seeds: draws of each number of shots.
    """
    subsets = []
    for seed in range(seeds):
        order = np.random.default_rng([2, seed]).permutation(len(targets))
        for count in shots:
            subsets.append(Subset(_fill(targets, order, count), seed, shots=count))
    return subsets


def _fill(targets: np.ndarray, order: np.ndarray, shots: int) -> np.ndarray:
    have = np.zeros(targets.shape[1], int)
    taken = np.zeros(len(targets), bool)
    positive = targets == 1
    for tag in np.argsort(positive.sum(0), kind="stable"):
        candidates = order[positive[order, tag] & ~taken[order]]
        for row in candidates[: max(0, shots - have[tag])]:
            taken[row] = True
            have += positive[row]
    return np.flatnonzero(taken)
