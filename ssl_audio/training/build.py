"""The parts of a run, made from its settings."""

from pathlib import Path

import torch
from lightning import Callback, Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import LearningRateMonitor

from ssl_audio.audio.logmel import LogMel
from ssl_audio.audio.views.stage import ViewStage
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.lightning_run import make_trainer
from ssl_audio.io.parallel import available_processors
from ssl_audio.models.backbone import RESNET
from ssl_audio.models.encoder import Encoder, build_encoder
from ssl_audio.models.whitening import last_layer
from ssl_audio.objectives.objective import Objective
from ssl_audio.objectives.schedules import WarmupCosine
from ssl_audio.settings.components import component_of, instantiate
from ssl_audio.settings.fields import shown
from ssl_audio.settings.pretrain import DemoData, PretrainSettings, TagProbe
from ssl_audio.settings.views import TRANSFORMS
from ssl_audio.training.budget import Audio, Budget, Machine, plan, seconds_of
from ssl_audio.training.callbacks import CollapseWatch, FiniteLoss, ReadFailures
from ssl_audio.training.extras import Extras
from ssl_audio.training.horizon import Horizon
from ssl_audio.training.module import PretrainModule
from ssl_audio.training.online_probe import LabelledSet, OnlineProbe
from ssl_audio.training.optimizer import build_optimizer
from ssl_audio.training.seeding import SeededSteps
from ssl_audio.training.selection import BestEncoder
from ssl_audio.training.sources import demo_corpus
from ssl_audio.training.start import take_weights
from ssl_audio.training.teachers import create_teacher
from ssl_audio.training.teachers.store import StoredTeacher
from ssl_audio.training.teachers.teacher import Teacher
from ssl_audio.training.validation import Validation


def untrained_encoder(settings: PretrainSettings) -> Encoder:
    """The encoder with its first weights, which depend on the seed alone."""
    torch.manual_seed(settings.seed)
    return build_encoder(
        frontend=settings.frontend, backbone=settings.encoder.backbone,
        embedding_size=settings.encoder.embedding_size, segment=settings.data.segment,
        pool=settings.encoder.pool,
    )  # fmt: skip


def build_budget(settings: PretrainSettings, audio: Audio, trainer: Trainer) -> Budget:
    """Steps, batch and time of the run: the given ones, and by the audio and the device."""
    chosen, batch_size = settings.trainer, settings.data.batch_size
    return plan(
        audio, machine_of(trainer),
        max_steps=None if chosen.max_steps == "auto" else chosen.max_steps,
        batch_size=None if batch_size == "auto" else batch_size,
        max_seconds=None if chosen.max_time is None else seconds_of(chosen.max_time),
        known_speed=settings.encoder.backbone == RESNET,
    )  # fmt: skip


def machine_of(trainer: Trainer) -> Machine:
    """The device of a trainer."""
    if isinstance(trainer.accelerator, CPUAccelerator):
        return Machine("cpu", available_processors(), trainer.world_size)
    return Machine("gpu", trainer.world_size, trainer.world_size)


def build_teacher(settings: PretrainSettings) -> Teacher | StoredTeacher | None:
    """The frozen teacher of a distillation.

    Raises:
        SslAudioError: it cannot be loaded, the objective needs one, or takes none.
    """
    target, name = settings.objective["_target_"], settings.teacher
    needed = _needs_targets(target)
    if needed != (name is not None):
        wrong = "needs a frozen teacher, such as teacher=musicnn" if needed else "takes no teacher"
        raise SslAudioError(f"teacher={shown(name)}: {target} {wrong}")
    if name is None:
        return None
    return create_teacher(name, settings.data.segment, settings.teacher_hop)


def _needs_targets(target: str) -> bool:
    """True for the path of an objective that learns from a frozen teacher."""
    from hydra.utils import get_object

    try:
        return bool(getattr(get_object(target), "needs_targets", False))
    except Exception:  # of many types; making the objective reports why it cannot be imported
        return False


def build_objective(settings: PretrainSettings, target_size: int | None = None) -> Objective:
    """The objective with its first weights.

    Args:
        settings: of the run.
        target_size: dimensions of the frozen teacher's output; None: there is no such teacher.

    Raises:
        SslAudioError: no such class, or wrong arguments.
    """
    torch.manual_seed(settings.seed + 1)
    size = settings.encoder.embedding_size
    sizes = {"embedding_size": size, **({"target_size": target_size} if target_size else {})}
    objective = instantiate(settings.objective, "objective", **sizes)
    if not isinstance(objective, Objective):
        raise SslAudioError(
            f"objective._target_={settings.objective['_target_']} is not an "
            "ssl_audio.objectives.Objective"
        )
    return objective


def check_batch(budget: Budget, objective: Objective) -> None:
    """Refuse batches that are too small for the objective.

    Raises:
        SslAudioError: names the setting.
    """
    if budget.batch_size < objective.min_batch_size:
        raise SslAudioError(
            f"data.batch_size={budget.batch_size}: this objective compares the pairs of a batch "
            f"and needs {objective.min_batch_size} or more"
        )


def build_stage(settings: PretrainSettings, frontend: LogMel) -> ViewStage:
    """The transforms between crops and network.

    Raises:
        SslAudioError: an argument of a transform out of range.
    """
    made = [
        instantiate(component_of(view, TRANSFORMS), f"views[{place}]")
        for place, view in enumerate(settings.views)
    ]
    return ViewStage(made, settings.seed, frontend)


def build_module(
    settings: PretrainSettings, target_size: int | None = None, resumed: bool = False
) -> PretrainModule:
    """Encoder, objective and optimiser; a resumed run does not read `encoder.init_from`.

    Raises:
        SslAudioError: a part that cannot be made from its settings.
    """
    objective = build_objective(settings, target_size)
    optimizer = build_optimizer(settings)
    rate, data = settings.learning_rate, settings.data
    lengths = {data.segment, data.crop_segment or data.segment} if data.crops else {data.segment}
    if objective.visible is not None and len(lengths) > 1:
        raise SslAudioError(
            f"data.crop_segment={data.crop_segment}: views with hidden patches have one length; "
            f"set data.crop_segment={data.segment}"
        )
    encoder = untrained_encoder(settings)
    if settings.encoder.init_from is not None and not resumed:
        take_weights(encoder, settings.encoder.init_from)
    if settings.encoder.whitening is not None:
        last_layer(encoder)  # refuses a network without
    return PretrainModule(
        encoder=encoder, objective=objective, optimizer=optimizer,
        weight_decay=settings.optimizer.get("weight_decay", 0.0),
        learning_rate_schedule=WarmupCosine(warmup=rate.warmup, end=rate.final),
        compile=settings.trainer.compile, stage=build_stage(settings, encoder.frontend),
        crops=settings.data.crops, chunk_size=settings.trainer.chunk_size,
    )  # fmt: skip


def build_labelled_sets(
    settings: PretrainSettings,
) -> tuple[LabelledSet | None, LabelledSet | None]:
    """The sets of probes after and during training; None where there are none.

    Raises:
        SslAudioError: a table cannot be used, or an encoder would be selected on test tracks.
    """
    after, probe = _labelled_set(settings, "test"), settings.online_probe
    if after is None or not isinstance(probe, TagProbe) or not probe.every_n_steps:
        return after, None
    during = _labelled_set(settings, "validation")
    assert during is not None
    shared = {*after.test.paths} & {*during.test.paths}
    if probe.select != "none" and shared:
        raise SslAudioError(
            f"online_probe.validation_tsv={probe.validation_tsv}: {len(shared)} of its tracks are "
            "test tracks, on which no encoder may be selected"
        )
    return after, during


def _labelled_set(settings: PretrainSettings, part: str) -> LabelledSet | None:
    """The user's, that of the synthesised corpus, or none; `part` is measured."""
    probe, data = settings.online_probe, settings.data
    if not isinstance(probe, TagProbe):
        return None
    if probe.root is not None and probe.train_tsv is not None and probe.test_tsv is not None:
        during = probe.validation_tsv if part == "validation" else None
        return LabelledSet(probe.root, probe.train_tsv, during or probe.test_tsv)
    if not isinstance(data, DemoData):
        return None
    folder = demo_corpus(data)
    return LabelledSet(folder, folder / "demo-train.tsv", folder / f"demo-{part}.tsv")


def build_selection(settings: PretrainSettings, folder: Path) -> BestEncoder | None:
    """What keeps the encoder of the best probe in the folder of the run; None: the last is used."""
    probe = settings.online_probe
    if not isinstance(probe, TagProbe) or probe.select == "none":
        return None
    return BestEncoder(folder, probe.select)


def build_trainer(
    settings: PretrainSettings, folder: Path, extras: Extras, labelled: LabelledSet | None = None,
    budget: Budget | None = None,
) -> Trainer:  # fmt: skip
    """The trainer with its callbacks; without a budget, it shows its device and does not train.

    Raises:
        SslAudioError: this machine or Lightning cannot do what the settings say.
    """
    chosen, watch, probe = settings.trainer, settings.collapse, settings.online_probe
    budget = budget or Budget(steps=1, batch_size=1)
    callbacks: list[Callback] = [
        Horizon(budget),
        FiniteLoss(),
        ReadFailures(),
        Validation(settings.validation.every_n_steps),
        CollapseWatch(watch.every_n_steps, watch.minimum_std, watch.minimum_rank),
        LearningRateMonitor("step"),
        SeededSteps(settings.seed),
    ]
    if labelled is not None and isinstance(probe, TagProbe) and probe.every_n_steps:
        best = build_selection(settings, folder)
        callbacks.append(OnlineProbe(labelled, probe.every_n_steps, best))
    callbacks += extras.callbacks
    return make_trainer(
        folder, batches=budget.step_limit,
        checkpoint_every=chosen.checkpoint_every, monitor="train/loss",
        accelerator=chosen.accelerator, precision=chosen.precision, callbacks=callbacks,
        loggers=extras.loggers,
        devices=chosen.devices, num_nodes=chosen.num_nodes, strategy=chosen.strategy,
        max_steps=budget.step_limit,
        gradient_clip_val=chosen.gradient_clip_val,
        log_every_n_steps=min(chosen.log_every_n_steps, budget.step_limit),
    )  # fmt: skip
