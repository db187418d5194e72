"""Collect freely licensed, really produced music from Debian's packages, for pretraining.

apt-get update
python tools/free_music.py /music
python tools/prepare.py /music/train.csv /prepared
"""

import csv
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Literal
from zlib import crc32

import soundfile
from free_archives import (
    KINDS,
    NOT_MUSIC,
    Stanza,
    kind_of,
    package_files,
    read_copyright,
    stanza_of,
)
from free_render import render, require_programs
from free_tagging import Track, hold_out, write_tagging

from ssl_audio.io.atomic import write_text
from ssl_audio.io.console import SOME_FAILED, warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.lock import only_writer
from ssl_audio.io.progress import with_progress
from ssl_audio.settings.command import Command
from ssl_audio.settings.fields import Group, setting

TABLE, TRAIN = "tracks.csv", "train.csv"  # all tracks; those that are not held out
HASHED_SECONDS = 20.0  # of the decoded audio: two files of the same music and length are one track


class FreeMusicSettings(Group):
    output: Path = setting(
        help="folder of the music, a folder a package, with tracks.csv and train.csv"
    )
    packages: Path = setting(
        Path(__file__).with_suffix(".csv"),
        help="table of packages with columns package, kinds, skip and note",
    )
    kinds: tuple[Literal["recorded", "modules", "midi"], ...] = setting(
        ("recorded", "modules", "midi"), help="kinds of music"
    )
    min_seconds: float = setting(25.0, help="shorter audio is left out, seconds", above=0)
    render_seconds: float = setting(
        180.0, help="audio of modules and MIDI is cut after this, seconds", above=0
    )
    seed: int = setting(0, help="seed of the soundfonts, instruments and rooms of MIDI", min=0)


COMMAND = Command(
    name="free_music", script="python tools/free_music.py",
    summary="Collect freely licensed music from Debian's packages; run again, it resumes.",
    usage="OUTPUT [KEY=VALUE ...]",
    examples=("/music", "/music kinds=[recorded]", "/music packages=mine.csv"),
    settings=FreeMusicSettings, positional=("output",),
)  # fmt: skip


@dataclass(frozen=True)
class Package:
    """A line of the table of packages."""

    package: str
    kinds: frozenset[str]
    skip: re.Pattern[str] | None


def read_packages(table: Path, kinds: Iterable[str]) -> list[Package]:
    """The packages to collect, with those of their kinds that are wanted.

    Raises:
        SslAudioError: the table cannot be read, or a line is malformed.
    """
    wanted = set(kinds)
    try:
        rows = list(csv.DictReader(table.read_text("utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise SslAudioError(f"{table}: not a table of packages ({error})") from None
    found = []
    for number, row in enumerate(rows, 2):
        name, own = row.get("package") or "", set((row.get("kinds") or "").split())
        if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name) or not own or own - set(KINDS):
            raise SslAudioError(
                f"{table}, line {number}: a package's name and its kinds are expected, "
                f"such as naev-data,recorded modules,,note"
            )
        skip = row.get("skip") or ""
        try:
            rule = re.compile(skip) if skip else None
        except re.error as error:
            raise SslAudioError(f"{table}, line {number}: skip={skip}: {error}") from None
        if own & wanted:
            found.append(Package(name, frozenset(own & wanted), rule))
    if not found:
        raise SslAudioError(f"{table}: no package of these kinds")
    return found


def collect(package: Package, settings: FreeMusicSettings) -> None:
    """Download a package and keep its music; one that is complete already is left alone.

    Raises:
        SslAudioError: the package cannot be downloaded.
    """
    folder = settings.output / package.package
    if folder.exists():
        return
    part = settings.output / f"{package.package}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=part) as scratch:
        deb = _download(package.package, Path(scratch))
        sources = dict(_keep(package, part, deb, settings))
    write_table(part / TABLE, describe(part, package.package, sources))
    part.rename(folder)


def _download(package: str, folder: Path) -> Path:
    try:
        command = ["apt-get", "download", "-qq", package]
        got = subprocess.run(  # noqa: S603 - a package of free_music.csv
            command, cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise SslAudioError("apt-get is missing: run this on Debian or in its container") from None
    found = list(folder.glob("*.deb"))
    if got.returncode or not found:
        said = (got.stderr.strip().splitlines() or ["no file came"])[-1]
        raise SslAudioError(f"{package}: {said}; run apt-get update, then this again")
    return found[0]


def _keep(
    package: Package, folder: Path, deb: Path, settings: FreeMusicSettings
) -> Iterable[tuple[str, str]]:
    """Write a package's music and copyright file; yields each track's name and its source."""
    seen: set[bytes] = set()
    for path, content in package_files(deb):
        kind = kind_of(path)
        if path.endswith(f"/doc/{package.package}/copyright"):
            (folder / "copyright").write_bytes(content)
        if kind not in package.kinds or NOT_MUSIC.search(path):
            continue
        if package.skip and package.skip.search(path):
            continue
        digest = hashlib.sha256(content).digest()
        if digest in seen:  # rendered, the same score would be two sounds
            continue
        seen.add(digest)
        target = _free_name(folder, Path(path), kind)
        if kind == "recorded":
            target.write_bytes(content)
        else:
            render(kind, content, target, settings.render_seconds, crc32(content, settings.seed))
        if _seconds(target) < settings.min_seconds:
            target.unlink(missing_ok=True)
        else:
            yield target.name, path


def _free_name(folder: Path, path: Path, kind: str) -> Path:
    suffix = path.suffix if kind == "recorded" else f".{kind}.ogg"
    names = (f"{path.stem}{f'-{k}' if k else ''}{suffix}" for k in range(10**6))
    return next(folder / name for name in names if not (folder / name).exists())


def _seconds(path: Path) -> float:
    try:
        return float(soundfile.info(str(path)).duration)
    except soundfile.LibsndfileError:  # not audio, or of an unknown format
        return 0.0


def describe(folder: Path, package: str, sources: dict[str, str]) -> list[Track]:
    """The rows of a package's tracks, given the path in the package of each file.

    Audio that cannot be decoded is left out.
    """
    notice = folder / "copyright"
    text = notice.read_text("utf-8", errors="replace") if notice.exists() else ""
    stanzas = read_copyright(text)
    rows = (_track(folder / name, package, sources[name], stanzas) for name in sorted(sources))
    return [row for row in rows if row is not None]


def _track(path: Path, package: str, source: str, stanzas: list[Stanza]) -> Track | None:
    try:
        with soundfile.SoundFile(path) as file:
            tags = file.copy_metadata()
            seconds = len(file) / file.samplerate
            start = file.read(int(HASHED_SECONDS * file.samplerate), dtype="int16").tobytes()
    except soundfile.LibsndfileError:
        return None
    sound = hashlib.sha256(f"{seconds:.3f}".encode() + start).hexdigest()[:24]
    stanza = stanza_of(source, stanzas)
    exact = stanza is not None and stanza.patterns != ("*",)
    artist = tags.get("artist", "").strip() or (stanza.holder if stanza and exact else "")
    return Track(
        f"{package}/{path.name}", package, round(seconds, 2), kind_of(source) or "recorded",
        stanza.licence if stanza else "", " ".join(artist.split()),
        " ".join(tags.get("album", "").split()), source, sound,
    )  # fmt: skip


def write_table(path: Path, tracks: Iterable[Track]) -> None:
    """Write rows of tracks as CSV, atomically."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(Track)])
    writer.writeheader()
    writer.writerows(asdict(track) for track in tracks)
    write_text(path, out.getvalue())


def read_table(path: Path) -> list[Track]:
    """The rows of a table that `write_table` wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [Track(**row) for row in csv.DictReader(file)]
    return [replace(row, seconds=float(row.seconds)) for row in rows]


def without_duplicates(tracks: Iterable[Track], folder: Path) -> tuple[list[Track], list[str]]:
    """Each decoded sound once; the files of the others are deleted and named with their equal."""
    first: dict[str, Track] = {}
    report = []
    for track in tracks:
        same = first.setdefault(track.sound, track)
        if same is not track:
            (folder / track.path).unlink(missing_ok=True)
            report.append(f"{track.path} = {same.path}")
    return list(first.values()), report


def run(settings: FreeMusicSettings) -> int:
    """Collect the packages and write the tables."""
    packages = read_packages(settings.packages, settings.kinds)
    if settings.output.exists() and not settings.output.is_dir():
        raise SslAudioError(f"{settings.output}: a file; name a folder")
    require_programs({kind for package in packages for kind in package.kinds})
    if shutil.which("dpkg-deb") is None:
        raise SslAudioError("dpkg-deb is missing: run this on Debian, or apt-get install dpkg")
    failed = 0
    with only_writer(settings.output):
        for package in with_progress(packages, "packages", unit="packages"):
            try:
                collect(package, settings)
            except SslAudioError as error:
                failed += 1
                warn(str(error))
        write_corpus(settings.output)
    return SOME_FAILED if failed else 0


def write_corpus(folder: Path) -> None:
    """Write the table of all complete packages and the tagging set, and print what they hold."""
    tables = sorted(folder.glob(f"*/{TABLE}"))
    rows = [row for table in tables if table.parent.suffix != ".part" for row in read_table(table)]
    if not rows:
        raise SslAudioError(f"{folder}: no music was collected; see the warnings above")
    tracks, duplicates = without_duplicates(rows, folder)
    for line in duplicates:
        print(f"stored once: {line}")
    tagged = hold_out(tracks)
    artists = {tracks[k].artist for k in tagged} - {""}
    tracks = [
        replace(track, split="held_out" if k in tagged or track.artist in artists else "train")
        for k, track in enumerate(tracks)
    ]
    write_table(folder / TABLE, tracks)
    train = [track for track in tracks if track.split == "train"]
    write_table(folder / TRAIN, train)
    for kind in sorted({track.kind for track in train}):
        write_table(folder / f"train-{kind}.csv", [track for track in train if track.kind == kind])
    write_tagging(folder / "tagging", tracks, tagged)
    hours: Counter[str] = Counter()
    for track in tracks:
        hours[track.split] += track.seconds / 3600
        hours[track.kind] += track.seconds / 3600
    print("".join(f"{key}: {value:.1f} h\n" for key, value in sorted(hours.items())), end="")
    total = hours["train"] + hours["held_out"]
    print(f"{folder / TABLE}: {len(tracks)} tracks, {total:.1f} hours")


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
