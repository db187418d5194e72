"""The outcome of a run in a few lines."""

from collections.abc import Iterator
from pathlib import Path

from ssl_audio.reports.results import PretrainResults
from ssl_audio.training.selection import FOLDER

LAST_STEPS = {
    "speed/pairs_per_second": "{:,.0f} pairs/s", "speed/mfu": "MFU {:.1%}",
    "train/gradient_norm": "gradient norm {:.3g}",
    "validation/loss": "loss on held-out tracks {:.4g}",
}  # fmt: skip


def summary(results: PretrainResults) -> Iterator[str]:
    """Scores of probes, the last values of the log, how to resume, and where the encoder is."""
    folder, metrics = Path(results.run), results.metrics
    for name, scores in results.probe.items():
        yield f"  probe, {name:<18} ROC-AUC {scores.roc_auc:.3f}  mAP {scores.map:.3f}"
    last = [text.format(metrics[key]) for key, text in LAST_STEPS.items() if key in metrics]
    if last:
        yield f"  last steps: {', '.join(last)}"
    if results.max_steps is not None and results.steps < results.max_steps:
        done = f"stopped after {results.steps} of {results.max_steps} steps"
        yield f"{done}; resume with run_dir={folder} ckpt_path=last"
    if (best := results.selected) is not None:
        kept = f"encoder of step {best.step}, {best.metric} {best.score:.3f} on validation"
        yield f"{kept}: {folder / FOLDER}"
    yield f"encoder: {folder / 'encoder'}; to use it:"
    yield f"  import ssl_audio; encoder = ssl_audio.load_encoder('{folder / 'encoder'}')"
    yield "  encoder.embed_file('song.mp3').track"
    shown = "tensorboard --logdir " if (folder / "logs" / "tensorboard").is_dir() else ""
    yield f"logs: {shown}{folder / 'logs'}"
