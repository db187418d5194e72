"""The queue of a study: one training at a time, each probed and stored as it finishes."""

import gc
import hashlib
import json
import shutil
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from study_file import Run, Study, placed
from study_results import (
    Finished,
    ProbeScores,
    read_finished,
    short,
    without_folders,
    write_finished,
)

from ssl_audio import pretrain, probe
from ssl_audio.io.console import SOME_FAILED, say, warn
from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.io.lightning_run import find_checkpoint
from ssl_audio.io.lock import only_writer
from ssl_audio.io.run_folder import RESULTS
from ssl_audio.probing.comparison import compare
from ssl_audio.reports.results import PretrainResults, read_results
from ssl_audio.training.horizon import seconds_used
from ssl_audio.training.pretrain import pretrain as train

CHECKPOINTS, FEATURES = "checkpoints", "features"  # below a run's folder, removed when it is done


def run_study(study: Study, places: Mapping[str, str], folder: Path, results: Path) -> int:
    """Run what is not finished; returns the exit status.

    Args:
        study: what to run.
        places: of its data, by name.
        folder: of the trainings; only one process at a time runs a study in it.
        results: folder of the finished runs.

    Raises:
        SslAudioError: words of a row or a probe that are refused, or a folder that is in use.
    """
    _check_words(study, places)
    failed = []
    with only_writer(folder):
        runs = study.runs()
        todo = [run for run in runs if read_finished(run, study, results) is None]
        say(f"{study.title}: {len(runs) - len(todo)} of {len(runs)} runs are finished")
        for number, run in enumerate(todo, 1):
            say(f"run {number} of {len(todo)}: {run.name}")
            try:
                finished = _finish(run, study, places, folder)
                write_finished(finished, run, results)
                _clear(_folder_of(run, folder))
            except Exception as error:  # of any type: the other rows do not depend on it
                failed.append(run.name)
                warn(f"{run.name} failed: {first_line(error)}")
                if not isinstance(error, SslAudioError):
                    traceback.print_exc()
            gc.collect()
    say(f"{results}: {len(runs) - len(failed)} of {len(runs)} runs are finished")
    if failed:
        say(f"failed: {', '.join(failed)}")
    return SOME_FAILED if failed else 0


def _check_words(study: Study, places: Mapping[str, str]) -> None:
    """Refuse words at once that would fail after hours."""
    first = study.seeds[0]
    checked = [(f"row {run.row}", pretrain.COMMAND, run.words) for run in study.runs()
               if run.seed == first]  # fmt: skip
    checked += [
        (f"probe {name}", probe.COMMAND, (*words, "baselines=[mfcc]"))
        for name, words in study.probes.items()
    ]
    for what, command, words in checked:
        try:
            command.load(placed(words, places))
        except SslAudioError as error:
            raise SslAudioError(f"{what}: {error}") from None


def _folder_of(run: Run, folder: Path) -> Path:
    """The folder of a training: another one for other words."""
    digest = hashlib.sha256(json.dumps(run.words).encode()).hexdigest()[:8]
    return folder / f"{run.name}-{digest}"


def _finish(run: Run, study: Study, places: Mapping[str, str], folder: Path) -> Finished:
    own = _folder_of(run, folder)
    trained, earlier = _trained(placed(run.words, places), own)
    started = time.monotonic()
    probes = {name: _probed(words, places, own) for name, words in study.probes.items()}
    seconds = {
        "training": round(earlier + trained.seconds["training"], 1),
        "probes": round(time.monotonic() - started, 1),
    }
    return Finished(run.row, run.seed, run.words, seconds, without_folders(trained), probes)


def _trained(words: Sequence[str], own: Path) -> tuple[PretrainResults, float]:
    """Results of a training, and the seconds of its earlier parts; it is resumed if it has begun.

    A training that cannot be resumed, such as one whose last checkpoint is damaged, starts again.
    """
    if (own / RESULTS).exists():
        results = read_results(own)
        assert isinstance(results, PretrainResults)
        return results, 0.0
    words = [*words, f"run_dir={own}"]
    if (own / CHECKPOINTS / "last.ckpt").exists():
        try:
            begun = find_checkpoint("last", own)
            earlier = seconds_used(begun.callbacks) if begun else 0.0
            return train(pretrain.COMMAND.load([*words, "ckpt_path=last"])), earlier
        except SslAudioError as error:
            warn(f"{error}; this training starts again")
    shutil.rmtree(own, ignore_errors=True)
    return train(pretrain.COMMAND.load(words)), 0.0


def _probed(words: Sequence[str], places: Mapping[str, str], own: Path) -> ProbeScores:
    """The probe of a run's encoder on one labelled set."""
    more = [f"checkpoint={own / 'encoder'}", "baselines=[]", f"cache={own / FEATURES}"]
    settings = probe.COMMAND.load([*placed(words, places), *more])
    with tempfile.TemporaryDirectory(dir=own) as folder:
        compare(settings, Path(folder))
        with np.load(Path(folder) / "scores.npz") as saved:
            return ProbeScores(
                words=tuple(words),
                tags=tuple(saved["tags"].tolist()),
                ids=tuple(saved["ids"].tolist()),
                clusters=tuple(saved["clusters"].tolist()),
                labels=tuple("".join(map(str, row.tolist())) for row in saved["targets"]),
                scores=tuple(tuple(map(short, row.tolist())) for row in saved["scores"][0]),
            )


def _clear(own: Path) -> None:
    """Remove what only an unfinished run needs."""
    for name in (CHECKPOINTS, FEATURES):
        shutil.rmtree(own / name, ignore_errors=True)
