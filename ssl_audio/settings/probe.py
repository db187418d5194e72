"""Settings of `ssl-audio probe`."""

from pathlib import Path
from typing import Literal

from ssl_audio.settings.fields import CommandSettings, Group, SettingError, group, setting, variants
from ssl_audio.settings.registry import Registry

# Each class declares the settings `data.*` of its data set and reads it.
DATASETS = Registry({
    "mtat": "ssl_audio.datasets.mtat.MagnaTagATune",
    "jamendo_top50": "ssl_audio.datasets.jamendo.JamendoTop50",
    "jamendo_instrument": "ssl_audio.datasets.jamendo.JamendoInstrument",
    "jamendo_mood": "ssl_audio.datasets.jamendo.JamendoMood",
    "msd100": "ssl_audio.datasets.msd100.MSD100",
    "scores": "ssl_audio.datasets.scores.Scores",
    "gtzan": "ssl_audio.datasets.gtzan.GTZAN",
    "nsynth": "ssl_audio.datasets.nsynth.NSynth",
    "giantsteps": "ssl_audio.datasets.giantsteps.GiantSteps",
    "openmic": "ssl_audio.datasets.openmic.OpenMIC",
    "esc50": "ssl_audio.datasets.esc50.ESC50",
    "free_music": "ssl_audio.datasets.free_music.FreeMusic",
    "synthetic": "ssl_audio.datasets.synthetic.Synthetic",
    "folder": "ssl_audio.datasets.folder.TagFolders",
    "csv": "ssl_audio.datasets.table.TagTable",
})  # fmt: skip


class LinearProbeSettings(Group):
    """Training of the linear and the MLP probe; the defaults are those of the paper (3.2)."""

    batch_size: int = setting(256, help="tracks in a batch", min=1)
    epochs: int = setting(25, help="epochs; the best by validation loss is kept", min=1)
    steps: int = setting(128, help="batches in an epoch", min=1)
    learning_rate: float = setting(1e-3, help="learning rate of Adam", above=0)
    weight_decay: float = setting(0.0, help="weight decay of Adam", min=0)
    hidden: int = setting(512, help="units of the MLP's hidden layer", min=1)
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", help="matrix products; auto: bfloat16 where the device has it, else float32"
    )


class FinetuneSettings(Group):
    """Training of an encoder and a linear head on the tags."""

    epochs: int = setting(10, help="epochs; the best by validation loss is kept", min=1)
    steps: int = setting(50, help="batches in an epoch", min=1)
    batch_size: int = setting(32, help="segments in a batch, each of another track", min=1)
    encoder_rate: float = setting(
        1e-4, help="learning rate of the encoder; the supervised baseline takes head_rate", above=0
    )
    head_rate: float = setting(1e-3, help="learning rate of the head", above=0)
    weight_decay: float = setting(0.05, help="weight decay of matrices and kernels", min=0)
    workers: int = setting(1, help="processes that decode audio", min=0)


class BootstrapSettings(Group):
    resamples: int = setting(50, help="resamples of the test set", min=2)
    fraction: float = setting(
        0.5, help="share of the test set in each, without repeats", above=0, below=1
    )
    confidence: float = setting(
        0.95, help="confidence level of intervals of differences", above=0, below=1
    )


class LimitedDataSettings(Group):
    fractions: tuple[float, ...] = setting(
        (0.01, 0.05, 0.1, 0.2), help="fractions of the training tracks; []: not done",
        above=0, below=1,
    )  # fmt: skip
    seeds: int = setting(4, help="random draws of each fraction", min=1)


class FewShotSettings(Group):
    shots: tuple[int, ...] = setting((1, 2, 5, 10), help="positives per tag; []: not done", min=1)
    seeds: int = setting(4, help="random draws of each number of shots", min=1)


class RobustnessSettings(Group):
    """Changes of the test tracks, and the strengths of each."""

    changes: tuple[Literal["mp3", "noise", "gain", "speed", "offset"], ...] = setting(
        (),
        help="measured on changed test tracks too: [mp3,noise,gain,speed,offset] or some of them",
    )
    mp3: tuple[float, ...] = setting(
        (32, 48, 64, 96, 128), help="constant bit rates, kbit/s, one channel", min=32, max=320
    )
    noise: tuple[float, ...] = setting(
        (0, 10, 20, 30, 40), help="signal-to-noise ratios of white noise, dB"
    )
    gain: tuple[float, ...] = setting((-20, -12, -6, 6, 12), help="gains, dB; nothing is clipped")
    speed: tuple[float, ...] = setting(
        (-2, -1, -0.5, 0.5, 1, 2), help="changes of pitch and tempo, semitones", min=-11, max=11
    )
    offset: tuple[float, ...] = setting(
        (0.1, 0.25, 0.5, 1, 2), help="seconds left out at the start", min=0
    )


class ProbeSettings(CommandSettings):
    data: Group = variants(DATASETS, None, help="labelled data set", selector="dataset")
    checkpoint: tuple[Path, ...] = setting(
        (), help="encoders to compare: folders, hf:ORG/MODEL, hear:MODULE[:WEIGHTS], onnx:FILE, "
        "timm:MODEL[:random]",
    )  # fmt: skip
    baselines: tuple[str, ...] = setting(
        ("untrained", "mel_statistics", "mfcc"),
        help="baselines; also supervised, musicnn[:FOLDER[:OUTPUT]], MODULE.CLASS, and what "
        "checkpoint= takes but for folders",
    )
    part: Literal["test", "validation"] = setting(
        "test",
        help="split that is measured; validation: for choices between encoders, with a fifth of "
        "the training tracks in its place",
    )
    probe: Literal["linear", "mlp", "logistic", "finetune"] = setting(
        "linear",
        help="mlp: one hidden layer; logistic: scikit-learn's; finetune: linear, and the "
        "checkpoints also trained further on the tags",
    )
    train_on: Literal["tracks", "segments"] = setting(
        "tracks", help="mean embedding of a track, or one random segment of it at a time"
    )
    hop: float | None = setting(
        None, help="seconds between segment starts; null: no overlap", above=0
    )
    seed: int = setting(0, help="seed of probes, resamples and untrained baselines", min=0)
    run_dir: Path | None = setting(None, help="output folder; null: runs/probe-DATASET-DATE-TIME")
    probes: Path | None = setting(
        None, help="folder of the trained probes, one a checkpoint; null: probes in run_dir"
    )
    cache: Path | None = setting(None, help="folder of cached features; null: the user's cache")
    workers: int | None = setting(None, help="parallel tracks; null: number of processors", min=1)
    linear_probe: LinearProbeSettings = group(LinearProbeSettings, "linear and MLP probe")
    finetune: FinetuneSettings = group(
        FinetuneSettings, "probe=finetune and the supervised baseline"
    )
    bootstrap: BootstrapSettings = group(BootstrapSettings, "error bars")
    limited_data: LimitedDataSettings = group(LimitedDataSettings, "probes on few training tracks")
    few_shot: FewShotSettings = group(FewShotSettings, "probes on few positives per tag")
    retrieval: tuple[Literal["artist", "group", "track"], ...] = setting(
        ("artist", "group"),
        help="nearest tracks of the same artist or group, where known; track: one half of a track "
        "by the other, which embeds the measured tracks once more; []: not done",
    )
    cost: bool = setting(True, help="measure parameters, operations and speed of each encoder")
    robustness: RobustnessSettings = group(RobustnessSettings, "probes on changed test tracks")
    knn: int | None = setting(10, help="neighbours of the kNN probe; null: not done", min=1)

    def check(self) -> None:
        if not self.checkpoint and not self.baselines:
            expected = "one or more encoder folders, or baselines=[...]"
            raise SettingError("checkpoint", None, expected)
        if self.probe == "finetune" and not self.checkpoint:
            raise SettingError("checkpoint", None, "required with probe=finetune")
        if self.probe == "logistic" and self.train_on == "segments":
            raise SettingError("train_on", self.train_on, "tracks, with probe=logistic")
