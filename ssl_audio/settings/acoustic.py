"""Settings of `ssl-audio acoustic`."""

from pathlib import Path
from typing import Literal

from ssl_audio.io.remote import Url
from ssl_audio.settings.catalogue import CatalogueSettings
from ssl_audio.settings.fields import Group, SettingError, setting, variants
from ssl_audio.settings.fields import group as settings_group
from ssl_audio.settings.probe import DATASETS
from ssl_audio.settings.registry import Registry


class SiameseSettings(Group):
    """Training of the projection on pairs of tracks."""

    batch_size: int = setting(1024, help="pairs in a batch; half of them share a playlist", min=2)
    steps: int = setting(2000, help="max training steps", min=1)
    every: int = setting(50, help="steps between two validations", min=1)
    patience: int = setting(8, help="validations without improvement before training stops", min=1)
    learning_rate: float = setting(1e-3, help="learning rate of AdamW", above=0)
    weight_decay: float = setting(1e-2, help="weight decay of AdamW", min=0)
    seed: int = setting(0, help="seed of weights, split and pairs", min=0)

    def check(self) -> None:
        if self.steps < self.every:
            raise SettingError("steps", self.steps, f"siamese.every ({self.every}) or more")


class NoTags(Group):
    """No correlation with tags."""


TAGS = Registry({"none": "ssl_audio.settings.acoustic.NoTags", **DATASETS.paths})


class AcousticSettings(CatalogueSettings):
    kind: Literal["auto", "siamese", "pca", "descriptors"] = setting(
        "auto", help="8 features of embeddings, by playlists (siamese) or without (pca); auto: "
        "one of the two; or 42 descriptors of audio"
    )  # fmt: skip
    features: Path | Url | None = setting(
        None, help="store of embed; with segments, the projection is learnt from windows of 30 s"
    )
    source: Path | Url | None = setting(None, help="audio for kind=descriptors, as in embed")
    output: Path | Url = setting(help="feature store, NAME.parquet; it is brought up to date")
    playlists: Path | None = setting(None, help="playlists of the features' ids, as in recommend")
    model: Path | None = setting(None, help="model, fitted if absent; null: beside the output")
    tags: Group = variants(
        TAGS, "none", selector="tags",
        help="labelled data set whose tags each feature is correlated with",
    )  # fmt: skip
    siamese: SiameseSettings = settings_group(SiameseSettings, "kind=siamese")

    def check(self) -> None:
        required = "source" if self.kind == "descriptors" else "features"
        if getattr(self, required) is None:
            raise SettingError(required, None, f"required for kind={self.kind}")
        if isinstance(self.output, Url) and not isinstance(self.tags, NoTags):
            raise SettingError("output", self.output, "a local path, to write tags= beside it")
