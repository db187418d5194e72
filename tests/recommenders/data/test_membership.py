"""What tells one set of playlists from another."""

from ssl_audio.recommenders.data.collection import Catalogue, playlists_of
from ssl_audio.recommenders.data.membership import membership_digest, named

LISTS = [("a", ["1", "2"]), ("b", ["2", "3"])]


def test_order_and_repeats_do_not_count():
    other = [("b", ["3", "2", "2"]), ("c", []), ("a", ["2", "1"])]
    assert membership_digest(other) == membership_digest(LISTS)


def test_any_other_membership_is_another_digest():
    others = [
        LISTS[:1],
        [("a", ["1"]), LISTS[1]],
        [("a", ["1", "3"]), LISTS[1]],
        [("x", ["1", "2"]), LISTS[1]],
        [("a", ["2", "3"]), ("b", ["1", "2"])],
    ]
    for changed in others:
        assert membership_digest(changed) != membership_digest(LISTS)


def test_playlists_by_name():
    found = named(playlists_of([[1, 0], []], ["p", "q"]), Catalogue(["x", "y"]))
    assert list(found) == [("p", ["y", "x"]), ("q", [])]
