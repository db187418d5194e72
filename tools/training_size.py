"""Figures of recommenders by plays a track: `python tools/training_size.py playlists=FILE`.

The training playlists are drawn at random until their positions are so many times the tracks that
all of them have; larger draws hold the smaller ones. Test and validation playlists, and the tracks
that are candidates, are the same for all sizes. `graph.min_weight` is scaled with the share of the
playlists that is drawn, and is 1 or more.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.io.atomic import write_json
from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.comparison import compare_on, load_data
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.reports.drawing import style, write_figure
from ssl_audio.reports.figures import Curve, scaling
from ssl_audio.reports.grids import Cell, Grid, grid_text, number
from ssl_audio.reports.plain import to_plain
from ssl_audio.reports.results import PlaylistResults
from ssl_audio.settings.command import Command
from ssl_audio.settings.fields import setting
from ssl_audio.settings.recommend import RecommendSettings

METRICS = ("hr", "next_track@50", "hit_rate")  # shown where a table has them
RESULTS = "training-size"


class TrainingSizeSettings(RecommendSettings):
    plays: tuple[float, ...] = setting(
        (1, 3, 10, 30, 100, 200), help="plays a track; more than there are: all playlists", above=0
    )


@dataclass(frozen=True)
class Drawn:
    """Training playlists of one size: plays a track, and the share of all playlists."""

    plays: float
    share: float
    playlists: Playlists


def draws(train: Playlists, tracks: int, plays: Sequence[float], seed: int) -> list[Drawn]:
    """Random training playlists with so many positions a track, and at last all of them.

    Args:
        train: all of them.
        tracks: that they have.
        plays: positions per track.
        seed: of the order in which they are drawn.
    """
    order = np.random.default_rng(seed).permutation(len(train))
    positions = np.cumsum(train.lengths[order])
    counts = [int(np.searchsorted(positions, one * tracks)) + 1 for one in sorted(plays)]
    kept = dict.fromkeys(min(count, len(train)) for count in counts)
    return [
        Drawn(positions[count - 1] / tracks, count / len(train), train.take(order[:count]))
        for count in kept
    ]


def measure(settings: TrainingSizeSettings, folder: Path) -> list[tuple[float, PlaylistResults]]:
    """The comparison for each size, in a folder of its own, with the plays a track."""
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    data = load_data(settings, folder)
    seconds, found = time.monotonic() - started, []
    for one in draws(data.train, int((data.counts > 0).sum()), settings.plays, settings.seed):
        own = folder / f"plays-{one.plays:.3g}"
        own.mkdir(exist_ok=True)
        say(f"{one.plays:.3g} plays a track: {len(one.playlists)} training playlists")
        chosen = replace(settings, run_dir=own, ckpt_path="last")  # resumes what is there
        found.append((one.plays, compare_on(chosen, _part(data, one), own, seconds)))
    return found


def _part(data: TrainingData, drawn: Drawn) -> TrainingData:
    made = data.with_training(drawn.playlists, max(1, round(data.min_weight * drawn.share)))
    made.hashes = {**data.hashes, "plays": f"{drawn.plays:.6g}"}
    return made


def curves(found: Sequence[tuple[float, PlaylistResults]]) -> dict[str, list[Curve]]:
    """Curves of the systems by panel, which is a metric of a table."""
    points: dict[str, dict[str, list[Any]]] = {}
    for plays, results in found:
        for table in results.tables:
            for column in (one for one in table.columns if one.key in METRICS):
                panel = points.setdefault(f"{column.title}: {table.name}", {})
                for row in table.rows:
                    if column.key in row.figures:
                        label = f"{row.system} {row.features}".strip()
                        panel.setdefault(label, []).append((plays, row.figures[column.key]))
    return {
        panel: [Curve(name, tuple(values)) for name, values in by.items()]
        for panel, by in points.items()
        if not panel.endswith("Chosen settings")
    }


def grids(panels: Mapping[str, Sequence[Curve]]) -> str:
    """A table for each panel."""
    made = []
    for panel, by in panels.items():
        sizes = sorted({x for one in by for x, _ in one.points})
        rows = []
        for one in by:
            at = dict(one.points)
            cells = [Cell(number(at[x].mean) if x in at else "–") for x in sizes]
            rows.append([Cell(one.name), *cells])
        header = ("system", *(f"{x:.3g}" for x in sizes))
        made.append(f"{panel}, by plays a track\n{grid_text(Grid(panel, '', header, rows))}")
    return "\n\n".join(made)


COMMAND = Command(
    name="training_size",
    script="python tools/training_size.py",
    summary="Measure recommenders by plays a track; writes a JSON file and a figure.",
    usage="playlists=FILE run_dir=FOLDER [KEY=VALUE ...]",
    examples=("playlists=playlists.duckdb run_dir=sizes model=[musig,two_tower] seeds=5 "
              "baselines=[popularity,playlist_knn,ease,track2vec]",),
    settings=TrainingSizeSettings,
)  # fmt: skip


def run(settings: TrainingSizeSettings) -> None:
    """Measure, write and print."""
    folder = settings.run_dir
    if folder is None:
        raise SslAudioError("run_dir= is required: the folder of the results")
    found = measure(settings, folder)
    panels = curves(found)
    sizes = [
        {"plays": plays, "counts": one.data.counts, "notes": list(one.data.notes),
         "tables": to_plain(one)["tables"]}
        for plays, one in found
    ]  # fmt: skip
    config = found[0][1].config | {"overrides": list(settings.overrides)}
    write_json(folder / f"{RESULTS}.json", {"settings": config, "sizes": sizes})
    draw = partial(scaling, panels, "plays a track in training", common=False)
    with style():
        write_figure(folder / RESULTS, draw())
    print(grids(panels))
    say(f"written: {folder / RESULTS}.json, .svg and .png")


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
