"""One pretraining run: from its settings to an encoder folder and its results."""

import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import lightning
from torch import nn

from ssl_audio.io.console import quieten_lightning, say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.lightning_run import Checkpoint, find_checkpoint, fit
from ssl_audio.io.loggers import keep_earlier_log, log_figures, open_logs
from ssl_audio.io.run_folder import (
    CONFIG,
    RESULTS,
    choose_run_folder,
    is_leader,
    open_run_folder,
    run_folder_of_leader,
    versions,
)
from ssl_audio.models.encoder import Encoder
from ssl_audio.probing.baselines.mel import mel_statistics
from ssl_audio.reports.pretraining import TrainingAudio
from ssl_audio.reports.results import PretrainResults, Scores, write_results
from ssl_audio.settings.pretrain import PretrainSettings
from ssl_audio.settings.tree import plain, to_yaml
from ssl_audio.training import build, selection
from ssl_audio.training.budget import Budget
from ssl_audio.training.callbacks import CollapseWatch, ReadFailures
from ssl_audio.training.data import PairDataModule
from ssl_audio.training.export import export
from ssl_audio.training.extras import build_extras
from ssl_audio.training.horizon import seconds_used
from ssl_audio.training.model_card import SELECTED, model_card
from ssl_audio.training.module import PretrainModule
from ssl_audio.training.online_probe import LabelledSet, encoder_features, probe_scores
from ssl_audio.training.validation import Validation
from ssl_audio.training.whitened import WHITENED, whiten_encoders


def pretrain(settings: PretrainSettings) -> PretrainResults:
    """Train an encoder.

    Writes into the folder of the run: `config.yaml` and `versions.json`; `skipped.csv` (files that
    were not used); `logs/` (of the loggers); `checkpoints/` (to resume from); `encoder/` (read
    by `load_encoder`) and what it was trained beside (`export`); `encoder-best/`, if one is
    selected; `results.json`. The folder is created once all inputs are checked.

    Raises:
        SslAudioError: audio, objective, checkpoint or trainer cannot be used as the settings say,
            or the loss is not finite.
    """
    quieten_lightning()
    lightning.seed_everything(settings.seed, workers=False, verbose=False)
    folder = _folder(settings)
    resume = _checkpoint(settings, folder)
    extras = build_extras(settings, folder)
    device = build.build_trainer(settings, folder, extras)  # refuses before anything slow
    teacher = build.build_teacher(settings)
    target_size = None if teacher is None else teacher.size
    module = build.build_module(settings, target_size, resumed=resume is not None)
    rate = module.encoder.sample_rate
    data = PairDataModule(settings.data, settings.seed, rate, settings.validation)
    data.setup("fit")
    budget = build.build_budget(settings, data.audio, device)
    if resume is not None:
        _check_unfinished(budget, resume, folder)
    build.check_batch(budget, module.objective)
    data.follow(budget)
    labelled, during = build.build_labelled_sets(settings)
    say(data.summary())
    say(budget.describe(data.audio, build.machine_of(device)))
    if teacher is not None:
        module.targets = teacher.targets(data.tracks, settings.data.cache, len(data.dataset))
    config, resumed = to_yaml(settings), resume is not None and (folder / CONFIG).exists()
    opened = open_run_folder(folder, config, resumed, inputs=[selection.FOLDER])
    with ExitStack() as stack:
        if is_leader():
            stack.enter_context(opened)
            keep_earlier_log(folder)
            known = {**plain(settings), "steps": budget.steps, "batch_size": budget.batch_size}
            stack.enter_context(open_logs(extras.loggers, folder, known))
        trainer = build.build_trainer(settings, folder, extras, during, budget)
        seconds = {"training": _train(trainer, module, data, folder, resume)}
        encoder, probe = module.encoder.to("cpu").eval(), dict[str, Scores]()
        best = build.build_selection(settings, folder)
        selected = None if best is None else best.load()
        if is_leader():
            _whiten(settings, module, selected, data, trainer.global_step)
        if labelled is not None and is_leader():
            started = time.monotonic()
            probe = _probe(settings, encoder, labelled, selected)
            seconds["probe"] = round(time.monotonic() - started, 1)
            log_figures(extras.loggers, _figures(probe), trainer.global_step)
        results = _results(settings, folder, trainer, data, probe, seconds, selected)
        if is_leader():
            _write(settings, folder, module, selected, results)
    return results


def _write(
    settings: PretrainSettings, folder: Path, module: PretrainModule, selected: Encoder | None,
    results: PretrainResults,
) -> None:  # fmt: skip
    export(module, folder, model_card(settings, results))
    if selected is not None:
        card = model_card(settings, results, SELECTED)
        selected.save(folder / selection.FOLDER, card, selected.metadata)
    write_results(folder, results)


def _folder(settings: PretrainSettings) -> Path:
    if not is_leader():
        return run_folder_of_leader(settings.run_dir)
    if settings.ckpt_path is not None and settings.run_dir is not None:
        return settings.run_dir
    return choose_run_folder(settings.run_dir, settings.recipe, marker=CONFIG)


def _checkpoint(settings: PretrainSettings, folder: Path) -> Checkpoint | None:
    """The checkpoint to resume from; None for a new run, or one that ended before its first."""
    # the first "best.ckpt" is written just before the first "last.ckpt"
    begun = any((folder / name).exists() for name in (RESULTS, "checkpoints/last.ckpt"))
    if str(settings.ckpt_path) != "last" or begun:
        return find_checkpoint(settings.ckpt_path, folder)
    if is_leader():
        say(f"run_dir={folder} has no checkpoint yet: the run starts from step 0")
        shutil.rmtree(folder / selection.FOLDER, ignore_errors=True)  # it may be of other settings
    return None


def _check_unfinished(budget: Budget, resume: Checkpoint, folder: Path) -> None:
    """Refuse to resume a run that is finished: all steps are done, and its results are written."""
    try:
        budget.check_unfinished(resume.steps, seconds_used(resume.callbacks))
    except SslAudioError:
        if (folder / RESULTS).exists():
            raise
        if is_leader():
            say(f"all steps of {folder} are done: its encoder is written from {resume.path.name}")


def _train(
    trainer: lightning.Trainer, module: PretrainModule, data: PairDataModule, folder: Path,
    resume: Checkpoint | None,
) -> float:  # fmt: skip
    """Run the trainer; returns the seconds it took."""
    if is_leader():
        data.manifest.save_report(folder / "skipped.csv")
    started = time.monotonic()
    try:
        fit(trainer, module, datamodule=data, ckpt_path=resume and resume.path)
    except RuntimeError as error:
        if resume is None or "state_dict" not in str(error):
            raise
        detail = str(error).splitlines()[1].strip()[:200]
        raise SslAudioError(
            f"{resume.path} has another architecture than this run: {detail}"
        ) from error
    return round(time.monotonic() - started, 1)


def _whiten(
    settings: PretrainSettings, module: PretrainModule, selected: Encoder | None,
    data: PairDataModule, steps: int,
) -> None:  # fmt: skip
    """Whiten what will be exported; a selected encoder of a run that was killed here may be."""
    shrinkage = settings.encoder.whitening
    if shrinkage is None:
        return
    chosen: list[tuple[Encoder, nn.Module | None]] = [(module.encoder, module.objective.projector)]
    if module.teacher is not None:
        chosen.append((module.teacher.encoder.to("cpu"), module.teacher.projector.to("cpu")))
    if selected is not None and WHITENED not in selected.metadata:
        chosen.append((selected, None))
        selected.metadata[WHITENED] = shrinkage
    module.objective.to("cpu")
    whiten_encoders(chosen, data, steps, shrinkage)


def _probe(
    settings: PretrainSettings, encoder: Encoder, labelled: LabelledSet, selected: Encoder | None
) -> dict[str, Scores]:
    """Scores of the trained encoder, of the selected one and of their baselines."""
    systems = {
        "untrained": build.untrained_encoder(settings).eval(),
        "trained": encoder,
    }
    if selected is not None:
        systems[SELECTED] = selected
    scores = {"mel statistics": probe_scores(labelled, mel_statistics, "mel statistics")}
    for name, system in systems.items():
        features = encoder_features(system)
        scores[name] = probe_scores(labelled, features, name, system.sample_rate)
    return scores


def _figures(probe: dict[str, Scores]) -> dict[str, float]:
    """The probe's scores by the names that they have in a log."""
    return {
        f"probe/{name.replace(' ', '_')}/{metric}": value
        for name, scores in probe.items()
        for metric, value in (("roc_auc", scores.roc_auc), ("map", scores.map))
    }


def _results(
    settings: PretrainSettings, folder: Path, trainer: lightning.Trainer, data: PairDataModule,
    probe: dict[str, Scores], seconds: dict[str, float], selected: Encoder | None,
) -> PretrainResults:  # fmt: skip
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    watch = next(c for c in callbacks if isinstance(c, CollapseWatch))
    failures = next(c for c in callbacks if isinstance(c, ReadFailures)).failures
    validation = next(c for c in callbacks if isinstance(c, Validation))
    return PretrainResults(
        run=str(folder),
        config=plain(settings),
        versions=versions(),
        seconds=seconds,
        recipe=settings.recipe,
        seed=settings.seed,
        steps=trainer.global_step,
        max_steps=data.budget.steps,
        batch_size=data.budget.batch_size,
        precision=str(trainer.precision),
        metrics={name: float(value) for name, value in trainer.callback_metrics.items()},
        collapsed=watch.collapsed,
        collapse=watch.latest,
        data=TrainingAudio(
            hash=data.manifest.hash,
            tracks=len(data.dataset),
            hours=float(data.audio.hours),
            held_out=len(data.held_out),
            skipped=len(data.manifest.skipped),
            unreadable_while_training=tuple(sorted(failures)),
        ),
        validation=validation.history,
        selected=None if selected is None else selection.selection_of(selected),
        probe=probe,
    )
