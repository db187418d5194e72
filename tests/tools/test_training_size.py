"""tools/training_size.py: figures by plays a track."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import call
from training_size import draws, main

from ssl_audio.recommenders.data.collection import playlists_of

TRACKS, SCENES = 60, 3


def test_larger_draws_hold_smaller_ones_and_the_last_may_be_everything():
    rng = np.random.default_rng(0)
    lists = playlists_of([rng.permutation(20)[: rng.integers(2, 9)].tolist() for _ in range(50)])
    found = draws(lists, 20, (1, 3, 100, 1000), seed=1)
    assert [len(one.playlists) for one in found][2:] == [50]  # both of the last
    names = [set(one.playlists.ids) for one in found]
    assert names[0] < names[1] < names[2]
    for one, wanted in zip(found, (1, 3), strict=False):
        assert one.plays == len(one.playlists.tracks) / 20
        assert wanted <= one.plays < wanted + 8 / 20  # at most one playlist too much
        assert one.share == len(one.playlists) / 50


def test_curves_of_all_sizes_on_the_same_held_out_playlists(tmp_path: Path):
    rng = np.random.default_rng(1)
    rows = ["playlist,position,track"]
    for k in range(150):
        for place, track in enumerate(
            rng.choice(np.arange(TRACKS)[k % SCENES :: SCENES], 8, False)
        ):
            rows.append(f"p{k},{place},t{track}")
    path = tmp_path / "playlists.csv"
    path.write_text("\n".join(rows) + "\n")
    words = [f"playlists={path}", f"run_dir={tmp_path / 'run'}", "baselines=[popularity]",
             "model=[item_cf]", "plays=[1,4,999]", "completion.cold=0", "completion.min_tracks=6",
             "completion.resamples=20"]  # fmt: skip
    status, out, err = call(main, *words)
    assert status == 0, err
    written = json.loads((tmp_path / "run" / "training-size.json").read_text())
    sizes = written["sizes"]
    assert [one["counts"]["test playlists"] for one in sizes] == [
        sizes[-1]["counts"]["test playlists"]
    ] * 3
    assert [round(one["plays"]) for one in sizes[:2]] == [1, 4] and sizes[2]["plays"] > 10
    hits = [one["tables"][0]["rows"][1]["figures"]["hr"]["mean"] for one in sizes]
    assert hits[0] < hits[2] and hits[2] > 0.8  # scenes are found with enough playlists
    drawn = (tmp_path / "run" / "training-size.svg").read_text()
    assert "HR: Playlist completion" in drawn and "Next@50: Whole-catalogue ranking" in drawn
    assert "Item-CF: " in drawn and (tmp_path / "run" / "training-size.png").exists()
    assert "HR: Playlist completion, by plays a track" in out
    assert (
        call(main, *words[:1])[2]
        .strip()
        .endswith("run_dir= is required: the folder of the results")
    )
    assert call(main, *words)[0] == 0  # again, in the same folder


@pytest.mark.parametrize("word", ["plays=[0]", "plays=[x]"])
def test_sizes_are_numbers_above_0(word: str):
    status, _, err = call(main, "playlists=none.csv", word)
    assert status == 1 and "plays=" in err and "above 0" in err
