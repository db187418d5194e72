"""The settings of `report`."""

from pathlib import Path

from ssl_audio.settings.fields import CommandSettings, SettingError, setting


class ReportSettings(CommandSettings):
    runs: tuple[Path, ...] = setting(help="run folders of probe or recommend, or results.json")
    output: Path = setting(
        Path("report"), help="folder of report.html, results.csv, table.tex, figures/"
    )

    def check(self) -> None:
        if not self.runs:
            raise SettingError("runs", "[]", "name one run or more")
        parent = next(p for p in (self.output, *self.output.absolute().parents) if p.exists())
        if not parent.is_dir():
            raise SettingError("output", self.output, f"{parent} is a file, not a folder")
