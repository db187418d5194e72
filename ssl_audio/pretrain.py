"""Train an encoder on unlabelled audio: `python -m ssl_audio.pretrain recipe=contrastive`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_audio.recipe import main_with, resolve
from ssl_audio.run_dir import (
    followed_run_dir,
    is_leader,
    make_run_dir,
    versions,
    write_atomic,
    write_json,
)

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(config: DictConfig) -> None:
    """Check what can be checked at once, then train."""
    settings = resolve(config)
    resume = settings["ckpt_path"] is not None
    if is_leader():
        folder = make_run_dir(settings["run_dir"], settings["recipe"], resume)
        settings["run_dir"] = str(folder)
        _save_configuration(folder, settings)
    else:
        folder = followed_run_dir(settings["run_dir"])
        settings["run_dir"] = str(folder)
    from ssl_audio.training.run import pretrain

    pretrain(settings, folder)


def _save_configuration(folder: Path, settings: dict[str, Any]) -> None:
    from omegaconf import OmegaConf

    resumed = (folder / "config.yaml").exists()
    name = "config-resumed.yaml" if resumed else "config.yaml"
    write_atomic(folder / name, OmegaConf.to_yaml(OmegaConf.create(settings)))
    write_json(folder / "versions.json", versions())


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns the exit status."""
    return main_with("pretrain", run, arguments)


if __name__ == "__main__":
    sys.exit(main())
