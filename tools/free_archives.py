"""What a Debian package holds: its music, also inside archives, and its licences by file."""

import fnmatch
import io
import re
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ssl_audio.io.errors import SslAudioError

RECORDED = (".ogg", ".oga", ".mp3", ".flac", ".opus", ".wav")
MODULES = (".mod", ".xm", ".it", ".s3m")
MIDI = (".mid", ".midi")
ZIPPED = (".zip", ".pk3", ".pk4", ".jar", ".love", ".pkg")
KINDS = {"recorded": RECORDED, "modules": MODULES, "midi": MIDI}
# voices, sound effects and ambience, by their usual folders and names
NOT_MUSIC = re.compile(
    r"voice|speech|dialog|narrat|/sfx|/soundfx|/amb_|ambien|/silence\.|weather|effects?/|/loops?/",
    re.IGNORECASE,
)


def kind_of(path: str) -> str | None:
    """`recorded`, `modules` or `midi` by the file's suffix; None for other files."""
    found = [kind for kind, ends in KINDS.items() if path.lower().endswith(ends)]
    return found[0] if found else None


def package_files(deb: Path) -> Iterator[tuple[str, bytes]]:
    """Path and content of each music file and of each copyright file; archives are opened.

    Raises:
        SslAudioError: not a Debian package.
    """
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with subprocess.Popen(  # noqa: S603 - Debian's tool on a file that apt has verified
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as tree:
        try:
            with tarfile.open(fileobj=tree.stdout, mode="r|") as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.isfile() else None
                    if file and (_wanted(member.name) or member.name.endswith("/copyright")):
                        yield from _opened(member.name.removeprefix("./"), file.read())
        except tarfile.TarError as error:
            raise SslAudioError(
                f"{deb.name}: not a Debian package ({error}); download it again"
            ) from None


def _wanted(path: str) -> bool:
    return kind_of(path) is not None or path.lower().endswith((*ZIPPED, ".wad"))


def _opened(path: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    lower = path.lower()
    if lower.endswith(".wad"):
        yield from _lumps(path, content)
    elif not lower.endswith(ZIPPED):
        yield path, content
    elif zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as inner:
            for name in inner.namelist():
                if _wanted(name):
                    yield from _opened(f"{path}/{name}", inner.read(name))


def _lumps(path: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The MIDI files in an archive of Doom: 16 bytes a directory entry (offset, size, name)."""
    if content[:4] not in (b"IWAD", b"PWAD"):
        return
    count, start = struct.unpack_from("<ii", content, 4)
    for k in range(count):
        offset, size, name = struct.unpack_from("<ii8s", content, start + 16 * k)
        if content[offset : offset + 4] == b"MThd":
            word = name.rstrip(b"\0").decode("latin-1")
            yield f"{path}/{word}.mid", content[offset : offset + size]


@dataclass(frozen=True)
class Stanza:
    """Files that share a licence in debian/copyright."""

    patterns: tuple[str, ...]
    licence: str
    holder: str


def read_copyright(text: str) -> list[Stanza]:
    """The `Files:` stanzas of a machine-readable copyright file; none of a free-form one."""
    found = []
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        for name, value in re.findall(r"^([\w-]+):((?:.*)(?:\n[ \t].*)*)", block, re.MULTILINE):
            fields[name.lower()] = value.strip()
        if "files" in fields:
            licence = fields.get("license", "").split("\n")[0].strip()
            holders = fields.get("copyright", "").split("\n")
            found.append(Stanza(tuple(fields["files"].split()), licence, _holder(holders)))
    return found


def _holder(lines: list[str]) -> str:
    """The only copyright holder, without years, (c) and address; empty if there are several."""
    clean = [re.sub(r"^[\s\d,©()cC–-]*(?:by\s+)?|<.*?>|\s+$", "", line) for line in lines]
    names = [re.sub(r"(?i)^copyright\s*[\s\d,©()c–-]*", "", line).strip() for line in clean]
    names = [name for name in names if name]
    return names[0] if len(names) == 1 else ""


def stanza_of(path: str, stanzas: list[Stanza]) -> Stanza | None:
    """The stanza that names a file most exactly; None if none does.

    The patterns are relative to the source, the path to the package: they are compared from their
    last parts, a pattern of a folder (`music/*`) with the folder's name.
    """
    ranked = [(_exactness(path, p), k) for k, s in enumerate(stanzas) for p in s.patterns]
    rank, k = max(ranked, default=((0, 0), -1))
    return stanzas[k] if rank > (0, 0) else None


def _exactness(path: str, pattern: str) -> tuple[int, int]:
    if pattern == "*":
        return 1, 0
    *folders, last = PurePosixPath(pattern).parts or ("",)
    parts = PurePosixPath(path).parts
    plain = [folder for folder in folders if not set(folder) & set("*?")]
    shared = sum(folder in parts[:-1] for folder in plain)
    if last == "*":
        return (2, shared) if plain and plain[-1] in parts[:-1] else (0, 0)
    if not fnmatch.fnmatchcase(parts[-1], last):
        return 0, 0
    return (3 if set(last) & set("*?") else 4), shared
