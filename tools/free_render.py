"""Tracker modules and MIDI files as audio: openmpt123, and fluidsynth with drawn settings."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from ssl_audio.io.errors import SslAudioError

RATE = 32_000  # Hz
PROGRAMS = {"modules": "openmpt123", "midi": "fluidsynth"}
SOUNDFONTS = Path("/usr/share/sounds/sf2")
PERCUSSION = 9  # the channel whose programs are drum kits


def require_programs(kinds: set[str]) -> None:
    """Refuse to begin without what renders these kinds.

    Raises:
        SslAudioError: a program or all soundfonts are missing.
    """
    for kind in sorted(kinds & set(PROGRAMS)):
        if not shutil.which(PROGRAMS[kind]):
            name = PROGRAMS[kind]
            raise SslAudioError(f"{name} is missing: apt-get install {name}, or kinds=[recorded]")
    if "midi" in kinds and not soundfonts():
        raise SslAudioError(
            f"no soundfont in {SOUNDFONTS}: apt-get install fluid-soundfont-gm timgm6mb-soundfont"
        )


def soundfonts() -> list[Path]:
    """The installed soundfonts, a file once."""
    return sorted({path.resolve() for path in SOUNDFONTS.glob("*.sf[23]")})


def render(kind: str, content: bytes, target: Path, seconds: float, seed: int) -> bool:
    """Write a module or MIDI file as Ogg Vorbis of 32 kHz; False if it cannot be played.

    Args:
        kind: `modules` or `midi`.
        content: the file.
        target: the Ogg file.
        seconds: the audio is cut after this.
        seed: of the soundfont, instruments, room, reverb and level of MIDI.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        score, wave = Path(scratch) / "score", Path(scratch) / "out.wav"
        if kind == "modules":
            score.write_bytes(content)
            words = ["openmpt123", "--quiet", "--batch", "--samplerate", str(RATE),
                     "--end-time", str(seconds), "--output", str(wave), str(score)]  # fmt: skip
        else:
            rng = np.random.default_rng(seed)
            score.write_bytes(other_programs(content, rng))
            words = _fluidsynth(score, wave, rng)
        try:
            subprocess.run(words, capture_output=True, timeout=120, check=False)  # noqa: S603 - ours
            return _to_ogg(wave, target, seconds)
        except (subprocess.TimeoutExpired, soundfile.LibsndfileError):
            return False


def _fluidsynth(score: Path, wave: Path, rng: np.random.Generator) -> list[str]:
    fonts = soundfonts()
    options = {
        "synth.reverb.room-size": rng.uniform(0.1, 0.9),
        "synth.reverb.level": rng.uniform(0.0, 0.8),
        "synth.reverb.damp": rng.uniform(0.0, 0.7),
        "synth.chorus.level": rng.uniform(0.0, 3.0),
        "synth.gain": rng.uniform(0.3, 0.7),
    }
    words = ["fluidsynth", "-ni", "-q", "-r", str(RATE), "-F", str(wave)]
    words += [word for key, value in options.items() for word in ("-o", f"{key}={value:.3f}")]
    return [*words, str(fonts[rng.integers(len(fonts))]), str(score)]


def _to_ogg(wave: Path, target: Path, seconds: float) -> bool:
    if not wave.exists():
        return False
    with soundfile.SoundFile(wave) as source:
        frames = min(len(source), int(seconds * source.samplerate))
        with soundfile.SoundFile(
            target, "w", source.samplerate, source.channels, format="OGG", subtype="VORBIS"
        ) as out:
            # libsndfile's Vorbis encoder overflows the stack with long buffers
            for _ in range(0, frames, RATE):
                out.write(source.read(min(RATE, frames - source.tell()), dtype="float32"))
    return True


def other_programs(midi: bytes, rng: np.random.Generator) -> bytes:
    """The same MIDI file with each channel's instruments moved within their family of eight.

    Of General MIDI's 128 programs, each eight are a family (pianos, organs, guitars, ...). Files
    that end early or are damaged are changed as far as they can be read.
    """
    out = bytearray(midi)
    shifts = rng.integers(8, size=16)
    position = 14
    while position + 8 <= len(out):
        size = int.from_bytes(out[position + 4 : position + 8], "big")
        start, end = position + 8, min(position + 8 + size, len(out))
        if out[position : position + 4] == b"MTrk":
            try:
                _change_track(out, start, end, shifts)
            except IndexError:  # the file ends within an event
                return bytes(out)
        position = start + size
    return bytes(out)


def _change_track(out: bytearray, at: int, end: int, shifts: np.ndarray) -> None:
    status = 0
    while at < end:
        _, at = _number(out, at)  # the time since the last event
        if out[at] & 0x80:
            status = out[at]
            at += 1
        if status >= 0xF0:  # meta events and system messages have a length of their own
            size, at = _number(out, at + (status == 0xFF))
            at += size
            continue
        channel = status & 15
        if status & 0xF0 == 0xC0 and channel != PERCUSSION:
            program = out[at]
            out[at] = program // 8 * 8 + (program + int(shifts[channel])) % 8
        at += 1 if status & 0xE0 == 0xC0 else 2


def _number(data: bytearray, at: int) -> tuple[int, int]:
    """A number of variable length, seven bits a byte, and the place behind it."""
    value = 0
    while True:
        value = value << 7 | data[at] & 0x7F
        at += 1
        if data[at - 1] < 0x80:
            return value, at
