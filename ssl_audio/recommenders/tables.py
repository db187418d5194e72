"""Tables of a comparison: intervals of each recommender's figures, and tested differences."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np

from ssl_audio.recommenders.evaluation.significance import interval_of, paired_differences
from ssl_audio.reports.results import Column, Row, Table

MAIN, BY_TASK, BY_WEIGHTS = "main", "by_task", "by_weights"  # which tables a recommender is in
Figures = Mapping[str, np.ndarray]
"""(seeds, playlists) figures of a recommender, by metric; (seeds, 1) of all playlists together."""


class Role(Enum):
    """Which differences to a recommender are tested."""

    MODEL = "to every other recommender of its table, but for models above it"
    VARIANT = "to the references of the same features"
    REFERENCE = "of the variants and models to it"
    BASELINE = "of the models to it"


class Named(Protocol):
    """What a table shows of a recommender; see `recommender.Recommender`."""

    name: str
    features: str
    role: Role

    @property
    def label(self) -> str: ...
    @property
    def key(self) -> str: ...


@dataclass(frozen=True)
class TableSpec:
    """A table of an evaluation.

    Attributes:
        name, caption, columns: of the table.
        tested: metrics whose paired differences are tested.
        derived: metrics that are functions of the means of others, by name.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    tested: tuple[str, ...] = ()
    derived: Mapping[str, tuple[Callable[..., np.ndarray], tuple[str, ...]]] = field(
        default_factory=dict
    )


@dataclass(frozen=True)
class Reporter:
    """Makes the tables of a run.

    Attributes:
        seed, resamples: of all intervals.
        seconds: training time of each recommender, by key.
    """

    seed: int
    resamples: int
    seconds: dict[str, float]

    def table(
        self, spec: TableSpec, recommenders: Sequence[Named], figures: Mapping[str, Figures]
    ) -> Table:
        """One table, a row for each recommender; `figures` are by their keys.

        A metric that a recommender has no figure of is left out of its row.
        """
        draws = {"seed": self.seed, "resamples": self.resamples}
        rows = []
        for one in recommenders:
            own, found = figures[one.key], {}
            for key in (column.key for column in spec.columns):
                statistic, names = spec.derived.get(key, (np.asarray, (key,)))
                if all(name in own for name in names):
                    found[key] = interval_of(statistic, *(own[name] for name in names), **draws)
            rows.append(Row(one.name, one.features, found, round(self.seconds[one.key], 1)))
        by_label = {one.label: figures[one.key] for one in recommenders}
        pairs = pairs_to_compare(recommenders)
        differences = paired_differences(pairs, by_label, spec.tested, **draws)
        return Table(spec.name, spec.caption, spec.columns, tuple(rows), differences)


def pairs_to_compare(recommenders: Iterable[Named]) -> list[tuple[str, str]]:
    """Labels of the pairs of a table whose difference is tested, by their roles, each pair once."""
    every = list(recommenders)
    models = [one for one in every if one.role is Role.MODEL]
    pairs = [(a, b) for k, a in enumerate(models) for b in every if b not in models[: k + 1]]
    pairs += [(a, b) for a in every if a.role is Role.VARIANT for b in every
              if b.role is Role.REFERENCE and b.features == a.features]  # fmt: skip
    return [(a.label, b.label) for a, b in pairs]
