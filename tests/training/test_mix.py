"""Several sources in one run: shares, duplicates, groups, resuming, processes."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ssl_audio.audio import shards
from ssl_audio.audio.sources import find_audio
from ssl_audio.io.errors import SslAudioError
from ssl_audio.pretrain import COMMAND
from ssl_audio.settings.pretrain import DataSettings, FolderData, ManifestData, MixData
from ssl_audio.settings.tree import to_yaml
from ssl_audio.training.budget import Budget
from ssl_audio.training.data import PairDataModule
from ssl_audio.training.sources import load_manifest

RATE = 16_000


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a`: 6 tracks; `b`: 18 tracks and copies of two of `a`; both as files, `b` in shards too."""
    home = tmp_path_factory.mktemp("corpora")
    rng = np.random.default_rng(0)
    for name, count in (("a", 6), ("b", 18)):
        for k in range(count):
            folder = home / name / f"album {k % 3}"
            folder.mkdir(parents=True, exist_ok=True)
            seconds = 9 + 30 * (k == 0)
            soundfile.write(folder / f"{k:02}.wav", 0.1 * rng.standard_normal(seconds * RATE), RATE)
    for k in range(2):
        first = home / "a" / f"album {k}" / f"{k:02}.wav"
        (home / "b" / f"again {k}.wav").write_bytes(first.read_bytes())
    sources = find_audio(home / "b")
    shards.write_shards(sources, home / "shards", cache=home / "cache")
    return home


def mixed(
    corpora: Path, weights: tuple[float, float] | None = None, second: str = "folder",
    steps: int = 60, **options: Any,
) -> PairDataModule:  # fmt: skip
    root = corpora / ("shards" if second == "shards" else "b")
    sources: list[dict[str, Any]] = [
        {"name": "folder", "root": str(corpora / "a")},
        {"name": second, "root": str(root)},
    ]
    for source, weight in zip(sources, weights or (), strict=False):
        source["weight"] = weight
    chosen = {"batch_size": 8, "workers": 0, "cache": corpora / "cache", **options}
    return ready(MixData(sources=tuple(sources), **chosen), steps)


def ready(settings: DataSettings, steps: int) -> PairDataModule:
    data = PairDataModule(settings)
    data.setup()
    assert isinstance(settings.batch_size, int)
    data.follow(Budget(steps, settings.batch_size))
    return data


@pytest.mark.parametrize("second", ["folder", "shards"])
def test_shares_of_the_sources(corpora: Path, second: str) -> None:
    data = mixed(corpora, (1.0, 1.0), second)
    tracks = [data.manifest.tracks[k] for k in data.dataset.kept]
    assert Counter(track.source for track in tracks) == {0: 6, 1: 18}  # without the copies
    assert sum(one.reason == "duplicate" for one in data.manifest.skipped) == 2
    for keys in data._sampler():
        assert sum(tracks[key.index].source for key in keys) == 4
        assert len({key.index for key in keys}) == 8
    assert "6 tracks, 0.02 hours, 50.0% of the pairs" in data.summary()
    with pytest.raises(SslAudioError, match=r"sources\[0\] has 6 usable tracks"):
        mixed(corpora, (9.0, 1.0))


def test_without_weights_a_mix_is_the_union_of_its_files(corpora: Path) -> None:
    data = mixed(corpora, duplicates="keep")
    assert data.manifest.duplicates == 0 and len(data.dataset) == 26
    (corpora / "both.txt").write_text(
        "".join(f"{track.path}\n" for track in data.manifest.tracks), encoding="utf-8"
    )
    listed = ManifestData(
        root=corpora / "both.txt", batch_size=8, workers=0, cache=corpora / "cache",
        duplicates="keep",
    )  # fmt: skip
    one = ready(listed, 60)
    assert list(one._sampler()) == list(data._sampler())
    assert one.manifest.hash == data.manifest.hash
    twice = MixData(sources=2 * (mixed(corpora).settings.sources[0],), cache=corpora / "cache",
                    batch_size=4)  # fmt: skip
    same = ready(twice, 1)
    assert len(same.dataset) == 6 and "6 listed more than once" in same.summary()


def test_pairs_of_a_mix_depend_on_the_step_alone(corpora: Path) -> None:
    def batches(start: int = 0, **options: Any) -> list[dict[str, Any]]:
        data = mixed(corpora, (2.0, 3.0), steps=8, batch_size=6, pairs_per_track=2,
                     track_distance=0.0, min_offset=0.25, segment=0.5, **options)  # fmt: skip
        data._start_step = start
        return list(data.train_dataloader())

    whole = batches()
    assert len({tuple(batch["index"].tolist()) for batch in whole}) > 4
    for found, expected in (
        (batches(workers=2), whole), (batches(start=3), whole[3:]),
    ):  # fmt: skip
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert all((one[k] == other[k]).all() for k in ("index", "starts", "anchor"))


def test_long_tracks_and_groups(corpora: Path) -> None:
    options = {"batch_size": 4, "workers": 0, "cache": corpora / "cache"}
    root = corpora / "a"
    data = ready(
        FolderData(root=root, track_weight="duration", max_track_seconds=13, **options), 70
    )
    counts = Counter(key.index for keys in data._sampler() for key in keys)
    assert counts[0] == pytest.approx(70 * 4 * 13 / 58, abs=3)  # the others have 9 s
    data = ready(FolderData(root=root, group_share=0.5, **options), 20)
    groups = [Path(track.path).parent for track in data.manifest.tracks]
    for keys in data._sampler():
        assert max(Counter(groups[key.index] for key in keys).values()) >= 2
    (corpora / "groups.csv").write_text(
        "path,group\n" + "".join(f"{t.path},{k % 2}\n" for k, t in enumerate(data.manifest.tracks))
    )
    listed = ready(
        ManifestData(root=corpora / "groups.csv", group_share=1.0, **options | {"batch_size": 3}), 9
    )
    for keys in listed._sampler():
        assert len({key.index % 2 for key in keys}) == 1


def test_a_batch_may_exceed_the_tracks(corpora: Path) -> None:
    root = corpora / "a"
    options: dict[str, Any] = {"root": root, "batch_size": 12, "workers": 0,
                               "cache": corpora / "cache", "segment": 1.0,
                               "min_offset": 1.0}  # fmt: skip
    with pytest.raises(SslAudioError, match="6 different tracks|12 different tracks"):
        ready(FolderData(**options), 1)
    data = ready(FolderData(pairs_per_track=2, track_distance=2.0, **options), 3)
    for batch in data.train_dataloader():
        assert Counter(batch["index"].tolist()) == dict.fromkeys(range(6), 2)
    with pytest.raises(SslAudioError, match="2 pairs take 58 s and the longest of 6 tracks"):
        ready(FolderData(pairs_per_track=2, track_distance=54.0, **options), 3)


def test_a_mix_on_the_command_line_and_as_a_recipe(tmp_path: Path) -> None:
    words = ["recipe=contrastive", "data=mix", "data.segment=2"]
    text = "[{name: folder, root: /a, weight: 2}, {name: jamendo, root: /b, tsv: [c], weight: 1}]"
    settings = COMMAND.load([*words, f"data.sources={text}"])
    assert isinstance(settings.data, MixData) and settings.data.weights == (2.0, 1.0)
    first, second = settings.data.parts()
    assert first == FolderData(root=Path("/a"), segment=2.0)
    assert second.tsv == (Path("c"),)  # type: ignore[attr-defined]
    (tmp_path / "mine.yaml").write_text(to_yaml(settings))
    assert COMMAND.load([f"recipe={tmp_path / 'mine.yaml'}"]).data == settings.data


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ("[]", "data.sources=[]: one source or more"),
        ("[{name: foldr}]", "sources[0].name=foldr: one of demo, folder, manifest"),
        ("[{root: /a}]", "sources[0].name=null: one of demo"),
        ("[{name: mix}]", "sources[0].name=mix: one of demo"),
        ("[{name: folder}]", "sources[0].root=null: required: a local path"),
        ("[{name: folder, root: /a, segment: 3}]", "sources[0].segment=3: not a setting"),
        ("[{name: folder, root: /a, weight: 0}]", "sources[0].weight=0: a number, above 0"),
        ("[{name: demo, weight: 1}, {name: demo}]", "sources[1].weight=null: a weight for all"),
        ("[{name: demo, tracks: 3}]", "sources[0].tracks=3: a whole number, 20 or more"),
    ],
)  # fmt: skip
def test_refusals_of_a_mix(sources: str, message: str) -> None:
    with pytest.raises(SslAudioError) as error:
        COMMAND.load(["recipe=contrastive", "data=mix", f"data.sources={sources}"])
    assert message in str(error.value)


def test_limits_in_hours_share_their_tracks(corpora: Path) -> None:
    chosen = {"root": corpora / "b", "cache": corpora / "cache"}
    found = [load_manifest(FolderData(**chosen, max_hours=s / 3600)) for s in (50, 120, 9999)]
    paths = [[track.path for track in one.tracks] for one in found]
    assert set(paths[0]) < set(paths[1]) < set(paths[2]) and paths[1] == sorted(paths[1])
    assert paths[2] == [track.path for track in load_manifest(FolderData(**chosen)).tracks]
    for limit, one in zip((50, 120), found, strict=False):
        seconds = [track.duration for track in one.tracks]
        assert limit - 39 < sum(seconds) <= limit  # the longest track has 39 s


def test_a_limit_without_a_track_is_refused(corpora: Path) -> None:
    message = r"data.max_hours=0.001: no track; the first in the order of all limits has 0.0025 h"
    with pytest.raises(SslAudioError, match=f"^{message}$"):
        load_manifest(FolderData(root=corpora / "a", cache=corpora / "cache", max_hours=0.001))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.batch_size=9", "data.pairs_per_track=2"], "data.batch_size=9: a multiple of"),
        (["data.short=wrap", "data.pairs_per_track=2"], "data.short=wrap: drop with"),
        (["data.group_share=0.5", "data.track_weight=duration"], "data.group_share=0.5: 0 unless"),
    ],
)
def test_refusals_of_combinations(words: list[str], message: str) -> None:
    with pytest.raises(SslAudioError) as error:
        COMMAND.load(["recipe=contrastive", *words])
    assert message in str(error.value)
