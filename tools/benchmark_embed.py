"""Embedding a catalogue, against the usual scripts: `python tools/benchmark_embed.py [WHAT ...]`.

rate: tracks per second of mp3 and ogg files (44.1 kHz stereo), by this package and by two scripts:
the one published with the paper (torchaudio's load and resample), and one with librosa.load. Both
decode the whole file and run four segments at a time through the eager float32 network.
stages: processor time per track of decoding, resampling, log-mel and network, of mp3 files by the
encoder `contrastive`, and the share of decoding and resampling: the limit of throughput.
startup: seconds until a command line is answered, and until an encoder is loaded.
memory: resident memory while ten thousand files are embedded, of which 3 % are damaged.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import torch
from benchmark import made_tracks
from timing import aim, benchmark, race, table

from ssl_audio.audio import SAMPLE_RATE, isolated
from ssl_audio.audio.decode import Stream
from ssl_audio.audio.decoders import open_whole
from ssl_audio.audio.logmel import LogMel
from ssl_audio.catalogue.calibration import TRACKS, typical_segments
from ssl_audio.catalogue.changes import Changes
from ssl_audio.catalogue.local_engine import LocalEngine
from ssl_audio.catalogue.tracks import Item
from ssl_audio.catalogue.update import update_store
from ssl_audio.io.parallel import available_processors, in_order
from ssl_audio.models.embedder import Embedder
from ssl_audio.models.encoder import Encoder, build_encoder, load_encoder
from ssl_audio.models.runtime import PRECISIONS, for_embedding
from ssl_audio.settings.fields import Group, setting
from ssl_audio.stores.columns import Row
from ssl_audio.stores.feature_store import count_rows
from ssl_audio.stores.writer import Store

MIN_RATE = 4.0  # times the tracks per second of the published script, on two CPU cores
SEGMENTS = 4  # at a time, in the scripts
Load = Callable[[Path], torch.Tensor]


class BenchmarkEmbedSettings(Group):
    what: tuple[Literal["rate", "stages", "startup", "memory"], ...] = setting(
        (), help="what to measure; default: everything"
    )
    tracks: int = setting(12, help="files of 30 s; a quarter of that of 3 min", min=1)
    repeats: int = setting(3, help="repeats, of which the median is taken", min=1)
    files: int = setting(10_000, help="files of the memory benchmark", min=5)


class TorchaudioFrontEnd(torch.nn.Module):
    """LogMel by torchaudio's modules: (batch, samples) to (batch, 1, mels, frames)."""

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
        return (self.decibels(self.mel(waveform))[:, None] - self.mean) / self.std


def usual_encoder() -> Encoder:
    """The network as it is usually run: torchaudio's log-mel, contiguous, eager, float32."""
    encoder = build_encoder().eval()
    encoder.frontend = TorchaudioFrontEnd(encoder.frontend)
    encoder.backbone = encoder.backbone.to(memory_format=torch.contiguous_format)
    return encoder


def torchaudio_load(path: Path) -> torch.Tensor:
    """(samples,) of a file, as in the script published with the paper."""
    import torchaudio

    channels, rate = torchaudio.load(path, channels_first=False)
    mono = torchaudio.functional.resample(channels.mean(1), rate, SAMPLE_RATE)
    return mono / mono.abs().max()


def librosa_load(path: Path) -> torch.Tensor:
    """(samples,) of a file, as in most scripts."""
    import librosa

    return torch.from_numpy(librosa.load(path, sr=SAMPLE_RATE)[0])


def script(paths: list[Path], encoder: Encoder, load: Load) -> np.ndarray:
    """(tracks, 1024) means over the segments of 4 s, the last one padded with silence."""
    length = round(encoder.segment * SAMPLE_RATE)
    found = []
    for path in paths:
        waveform = load(path)
        padded = torch.nn.functional.pad(waveform, (0, -len(waveform) % length))
        segments = padded.view(-1, length)
        with torch.no_grad():
            network, frontend = encoder.backbone, encoder.frontend
            rows = [network(frontend(part)) for part in segments.split(SEGMENTS)]
        found.append(torch.cat(rows).mean(0).numpy())
    return np.stack(found)


def package(paths: list[Path], engine: LocalEngine) -> np.ndarray:
    """The same by this package."""
    results = engine.rows([Item(path.name, path) for path in paths])
    return np.stack([result.vector for result in results if isinstance(result, Row)])


def rate(options: BenchmarkEmbedSettings) -> None:
    """Tracks per second by kind of file, and the limit that decoding sets."""
    torch.manual_seed(0)
    plain, ours = usual_encoder(), build_encoder().eval()
    ours.backbone.load_state_dict(plain.backbone.state_dict())
    scripts: dict[str, Load] = {"librosa's script": librosa_load}
    if find_spec("torchcodec"):  # which torchaudio loads by
        scripts = {"published script": torchaudio_load, **scripts}
    runtimes = ["torch", *(["openvino"] if find_spec("openvino") else [])]
    engines = {
        f"ssl_audio, {runtime}, {precision}": LocalEngine(for_embedding(ours, precision, runtime))
        for runtime in runtimes
        for precision in ("float32", "bfloat16")
    }
    cores = available_processors()
    long = -(-max(2, options.tracks // 4) // cores) * cores  # no core is idle at the end
    for form, length, count in (
        ("mp3", 30, options.tracks), ("ogg", 30, options.tracks), ("mp3", 180, long),
        ("ogg", 180, long),
    ):  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(t.path) for t in made_tracks(Path(folder), form, count, length)]
            runs = {
                **{name: partial(script, paths, plain, load) for name, load in scripts.items()},
                **{name: partial(package, paths, engine) for name, engine in engines.items()},
            }
            title = f"{count} {form} files of {length} s, {cores} cores"
            compare(title, paths, runs, options.repeats)


def compare(
    title: str, paths: list[Path], runs: dict[str, Callable[[], np.ndarray]], repeats: int
) -> None:
    """Race the scripts and the engines on one kind of file."""
    seconds = race(runs, repeats)
    table(title, seconds, len(paths), "tracks")
    first, fastest = next(iter(runs)), min(seconds, key=lambda name: seconds[name])
    aim(seconds[first] / seconds[fastest], MIN_RATE, f"export against the {first}")
    a, b = runs["librosa's script"](), runs[fastest]()
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    print(f"  min cosine of the fastest to librosa's script: {cosine.min():.4f}")
    started = time.perf_counter()
    streamed(paths, Stream)
    decoding = time.perf_counter() - started
    print(f"  decoding and resampling alone: {len(paths) / decoding:.2f} tracks/s, "
          f"{100 * decoding / seconds[fastest]:.0f} % of the time of the fastest")  # fmt: skip


def processor_seconds() -> float:
    """Seconds of processors that this process and its children have used."""
    texts = [Path("/proc/self/stat").read_text()]
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread or child that has ended
            for child in (task / "children").read_text().split():
                texts.append(Path(f"/proc/{child}/stat").read_text())
    fields = [text.rpartition(")")[2].split() for text in texts]
    return sum(int(f[11]) + int(f[12]) for f in fields) / os.sysconf("SC_CLK_TCK")


def decoded(path: Path) -> Iterator[np.ndarray]:
    """The blocks of a file at its own rate."""
    with open_whole(path) as reader:
        yield from reader.blocks(0, None)


def streamed(paths: list[Path], stream: Callable[[Path], Iterable[np.ndarray]]) -> None:
    """Read the blocks of files."""
    for _ in in_order(paths, lambda path: sum(len(block) for block in stream(path))):
        pass


def networks(encoder: Encoder, paths: list[Path]) -> dict[str, Embedder]:
    """An encoder without its network, and with it in each precision."""
    items = [Item(path.name, path) for path in paths[:TRACKS]]
    music = typical_segments(items, encoder.segment, encoder.sample_rate)
    runtime = "openvino" if find_spec("openvino") else "torch"
    precisions = [p for p in PRECISIONS if p != "int8" or find_spec("nncf")]
    size = encoder.embedding_size
    none = Embedder(encoder.frontend, lambda x: torch.zeros(len(x), size), encoder.segment)
    return {"log-mel": none} | {
        precision: for_embedding(encoder, precision, runtime, music=music)
        for precision in precisions
    }


def stages(options: BenchmarkEmbedSettings) -> None:
    """Each stage as the difference of runs with it and without it."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(t.path) for t in made_tracks(Path(folder), "mp3", options.tracks, 30)]
        runs: dict[str, Callable[[], object]] = {
            "decoding": partial(streamed, paths, decoded),
            "resampling": partial(streamed, paths, Stream),
            "other processes": partial(streamed, paths, isolated.Stream),
        }
        for name, embedder in networks(load_encoder("contrastive"), paths).items():
            runs[name] = partial(package, paths, LocalEngine(embedder))
        spent: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(1 + options.repeats):  # the first one warms up
            for name, run in runs.items():
                before = processor_seconds()
                run()
                spent[name].append(1000 * (processor_seconds() - before) / len(paths))
    least = {name: min(values[1:]) for name, values in spent.items()}  # others add to it
    print(f"\nCPU ms of an mp3 file of 30 s, {len(paths)} files; share of decoding and resampling")
    without = 0.0
    for name, value in least.items():
        added = value - without
        without = min(value, least["log-mel"])  # networks take each other's place
        share = least["resampling"] / value
        print(f"  {name:<16} {added:6.1f}   total {value:6.1f}   share {share:4.2f}")


def startup(options: BenchmarkEmbedSettings) -> None:
    """Seconds of new processes."""
    ours = "from ssl_audio.models.encoder import build_encoder; build_encoder().folded()"
    commands = {
        "import torch": ["-c", "import torch"],
        "embed --help": ["-m", "ssl_audio.embed", "--help"],
        "embed, a refused argument": ["-m", "ssl_audio.embed", "sauce=1"],
        "import torch, torchaudio, timm, librosa.core": [
            "-c", "import torch, torchaudio, timm, librosa.core"],
        "an encoder": ["-c", ours],
    }  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def process(words: list[str]) -> object:
        command = [sys.executable, *words]
        return subprocess.run(command, env=environment, capture_output=True)  # noqa: S603 - own code

    seconds = race({n: partial(process, words) for n, words in commands.items()}, options.repeats)
    print("\nstart-up")
    for name, value in seconds.items():
        print(f"  {name:<46} {value:6.2f} s")


def resident() -> float:
    """This process's memory, MiB."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(options: BenchmarkEmbedSettings) -> None:
    """Memory while many short files are embedded."""
    marks: list[float] = []

    def marked(items: list[Item]) -> Iterator[Item]:
        for number, item in enumerate(items, 1):
            yield item
            if number % (options.files // 5) == 0:
                marks.append(resident())

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        damaged = make_many(folder, options.files)
        engine = LocalEngine(for_embedding(build_encoder(segment=1.0)))
        items = [Item(f"{k}.wav", folder / f"{k}.wav") for k in range(options.files)]
        with Store(folder / "f.parquet", {"kind": "embedding"}, "float16", group=512) as store:
            changes = Changes(store)
            summary = update_store(
                store, changes, marked(items), lambda tracks: engine, "embedding"
            )
        count = count_rows(folder / "f.parquet")
    print(f"\n{options.files} files, {damaged} damaged: {summary.total} rows ({count} read), "
          f"{len(summary.tried)} failures, {count / summary.seconds:.0f} tracks/s")  # fmt: skip
    print(f"  MiB after each fifth: {', '.join(f'{value:.0f}' for value in marks)}")


def make_many(folder: Path, count: int) -> int:
    """Write files of a second, of which every 33rd is damaged; returns how many those are."""
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


WHAT = {"rate": rate, "stages": stages, "startup": startup, "memory": memory}
main = benchmark(
    "benchmark_embed", "Measure embedding a catalogue against the usual scripts, start-up, memory.",
    ("rate tracks=8", "stages", "startup memory files=1000"), BenchmarkEmbedSettings, WHAT,
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
