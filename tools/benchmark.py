"""Ratios of the encoder and of training to a peer in the same run: `python tools/benchmark.py`."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from timing import Candidates, aim, benchmark, race, table

from ssl_audio.audio import decode, shards
from ssl_audio.audio.batches import PairBatchSampler
from ssl_audio.audio.logmel import LogMel
from ssl_audio.audio.pairs import PairDataset, collate_pairs
from ssl_audio.audio.scan import Track
from ssl_audio.audio.sources import Source
from ssl_audio.audio.views.noise import Noise
from ssl_audio.audio.views.transform import Context, Rows, Transform
from ssl_audio.models.encoder import build_encoder
from ssl_audio.objectives.contrastive import Contrastive, nt_xent
from ssl_audio.settings.components import component_of, instantiate
from ssl_audio.settings.fields import Group, setting
from ssl_audio.settings.views import TRANSFORMS

FORMS = ("wav", "flac", "ogg", "mp3", "shards")
LOADED_PAIRS, PASSES = 64, 4  # pairs in a batch, and batches, that a loader is timed with


class BenchmarkSettings(Group):
    what: tuple[
        Literal["encoder", "logmel", "step", "views", "nt_xent", "pairs", "loader"], ...
    ] = setting((), help="what to measure; default: everything")
    segments: int = setting(32, help="segments in the encoder's batch", min=1)
    pairs: int = setting(256, help="pairs in the training step's batch", min=2)
    loss_pairs: int = setting(256, help="pairs in the batch of NT-Xent", min=2)
    repeats: int = setting(5, help="repeats, of which the median is taken", min=1)
    json: Path | None = setting(None, help="file that the figures are written to")


def device() -> str:
    """The device that is measured."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def encoder(options: BenchmarkSettings) -> dict:
    """The encoder's forward pass, against the plain eager float32 network."""
    where = device()
    plain = build_encoder().to(where).eval()
    plain.backbone.to(memory_format=torch.contiguous_format)
    fast = build_encoder().to(where).eval()
    folded = fast.folded()
    compiled = fast.folded()
    compiled.network.compile(dynamic=False)
    mel = plain.frontend(torch.randn(options.segments, 64_000, device=where))

    def bf16(network: torch.nn.Module) -> Callable[[], object]:
        def run() -> object:
            with torch.inference_mode(), torch.autocast(where, torch.bfloat16):
                return network(mel)

        return run

    def float32(network: torch.nn.Module) -> Callable[[], object]:
        return torch.inference_mode()(lambda: network(mel))

    candidates: Candidates = {
        "eager float32": float32(plain.backbone),
        "channels_last": float32(fast.backbone),
        "channels_last bf16": bf16(fast.backbone),
        "channels_last bf16 folded": bf16(folded.network),
        "channels_last bf16 folded compiled": bf16(compiled.network),
    }
    seconds = race(candidates, options.repeats)
    rows = table("encoder forward, 4 s segments", seconds, options.segments, "segments")
    aim(rows["channels_last bf16 folded"]["ratio"], 3.3, "bf16 encoder")
    return rows


def logmel(options: BenchmarkSettings) -> dict:
    """The log-mel, against torchaudio's."""
    from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

    where = device()
    waveform = torch.randn(options.segments, 64_000, device=where)
    spectrogram = MelSpectrogram(
        16_000, 1024, hop_length=512, n_mels=128, f_max=8000.0, mel_scale="slaney"
    ).to(where)
    decibels = AmplitudeToDB(top_db=100).to(where)
    ours = LogMel.named("default").to(where)
    candidates: Candidates = {
        "torchaudio": torch.inference_mode()(lambda: decibels(spectrogram(waveform))),
        "ssl_audio": torch.inference_mode()(lambda: ours(waveform)),
    }
    seconds = race(candidates, options.repeats)
    return table("log-mel, 4 s segments", seconds, options.segments, "segments")


def contrastive_step(pairs: int, channels_last: bool, bf16: bool) -> Callable[[], object]:
    """One whole contrastive step: log-mel, network, loss, backward, optimiser."""
    where = device()
    waveform = torch.randn(2 * pairs, 64_000, device=where)
    network, objective = build_encoder().to(where), Contrastive().to(where)
    if not channels_last:
        network.backbone.to(memory_format=torch.contiguous_format)
    parameters = [*network.parameters(), *objective.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)

    def run() -> object:
        with torch.autocast(where, torch.bfloat16, enabled=bf16):
            z = objective.projector(network(waveform)).unflatten(0, (2, -1))
        loss = objective.loss(z, None, 0.0).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return run


def step(options: BenchmarkSettings) -> dict:
    """One whole contrastive step, as it is configured against the plain one."""
    candidates: Candidates = {
        "eager float32": contrastive_step(options.pairs, False, False),
        "channels_last": contrastive_step(options.pairs, True, False),
        "channels_last bf16": contrastive_step(options.pairs, True, True),
    }
    seconds = race(candidates, max(1, options.repeats // 2))
    return table(f"contrastive step of {options.pairs} pairs", seconds, options.pairs, "pairs")


def broadcast_nt_xent(z: torch.Tensor) -> torch.Tensor:
    """NT-Xent with every pair's cosine broadcast, the form that the product replaces."""
    flat = z.flatten(0, 1)
    similarity = F.cosine_similarity(flat[None], flat[:, None], dim=2) / 0.1
    similarity = similarity.masked_fill(torch.eye(len(flat), dtype=torch.bool), -torch.inf)
    target = torch.arange(len(flat)).roll(z.shape[1])
    return F.cross_entropy(similarity, target)


def nt_xent_forms(options: BenchmarkSettings) -> dict:
    """NT-Xent as a matrix product against the broadcast form: time, and memory allocated."""
    z = torch.randn(2, options.loss_pairs, 2048, requires_grad=True)
    forms: Candidates = {
        "broadcast cosine": lambda: broadcast_nt_xent(z).backward(),
        "matrix product": lambda: nt_xent(z, 0.1).backward(),
    }
    seconds = race(forms, 3)
    rows = table(f"NT-Xent, 2 x {options.loss_pairs} x 2048", seconds, 1, "losses")
    for name, run in forms.items():
        rows[name]["allocated_mb"] = largest_allocation(run) / 1e6
        print(f"  {name:<44} largest allocation {rows[name]['allocated_mb']:10.1f} MB")
    return rows


def largest_allocation(run: Callable[[], object]) -> int:
    """Bytes of the largest memory that one operation of `run` asks for."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    return max(event.self_cpu_memory_usage for event in profiler.events())


def pairs(options: BenchmarkSettings) -> dict:
    """Pairs a second and process by format, against decoding the whole file for each pair."""
    rows = {}
    for form in FORMS:
        with tempfile.TemporaryDirectory() as folder:
            tracks = made_tracks(Path(folder), form)

            def whole(tracks: list[Track] = tracks) -> object:
                return [decode.read(track.path)[:64_000] for track in tracks]

            candidates = {"decode the whole file": whole, "decode the crops": crops_of(tracks)}
            seconds = race(candidates, 3)
        rows[form] = table(f"pairs from {form}, 3 min", seconds, len(tracks), "pairs")
    return rows | {"shards against mp3": shards_against_mp3(options)}


def crops_of(tracks: list[Track], passes: int = 1) -> Callable[[], object]:
    """Read a pair of every track, in each of the first passes, and make a batch of a pass."""
    dataset = PairDataset(tracks)
    batches = list(PairBatchSampler(len(tracks), len(tracks), passes, 0))
    return lambda: [collate_pairs([dataset[key] for key in batch]) for batch in batches]


def shards_against_mp3(options: BenchmarkSettings) -> dict:
    """Crops of the same tracks from mp3 and from shards, two to a pair."""
    with tempfile.TemporaryDirectory() as folder:
        tracks, passes = made_tracks(Path(folder), "mp3"), 16  # one pass takes only 1 ms
        candidates = {
            "mp3": crops_of(tracks, passes),
            "shards": crops_of(sharded(tracks, Path(folder)), passes),
        }
        seconds = race(candidates, max(3, options.repeats))
    amount = 2 * len(tracks) * passes
    rows = table("crops from shards against mp3, 3 min", seconds, amount, "crops")
    aim(rows["shards"]["ratio"], 50, "crops from shards against mp3")
    return rows


def loader(options: BenchmarkSettings) -> dict:
    """Whether one decoding process keeps up with a training step (bf16, 64 pairs), by format.

    Pairs a second that the loader gives, as a ratio to those that the step takes. Above 1, the
    step never waits.
    """
    with tempfile.TemporaryDirectory() as folder:
        candidates: Candidates = {"step": contrastive_step(LOADED_PAIRS, True, True)}
        for form in FORMS:
            (Path(folder) / form).mkdir()
            tracks = made_tracks(Path(folder) / form, form, count=LOADED_PAIRS, seconds=30)
            candidates[form] = loaded(tracks)
        seconds = race(candidates, options.repeats)
    each = {name: value / (1 if name == "step" else PASSES) for name, value in seconds.items()}
    return table("loader with one process, 30 s tracks", each, LOADED_PAIRS, "pairs")


def loaded(tracks: list[Track]) -> Callable[[], object]:
    """Read a batch of all tracks in each of some passes, in a process that stays."""
    from torch.utils.data import DataLoader

    batches = DataLoader(
        PairDataset(tracks), batch_sampler=PairBatchSampler(len(tracks), len(tracks), PASSES, 0),
        num_workers=1, collate_fn=collate_pairs, persistent_workers=True,
    )  # fmt: skip
    return lambda: sum(len(batch["index"]) for batch in batches)


def made_tracks(folder: Path, form: str, count: int = 4, seconds: int = 180) -> list[Track]:
    if form == "shards":
        return sharded(made_tracks(folder, "wav", count, seconds), folder)
    rng = np.random.default_rng(0)
    found = []
    for index in range(count):
        noise = np.cumsum(rng.normal(0, 1, (seconds * 44_100, 2)), axis=0)
        samples = 0.5 * np.sin(noise / 20).astype(np.float32)
        path = folder / f"{index}.{form}"
        # in blocks: libsndfile's Vorbis encoder overflows its stack on minutes at once
        with soundfile.SoundFile(path, "w", 44_100, 2) as file:
            for first in range(0, len(samples), 44_100):
                file.write(samples[first : first + 44_100])
        found.append(Track(str(path), float(seconds)))
    return found


def sharded(tracks: list[Track], folder: Path) -> list[Track]:
    """The same tracks in shards."""
    sources = [Source(track.path) for track in tracks]
    made = shards.write_shards(sources, folder / "shards", cache=folder)
    return made.tracks


def views(options: BenchmarkSettings) -> dict:
    """Each transform of views with its defaults, as a share of a training step."""
    where, frontend = device(), LogMel.named("default").to(device())
    waveforms = torch.randn(2 * options.pairs, 64_000, device=where)
    logmels, rows = frontend(waveforms)[:, 0], Rows(options.pairs)
    candidates: Candidates = {"step": contrastive_step(options.pairs, True, True)}

    def once(transform: Transform) -> Callable[[], object]:
        x = waveforms if transform.stage == "waveform" else logmels
        return torch.no_grad()(lambda: transform(x, Context(rows, 0, 0, 0, waveforms, frontend)))

    for name in TRANSFORMS:
        candidates[name] = once(instantiate(component_of(name, TRANSFORMS), name))
    candidates["pink noise"] = once(Noise(colour="pink"))
    seconds = race(candidates, options.repeats)
    found = table(f"transforms, {options.pairs} pairs of 4 s", seconds, options.pairs, "pairs")
    for name, value in seconds.items():
        found[name]["share_of_step"] = value / seconds["step"]
        print(f"  {name:<44} {100 * value / seconds['step']:10.2f} % of a step")
    return found


WHAT = {
    "encoder": encoder,
    "logmel": logmel,
    "step": step,
    "views": views,
    "nt_xent": nt_xent_forms,
    "pairs": pairs,
    "loader": loader,
}
main = benchmark(
    "benchmark", "Measure ratios to a peer in the same run: encoder, step, loss, crops, loader.",
    ("encoder logmel", "step pairs=64 json=figures.json"), BenchmarkSettings, WHAT,
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
