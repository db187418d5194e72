"""The tagging set of the free corpus: the tag is the package; no track of it is trained on."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_audio.audio.sources import write_jamendo

SPLITS = ("train", "validation", "test")
MIN_TRACKS, MAX_TRACKS = 9, 40  # of a package of the tagging set
MAX_TRACK_SHARE, MAX_HOURS_SHARE = 0.15, 0.15  # of the corpus


@dataclass(frozen=True)
class Track:
    """A row of the table."""

    path: str  # below the folder of the output
    package: str
    seconds: float
    kind: str  # recorded, modules, midi
    licence: str  # as the copyright file says it for this file; empty: read PACKAGE/copyright
    artist: str  # by the file's own tags, else its only copyright holder; empty if unknown
    album: str
    source: str  # path in the package
    sound: str  # hash of the decoded audio
    split: str = "train"  # or held_out


def hold_out(tracks: Sequence[Track]) -> dict[int, str]:
    """Index and part of each track of the tagging set.

    Whole packages of 9 to 40 tracks are taken, those with the fewest hours first, each unless more
    than 15 % of the tracks or of the hours would be taken with it. A package is split into thirds
    by artist if each of its tracks names one, there are three or more, and none has more than half
    of the tracks; else by album or by folder under the same conditions; else by track.
    """
    packages: dict[str, list[int]] = defaultdict(list)
    for k, track in enumerate(tracks):
        packages[track.package].append(k)
    hours = {name: sum(tracks[k].seconds for k in own) for name, own in packages.items()}
    most_tracks, most_hours = MAX_TRACK_SHARE * len(tracks), MAX_HOURS_SHARE * sum(hours.values())
    found: dict[int, str] = {}
    taken = 0.0
    for name in sorted(packages, key=lambda name: (hours[name], name)):
        own = packages[name]
        if not MIN_TRACKS <= len(own) <= MAX_TRACKS:
            continue
        if len(found) + len(own) > most_tracks or taken + hours[name] > most_hours:
            continue
        taken += hours[name]
        found.update(_thirds(own, tracks))
    return found


def _thirds(own: list[int], tracks: Sequence[Track]) -> dict[int, str]:
    keys: tuple[Callable[[int], str], ...] = (
        lambda k: tracks[k].artist, lambda k: tracks[k].album,
        lambda k: str(Path(tracks[k].source).parent), lambda k: tracks[k].path,
    )  # fmt: skip
    for key in keys:
        groups: dict[str, list[int]] = defaultdict(list)
        for k in own:
            groups[key(k)].append(k)
        # one artist or album with nearly all tracks leaves too few for the other parts
        if "" not in groups and len(groups) >= 3 and max(map(len, groups.values())) <= len(own) / 2:
            break
    parts: dict[str, list[int]] = {name: [] for name in SPLITS}
    for _, group in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        min(parts.values(), key=len).extend(group)
    return {k: name for name, part in parts.items() for k in part}


def write_tagging(folder: Path, tracks: Sequence[Track], tagged: dict[int, str]) -> None:
    """Write `tagging-train.tsv` and the others in MTG-Jamendo's format, paths below the corpus."""
    folder.mkdir(exist_ok=True)
    artists = sorted({tracks[k].artist or tracks[k].package for k in tagged})
    albums = sorted({f"{tracks[k].package}/{tracks[k].album}" for k in tagged})
    for name in SPLITS:
        rows = []
        for k in sorted(k for k, part in tagged.items() if part == name):
            track = tracks[k]
            artist = artists.index(track.artist or track.package)
            album = albums.index(f"{track.package}/{track.album}")
            numbers = (f"track_{k:07d}", f"artist_{artist:06d}", f"album_{album:06d}")
            tag = f"package---{track.package}"
            rows.append([*numbers, track.path, f"{track.seconds:.1f}", tag])
        write_jamendo(folder / f"tagging-{name}.tsv", rows)
