"""Tables of a comparison: intervals of each system's figures, and tested differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ssl_audio.io.run_folder import versions
from ssl_audio.recommenders.evaluation.significance import interval, paired_differences
from ssl_audio.recommenders.systems import Run, System, pairs_to_compare
from ssl_audio.reports.results import Column, Interval, PlaylistResults, Row, Table
from ssl_audio.settings.tree import plain

Figures = Mapping[str, np.ndarray]
"""(playlists,) figures of one system, by metric."""


@dataclass(frozen=True)
class Reporter:
    """Makes the tables and the results of a run; `seconds` are those of each system, by key."""

    run: Run[Any]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def draws(self) -> dict[str, int]:
        """Seed and number of the resamples of all intervals."""
        return {"seed": self.run.seed, "resamples": self.run.settings.completion.resamples}

    def table(
        self, name: str, caption: str, columns: Sequence[Column],
        systems: Sequence[System[Any, Any]], figures: Mapping[str, Figures], tested: Sequence[str],
        derived: Mapping[str, Mapping[str, Interval]] | None = None,
    ) -> Table:  # fmt: skip
        """One table, a row for each system.

        Args:
            name, caption, columns: of the table.
            systems: its rows; `figures` and `derived` are by their keys.
            tested: metrics whose paired differences are tested.
            derived: further intervals, by metric.
        """
        rows = []
        for system in systems:
            found = {key: interval(v, **self.draws) for key, v in figures[system.key].items()}
            found |= derived[system.key] if derived else {}
            seconds = round(self.seconds[system.key], 1)
            rows.append(Row(system.name, system.features, found, seconds))
        by_label = {system.label: figures[system.key] for system in systems}
        differences = paired_differences(pairs_to_compare(systems), by_label, tested, **self.draws)
        return Table(name, caption, tuple(columns), tuple(rows), differences)

    def results(self, systems: Sequence[System[Any, Any]], **parts: Any) -> PlaylistResults:
        """The results of the run; `parts` are the fields that its kind of comparison adds."""
        return PlaylistResults(
            run=str(self.run.folder.parent),
            seed=self.run.seed,
            config=plain(self.run.settings),
            versions=versions(),
            seconds={name: round(value, 1) for name, value in self.seconds.items()},
            losses={s.label: losses for s in systems if (losses := s.losses())},
            models={s.model: s.folder.name for s in systems if s.model},
            **parts,
        )
