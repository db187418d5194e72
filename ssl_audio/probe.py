"""Probe frozen embeddings on tags: `python -m ssl_audio.probe dataset=mtat data.root=... ...`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ssl_audio.io.run_folder import make_run_dir, save_configuration
from ssl_audio.recipe import Command, main_with, resolve

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = Command(
    name="probe",
    does="Measure frozen embeddings on tagged tracks, with error bars, beside baselines.",
    usage="dataset=NAME data.root=FOLDER checkpoint=FOLDER [KEY=VALUE ...]",
    often=("checkpoint=[a,b]", "baselines=[untrained,mfcc]", "data.splits=",
           "data.allow_missing=true", "train_on=segments", "seed=", "run_dir="),
    example="dataset=jamendo_top50 data.root=/jamendo checkpoint=runs/mine/encoder",
)  # fmt: skip


def run(config: DictConfig) -> None:
    """Check what can be checked at once, then measure."""
    settings = resolve(config)
    name = f"probe-{settings['data']['name']}"
    folder = make_run_dir(settings["run_dir"], name, False, "results.json")
    settings["run_dir"] = str(folder)
    save_configuration(folder, settings)
    from ssl_audio.probing.comparison import compare

    results = compare(settings, folder)
    from ssl_audio.reports.legacy import typed
    from ssl_audio.reports.page import publish

    publish(typed(results), folder)


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns the exit status."""
    return main_with(COMMAND, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
