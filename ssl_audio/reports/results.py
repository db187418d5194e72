"""Results of runs as dataclasses, stored in `results.json` and shown by reports.

A number that could not be computed is NaN here and null in `results.json`.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ssl_audio.io.atomic import write_text
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.json_file import read_json
from ssl_audio.io.run_folder import RESULTS
from ssl_audio.reports.estimates import Cost, Difference, Interval, Retrieval
from ssl_audio.reports.plain import from_plain, to_plain
from ssl_audio.reports.pretraining import Selection, TrainingAudio

VERSION = 2  # of the format of results.json


@dataclass(frozen=True, kw_only=True)
class Results:
    """Fields common to the results of all commands.

    Attributes:
        run: folder of the run.
        config: all settings of the run, as plain nested values.
        versions: versions of Python, the platform and the packages.
        seconds: wall-clock seconds by stage.
    """

    kind: ClassVar[str]

    run: str
    seed: int
    config: dict[str, Any]
    versions: dict[str, str]
    seconds: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """A labelled data set: `counts` of the tracks used and `missing` ones by split; `notes` say
    what limits the results."""

    name: str
    tags: tuple[str, ...]
    counts: dict[str, int]
    missing: dict[str, int]
    notes: tuple[str, ...]
    hash: str
    citation: str
    licence: str


@dataclass(frozen=True, kw_only=True)
class ProbeProtocol:
    """How probes were trained and, on the split `part`, measured.

    Attributes:
        train_on: "tracks" (mean embeddings) or "segments".
        hop: seconds between two segments of a track; None: the length of a segment.
        resamples: number of resamples of the test set.
        fraction: fraction of the test set in each resample, drawn without replacement.
        confidence: level of the intervals of differences.
        knn: neighbours of the kNN probe; None: it was not run.
    """

    probe: str
    train_on: str
    hop: float | None
    resamples: int
    fraction: float
    confidence: float
    knn: int | None
    part: str = "test"


@dataclass(frozen=True)
class MetricSummary:
    """A metric averaged over tags: its values on `resamples` of the test set, their mean and
    standard deviation, and the value on the whole `test` set."""

    mean: float
    std: float
    test: float
    resamples: tuple[float, ...]


@dataclass(frozen=True)
class MeanAndStd:
    """Mean and standard deviation over the resamples of the test set."""

    mean: float
    std: float


@dataclass(frozen=True)
class TagFigures:
    """Metrics of one tag, and its number of positives in the test set."""

    roc_auc: MeanAndStd
    map: MeanAndStd
    positives: int


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Test metrics of probes trained on random subsets of `rows` training tracks, one per draw."""

    rows: int
    roc_auc: tuple[float, ...]
    map: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class FractionDraws(Draws):
    """Subsets with a `fraction` of the training set, 0 to 1."""

    fraction: float


@dataclass(frozen=True, kw_only=True)
class ShotDraws(Draws):
    """Subsets with `shots` positives per tag."""

    shots: int


@dataclass(frozen=True)
class Scores:
    """Metrics on the whole test set, averaged over tags."""

    roc_auc: float
    map: float


@dataclass(frozen=True, kw_only=True)
class KnnScores(Scores):
    """Metrics of the kNN probe with `k` neighbours."""

    k: int


@dataclass(frozen=True)
class CalibrationBin:
    """Mean predicted probability, frequency of positives and number of cases in a bin."""

    confidence: float
    frequency: float
    count: int


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error, Brier score, and the non-empty bins they come from."""

    ece: float
    brier: float
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class ChangedMetrics:
    """Metrics, by key, of the same probe on test tracks changed with a strength."""

    change: str
    strength: float
    metrics: dict[str, MeanAndStd]


@dataclass(frozen=True, kw_only=True)
class SystemResults:
    """One encoder or baseline.

    Attributes:
        probe: the kind of probe that gave the figures.
        hash: of the weights, or of the baseline's definition.
        source: where the encoder comes from.
        dimensions: of its embeddings.
        undefined: (resample, tag) pairs without positives or without negatives.
        limited, few_shot: probes on subsets of the training set; empty if not run.
        classes: metrics of the predicted classes by title, where each track has one tag.
        retrieval: of tracks of the same artist and so on, as far as the data set knows them.
        cost: None: it was not measured.
        robustness: on changed test tracks; empty if not run.
    """

    name: str
    kind: str
    probe: str
    hash: str
    source: str
    dimensions: int
    roc_auc: MetricSummary
    map: MetricSummary
    undefined: int
    per_tag: dict[str, TagFigures]
    limited: tuple[FractionDraws, ...]
    few_shot: tuple[ShotDraws, ...]
    knn: KnnScores | None
    calibration: Calibration | None
    classes: dict[str, MetricSummary] = field(default_factory=dict)
    retrieval: tuple[Retrieval, ...] = ()
    cost: Cost | None = None
    robustness: tuple[ChangedMetrics, ...] = ()

    def metric(self, key: str) -> MetricSummary:
        """A metric of `classes` by its title, or "roc_auc" or "map"."""
        found: MetricSummary = self.classes[key] if key in self.classes else getattr(self, key)
        return found


@dataclass(frozen=True, kw_only=True)
class TrackMap:
    """The test tracks' embeddings by one system, projected to two dimensions; `tags` are positions
    in the data set's tags, a tuple per track."""

    system: str
    method: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    ids: tuple[str, ...]
    paths: tuple[str, ...]
    tags: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class ProbeResults(Results):
    """A comparison of encoders by probes on one labelled data set."""

    kind = "probe"

    dataset: DatasetSummary
    protocol: ProbeProtocol
    systems: tuple[SystemResults, ...]
    differences: tuple[Difference, ...]
    map: TrackMap | None


@dataclass(frozen=True, kw_only=True)
class PlaylistData:
    """Playlists or sessions: `counts` by what is counted, `hashes` by file; `notes` say what limits
    the results."""

    name: str
    counts: dict[str, int]
    notes: tuple[str, ...]
    hashes: dict[str, str]


@dataclass(frozen=True)
class Column:
    """One metric of a table: its key in the rows' figures, its title (NDCG@10), and its name in
    words, for axes ("normalised discounted cumulative gain at 10")."""

    key: str
    title: str
    lower_is_better: bool = False
    words: str = ""


@dataclass(frozen=True)
class Row:
    """One system of a table: the features and the seconds of its training, and its metrics by key
    of the columns; a metric that could not be computed is left out."""

    system: str
    features: str
    figures: dict[str, Interval]
    seconds: float | None = None


@dataclass(frozen=True)
class Table:
    """One evaluation of several systems, with paired differences; `about` is the title of what the
    rows have as `features`."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    about: str = "features"


@dataclass(frozen=True)
class LossHistory:
    """Loss terms of one training run, each with one value per entry of `step`."""

    step: tuple[int, ...]
    terms: dict[str, tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class CoOccurrence:
    """Pearson correlation `r`, with its 95 % interval, of two tracks' similarity (named by `of`)
    and their co-occurrence in % of the playlists, over `pairs` pairs; the values are a sample."""

    of: str
    r: float
    low: float
    high: float
    pairs: int
    similarity: tuple[float, ...]
    co_occurrence: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PlaylistResults(Results):
    """A comparison of playlist models: completion of playlists, or next sessions. `losses` are by
    system; `models` has the folder below `systems/` of each trained `model=`, by its name."""

    kind = "playlists"

    protocol: str
    data: PlaylistData
    tables: tuple[Table, ...]
    losses: dict[str, LossHistory]
    correlation: CoOccurrence | None
    models: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PretrainResults(Results):
    """A pretraining run: its steps and their limit (None: by time), pairs of a step, last values of
    `metrics` and of measures of `collapse`, losses on held-out tracks by finished steps, the
    selected encoder, and scores of a probe by what was probed."""

    kind = "pretrain"

    recipe: str
    steps: int
    max_steps: int | None
    batch_size: int
    precision: str
    metrics: dict[str, float]
    collapsed: bool
    collapse: dict[str, float]
    data: TrainingAudio
    validation: LossHistory | None = None
    selected: Selection | None = None
    probe: dict[str, Scores] = field(default_factory=dict)


AnyResults = ProbeResults | PlaylistResults | PretrainResults
_KINDS: dict[str, type[AnyResults]] = {
    one.kind: one for one in (ProbeResults, PlaylistResults, PretrainResults)
}


def write_results(folder: Path, results: Results) -> Path:
    """Write `results.json` into the folder of a run; returns its path."""
    values = {"kind": results.kind, "version": VERSION, **to_plain(results)}
    path = folder / RESULTS
    write_text(path, json.dumps(values, indent=2, allow_nan=False) + "\n")
    return path


def read_results(path: Path) -> AnyResults:
    """Read `results.json`, given the file or the folder of the run.

    Raises:
        SslAudioError: a missing or damaged file, or one of another version or kind.
    """
    file = path / RESULTS if path.is_dir() else path
    try:
        values = read_json(file)
        kind = values.pop("kind", None) if isinstance(values, dict) else None
        if kind not in _KINDS:
            raise SslAudioError(f"{file}: no results of {', '.join(_KINDS)}")
        version = values.pop("version", values.pop("format", None))
        if version != VERSION:
            raise SslAudioError(
                f"{file}: results of version {version}; this release reads version {VERSION}: "
                "run the command again"
            )
        return from_plain(_KINDS[kind], values)
    except OSError as error:
        raise SslAudioError(f"{file}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise SslAudioError(f"{file} is damaged: {error}") from error
