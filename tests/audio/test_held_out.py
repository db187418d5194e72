"""Which tracks are held out."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from ssl_audio.audio.held_out import split_tracks
from ssl_audio.audio.scan import Track

NAMES = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 99)), unique=True)
SHARES = st.floats(0, 1)


def track(folder, number, root="/music", suffix=".ogg"):
    path = f"{root}/{folder}/{number}"
    return Track(path + suffix, 30.0, group=f"{root}/{folder}")


def place(text):
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12


@given(NAMES, SHARES)
def test_a_track_is_held_out_by_the_hash_of_its_folder_and_name(names, share):
    training, held_out = split_tracks([track(*name) for name in names], share)
    expected = {track(*name).path for name in names if place("{}/{}".format(*name)) < share}
    assert {one.path for one in held_out} == expected
    assert training == [track(*name) for name in names if track(*name).path not in expected]


@given(NAMES, SHARES, SHARES)
def test_a_smaller_share_comes_first_in_a_larger_one_on_any_machine(names, first, second):
    small, large = sorted((first, second))
    few = split_tracks([track(*name) for name in names], small)[1]
    elsewhere = [track(*name, root="D:/my/audio", suffix=".flac") for name in reversed(names)]
    many = split_tracks(elsewhere, large)[1]
    parts = [[one.path.rsplit("/", 2)[1:] for one in found] for found in (few, many)]
    stems = [[(folder, name.split(".")[0]) for folder, name in found] for found in parts]
    assert stems[1][: len(stems[0])] == stems[0]


@given(NAMES, SHARES)
def test_groups_stay_together(names, share):
    training, held_out = split_tracks([track(*name) for name in names], share, "group")
    assert {one.group for one in held_out} == {
        f"/music/{folder}" for folder, _ in names if place(folder) < share
    }
    assert not {one.group for one in held_out} & {one.group for one in training}


def test_a_track_in_a_shard_is_that_of_its_file():
    files = [track("a", number) for number in range(40)]
    shards = [Track(f"/shards/0.npy#{k}", 30.0, group=one.group, origin=one.path)
              for k, one in enumerate(files)]  # fmt: skip
    found, expected = split_tracks(shards, 0.3)[1], split_tracks(files, 0.3)[1]
    assert [one.origin for one in found] == [one.path for one in expected] and 4 < len(found) < 24
