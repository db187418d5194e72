"""The systems of a comparison: how each is named, trained, kept in the run's folder and ranked."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from torch import nn

from ssl_audio.io.atomic import atomic_file, write_json
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.scorers import CatalogueRecommender
from ssl_audio.recommenders.training import fit_or_resume, read_history
from ssl_audio.reports.results import LossHistory
from ssl_audio.settings.recommend import RecommendSettings

MAIN, BY_TASK, BY_WEIGHTS = "main", "by_task", "by_weights"  # tables
VECTORS, MODEL, SECONDS, IDENTITY = "vectors.npy", "model", "seconds.json", "identity.json"
Baseline = TypeVar("Baseline")
Data = TypeVar("Data")
Kind = TypeVar("Kind", bound=CatalogueRecommender)


class Role(Enum):
    """Which differences to a system are tested."""

    MODEL = "to every other system of its table"
    VARIANT = "to the references of the same features"
    REFERENCE = "of the variants and models to it"
    BASELINE = "of the models to it"


@dataclass(frozen=True)
class Run(Generic[Data]):
    """What the systems of a comparison are made from; `folder` is where they are kept."""

    settings: RecommendSettings
    data: Data
    folder: Path

    @property
    def seed(self) -> int:
        return self.settings.seed

    def fit(
        self, folder: Path, key: str, steps: int, model: nn.Module, batches: Any,
        clip: float | None = None, warmup: int = 0,
    ) -> None:  # fmt: skip
        """Train a model in its system's folder; the setting `key` gives the number of steps."""
        fit_or_resume(
            model, batches, folder, self.settings.trainer, steps=steps, seed=self.seed, clip=clip,
            warmup=warmup, key=key, run_dir=self.folder.parent, ckpt_path=self.settings.ckpt_path,
        )  # fmt: skip


@dataclass(kw_only=True)
class System(ABC, Generic[Data, Kind]):
    """One row of a comparison's tables.

    Attributes:
        name: shown in tables.
        run: of the comparison.
        features: track features that it is trained with; empty if none.
        tables: the tables that it is in.
        role: what it is compared with.
        model: name of the model in the settings, if it is one of those to be compared.
    """

    name: str
    run: Run[Data]
    features: str = ""
    tables: tuple[str, ...] = (MAIN,)
    role: Role = Role.BASELINE
    model: str = ""

    @property
    def label(self) -> str:
        """Name and features; unique within a table."""
        return f"{self.name} {self.features}".strip()

    @property
    def key(self) -> str:
        """Label and table; unique within a comparison."""
        return self.label if MAIN in self.tables else f"{self.label}, {self.tables[0]}"

    @property
    def folder(self) -> Path:
        """Where it keeps what it has trained."""
        return self.run.folder / folder_name(self.key)

    @abstractmethod
    def fit(self) -> Kind:
        """Train, or load what is kept."""

    def vectors(self) -> np.ndarray | None:
        """(tracks, d) float32 vectors, trained where none are kept; None if it has none."""
        return None

    def seconds(self) -> float | None:
        """Wall-clock time of the run that trained it; None if unknown."""
        kept = self.folder / SECONDS
        return float(json.loads(kept.read_text())["training"]) if kept.exists() else None

    def losses(self) -> LossHistory | None:
        """The loss terms that were logged in training."""
        history = read_history(self.folder)
        if not history:
            return None
        terms = [t for t in history[0] if t not in ("step", "total")] or ["total"]
        return LossHistory(
            tuple(int(row["step"]) for row in history),
            {t: tuple(row.get(t, np.nan) for row in history) for t in terms},
        )


@dataclass(kw_only=True)
class ScoreSystem(System[Data, Kind]):
    """A system without vectors; `make` gets the run and the system's folder, and trains."""

    make: Callable[[Run[Data], Path], Kind]

    def fit(self) -> Kind:
        return self.make(self.run, self.folder)


@dataclass(kw_only=True)
class VectorSystem(System[Data, Kind]):
    """A system with a vector for each track.

    Attributes:
        train: from the run and the system's folder to vectors (tracks, d), or to input and output
            vectors (2, tracks, d), the first of which are the system's vectors.
        ranking: how vectors rank tracks.
    """

    train: Callable[[Run[Data], Path], np.ndarray]
    ranking: Callable[[np.ndarray], Kind]

    def fit(self) -> Kind:
        return self.ranking(self._trained())

    def vectors(self) -> np.ndarray:
        found = self._trained()
        return found[0] if found.ndim == 3 else found

    def _trained(self) -> np.ndarray:
        kept = self.folder / VECTORS
        if kept.exists():
            return np.load(kept, allow_pickle=False)  # type: ignore[no-any-return]
        started = time.monotonic()
        made = self.train(self.run, self.folder).astype(np.float32)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / SECONDS, {"training": round(time.monotonic() - started, 1)})
        with atomic_file(kept) as temporary, open(temporary, "wb") as file:
            np.save(file, made)
        return made


def select_baselines(
    registry: Mapping[str, Baseline], names: Sequence[str] | None, source: str
) -> list[Baseline]:
    """The named baselines of a registry, each once; all if None. `source` is for the error."""
    chosen = list(dict.fromkeys(registry if names is None else names))
    unknown = [name for name in chosen if name not in registry]
    if unknown:
        raise SslAudioError(f"baselines={unknown[0]}: with {source}= {', '.join(registry)}")
    return [registry[name] for name in chosen]


def pairs_to_compare(systems: Iterable[System[Any, Any]]) -> list[tuple[str, str]]:
    """Labels of the pairs of systems of a table whose difference is tested, by their roles."""
    every = list(systems)
    pairs = [(a, b) for a in every if a.role is Role.MODEL for b in every if b is not a]
    pairs += [(a, b) for a in every if a.role is Role.VARIANT for b in every
              if b.role is Role.REFERENCE and b.features == a.features]  # fmt: skip
    return [(a.label, b.label) for a, b in pairs]


def folder_name(label: str) -> str:
    """A label in small letters, digits and dashes."""
    name = "".join(c if c.isalnum() else "-" for c in label.lower())
    return "-".join(filter(None, name.split("-")))


def check_kept(folder: Path, identity: Mapping[str, Any]) -> None:
    """Refuse to resume a run with other settings than it was started with.

    Args:
        folder: of the systems.
        identity: the settings and inputs that determine what is trained, as plain values.

    Raises:
        SslAudioError: the folder's systems were trained with others.
    """
    path = folder / IDENTITY
    now = json.loads(json.dumps(identity, default=str))
    if path.exists():
        then = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(key for key in now.keys() | then.keys() if now.get(key) != then.get(key))
        if changed:
            raise SslAudioError(
                f"{folder} holds systems that were trained with another {', '.join(changed)}: "
                "name another run_dir"
            )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, now)
