"""Tables of a comparison: intervals of each system's figures, and tested differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ssl_audio.recommenders.evaluation.significance import interval, paired_differences
from ssl_audio.recommenders.systems import System, pairs_to_compare
from ssl_audio.reports.results import Column, Interval, Row, Table

Figures = Mapping[str, np.ndarray]
"""(playlists,) figures of one system, by metric."""


@dataclass(frozen=True)
class TableMaker:
    """Makes tables with the same resamples.

    Attributes:
        seed, resamples: of the intervals.
        seconds: wall-clock time of each system, by key.
    """

    seed: int
    resamples: int
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def drawn(self) -> dict[str, int]:
        """Arguments of `interval` and `interval_of`."""
        return {"seed": self.seed, "resamples": self.resamples}

    def table(
        self,
        name: str,
        caption: str,
        columns: Sequence[Column],
        systems: Sequence[System[Any]],
        figures: Mapping[str, Figures],
        tested: Sequence[str],
        derived: Mapping[str, Mapping[str, Interval]] | None = None,
    ) -> Table:
        """One table.

        Args:
            name, caption: of the table.
            columns: its metrics.
            systems: its rows.
            figures: of each system, by key.
            tested: metrics whose paired differences are tested.
            derived: further intervals of each system, by key and metric.
        """
        rows = []
        for system in systems:
            found = {key: interval(v, **self.drawn) for key, v in figures[system.key].items()}
            found |= derived[system.key] if derived else {}
            seconds = self.seconds.get(system.key)
            rounded = None if seconds is None else round(seconds, 1)
            rows.append(Row(system.name, system.features, found, rounded))
        by_label = {system.label: figures[system.key] for system in systems}
        differences = paired_differences(
            pairs_to_compare(systems), by_label, tested, self.seed, self.resamples
        )
        return Table(name, caption, tuple(columns), tuple(rows), differences)
