"""Train an encoder on unlabelled audio: `ssl-audio pretrain recipe=contrastive`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_audio.io.console import say, warn
from ssl_audio.io.run_folder import is_leader
from ssl_audio.settings.command import Command
from ssl_audio.settings.pretrain import PretrainSettings

if TYPE_CHECKING:
    from ssl_audio.reports.results import PretrainResults

COMMAND = Command(
    name="pretrain",
    summary="Train an encoder on unlabelled audio.",
    usage="recipe=NAME [schedule=NAME] [data=KIND] [KEY=VALUE ...]",
    examples=(
        "recipe=contrastive data=folder data.root=/music trainer.max_time=00:08:00:00",
        "recipe=contrastive data=folder data.root=/music run_dir=runs/mine ckpt_path=last",
    ),
    settings=PretrainSettings,
    named_recipes=True,
)


def run(settings: PretrainSettings) -> None:
    from ssl_audio.training.pretrain import pretrain

    results = pretrain(settings)
    if is_leader():
        _print_summary(results)


def _print_summary(results: PretrainResults) -> None:
    folder = Path(results.run)
    for name, scores in results.probe.items():
        say(f"  probe, {name:<18} ROC-AUC {scores.roc_auc:.3f}  mAP {scores.map:.3f}")
    if line := _speed(results.metrics):
        say(f"  last steps: {line}")
    if results.max_steps is not None and results.steps < results.max_steps:
        done = f"stopped after {results.steps} of {results.max_steps} steps"
        say(f"{done}; resume with run_dir={folder} ckpt_path=last")
    if results.collapsed:
        warn("the embeddings have collapsed: this encoder is of little use")
    if (best := results.selected) is not None:
        kept = f"encoder of step {best.step}, {best.metric} {best.score:.3f} on validation"
        say(f"{kept}: {folder / 'encoder-best'}")
    say(f"encoder: {folder / 'encoder'}; to use it:")
    say(f"  import ssl_audio; encoder = ssl_audio.load_encoder('{folder / 'encoder'}')")
    say("  encoder.embed_file('song.mp3').track")
    say(f"logs: tensorboard --logdir {folder / 'logs'}")


def _speed(metrics: dict[str, float]) -> str:
    """Such as "104 pairs/s, gradient norm 0.42"; MFU where the device's peak is known."""
    shown = {"speed/pairs_per_second": "{:,.0f} pairs/s", "speed/mfu": "MFU {:.1%}",
             "train/gradient_norm": "gradient norm {:.3g}",
             "validation/loss": "loss on held-out tracks {:.4g}"}  # fmt: skip
    return ", ".join(text.format(metrics[key]) for key, text in shown.items() if key in metrics)


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
