"""Embedding a catalogue, against the usual way: `python tools/benchmark_embed.py [WHAT ...]`.

WHAT is rate, startup or memory; all by default.

rate: tracks a second of mp3 and ogg files of 30 s and 3 min (44.1 kHz stereo), by this project's
export and by two sample scripts: the one published with the paper (torchaudio's load and resample)
and the one that is written most (librosa.load). Both decode the whole file, resample it, and push
four segments at a time through the eager float32 network. Same files, same cores, taking turns.
startup: seconds until the first command line is answered, and until an encoder is loaded.
memory: resident memory while ten thousand files are exported, of which 3 % are damaged.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile
import torch
from benchmark import made_tracks

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.audio.decode import stream
from ssl_audio.audio.logmel import LogMel
from ssl_audio.catalogue.embedding import Failure, Item, Settings, export, local_results
from ssl_audio.io.parallel import available_processors
from ssl_audio.models.encoder import Encoder, build_encoder
from ssl_audio.models.extraction import in_order
from ssl_audio.models.runtime import for_embedding
from ssl_audio.stores.feature_store import Row, read_store
from ssl_audio.stores.writer import Store

RATE_AIM = 4.0  # times the tracks a second of the published script, on two CPU cores
SEGMENTS = 4  # at a time, in the scripts
PRECISIONS = ("float32", "bfloat16")
Load = Callable[[Path], torch.Tensor]


class UsualFrontEnd(torch.nn.Module):
    """The log-mel as torchaudio makes it."""

    def __init__(self, frontend: LogMel) -> None:
        super().__init__()
        from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

        s = frontend.settings
        self.mel = MelSpectrogram(
            s["sample_rate"], s["n_fft"], hop_length=s["hop"], f_max=s["f_max"],
            n_mels=s["n_mels"], mel_scale="slaney", normalized=True,
        )  # fmt: skip
        self.decibels = AmplitudeToDB("power", s["top_db"])
        self.mean, self.std, self.hop = s["mean"], s["std"], s["hop"]

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """(batch, samples) to (batch, 1, n_mels, frames)."""
        return (self.decibels(self.mel(waveform))[:, None] - self.mean) / self.std


def usual_encoder(encoder: Encoder) -> Encoder:
    """The network as it is usually run: torchaudio's log-mel, contiguous, eager, float32."""
    encoder.frontend = UsualFrontEnd(encoder.frontend)  # type: ignore[assignment]
    encoder.backbone = encoder.backbone.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return encoder


def torchaudio_load(path: Path) -> torch.Tensor:
    """A file's waveform (samples,) as the script published with the paper gets it."""
    import torchaudio

    channels, rate = torchaudio.load(path, channels_first=False)
    mono = torchaudio.functional.resample(channels.mean(1), rate, SAMPLE_RATE)
    return mono / mono.abs().max()


def librosa_load(path: Path) -> torch.Tensor:
    """The same as most scripts get it."""
    import librosa

    return torch.from_numpy(librosa.load(path, sr=SAMPLE_RATE)[0])


def script(paths: list[Path], encoder: Encoder, load: Load) -> np.ndarray:
    """(tracks, 1024) means over the segments of 4 s, the last filled up with silence."""
    length = round(encoder.segment * SAMPLE_RATE)
    found = []
    for path in paths:
        waveform = load(path)
        padded = torch.nn.functional.pad(waveform, (0, -len(waveform) % length))
        segments = padded.view(-1, length)
        with torch.no_grad():
            rows = [encoder(part) for part in segments.split(SEGMENTS)]
        found.append(torch.cat(rows).mean(0).numpy())
    return np.stack(found)


def rows_of(paths: list[Path], encoder: Encoder) -> np.ndarray:
    """The same by this project's export, with an encoder `for_embedding`: it is ready."""
    results = local_results([Item(p.name, p) for p in paths], encoder, Settings(), None)
    return np.stack([r.vector for r in results if isinstance(r, Row)])


def compare_rates(options: argparse.Namespace) -> None:
    """Print tracks a second of both, by kind of file, and what bounds ours."""
    torch.manual_seed(0)
    plain, ours = usual_encoder(build_encoder().eval()), build_encoder().eval()
    ours.backbone.load_state_dict(plain.backbone.state_dict())
    runtimes = ["torch", *(["openvino"] if find_spec("openvino") else [])]
    ready = {
        f"export, {runtime}, {precision}": for_embedding(ours, precision, runtime)
        for runtime in runtimes
        for precision in PRECISIONS
    }
    # so many that no core waits at the end for the other's last track
    few = -(-max(2, options.tracks // 4) // available_processors()) * available_processors()
    for form, length, count in (
        ("mp3", 30, options.tracks), ("ogg", 30, options.tracks),
        ("mp3", 180, few), ("ogg", 180, few),
    ):  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(t.path) for t in made_tracks(Path(folder), form, count, length)]
            title = f"{count} {form} files of {length} s"
            compare_rate(title, paths, plain, ready, options.repeats)


def compare_rate(
    title: str, paths: list[Path], plain: Encoder, ready: dict[str, Encoder], repeats: int
) -> None:
    """One kind of file."""
    scripts: dict[str, Load] = {"librosa's script": librosa_load}
    if find_spec("torchcodec"):  # torchaudio loads by it
        scripts = {"published script": torchaudio_load, **scripts}
    runs = {
        **{name: partial(script, paths, plain, load) for name, load in scripts.items()},
        **{name: partial(rows_of, paths, encoder) for name, encoder in ready.items()},
    }
    results = {name: run() for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    print(f"\n{title}, {available_processors()} cores, median of {repeats}")
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in median.items():
        ratios = " ".join(f"{median[other] / value:6.2f}x" for other in scripts)
        cosine = least_cosine(results["librosa's script"], results[name])
        print(f"  {name:<28} {len(paths) / value:8.2f} tracks/s {ratios}   "
              f"cosine with librosa's {cosine:.4f} or more")  # fmt: skip
    best = min(median[name] for name in ready)
    first = next(iter(scripts))
    ratio = median[first] / best
    met = "met" if ratio >= RATE_AIM else "MISSED"
    print(f"  aim {RATE_AIM:g}x the {first}: {met} ({ratio:.2f}x)")
    bound(paths, best / len(paths))


def least_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of rows; the last segment is cut differently, and the published script scales the sound."""
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def bound(paths: list[Path], whole: float) -> None:
    """Say what decoding alone would allow on all cores; `whole` is seconds a track of the best."""
    started = time.perf_counter()
    for _ in in_order(paths, lambda path: sum(len(block) for block in stream(path))):
        pass
    each = (time.perf_counter() - started) / len(paths)
    print(f"  bound by decoding and resampling: {1 / each:.2f} tracks/s of it alone, "
          f"{100 * each / whole:.0f} % of the time; log-mel and network take the rest")  # fmt: skip


def compare_startup(options: argparse.Namespace) -> None:
    """Print seconds of fresh processes."""
    ours = "from ssl_audio.models.encoder import build_encoder; build_encoder().folded()"
    commands = {
        "import torch": ["-c", "import torch"],
        "embed --help": ["-m", "ssl_audio.embed", "--help"],
        "embed, a refused argument": ["-m", "ssl_audio.embed", "sauce=1"],
        "import torch, torchaudio, timm, librosa.core": [
            "-c", "import torch, torchaudio, timm, librosa.core"],
        "an encoder that is ready": ["-c", ours],
    }  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    print("\nstart-up, median of 3 after one uncounted")
    for name, words in commands.items():
        values = []
        for _ in range(4):
            started = time.perf_counter()
            subprocess.run([sys.executable, *words], env=environment, capture_output=True)
            values.append(time.perf_counter() - started)
        print(f"  {name:<46} {statistics.median(values[1:]):6.2f} s")


def resident() -> float:
    """This process's memory, MiB."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def compare_memory(options: argparse.Namespace) -> None:
    """Print memory along an export of many short files, and what was listed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        damaged = make_many(folder, options.files)
        encoder = build_encoder(segment=1.0)
        store = Store(folder / "f.parquet", {"kind": "embedding"}, "float16", group=512)
        listed = [Item(f"{k}.wav", folder / f"{k}.wav") for k in range(options.files)]
        peaks: list[float] = []
        stop = threading.Event()
        watcher = threading.Thread(target=lambda: watch(peaks, stop))
        watcher.start()
        marks: list[float] = []
        results = local_results(listed, for_embedding(encoder), Settings(), None)
        summary = export(marked(results, marks, options.files // 5), store)
        stop.set()
        watcher.join()
        count = store.close()
        rows = len(read_store(folder / "f.parquet").ids)
    print(f"\n{options.files} files, {damaged} of them damaged: {count} rows ({rows} read back), "
          f"{len(summary.failures)} failures, {count / summary.elapsed:.0f} tracks/s")  # fmt: skip
    fifths = ", ".join(f"{value:.0f}" for value in marks)
    print(f"  MiB after each fifth: {fifths}; most at any time: {max(peaks):.0f}")


def make_many(folder: Path, count: int) -> int:
    """Short files, of which every 33rd is damaged."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 3 * SAMPLE_RATE).astype(np.float32)
    damaged = 0
    for k in range(count):
        path = folder / f"{k}.wav"
        start = int(rng.integers(SAMPLE_RATE))
        soundfile.write(path, noise[start : start + SAMPLE_RATE], SAMPLE_RATE)
        if k % 33 == 7:
            path.write_bytes(path.read_bytes()[: int(rng.integers(0, 40))])
            damaged += 1
    return damaged


def watch(peaks: list[float], stop: threading.Event) -> None:
    """Sample the memory until told to stop."""
    while not stop.wait(0.2):
        peaks.append(resident())


def marked(
    results: Iterator[Row | Failure], marks: list[float], every: int
) -> Iterator[Row | Failure]:
    """Note the memory along the way."""
    for number, result in enumerate(results, 1):
        yield result
        if number % every == 0:
            marks.append(resident())


WHAT = {"rate": compare_rates, "startup": compare_startup, "memory": compare_memory}


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", choices=[[], *WHAT], metavar="WHAT")
    parser.add_argument("--tracks", type=int, default=12, help="of 30 s; a quarter of 3 min")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--files", type=int, default=10_000, help="of the memory benchmark")
    options = parser.parse_args()
    for name in options.what or WHAT:
        WHAT[name](options)


if __name__ == "__main__":
    main()
