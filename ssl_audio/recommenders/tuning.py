"""Settings of recommenders that are chosen on the validation part of the data: `tune=true`.

The first trial of a recommender has its settings as given; the others are points of its grid
(`Recommender.space`) in a random order without repeats, all of them where the budget is enough:
random search (Bergstra and Bengio 2012). A search by a model of the trials, such as Optuna's TPE,
draws its first ten at random too, and grids of a few settings and budgets of some twenty trials
leave it nothing to learn; here a trial follows from the seed and its number alone, so that an
interrupted search resumes, and a larger budget continues a smaller one.

The test part is not in the data that trials see: it is replaced by the validation part of the
playlists, or by the users' last sessions but one, which are then not trained on.
"""

import copy
import hashlib
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from ssl_audio.io.atomic import write_json
from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.json_file import read_json
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.evaluation.significance import interval
from ssl_audio.recommenders.evaluations import Evaluation, evaluations_of
from ssl_audio.recommenders.recommender import Recommender, Space, baseline_names, make
from ssl_audio.recommenders.session_data import load_session_data, movielens_folder
from ssl_audio.reports.estimates import Interval
from ssl_audio.reports.results import Column, Row, Table
from ssl_audio.settings.fields import SettingError, shown
from ssl_audio.settings.recommend import RecommendSettings, Tuning
from ssl_audio.settings.tree import plain
from ssl_audio.settings.words import value_at

TRIALS, FOLDER = "trials.json", "tuning"  # in a run's folder
PLAYLIST_METRICS, SESSION_METRICS = ("hr", "next_track@50"), ("hit_rate",)
AS_GIVEN = "as given"


@dataclass(frozen=True)
class Trial:
    """A recommender with some settings, measured on the validation part.

    Attributes:
        recommender: its name in the registry.
        settings: `KEY=VALUE` words; empty: as given.
        score: the mean of the metrics; None if it could not be trained.
        figures: mean and 95 % interval over playlists of each metric.
        seconds: of training and evaluation.
        error: why it could not be trained.
    """

    recommender: str
    settings: tuple[str, ...]
    score: float | None
    figures: dict[str, tuple[float, float, float]]
    seconds: float
    error: str = ""


def tune(
    settings: RecommendSettings, data: TrainingData, folder: Path
) -> tuple[RecommendSettings, Table]:
    """Choose the settings of every recommender that has a search space.

    Finished trials are kept in `trials.json`, and are not run again.

    Returns:
        The settings, with those that were chosen in `overrides`, and a table of these.

    Raises:
        SslAudioError: metrics that are not measured, too little data in the validation part, or a
            recommender that cannot be trained with its settings as given.
    """
    chosen = settings.tune
    assert isinstance(chosen, Tuning)
    held = validation_data(settings, data)
    search = _Search(settings, chosen, held, folder)
    names = list(dict.fromkeys((*baseline_names(settings, data), *settings.model)))
    if "ensemble" in names:  # its parts are tuned, too
        names = list(dict.fromkeys((*names, *settings.ensemble)))
    best = {name: trial for name in names if (trial := search.best(name))}
    words = [f"{name}:{word}" for name, trial in best.items() for word in trial.settings]
    return replace(settings, overrides=(*settings.overrides, *words)), search.table(best)


def validation_data(settings: RecommendSettings, data: TrainingData) -> TrainingData:
    """The data with the validation part in place of the test part."""
    if movielens := movielens_folder(settings.playlists):
        return load_session_data(
            movielens, settings.sessions, settings.m2grl.categories, validate=True
        )
    held = copy.copy(data)
    held.test = data.validation
    return held


def points_of(space: Space, seed: int) -> Iterator[tuple[str, ...]]:
    """All points of a grid as `KEY=VALUE` words, in an order that follows from the seed."""
    sizes = [len(tried) for tried in space.values()]
    for place in np.random.default_rng(seed).permutation(math.prod(sizes)) if sizes else ():
        numbers = np.unravel_index(place, sizes)
        yield tuple(f"{key}={shown(space[key][k])}" for key, k in zip(space, numbers, strict=True))


class _Search:
    """Trials of the recommenders on one part of the data, as far as they have come."""

    def __init__(
        self, settings: RecommendSettings, chosen: Tuning, data: TrainingData, folder: Path
    ) -> None:
        self.settings, self.chosen, self.data, self.folder = settings, chosen, data, folder
        try:
            _, evaluations = evaluations_of(settings, data)
        except SslAudioError as error:
            raise SslAudioError(f"tune=true measures on the validation part: {error}") from error
        default = SESSION_METRICS if data.in_sessions else PLAYLIST_METRICS
        self.measured = [_measured(evaluations, one) for one in chosen.metric or default]
        self.trials = _read(folder / TRIALS)
        self.tried: dict[str, int] = {}  # trials of each recommender that the best is chosen of

    def best(self, name: str) -> Trial | None:
        """The trial of highest score, of equal ones the first; None without a search space."""
        made = make(name, self.settings, self.data)
        space = _row(made).space if made else {}
        space = {key: tried for key, tried in space.items() if key not in self.chosen.keep}
        if not space:
            return None
        values = plain(self.settings.of(name))
        own = tuple(f"{key}={shown(value_at(values, key))}" for key in space)
        points = (point for point in points_of(space, self.settings.seed) if point != own)
        wanted = [(), *islice(points, self.chosen.trials - 1)]
        trials = [self._trial(name, words, number, len(wanted))
                  for number, words in enumerate(wanted, 1)]  # fmt: skip
        self.tried[name] = len(trials)
        if trials[0].error:
            raise SslAudioError(f"{name} with its settings as given: {trials[0].error}")
        return max(trials, key=lambda trial: -math.inf if trial.score is None else trial.score)

    def _trial(self, name: str, words: tuple[str, ...], number: int, of: int) -> Trial:
        """A trial, unless it is finished; then it is kept."""
        for trial in self.trials:
            if (trial.recommender, trial.settings) == (name, words):
                return trial
        say(f"tune [{number}/{of}] {name}: {' '.join(words) or AS_GIVEN}")
        started, found, error = time.monotonic(), {}, ""
        digest = hashlib.sha256(" ".join(words).encode()).hexdigest()
        own = self.folder / FOLDER / f"{name}-{digest[:12]}"
        try:
            found = self._figures(name, words, own)
        except SslAudioError as one:
            error = str(one)
            say(f"  {error}")
        score = float(np.mean([one.mean for one in found.values()])) if found else None
        figures = {key: (one.mean, one.low, one.high) for key, one in found.items()}
        trial = Trial(name, words, score, figures, round(time.monotonic() - started, 1), error)
        self.trials.append(trial)
        write_json(self.folder / TRIALS, {"trials": [asdict(one) for one in self.trials]})
        shutil.rmtree(own, ignore_errors=True)
        return trial

    def _figures(self, name: str, words: Sequence[str], own: Path) -> dict[str, Interval]:
        """The metrics of a recommender that is trained in a folder of its own."""
        overrides = (*self.settings.overrides, *(f"{name}:{word}" for word in words))
        one = _row(make(name, replace(self.settings, overrides=overrides), self.data))
        one.fit(own)
        figures = {id(evaluation): evaluation.figures(one) for evaluation in
                   {id(each): each for each, _ in self.measured}.values()}  # fmt: skip
        draws = {"seed": self.settings.seed, "resamples": self.settings.completion.resamples}
        return {column.key: interval(figures[id(each)][column.key], **draws)
                for each, column in self.measured}  # fmt: skip

    def table(self, best: dict[str, Trial]) -> Table:
        """The chosen settings, and their metrics on the validation part."""
        columns = tuple(column for _, column in self.measured)
        rows = tuple(
            Row(
                _row(make(name, self.settings, self.data)).label,
                f"{', '.join(trial.settings) or AS_GIVEN} ({self.tried[name]} trials)",
                {key: Interval(*found) for key, found in trial.figures.items()},
                trial.seconds,
            )
            for name, trial in best.items()
        )
        what = " and ".join(column.title for column in columns)
        caption = (
            "For each recommender, the settings of the highest "
            f"{'mean of ' if len(columns) > 1 else ''}{what} on the validation part, by at most "
            f"{self.chosen.trials} trials of one training seed, the first with the settings as "
            "given. The figures are those of the validation part, and as the highest of several "
            "too high; the other tables are of the test part. Recommenders without a search space "
            "are left out; rows of the same name in the other tables share their settings."
        )
        return Table("Chosen settings", caption, columns, rows, (), "chosen settings")


def _row(made: list[Recommender]) -> Recommender:
    """The recommender that stands for those of a name: the first with features, if any."""
    return next((one for one in made if one.features), made[0])


def _measured(evaluations: Sequence[Evaluation], metric: str) -> tuple[Evaluation, Column]:
    """The first evaluation with a metric, and the metric's column."""
    every = [(one, column) for one in evaluations for spec in one.tables for column in spec.columns]
    for one, column in every:
        if column.key == metric and not column.lower_is_better:
            return one, column
    known = ", ".join(dict.fromkeys(c.key for _, c in every if not c.lower_is_better))
    raise SettingError("tune.metric", metric, f"one of {known}")


def _read(path: Path) -> list[Trial]:
    """The finished trials of a run."""
    if not path.exists():
        return []
    try:
        found = read_json(path)["trials"]
        return [Trial(**{**one, "settings": tuple(one["settings"])}) for one in found]
    except (ValueError, TypeError, KeyError) as error:
        raise SslAudioError(f"{path} is damaged: remove it, and all trials run again") from error
