"""User-provided labels: one folder per tag."""

from collections import defaultdict
from collections.abc import Hashable
from pathlib import Path

from ssl_audio.audio.sources import find_audio, find_other_audio
from ssl_audio.datasets.dataset import LabelledData, LabelledTrack, Listed, require_folder
from ssl_audio.datasets.leaks import file_identity, some
from ssl_audio.datasets.random_split import listed
from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.fields import setting


class TagFolders(LabelledData):
    """`root/TAG/...`: the tag of a file is the first folder of its path.

    A file that is linked into several folders has all of their tags.
    """

    name = "folder"

    root: Path = setting(help="folder with a folder of audio files for each tag")
    seed: int = setting(0, help="seed of the random split", min=0)

    def read(self) -> Listed:
        folder = require_folder(self.root)
        tags_of: dict[str, set[str]] = defaultdict(set)
        id_of: dict[Hashable, str] = {}
        for source in find_audio(folder):
            path = Path(source.path)
            inside = path.relative_to(folder)
            if len(inside.parts) > 1 and path.exists():
                track = id_of.setdefault(file_identity(path), inside.as_posix())
                tags_of[track].add(inside.parts[0])
        if len({tag for tags in tags_of.values() for tag in tags}) < 2:
            raise SslAudioError(f"{folder}: two or more folders with audio are required, one a tag")
        tracks = [LabelledTrack(t, folder / t, frozenset(tags_of[t])) for t in sorted(tags_of)]
        return listed(tracks, self.seed, _unread_files(folder))


def _unread_files(folder: Path) -> tuple[str, ...]:
    """A note on audio files of formats that are not read."""
    others = [Path(path).relative_to(folder).as_posix() for path in find_other_audio(folder)]
    if not others:
        return ()
    what = f"{len(others)} files look like audio but have formats that are not read"
    return (f"{what}: {some(others)}",)
