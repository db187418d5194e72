"""Train an encoder on unlabelled audio: `python -m ssl_audio.pretrain recipe=contrastive`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ssl_audio.io.run_folder import (
    is_leader,
    make_run_dir,
    run_folder_of_leader,
    save_configuration,
)
from ssl_audio.recipe import Command, main_with, resolve

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = Command(
    name="pretrain",
    does="Train an encoder on unlabelled audio.",
    usage="recipe=NAME [GROUP=CHOICE ...] [KEY=VALUE ...]",
    often=("data.root=", "data.batch_size=", "trainer.max_steps=", "trainer.max_time=00:00:05:00",
           "seed=", "run_dir=", "ckpt_path=last"),
    example="recipe=contrastive data=folder data.root=/music",
    by_recipe=True,
)  # fmt: skip


def run(config: DictConfig) -> None:
    """Check what can be checked at once, then train."""
    settings = resolve(config)
    resume = settings["ckpt_path"] is not None
    if is_leader():
        folder = make_run_dir(settings["run_dir"], settings["recipe"], resume)
        settings["run_dir"] = str(folder)
        save_configuration(folder, settings, resume)
    else:
        folder = run_folder_of_leader(settings["run_dir"])
        settings["run_dir"] = str(folder)
    from ssl_audio.training.pretrain import pretrain

    pretrain(settings, folder)


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns the exit status."""
    return main_with(COMMAND, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
