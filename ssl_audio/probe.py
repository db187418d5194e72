"""`ssl-audio probe`: measure frozen embeddings on tags."""

import sys
from functools import partial

from ssl_audio.settings.command import Command
from ssl_audio.settings.probe import ProbeSettings
from ssl_audio.settings.tree import to_yaml

COMMAND = Command(
    name="probe",
    summary="Compare embeddings by probes on tagged tracks, with error bars, beside baselines.",
    usage="dataset=NAME data.root=FOLDER checkpoint=FOLDER [KEY=VALUE ...]",
    examples=(
        "dataset=jamendo_top50 data.root=/jamendo checkpoint=runs/mine/encoder",
        "dataset=csv data.table=tags.csv checkpoint=[runs/a/encoder,runs/b/encoder]",
        "dataset=synthetic data.task=key checkpoint=runs/mine/encoder",
        "dataset=folder data.root=/tagged baselines=[untrained,mfcc] probe=mlp",
    ),
    settings=ProbeSettings,
)


def run(settings: ProbeSettings) -> None:
    """Write a comparison and its report into the run's folder."""
    from ssl_audio.io.run_folder import choose_run_folder, open_run_folder

    folder = choose_run_folder(settings.run_dir, f"probe-{getattr(settings.data, 'name', '')}")
    with open_run_folder(folder, to_yaml(settings)):
        from ssl_audio.probing.comparison import compare
        from ssl_audio.reports.page import publish

        publish(compare(settings, folder), folder)


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
