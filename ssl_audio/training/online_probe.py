"""A logistic probe on the tags of a labelled set, before, during and after training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.datasets.dataset import Split, varying_tags
from ssl_audio.datasets.jamendo import read_tables
from ssl_audio.io.console import say, warn
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.io.progress import with_progress
from ssl_audio.models.encoder import Encoder
from ssl_audio.models.extraction import Features, extract
from ssl_audio.models.runtime import for_embedding
from ssl_audio.probing.logistic import fit_logistic
from ssl_audio.probing.metrics import evaluate
from ssl_audio.reports.results import Scores
from ssl_audio.training.callbacks import is_last_step, log_now
from ssl_audio.training.selection import BestEncoder


class LabelledSet:
    """Tracks with tags in MTG-Jamendo's format, in a training and a test part.

    Tags without a positive or without a negative in one of the parts are left out, since they have
    no ROC curve.

    Raises:
        SslAudioError: a table cannot be read, or no tag is left.
    """

    def __init__(self, root: Path, train_tsv: Path, test_tsv: Path) -> None:
        listed = read_tables({"train": train_tsv, "test": test_tsv}, root)
        parts = [listed.splits[name] for name in ("train", "test")]
        kept = varying_tags(*parts)
        if not kept.any():
            raise SslAudioError(f"{train_tsv}: no tag has positives and negatives in both tables")
        self.train, self.test = (replace(one, targets=one.targets[:, kept]) for one in parts)


def encoder_features(encoder: Encoder) -> Features:
    """Embeddings of the segments of a waveform; the encoder itself is not changed."""
    copy = for_embedding(encoder, runtime="torch")
    return lambda blocks: copy.embed_blocks(blocks).segments


def probe_scores(
    labelled: LabelledSet, features: Features, name: str, sample_rate: int = SAMPLE_RATE
) -> Scores:
    """Test metrics of a logistic probe on the mean features of tracks; `name` is shown meanwhile.

    Files that cannot be read are left out with a warning.

    Raises:
        SslAudioError: no file can be read.
    """
    probe = fit_logistic(*_collect(labelled.train, features, name, sample_rate))
    x, y = _collect(labelled.test, features, name, sample_rate)
    measured = evaluate(y, probe.scores(x))
    return Scores(measured.roc_auc, measured.map)


def _collect(
    part: Split, features: Features, name: str, sample_rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """(tracks, dimensions) features and (tracks, tags) targets of the readable tracks."""
    rows, kept = [], []
    found = extract(part.paths, features, sample_rate)
    for place, one in enumerate(with_progress(found, f"probe: {name}", len(part.paths))):
        if isinstance(one, AudioError):
            warn(str(one))
        else:
            rows.append(one.mean(0))
            kept.append(place)
    if not rows:
        raise SslAudioError("no audio of the labelled set can be read: check online_probe.root")
    return np.stack(rows), part.targets[kept]


class OnlineProbe(Callback):
    """Logs the scores of the probe every `every_n_steps` steps.

    Args:
        labelled: the set; its test part is measured.
        every_n_steps: steps between two probes.
        best: keeps the best encoder, of the last step too; None: none is kept.
    """

    def __init__(
        self, labelled: LabelledSet, every_n_steps: int, best: BestEncoder | None = None
    ) -> None:
        self.labelled, self.every_n_steps, self.best = labelled, every_n_steps, best

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, encoder = trainer.global_step, pl_module.encoder
        due = step % self.every_n_steps == 0 or (self.best is not None and is_last_step(trainer))
        if not due or not trainer.is_global_zero:
            return
        assert isinstance(encoder, Encoder)
        features = encoder_features(encoder)
        scores = probe_scores(self.labelled, features, f"step {step}", encoder.sample_rate)
        found = {"probe/roc_auc": scores.roc_auc, "probe/map": scores.map}
        log_now(trainer, pl_module, found)
        kept = self.best is not None and self.best.offer(encoder, scores, step)
        note = ", the best so far" if kept else ""
        say(f"step {step}: probe ROC-AUC {scores.roc_auc:.3f}, mAP {scores.map:.3f}{note}")
