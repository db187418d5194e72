"""Finished runs of a study: a JSON file each, with all that a table needs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from study_file import Run, Study

from ssl_audio.io.atomic import write_text
from ssl_audio.io.console import warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.reports.plain import from_plain, to_plain
from ssl_audio.reports.results import PretrainResults

DIGITS = 5  # of stored scores


@dataclass(frozen=True)
class ProbeScores:
    """The probe of one encoder on one labelled set.

    Attributes:
        words: of `ssl-audio probe`, with {NAME} for places.
        tags: names of the columns.
        ids: of the measured tracks.
        clusters: what tracks are resampled with, such as their artist.
        labels: a digit per tag of each track: 0, 1, or 2 where it is not known.
        scores: (tracks, tags) logits.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    ids: tuple[str, ...]
    clusters: tuple[str, ...]
    labels: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]

    @property
    def targets(self) -> np.ndarray:
        """(tracks, tags) uint8: 0, 1 or UNLABELLED."""
        return np.array([list(map(int, row)) for row in self.labels], np.uint8)


@dataclass(frozen=True)
class Finished:
    """A finished run.

    Attributes:
        words: of `ssl-audio pretrain`, with {NAME} for places.
        seconds: of training (over all resumed parts) and of the probes.
        pretrain: results of the training, without what depends on the machine's folders.
        probes: by labelled set.
    """

    row: str
    seed: int
    words: tuple[str, ...]
    seconds: dict[str, float]
    pretrain: PretrainResults
    probes: dict[str, ProbeScores]


def short(value: float) -> float:
    """A score in as many digits as are stored."""
    return float(f"{value:.{DIGITS}g}")


def without_folders(results: PretrainResults) -> PretrainResults:
    """Results without paths of this machine; the words of the run say what its settings were."""
    data = replace(results.data, unreadable_while_training=())
    return replace(results, run="", config={}, data=data)


def path_of(run: Run, results: Path) -> Path:
    """The file of a finished run."""
    return results / f"{run.name}.json"


def write_finished(finished: Finished, run: Run, results: Path) -> None:
    """Write the file of a run in one step."""
    text = json.dumps(to_plain(finished), allow_nan=False, separators=(",", ":"))
    write_text(path_of(run, results), text + "\n")


def read_finished(run: Run, study: Study, results: Path) -> Finished | None:
    """A finished run; None if it is not finished with the study's present words.

    Raises:
        SslAudioError: the file is damaged.
    """
    path = path_of(run, results)
    if not path.exists():
        return None
    try:
        found = from_plain(Finished, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise SslAudioError(f"{path} is damaged: {error}; remove it") from error
    probes = {name: tuple(words) for name, words in study.probes.items()}
    same = found.words == run.words and {k: v.words for k, v in found.probes.items()} == probes
    if not same:
        warn(f"{run.name}: finished with other words than the study has now")
    return found if same else None


def read_all(study: Study, results: Path) -> dict[str, list[Finished]]:
    """Finished runs by row, in the order of the study.

    Raises:
        SslAudioError: none of the reference row, or runs that measured other tracks.
    """
    found: dict[str, list[Finished]] = {row: [] for row in study.rows}
    for run in study.runs():
        if (one := read_finished(run, study, results)) is not None:
            found[run.row].append(one)
    if not found[study.reference]:
        raise SslAudioError(f"{results}: no finished run of the reference, {study.reference}")
    _check_same_tracks(found[study.reference][0], [one for runs in found.values() for one in runs])
    return {row: runs for row, runs in found.items() if runs}


def _check_same_tracks(first: Finished, every: Sequence[Finished]) -> None:
    for one in every:
        for name, probe in one.probes.items():
            other = first.probes[name]
            if (probe.ids, probe.tags, probe.labels) != (other.ids, other.tags, other.labels):
                raise SslAudioError(
                    f"{one.row}, seed {one.seed}: probe {name} measured other tracks than "
                    f"{first.row}, seed {first.seed}; remove one of the two files"
                )
