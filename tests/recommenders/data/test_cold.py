"""Which tracks are held out."""

import numpy as np
import pytest

from ssl_audio.recommenders.data.cold import cold_tracks

IDS = [f"{k:02d}/track-{k}.mp3" for k in range(4000)]


def test_the_share_is_held_out():
    assert cold_tracks(IDS, 0.1).mean() == pytest.approx(0.1, abs=0.02)
    assert not cold_tracks(IDS, 0.0).any() and cold_tracks(IDS, 1.0).all()


def test_a_track_s_lot_is_its_own():
    whole = cold_tracks(IDS, 0.2, seed=3)
    assert np.array_equal(cold_tracks(IDS[::-1], 0.2, seed=3), whole[::-1])
    assert np.array_equal(cold_tracks(IDS[:50], 0.2, seed=3), whole[:50])


def test_a_greater_share_holds_the_same_tracks_and_more():
    assert (cold_tracks(IDS, 0.3) >= cold_tracks(IDS, 0.1)).all()


def test_another_seed_holds_others():
    assert (cold_tracks(IDS, 0.5, seed=1) != cold_tracks(IDS, 0.5, seed=2)).any()
