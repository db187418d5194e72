"""Train and probe the rows of a study, one after another, and compare them.

python tools/study.py ablation run places=[shards=/prepared,scores=/scores,music=/music]
python tools/study.py ablation table
"""

import sys
from functools import partial
from pathlib import Path
from typing import Literal

from study_file import STUDIES, read_places, read_study

from ssl_audio.settings.command import Command
from ssl_audio.settings.fields import Group, setting


class StudySettings(Group):
    study: str = setting(help="name of a study in tools/studies, or a YAML file")
    action: Literal["run", "table", "figure"] = setting(
        help="run: train and probe what is not finished; table: rows against the reference; "
        "figure: mAP by hours and steps"
    )
    places: tuple[str, ...] = setting(
        (), help="run: NAME=PATH of the study's data, such as [music=/music,scores=/scores]"
    )
    runs: Path | None = setting(None, help="folder of the trainings; null: runs/study-STUDY")
    results: Path | None = setting(
        None, help="folder of finished rows, tables and figures; null: tools/studies/results/STUDY"
    )
    resamples: int = setting(2000, help="resamples of seeds, artists and tracks", min=2)
    seed: int = setting(0, help="seed of the resamples", min=0)


COMMAND = Command(
    name="study", script="python tools/study.py",
    summary="Train and probe the rows of a study, with intervals; run again, it resumes.",
    usage="STUDY run|table|figure [KEY=VALUE ...]",
    examples=(
        "ablation run places=[shards=/prepared,scores=/scores,music=/music]", "ablation table",
        "scaling figure", "mine.yaml run",
    ),
    settings=StudySettings, positional=("study", "action"),
)  # fmt: skip


def run(settings: StudySettings) -> int:
    """Do what the action says; returns the exit status."""
    name, study = read_study(settings.study)
    results = settings.results or STUDIES / "results" / name
    if settings.action == "run":
        places = read_places(study, settings.places)
        from study_queue import run_study

        return run_study(study, places, settings.runs or Path("runs", f"study-{name}"), results)
    from study_table import write_figures, write_tables

    write = write_tables if settings.action == "table" else write_figures
    write(study, results, settings.resamples, settings.seed)
    return 0


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
