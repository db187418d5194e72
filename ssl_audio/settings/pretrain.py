"""Settings of `ssl-audio pretrain`."""

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Literal

from ssl_audio.io.loggers import LOGGERS
from ssl_audio.settings.components import check_listed, check_named
from ssl_audio.settings.fields import (
    CommandSettings,
    Group,
    SettingError,
    all_fields,
    expected_of,
    group,
    setting,
    settings_of,
    variants,
)
from ssl_audio.settings.tree import NAME, build, suggestion
from ssl_audio.settings.types import Component
from ssl_audio.settings.views import TRANSFORMS

PRECISIONS = Literal["auto", "32-true", "bf16-mixed", "16-mixed", "64-true"]
ACCELERATORS = Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"]
STRATEGIES = Literal["auto", "ddp", "ddp_find_unused_parameters_true"]


class DataSettings(Group):
    """What all sources of audio share."""

    segment: float = setting(4.0, help="length of anchor and positive, seconds", above=0)
    min_offset: float = setting(
        4.0, help="min seconds between starts of anchor and positive", min=0
    )
    max_offset: float = setting(
        16.0, help="max seconds between starts of anchor and positive", min=0
    )
    short: Literal["drop", "wrap"] = setting(
        "drop", help="tracks too short for a pair: left out and counted, or repeated"
    )
    track_weight: Literal["equal", "duration"] = setting(
        "equal", help="tracks are drawn equally often, or by duration up to max_track_seconds"
    )
    max_track_seconds: float = setting(
        600.0, help="duration from which tracks are drawn equally often, seconds", above=0
    )
    pairs_per_track: int = setting(1, help="pairs of each track in a batch", min=1)
    track_distance: float = setting(
        16.0, help="min seconds between pairs of one track in a batch", min=0
    )
    group_share: float = setting(
        0.0, help="share of each batch drawn from one group: a folder, or a manifest's group",
        min=0, max=1,
    )  # fmt: skip
    duplicates: Literal["drop", "keep"] = setting(
        "drop", help="files with the same content: used once, the others listed as skipped"
    )
    max_hours: float | None = setting(
        None, help="train on so many hours: tracks drawn in an order that all limits share; null: "
        "on all", above=0,
    )  # fmt: skip
    crops: int = setting(
        0, help="further crops of a track in each step, near the anchor (multi-crop)", min=0
    )
    crop_segment: float | None = setting(
        None, help="length of further crops, seconds; null: data.segment", above=0
    )
    batch_size: int | Literal["auto"] = setting(
        "auto", help="pairs in a batch, over all processes; auto: by audio and device", min=1
    )
    workers: int | Literal["auto"] = setting("auto", help="processes that decode audio", min=0)
    cache: Path | None = setting(None, help="folder of cached scans; null: the user's cache")

    def check(self) -> None:
        if self.max_offset < self.min_offset:
            raise SettingError("max_offset", self.max_offset, f"{self.min_offset} or more")
        if self.crop_segment is not None and self.crop_segment > self.segment:
            raise SettingError("crop_segment", self.crop_segment, f"at most {self.segment}")
        if self.batch_size != "auto" and self.batch_size % self.pairs_per_track:
            expected = f"a multiple of pairs_per_track, {self.pairs_per_track}"
            raise SettingError("batch_size", self.batch_size, expected)
        if self.pairs_per_track > 1 and self.short == "wrap":
            raise SettingError("short", self.short, "drop with pairs_per_track above 1")
        if self.group_share and self.track_weight != "equal":
            raise SettingError("group_share", self.group_share, "0 unless track_weight=equal")


class DemoData(DataSettings):
    root: Path | None = setting(
        None, help="folder of the synthesised corpus; null: the user's cache"
    )
    tracks: int = setting(240, help="tracks to synthesise", min=20)
    seconds: float = setting(30.0, help="length of each track, seconds", min=10)
    seed: int = setting(0, help="seed of the music", min=0)


class FolderData(DataSettings):
    root: Path = setting(help="folder; every audio file below it is used")


class ManifestData(DataSettings):
    root: Path = setting(
        help="list of files: .txt with a path per line, or .csv or .parquet with a column path"
    )


class JamendoData(DataSettings):
    root: Path = setting(help="folder that the paths of the tables are relative to")
    tsv: tuple[Path, ...] = setting(help="MTG-Jamendo's table of tracks, or several")


class ShardData(DataSettings):
    root: Path = setting(help="folder of shards that tools/prepare.py has written")


# kinds of audio that a mix may hold
SINGLE: dict[str, type[DataSettings]] = {
    "demo": DemoData,
    "folder": FolderData,
    "manifest": ManifestData,
    "jamendo": JamendoData,
    "shards": ShardData,
}
_SHARED = frozenset(all_fields(DataSettings))


class MixData(DataSettings):
    sources: tuple[Component, ...] = setting(
        help="kinds of data, each with its own settings and an optional weight, such as "
        "[{name: folder, root: /a, weight: 2}, {name: shards, root: /b, weight: 1}]"
    )

    def check(self) -> None:
        super().check()
        if not self.sources:
            raise SettingError("sources", self.sources, "one source or more")
        weighted = [place for place in range(len(self.sources)) if self._weight(place) is not None]
        self.parts()
        if 0 < len(weighted) < len(self.sources):
            place = next(k for k in range(len(self.sources)) if k not in weighted)
            raise SettingError(f"sources[{place}].weight", None, "a weight for all sources or none")
        if weighted and self.group_share:
            raise SettingError("group_share", self.group_share, "0 with weights of sources")

    def parts(self) -> tuple[DataSettings, ...]:
        """The settings of each source; those that all kinds share are the mix's own.

        Raises:
            SettingError: names the source by its place.
        """
        return tuple(self._part(place) for place in range(len(self.sources)))

    @property
    def weights(self) -> tuple[float, ...] | None:
        """Of the sources, in proportion to which pairs are drawn from them; None: none is given."""
        given = [self._weight(place) for place in range(len(self.sources))]
        found = tuple(weight for weight in given if weight is not None)
        return found or None

    def _weight(self, place: int) -> float | None:
        value = self.sources[place].get("weight")
        if value is not None and not (_is_number(value) and value > 0):
            raise SettingError(f"sources[{place}].weight", value, "a number, above 0")
        return None if value is None else float(value)

    def _part(self, place: int) -> DataSettings:
        key, source = f"sources[{place}]", dict(self.sources[place])
        source.pop("weight", None)
        name = source.pop(NAME, None)
        if name not in SINGLE:
            expected = f"one of {', '.join(SINGLE)}.{suggestion(str(name), SINGLE)}"
            raise SettingError(f"{key}.{NAME}", name, expected.rstrip("."))
        own = [setting for setting in all_fields(SINGLE[name]) if setting not in _SHARED]
        for one in source:
            if one not in own:
                hint = suggestion(one, own)
                expected = f"not a setting of a source.{hint} Settings: {', '.join(own)}"
                raise SettingError(f"{key}.{one}", source[one], expected)
        for one, declared in settings_of(SINGLE[name]).items():
            required = declared.default is MISSING and declared.default_factory is MISSING
            if required and one not in source:
                raise SettingError(f"{key}.{one}", None, f"required: {expected_of(declared)}")
        shared = {name: getattr(self, name) for name in _SHARED}
        return build(SINGLE[name], {**shared, **source}, f"{key}.")


DATA: dict[str, type[Group]] = {**SINGLE, "mix": MixData}


class EncoderSettings(Group):
    backbone: str = setting("resnet", help="resnet (2.8 M parameters), or the name of a timm model")
    pool: Literal["default", "mean"] = setting(
        "default", help="the embedding is of: what the backbone pools by default, or the mean of "
        "the patches of a transformer, instead of its class token"
    )  # fmt: skip
    embedding_size: int = setting(1024, help="dimensions of the embedding", min=1)
    init_from: str | None = setting(
        None, help="start from an encoder's weights: its folder, or the name of a shipped one; "
        "null: random weights",
    )  # fmt: skip
    whitening: float | None = setting(
        0.01, help="shrinkage of the whitening of the embedding after training: the larger, the "
        "less its directions of small variance are amplified; null: none", above=0,
    )  # fmt: skip


class LearningRateSettings(Group):
    warmup: float = setting(
        0.1, help="share of the run with linear warm-up, before cosine decay", min=0, max=1
    )
    final: float = setting(0.01, help="last rate, as a share of optimizer.lr", min=0, max=1)


class CollapseSettings(Group):
    every_n_steps: int = setting(10, help="steps between two checks for collapse", min=1)
    minimum_std: float = setting(
        0.05, help="warn below this spread of embeddings; 1: isotropic", min=0, max=1
    )
    minimum_rank: float = setting(2.0, help="warn below this effective rank (RankMe)", min=1)


class ValidationSettings(Group):
    share: float | Literal["auto"] = setting(
        "auto", help="share of the tracks that is held out; auto: 0.05 of 2,000 tracks or more, "
        "none of fewer", min=0, below=1,
    )  # fmt: skip
    by: Literal["track", "group"] = setting(
        "track", help="held out are single tracks, or groups: folders, or a manifest's groups"
    )
    every_n_steps: int = setting(100, help="steps between two losses on held-out tracks", min=1)
    batches: int = setting(4, help="max batches of held-out tracks, a pair of each track", min=1)


class TrainerSettings(Group):
    accelerator: ACCELERATORS = setting("auto", help="device type, as Lightning names it")
    devices: int | Literal["auto"] = setting(1, help="devices of this machine", min=1)
    num_nodes: int = setting(1, help="machines", min=1)
    strategy: STRATEGIES = setting("auto", help="Lightning's strategy for several processes")
    precision: PRECISIONS = setting(
        "auto", help="auto: bf16-mixed where the device computes in bfloat16, else 32-true"
    )
    max_steps: int | Literal["auto"] = setting(
        "auto", help="optimiser steps of the whole run; auto: by audio and device, or unlimited "
        "with max_time", min=1
    )  # fmt: skip
    max_time: str | None = setting(
        None, help="longest training time over all resumed parts, DD:HH:MM:SS"
    )
    chunk_size: int | None = setting(
        None, help="pairs embedded at once, over all processes, to save memory; null: the batch",
        min=2,
    )  # fmt: skip
    gradient_clip_val: float | None = setting(1.0, help="max norm of the gradient", above=0)
    log_every_n_steps: int = setting(10, help="steps between two rows of the log", min=1)
    compile: bool = setting(False, help="compile the backbone with torch.compile")
    checkpoint_every: int = setting(100, help="steps between two checkpoints", min=1)

    @classmethod
    def check_alone(cls, values: Mapping[str, Any]) -> None:
        max_time = values.get("max_time")
        if max_time is not None and not re.fullmatch(r"\d+:\d\d:\d\d:\d\d", max_time):
            expected = "DD:HH:MM:SS, such as 00:00:05:00 for five minutes"
            raise SettingError("max_time", max_time, expected)


class TagProbe(Group):
    """A linear probe on the tags of a labelled set, in MTG-Jamendo's format."""

    root: Path | None = setting(
        None, help="folder of a labelled set's audio; null: the demo corpus, with data=demo alone"
    )
    train_tsv: Path | None = setting(None, help="table of the labelled training tracks")
    test_tsv: Path | None = setting(None, help="table of the labelled test tracks")
    validation_tsv: Path | None = setting(
        None, help="table of the labelled tracks of probes during training; null: test_tsv"
    )
    every_n_steps: int = setting(
        0, help="steps between probes; 0: before and after training", min=0
    )
    select: Literal["none", "roc_auc", "map"] = setting(
        "none", help="keep the encoder of the best probe during training as encoder-best, by this "
        "score on validation_tsv",
    )  # fmt: skip

    def check(self) -> None:
        for key in ("train_tsv", "test_tsv"):
            if self.root is not None and getattr(self, key) is None:
                raise SettingError(key, None, "required with online_probe.root")
        if self.select == "none":
            return
        if not self.every_n_steps:
            raise SettingError("every_n_steps", 0, "1 or more with online_probe.select")
        if self.root is not None and self.validation_tsv is None:
            raise SettingError("validation_tsv", None, "required with online_probe.select")


class NoProbe(Group):
    """No probe."""


class PretrainSettings(CommandSettings):
    recipe: str = setting(help="name of the recipe", internal=True)
    schedule: str = setting("auto", help="the preset of the schedule", internal=True)
    seed: int = setting(0, help="seed of weights, pairs and their order", min=0)
    run_dir: Path | None = setting(None, help="output folder; null: runs/RECIPE-DATE-TIME")
    ckpt_path: Path | None = setting(None, help="resume: last (of run_dir), or a .ckpt file")
    data: DataSettings = variants(DATA, "demo", help="audio to train on", selector="data")
    frontend: Literal["default", "normalized", "released"] = setting(
        "default", help="log-mel: default; normalized, of segments scaled to a peak of 1; or "
        "released, that of the published weights",
    )  # fmt: skip
    encoder: EncoderSettings = group(EncoderSettings, "encoder")
    objective: Component = setting(help="the objective: _target_ and its arguments")
    teacher: str | None = setting(
        None, help="frozen teacher of recipe=distillation: encoder by folder or name, musicnn, "
        "hear:MODULE, hf:ORG/MODEL, onnx:FILE, timm:MODEL, or a feature store with segments"
    )  # fmt: skip
    teacher_hop: float = setting(
        4.0, help="seconds between the cached outputs of the teacher", min=0.1
    )
    views: tuple[Component, ...] = setting(
        (), help="transforms of the views, in order: a set of recipes/views, or a list such as "
        "[{name: gain, db: 6}, {name: noise, snr: [10, 40]}]"
    )  # fmt: skip
    optimizer: Component = setting(
        {"_target_": "torch.optim.AdamW", "lr": 1e-3, "betas": [0.9, 0.95],
         "weight_decay": 0.05},
        help="the optimiser: _target_ and its arguments; norms, biases and positions do not decay",
    )  # fmt: skip
    learning_rate: LearningRateSettings = group(LearningRateSettings, "learning rate")
    collapse: CollapseSettings = group(CollapseSettings, "watch for collapse")
    validation: ValidationSettings = group(ValidationSettings, "loss on held-out tracks")
    trainer: TrainerSettings = group(TrainerSettings, "training")
    online_probe: TagProbe | NoProbe = variants(
        {"tags": TagProbe, "none": NoProbe}, "tags",
        help="linear probe on tags, before and after training", selector="online_probe",
    )  # fmt: skip
    logger: tuple[str | Component, ...] = setting(
        ("csv", "tensorboard"), help="loggers: csv, tensorboard, wandb, mlflow, also with "
        "arguments ({name: wandb, project: music}); a list of _target_ alone is added to "
        "[csv,tensorboard]"
    )  # fmt: skip
    callbacks: tuple[Component, ...] = setting(
        (), help="further callbacks of Lightning, such as "
        "[{_target_: lightning.pytorch.callbacks.DeviceStatsMonitor}]"
    )  # fmt: skip

    @property
    def loggers(self) -> tuple[Component, ...]:
        """The loggers of a run, each with `name` or `_target_`."""
        given = [{NAME: one} if isinstance(one, str) else one for one in self.logger]
        if not any(NAME in one for one in given):
            given += [{NAME: "csv"}, {NAME: "tensorboard"}]
        return tuple(given)

    @classmethod
    def check_alone(cls, values: Mapping[str, Any]) -> None:
        check_named("views", values.get("views", ()), TRANSFORMS)
        check_named("logger", values.get("logger", ()), LOGGERS)
        check_listed("callbacks", values.get("callbacks", ()))
        optimizer = values.get("optimizer", {})
        lr = optimizer.get("lr", 1.0)
        if not _is_number(lr) or not lr > 0:
            raise SettingError("optimizer.lr", lr, "a number, above 0")
        decay = optimizer.get("weight_decay", 0.0)
        if not _is_number(decay) or not decay >= 0:
            raise SettingError("optimizer.weight_decay", decay, "a number, 0 or more")

    def check(self) -> None:
        if self.ckpt_path is not None and self.run_dir is None:
            raise SettingError("ckpt_path", self.ckpt_path, "name the run's folder with run_dir=")
        probe, demo = self.online_probe, isinstance(self.data, DemoData)
        if isinstance(probe, TagProbe) and probe.select != "none" and not (probe.root or demo):
            raise SettingError("online_probe.root", None, "required with online_probe.select")
        for key in ("objective", "optimizer"):
            if not isinstance(getattr(self, key).get("_target_"), str):
                raise SettingError(f"{key}._target_", None, "its class, such as MODULE.CLASS")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
