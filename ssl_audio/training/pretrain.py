"""One pretraining run, from a resolved recipe to a checkpoint folder and its figures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import LearningRateMonitor

from ssl_audio.io.atomic import write_json
from ssl_audio.io.console import quieten_lightning, say, warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.lightning_run import (
    Interrupted,
    ProgressBar,
    checkpoints,
    keep_earlier_log,
    loggers,
    pick_precision,
    resume_path,
)
from ssl_audio.io.run_folder import is_leader, versions
from ssl_audio.models.encoder import Encoder, build_encoder
from ssl_audio.objectives.objective import Objective
from ssl_audio.objectives.schedules import WarmupCosine
from ssl_audio.training import online_probe
from ssl_audio.training.callbacks import (
    CollapseWatch,
    FiniteLoss,
    ReadFailures,
)
from ssl_audio.training.data import DemoSource, PairDataModule, Source
from ssl_audio.training.module import PretrainModule

Settings = Mapping[str, Any]


def pretrain(settings: Settings, folder: Path) -> dict[str, Any]:
    """Train as the recipe says; returns what is written to `results.json`.

    Writes below `folder`: `encoder/` (what `load_encoder` reads), `checkpoints/` (for resuming),
    `logs/` (CSV and TensorBoard), `skipped.csv`, `results.json`.

    Raises:
        SslAudioError: the audio, the recipe or the checkpoint cannot be used.
    """
    quieten_lightning()
    lightning.seed_everything(settings["seed"], workers=False, verbose=False)
    resume = resume_path(settings["ckpt_path"], folder, settings["trainer"]["max_steps"])
    data = make_data(settings)
    objective = make_objective(settings)
    if settings["data"]["batch_size"] < objective.minimum_batch:
        raise SslAudioError(
            f"data.batch_size={settings['data']['batch_size']}: this objective compares the pairs "
            f"of a batch with each other and needs {objective.minimum_batch} or more"
        )
    data.setup("fit")
    data.manifest.save_report(folder / "skipped.csv")
    say(data.report)
    encoder = make_encoder(settings)
    labelled = _labelled_set(settings)
    module = _make_module(settings, encoder, objective)
    if resume is not None and is_leader():
        keep_earlier_log(folder)
    trainer = _make_trainer(settings, folder, labelled)
    started = time.monotonic()
    _fit(trainer, module, data, resume)
    results = _results(settings, trainer, data, time.monotonic() - started)
    if trainer.is_global_zero:
        _finish(settings, folder, module.encoder, labelled, results)
    return results


def make_encoder(settings: Settings) -> Encoder:
    """The recipe's encoder with its first weights: the same for the same seed."""
    torch.manual_seed(settings["seed"])
    return build_encoder(
        frontend=settings["frontend"]["name"],
        backbone=settings["encoder"]["backbone"],
        embedding_size=settings["encoder"]["embedding_size"],
        segment=settings["data"]["segment"],
    )


def make_objective(settings: Settings) -> Objective:
    """The recipe's objective with its first weights."""
    torch.manual_seed(settings["seed"] + 1)
    size = settings["encoder"]["embedding_size"]
    objective = _instantiate({"embedding_size": size, **settings["objective"]}, "objective")
    if not isinstance(objective, Objective):
        raise SslAudioError(
            f"objective._target_={settings['objective']['_target_']} is not a "
            "ssl_audio.objectives.objective.Objective"
        )
    return objective


def make_data(settings: Settings) -> PairDataModule:
    """The recipe's pairs."""
    data, trainer = settings["data"], settings["trainer"]
    return PairDataModule(
        source=_instantiate(data["source"], "data.source"),
        batch_size=data["batch_size"],
        segment=data["segment"],
        min_offset=data["min_offset"],
        max_offset=data["max_offset"],
        short=data["short"],
        workers=data["workers"],
        seed=settings["seed"],
        steps=trainer["max_steps"] * trainer["accumulate_grad_batches"],
        cache=data["cache"],
    )


def _instantiate(node: Mapping[str, Any], key: str) -> Any:
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        return instantiate(dict(node))
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, SslAudioError):
            raise cause from error
        raise SslAudioError(f"{key}: {str(error).splitlines()[0]}") from error


def _make_module(settings: Settings, encoder: Encoder, objective: Objective) -> PretrainModule:
    optimizer = dict(settings["optimizer"])
    weight_decay = optimizer.pop("weight_decay")
    rate = settings["learning_rate"]
    return PretrainModule(
        encoder=encoder,
        objective=objective,
        optimizer=_instantiate(optimizer, "optimizer"),
        weight_decay=weight_decay,
        learning_rate_schedule=WarmupCosine(warmup=rate["warmup"], end=rate["final"]),
        compile=settings["trainer"]["compile"],
    )


def _make_trainer(
    settings: Settings, folder: Path, labelled: online_probe.LabelledSet | None
) -> lightning.Trainer:
    options = dict(settings["trainer"])
    every = options.pop("checkpoint_every")
    options.pop("compile")
    options["precision"] = pick_precision(options["precision"], options["accelerator"])
    batches = options["max_steps"] * options["accumulate_grad_batches"]
    callbacks: list[lightning.Callback] = [
        FiniteLoss(),
        ReadFailures(),
        CollapseWatch(**settings["collapse"]),
        LearningRateMonitor("step"),
        checkpoints(folder, every, "train/loss"),
        Interrupted(folder),
        ProgressBar(),
    ]
    probe_every = settings["online_probe"]["every_n_steps"]
    if labelled is not None and probe_every:
        callbacks.insert(-2, online_probe.OnlineProbe(labelled, probe_every))
    # the whole run is one epoch of Lightning's, so that a resume is always a step of it;
    # the passes over the tracks are the sampler's. No limit on epochs: a finished run that is
    # resumed with more steps would have reached it
    return lightning.Trainer(
        default_root_dir=folder,
        logger=loggers(folder),
        callbacks=callbacks,
        max_epochs=-1,
        limit_train_batches=batches,
        use_distributed_sampler=False,
        enable_model_summary=False,
        **options,
    )


def _fit(
    trainer: lightning.Trainer, module: PretrainModule, data: PairDataModule, resume: Path | None
) -> None:
    try:
        trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    except RuntimeError as error:
        if resume is not None and "state_dict" in str(error):
            raise SslAudioError(
                f"{resume} holds another architecture than this recipe: "
                f"{str(error).splitlines()[1].strip()[:200]}"
            ) from error
        raise


def _results(
    settings: Settings, trainer: lightning.Trainer, data: PairDataModule, seconds: float
) -> dict[str, Any]:
    metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
    watch = next(c for c in trainer.callbacks if isinstance(c, CollapseWatch))  # type: ignore
    failures = next(c for c in trainer.callbacks if isinstance(c, ReadFailures))  # type: ignore
    return {
        "recipe": settings["recipe"],
        "seed": settings["seed"],
        "steps": trainer.global_step,
        "max_steps": settings["trainer"]["max_steps"],
        "seconds": round(seconds, 1),
        "precision": trainer.precision,
        "metrics": metrics,
        "collapsed": watch.collapsed,
        "collapse": watch.latest,
        "data": {
            "hash": data.manifest.hash,
            "tracks": len(data.dataset),
            "skipped": len(data.manifest.skipped),
            "unreadable_while_training": sorted(failures.failures),
        },
        "versions": versions(),
    }


def _finish(
    settings: Settings,
    folder: Path,
    encoder: Encoder,
    labelled: online_probe.LabelledSet | None,
    results: dict[str, Any],
) -> None:
    encoder = encoder.to("cpu").eval()
    if labelled is not None:
        results["probe"] = _compare(settings, encoder, labelled)
    encoder.save(folder / "encoder", card=model_card(settings, results))
    write_json(folder / "results.json", results)
    _say_goodbye(folder, results)


def _compare(
    settings: Settings, encoder: Encoder, labelled: online_probe.LabelledSet
) -> dict[str, dict[str, float]]:
    return {
        "mel statistics": online_probe.score(labelled, online_probe.mel_features, "mel statistics"),
        "untrained": online_probe.score(
            labelled, online_probe.encoder_features(make_encoder(settings).eval()), "untrained"
        ),
        "trained": online_probe.score(labelled, online_probe.encoder_features(encoder), "trained"),
    }


def _labelled_set(settings: Settings) -> online_probe.LabelledSet | None:
    probe = settings["online_probe"]
    if not probe["enabled"]:
        return None
    if probe["root"] is None:
        return _demo_set(_instantiate(settings["data"]["source"], "data.source"))
    for key in ("train_tsv", "test_tsv"):
        if probe[key] is None:
            raise SslAudioError(f"online_probe.root is given: give online_probe.{key} too")
    return online_probe.LabelledSet(probe["root"], probe["train_tsv"], probe["test_tsv"])


def _demo_set(source: Source) -> online_probe.LabelledSet | None:
    """The demo corpus brings its own labels; other audio has them only by `online_probe.root`."""
    if not isinstance(source, DemoSource):
        return None
    folder = source.make()
    train, test = folder / "demo-train.tsv", folder / "demo-test.tsv"
    return online_probe.LabelledSet(folder, train, test)


def model_card(settings: Settings, results: Mapping[str, Any]) -> str:
    """The README.md that lies beside the weights: what was run, on what, with what result."""
    rows = "\n".join(
        f"| {name} | {f['roc_auc']:.3f} | {f['map']:.3f} |"
        for name, f in results.get("probe", {}).items()
    )
    table = (
        "| linear probe on | ROC-AUC | mAP |\n|---|---|---|\n"
        f"{rows}\n\nOne test set, one seed, no intervals: a check, not a benchmark.\n"
        if rows
        else "No probe was run.\n"
    )
    data = results["data"]
    return f"""# Encoder trained with `{settings["recipe"]}`

```bash
{settings["command"]}
```

- objective: `{settings["objective"]["_target_"]}`
- steps: {results["steps"]} of {results["max_steps"]}, {settings["data"]["batch_size"]} pairs each
- data: {data["tracks"]} tracks, hash `{data["hash"]}`, source
  `{settings["data"]["source"]["_target_"]}`; {data["skipped"]} files skipped
- seed: {settings["seed"]}; collapsed: {"yes" if results["collapsed"] else "no"}

{table}
Trained on this data alone: expect little of it on other music. Load it with
`ssl_audio.load_encoder(FOLDER)`; input is 16 kHz mono.
"""


def _say_goodbye(folder: Path, results: Mapping[str, Any]) -> None:
    for name, f in results.get("probe", {}).items():
        say(f"  linear probe, {name:<15} ROC-AUC {f['roc_auc']:.3f}  mAP {f['map']:.3f}")
    if results["steps"] < results["max_steps"]:
        say(
            f"stopped after {results['steps']} of {results['max_steps']} steps; go on with "
            f"run_dir={folder} ckpt_path=last"
        )
    if results["collapsed"]:
        warn("the embeddings have collapsed: this encoder is of little use")
    say(f"encoder: {folder / 'encoder'}")
    say("use it:")
    say(f"  import ssl_audio; encoder = ssl_audio.load_encoder('{folder / 'encoder'}')")
    say("  encoder.embed_file('song.mp3').track")
    say(f"watch it: tensorboard --logdir {folder / 'logs'}")
