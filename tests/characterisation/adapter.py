"""The only module of these tests that knows the package: its imports, its keys, its files.

When something of the package is renamed or moved, this file follows and the stored figures stay.
Functions take and return plain values: paths, numpy arrays, dictionaries of numbers.
"""

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import numpy as np
import pyarrow.parquet as pq
import torch
from processes import start

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINTS = ROOT / "checkpoints"
SHIPPED = ("contrastive", "distilled")
OBJECTIVES = ("contrastive", "byol", "clustering", "barlow_twins", "vicreg")


# --- encoders and log-mel ------------------------------------------------------------------------


def embed_file(checkpoint: Path, path: Path) -> np.ndarray:
    """(embedding_size,) mean over the segments of a file."""
    from ssl_audio import load_encoder

    return load_encoder(checkpoint).embed_file(path).track


def embed_waveform(checkpoint: Path, waveform: np.ndarray) -> np.ndarray:
    """(embedding_size,) mean over the segments of (samples,)."""
    from ssl_audio import load_encoder

    return load_encoder(checkpoint).embed(waveform).track


def embed_batch(checkpoint: Path, waveforms: np.ndarray) -> np.ndarray:
    """(batch, embedding_size) of (batch, samples)."""
    from ssl_audio import load_encoder

    with torch.inference_mode():
        return load_encoder(checkpoint)(torch.from_numpy(waveforms)).numpy()


def log_mel(frontend: str, waveforms: np.ndarray) -> np.ndarray:
    """(batch, bands, frames) of (batch, samples), by a front end's name."""
    from ssl_audio.audio.logmel import LogMel

    return LogMel.named(frontend)(torch.from_numpy(waveforms))[:, 0].numpy()


def convert_released(published: Path, folder: Path) -> Path:
    """Make a checkpoint folder of a published file."""
    import convert_released

    assert _quiet(convert_released.main, [str(published), str(folder)]) == 0
    return folder


# --- objectives and the training step ------------------------------------------------------------


def make_objective(name: str) -> Any:
    """An objective with the values of its recipe and weights from seed 1."""
    from ssl_audio.objectives.barlow_twins import BarlowTwins
    from ssl_audio.objectives.byol import BYOL
    from ssl_audio.objectives.clustering import Clustering
    from ssl_audio.objectives.contrastive import Contrastive
    from ssl_audio.objectives.schedules import Cosine
    from ssl_audio.objectives.vicreg import VICReg

    momentum = Cosine(0.996, 1.0)
    torch.manual_seed(1)
    return {
        "contrastive": lambda: Contrastive(1024, temperature=0.1),
        "byol": lambda: BYOL(1024, hidden=256, momentum=momentum),
        "clustering": lambda: Clustering(
            1024, centre_momentum=0.9, student_temperature=0.1, momentum=momentum
        ),
        "barlow_twins": lambda: BarlowTwins(1024, off_diagonal=0.002, scale="mean"),
        "vicreg": lambda: VICReg(1024, invariance=25.0, variance=25.0, covariance=0.1),
    }[name]()


def losses(
    name: str, student: np.ndarray, teacher: np.ndarray, progress: float
) -> dict[str, float]:
    """Loss, its terms and the norm of its gradient, before and after one update of the state.

    Args:
        name: of the objective.
        student, teacher: (views, pairs, dimensions); the teacher is given only where it is used.
        progress: of the run, 0 to 1.
    """
    objective = make_objective(name)
    given = torch.from_numpy(teacher) if objective.momentum is not None else None
    found = {}
    for when in ("first", "second"):
        z = torch.from_numpy(student).requires_grad_()
        output = objective.loss(z, given, progress)
        output.total.backward()
        assert output.total.dtype == z.dtype
        found[f"{when}/total"] = output.total.item()
        found[f"{when}/gradient"] = z.grad.norm().item()
        found |= {f"{when}/{name}": term.item() for name, term in output.terms.items()}
        objective.after_step(given, progress)
    return found


def step_weights(name: str, batch: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Tensors before and after one step of plain gradient descent (rate 0.05, decay 0.1).

    Args:
        name: of the objective.
        batch: "anchor" and "positive", (pairs, samples) each.

    Returns:
        "before" and "after": numpy arrays by name, of student, projector, predictor and teacher.
    """
    from ssl_audio import build_encoder
    from ssl_audio.objectives.schedules import Constant
    from ssl_audio.training.module import PretrainModule

    torch.manual_seed(0)
    encoder = build_encoder(segment=1.0)
    module = PretrainModule(
        encoder,
        make_objective(name),
        optimizer=lambda groups: torch.optim.SGD(groups, lr=0.05),
        weight_decay=0.1,
        learning_rate_schedule=Constant(1.0),
    )
    before = _arrays(module)
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    tensors = {key: torch.from_numpy(value) for key, value in batch.items()}
    trainer.fit(module, torch.utils.data.DataLoader([tensors], batch_size=None))
    assert trainer.global_step == 1
    return {"before": before, "after": _arrays(module)}


def _arrays(module: Any) -> dict[str, np.ndarray]:
    parts = {"student": module.encoder, "objective": module.objective, "teacher": module.teacher}
    return {
        f"{part}.{name}": tensor.detach().numpy().copy()
        for part, owner in parts.items()
        if owner is not None
        for name, tensor in owner.state_dict().items()
    }


# --- commands ------------------------------------------------------------------------------------


def _quiet(function: Callable[[list[str]], int], words: list[str]) -> int:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = function(words)
    assert status == 0, said.getvalue()[-3000:]
    return status


def pretrain_words(
    recipe: str, music: Path, run_dir: Path, steps: int, every: int = 100, resume: bool = False
) -> list[str]:
    """Of a small run on the processor, batches of 4 pairs of 1 s, no probe or whitening, seed 0.

    Args:
        recipe: an objective's name.
        music: folder of wav files.
        run_dir: of the run.
        steps: of the optimiser.
        every: steps between checkpoints.
        resume: from the last checkpoint of `run_dir`.
    """
    words = [
        f"recipe={recipe}", "data=folder", f"data.root={music}", f"run_dir={run_dir}",
        "data.batch_size=4", "data.segment=1.0", "data.min_offset=1.0", "data.max_offset=3.0",
        "data.workers=0", f"trainer.max_steps={steps}", f"trainer.checkpoint_every={every}",
        "trainer.log_every_n_steps=1", "trainer.precision=32-true", "trainer.accelerator=cpu",
        "online_probe=none", "encoder.whitening=null",
    ]  # fmt: skip
    if recipe in ("byol", "clustering"):
        cosine = "ssl_audio.objectives.schedules.Cosine"
        words += [f"objective.momentum._target_={cosine}", "objective.momentum.start=0.996",
                  "objective.momentum.end=1.0"]  # fmt: skip
    return [*words, "ckpt_path=last"] if resume else words


def pretrain(*arguments: Any, **options: Any) -> None:
    """Run the command here; arguments as `pretrain_words`."""
    from ssl_audio.pretrain import main

    _quiet(main, pretrain_words(*arguments, **options))


def pretrain_process(*arguments: Any, **options: Any) -> BaseProcess:
    """Start the command as a process; arguments as `pretrain_words`."""
    from ssl_audio.pretrain import main

    return start(main, pretrain_words(*arguments, **options))


def pretrain_checkpoint(run_dir: Path) -> Path:
    """The file that a run is resumed from."""
    return run_dir / "checkpoints" / "last.ckpt"


def pretrain_results(run_dir: Path) -> dict[str, Any] | None:
    """Steps, metrics of the last step and the pairs' hash; None before the run has ended."""
    path = run_dir / "results.json"
    if not path.exists():
        return None
    results = json.loads(path.read_text())
    ignored = ("collapse", "speed", "train/gradient_norm")
    metrics = {k: v for k, v in results["metrics"].items() if not k.startswith(ignored)}
    return {"steps": results["steps"], "metrics": metrics}


def pretrain_log(run_dir: Path) -> dict[int, float]:
    """Step to loss, of all CSV logs of a run, later ones winning."""
    import csv

    found = {}
    for path in sorted(run_dir.glob("logs/**/metrics*.csv"), key=lambda p: p.stat().st_mtime):
        with path.open() as file:
            for row in csv.DictReader(file):
                if row.get("train/loss"):
                    found[int(row["step"])] = float(row["train/loss"])
    return found


def pretrain_weights_hash(run_dir: Path) -> str:
    """SHA-256 of the trained encoder's weights."""
    weights = (run_dir / "encoder" / "model.safetensors").read_bytes()
    return hashlib.sha256(weights).hexdigest()


def pretrain_weight_norms(run_dir: Path) -> dict[str, float]:
    """Norm of each matrix and kernel of the trained encoder.

    Vectors are left out: a bias before a batch norm has no gradient but rounding, and Adam moves it
    by the rounding's sign.
    """
    from safetensors.numpy import load_file

    tensors = load_file(run_dir / "encoder" / "model.safetensors")
    return {k: float(np.linalg.norm(v)) for k, v in tensors.items() if v.ndim > 1}


def probe(table: Path, run_dir: Path, kind: str = "linear") -> dict[str, Any]:
    """Probe the contrastive checkpoint and three baselines on a table of labelled tracks.

    Returns:
        "systems" and "differences": numbers by name.
    """
    from ssl_audio.probe import main

    _quiet(main, [
        "dataset=csv", f"data.table={table}", f"run_dir={run_dir}", f"probe={kind}",
        f"checkpoint={CHECKPOINTS / 'contrastive'}", "baselines=[untrained,mel_statistics,mfcc]",
        "seed=0", "workers=1", "linear_probe.epochs=4", "linear_probe.steps=40",
        "linear_probe.learning_rate=0.01", "linear_probe.precision=float32",
        "limited_data.fractions=[0.5]", "limited_data.seeds=2", "few_shot.shots=[1]",
        "few_shot.seeds=2", "bootstrap.resamples=8", "knn=3", "cost=false",
    ])  # fmt: skip
    results = json.loads((run_dir / "results.json").read_text())
    others = {"classes", "retrieval", "cost", "robustness"}
    ignored = {"name", "probe", "hash", "seconds", *others}
    return {
        "systems": {
            system["name"]: _figures({k: v for k, v in system.items() if k not in ignored})
            for system in results["systems"]
        },
        "differences": {
            f"{one['a']} - {one['b']}, {one.get('metric', '')}": _figures(one)
            for one in results["differences"]
        },
        "tags": results["dataset"]["tags"],
        "counts": results["dataset"]["counts"],
    }


def _figures(value: Any) -> Any:
    """A tree with its numbers alone; whole numbers become floats."""
    if isinstance(value, dict):
        kept = {k: _figures(v) for k, v in value.items()}
        return {k: v for k, v in kept.items() if v is not None}
    if isinstance(value, list):
        return [_figures(v) for v in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def embed(source: Path, output: Path) -> dict[str, Any]:
    """Embed a folder by the contrastive checkpoint with segments of 4 s every 2 s.

    Returns:
        ids, durations, hashes of the files, and arrays: "vectors" (tracks, d), "times" (segments,),
        "segments" (segments, d) of all tracks one after another.
    """
    from ssl_audio.embed import main

    _quiet(main, [
        f"source={source}", f"output={output}", f"checkpoint={CHECKPOINTS / 'contrastive'}",
        "segments=true", "hop=2.0", "runtime=torch", "precision=float32", "workers=1",
    ])  # fmt: skip
    table = pq.read_table(output)
    about = json.loads(table.schema.metadata[b"ssl_audio"])
    return {
        "ids": table["id"].to_pylist(),
        "paths": [os.path.relpath(path, source) for path in table["path"].to_pylist()],
        "durations": table["duration"].to_pylist(),
        "hashes": table["sha256"].to_pylist(),
        "model": about["model"],
        "vectors": np.array(table["embedding"].to_pylist(), np.float32),
        "times": np.concatenate(table["times"].to_pylist()),
        "segments": np.array(sum(table["segments"].to_pylist(), []), np.float32),
    }


def acoustic(features: Path, output: Path) -> np.ndarray:
    """(tracks, 8) by principal components of a feature store."""
    from ssl_audio.acoustic import main

    _quiet(main, [f"features={features}", f"output={output}", "kind=pca"])
    return np.array(pq.read_table(output)["embedding"].to_pylist(), np.float32)


def write_store(
    path: Path, ids: Sequence[str], vectors: np.ndarray, segments: np.ndarray | None = None
) -> Path:
    """A feature store.

    Args:
        path: of the file to write.
        ids: of the tracks.
        vectors: (tracks, d).
        segments: (tracks, n, d), one every 4 s.
    """
    from ssl_audio.stores.columns import Row
    from ssl_audio.stores.writer import Store

    about = {"kind": "embedding", "model": "made"}
    store = Store(path, about, segments=segments is not None)
    for k, (name, vector) in enumerate(zip(ids, vectors, strict=True)):
        more = () if segments is None else (segments[k], 4.0 * np.arange(segments.shape[1]))
        store.add(Row(name, f"music/{name}", 30.0, "", vector, *more))
    store.close()
    return path


PLAYLIST_BASELINES = ("random", "popularity", "warp", "track2vec", "node2vec", "graphsage",
                      "embeddings")  # fmt: skip
SESSION_BASELINES = ("popularity", "item_cf", "line", "eges", "graphsage", "skipgram")


def recommend(playlists: Path, stores: Mapping[str, Path], run_dir: Path) -> dict[str, Any]:
    """Train all models for a few steps beside all baselines; returns numbers by name."""
    from ssl_audio.recommend import main

    _quiet(main, [
        f"playlists={playlists}", f"run_dir={run_dir}", "seed=0",
        *(f"stores.{group}={path}" for group, path in stores.items()),
        "model=[musig,m2grl,transformer]", f"baselines=[{','.join(PLAYLIST_BASELINES)}]",
        "features=[popularity,acoustic]", "graph.min_weight=8",
        "trainer.accelerator=cpu", "trainer.log_every=2",
        "completion.resamples=50", "completion.cold=0.25", "completion.min_tracks=30",
        "musig.steps=6", "musig.batch_size=32", "musig.dimensions=8", "musig.fan_out=[4,3]",
        "m2grl.steps=6", "m2grl.batch_size=64", "m2grl.dimensions=8",
        "transformer.steps=6", "transformer.learning_rate=5e-4", "transformer.layers=1",
        "transformer.heads=2", "transformer.dimensions=8", "transformer.feed_forward=8",
        "transformer.batch_size=4", "track2vec.sample=0.001",
    ])  # fmt: skip
    return _playlist_results(run_dir)


def recommend_sessions(movielens: Path, run_dir: Path) -> dict[str, Any]:
    """M2GRL for a few steps on MovieLens beside its baselines; returns numbers by name."""
    from ssl_audio.recommend import main

    _quiet(main, [
        f"playlists={movielens}", f"run_dir={run_dir}", "seed=0", "model=m2grl",
        f"baselines=[{','.join(SESSION_BASELINES)}]", "m2grl.by_weights=false",
        "trainer.accelerator=cpu", "completion.resamples=50", "m2grl.dimensions=8",
        "m2grl.batch_size=128", "m2grl.session_steps.m2grl=10", "m2grl.session_steps.eges=10",
        "m2grl.session_steps.graphsage=3", "m2grl.session_steps.metric=10",
    ])  # fmt: skip
    return _playlist_results(run_dir, (*NEW_TABLES, "Whole-catalogue ranking"))


NEW_TABLES = ("Beyond accuracy", "Whole-catalogue ranking of cold tracks")  # not recorded


def _playlist_results(run_dir: Path, new: tuple[str, ...] = NEW_TABLES) -> dict[str, Any]:
    results = json.loads((run_dir / "results.json").read_text())
    results["tables"] = [table for table in results["tables"] if table["name"] not in new]
    return {
        "tables": {
            table["name"]: {
                f"{row['system']} {row['features']}".rstrip(): _figures(row["figures"])
                for row in table["rows"]
            }
            for table in results["tables"]
        },
        "differences": {
            table["name"]: {
                f"{one['a']} - {one['b']}, {one['metric']}": _figures(
                    {k: v for k, v in one.items() if k != "confidence"}  # 0.95 everywhere
                )
                for one in table["differences"]
            }
            for table in results["tables"]
        },
        "losses": _figures(_stored_terms(results["losses"])),
    }


def _stored_terms(losses: dict[str, Any]) -> dict[str, Any]:
    """The losses with the stored names of their terms: MUSIG's `similarity` was `sound`."""
    return {
        system: {
            **one,
            "terms": {"sound" if t == "similarity" else t: v for t, v in one["terms"].items()},
        }
        for system, one in losses.items()
    }


# --- pairs ---------------------------------------------------------------------------------------


class _Track(NamedTuple):
    path: str
    duration: float


def sampled_pairs(
    paths: Sequence[Path], durations: Sequence[float], seed: int, batch_size: int, steps: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Track, anchor and positive, (samples,) of 1 s each, in the order of a run."""
    from ssl_audio.audio.batches import PairBatchSampler
    from ssl_audio.audio.pairs import PairDataset

    tracks = [_Track(str(p), d) for p, d in zip(paths, durations, strict=True)]
    dataset = PairDataset(tracks, segment=1.0, min_offset=2.0, max_offset=6.0, seed=seed)
    for keys in PairBatchSampler(len(dataset), batch_size, steps, seed):
        for item in (dataset[key] for key in keys):
            yield item["index"], item["anchor"].numpy(), item["positive"].numpy()
