"""MovieLens: counts of the small set, a folder made by hand, and damaged files."""

from pathlib import Path

import numpy as np
import pytest

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data import movielens
from ssl_audio.recommenders.data.movielens import read_movielens
from ssl_audio.recommenders.data.sessions import make_sessions
from ssl_audio.settings.recommend import SessionSettings

SMALL = next(
    (p / "shared/movielens" for p in Path(__file__).parents if (p / "shared/movielens").is_dir()),
    None,
)
needs_small = pytest.mark.skipif(SMALL is None, reason="ml-latest-small is not at ../shared")

MOVIES = """movieId,title,genres
1,Toy Story (1995),Animation|Comedy
7,"American President, The (1995)",(no genres listed)
3,"Say ""Yes"" twice",Comedy
"""
RATINGS = "userId,movieId,rating,timestamp\n1,7,4.0,100\n1,1,0.5,50\n2,3,5.0,70\n"
TAGS = (
    "userId,movieId,tag,timestamp\n1,1,Funny,1\n2,1,funny ,2\n2,3,funny,2\n2,1,dull,3\n3,1,dull,4\n"
)


@pytest.fixture
def folder(tmp_path):
    for name, text in (("movies", MOVIES), ("ratings", RATINGS), ("tags", TAGS)):
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def damage(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_made_folder(folder):
    found = read_movielens(folder)
    assert found.catalogue.ids == ["1", "7", "3"]
    assert found.catalogue.titles[1:] == ["American President, The (1995)", 'Say "Yes" twice']
    assert found.catalogue.genres == ["Animation|Comedy", "", "Comedy"]
    assert found.names == ["Animation", "Comedy"]
    assert found.categories.toarray().tolist() == [[1, 1], [0, 0], [0, 1]]
    assert found.events.item.tolist() == [1, 0, 2] and found.events.user.tolist() == [1, 1, 2]
    assert found.events.time.tolist() == [100, 50, 70]
    assert found.events.rating.tolist() == [4.0, 0.5, 5.0]


def test_tags_are_counted_without_case_and_rare_ones_left_out(folder, monkeypatch):
    monkeypatch.setattr(movielens, "MIN_TAGGED", 2)
    found = read_movielens(folder, "tags")
    assert found.names == ["dull", "funny"]
    assert found.categories.toarray().tolist() == [[2, 2], [0, 0], [0, 1]]
    monkeypatch.setattr(movielens, "MIN_TAGGED", 3)
    assert read_movielens(folder, "tags").names == ["funny"]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("ratings", "2,3,5.0,70", "2,3,5.0", r"ratings\.csv: .*Row #4: Expected 4 columns"),
        ("ratings", "2,3,5.0", "2,3,five", r"ratings\.csv: .*Row #4: .*'five'"),
        ("ratings", "1,1,0.5", "1,,0.5", r"ratings\.csv, line 3: no movieId"),
        ("ratings", "1,1,0.5", "1,99,0.5", r"ratings\.csv, line 3: movie 99 is not among"),
        ("ratings", "1,1,0.5", "1,1,6.5", r"ratings\.csv, line 3: rating=6.5: 0.5 to 5"),
        ("ratings", "1,1,0.5", "1,1,nan", r"ratings\.csv, line 3: no rating"),
        ("ratings", "userId,", "user,", r"ratings\.csv: .*userId"),
        ("movies", "3,\"Say", "1,\"Say", r"movies\.csv, line 4: movie 1 is repeated"),
        ("movies", "7,\"American", "x7,\"American", r"movies\.csv: .*Row #3: .*'x7'"),
    ],
)  # fmt: skip
def test_malformed_lines_are_named(folder, name, old, new, message):
    damage(folder / f"{name}.csv", old, new)
    with pytest.raises(SslAudioError, match=message):
        read_movielens(folder)


def test_missing_files_and_files_that_are_not_text_are_named(folder):
    (folder / "movies.csv").write_bytes(b"movieId,title,genres\n1,\xff\xfe,x\n")
    with pytest.raises(SslAudioError, match="movies.csv: "):
        read_movielens(folder)
    (folder / "movies.csv").write_bytes(b"")
    with pytest.raises(SslAudioError, match="movies.csv"):
        read_movielens(folder)
    (folder / "movies.csv").unlink()
    with pytest.raises(SslAudioError, match="movies.csv: no such file"):
        read_movielens(folder)


def test_the_older_formats(tmp_path):
    """Fields as in the readme of each set: 1M (Latin-1), 10M (UTF-8, half stars) and 100k."""
    (tmp_path / "movies.dat").write_bytes(
        "1::Toy Story (1995)::Animation|Comedy\n7::Misérables, Les: A::B\n".encode("latin-1")
    )
    (tmp_path / "ratings.dat").write_text("1::7::4.5::100\n2::1::5::50\n")
    (tmp_path / "tags.dat").write_text("1::1::Funny::1\n")
    found = read_movielens(tmp_path)
    assert found.catalogue.titles == ["Toy Story (1995)", "Misérables, Les: A"]
    assert found.names == ["Animation", "B", "Comedy"]
    assert found.events.item.tolist() == [1, 0] and found.events.rating.tolist() == [4.5, 5]
    assert {path.name for path in movielens.movielens_files(tmp_path)} == {
        "movies.dat", "ratings.dat", "tags.dat",
    }  # fmt: skip
    for name in ("movies", "ratings", "tags"):
        (tmp_path / f"{name}.dat").unlink()
    address = "http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)"
    flags = ["0"] * 19
    flags[3] = flags[5] = "1"
    lines = [f"{k}|{t}|01-Jan-1995||{address}|{'|'.join(f)}" for k, t, f in
             ((1, "Toy Story (1995)", flags), (267, "unknown", ["1"] + ["0"] * 18))]  # fmt: skip
    (tmp_path / "u.item").write_text("\n".join(lines) + "\n")
    (tmp_path / "u.data").write_text("196\t267\t3\t881250949\n186\t1\t3\t891717742\n")
    found = read_movielens(tmp_path)
    assert found.catalogue.genres == ["Animation|Comedy", ""]
    assert found.events.user.tolist() == [196, 186] and found.events.item.tolist() == [1, 0]
    (tmp_path / "u.data").write_text("196\t267\t3\t881250949\n186\t2\t3\t891717742\n")
    with pytest.raises(SslAudioError, match="u.data, line 2: movie 2 is not among"):
        read_movielens(tmp_path)
    with pytest.raises(SslAudioError, match="tags.csv: no such file"):
        (tmp_path / "u.data").write_text("196\t267\t3\t881250949\n")
        read_movielens(tmp_path, "tags")


@needs_small
def test_the_small_set_is_complete():
    found = read_movielens(SMALL)
    assert len(found.catalogue) == 9742 and len(found.events) == 100_836
    assert len(np.unique(found.events.user)) == 610
    assert len(found.names) == 19  # 18 genres and IMAX
    toy = found.catalogue.row["1"]
    assert found.catalogue.titles[toy] == "Toy Story (1995)"
    given = {found.names[k] for k in found.categories[toy].indices}
    assert given == {"Adventure", "Animation", "Children", "Comedy", "Fantasy"}


@needs_small
def test_the_small_set_in_sessions():
    found = read_movielens(SMALL)
    sessions, _ = make_sessions(found.events, SessionSettings())
    assert len(sessions.tracks) == (found.events.rating >= 3).sum()  # nobody rates twice
    assert sessions.lengths.max() <= 50 and sessions.lengths.min() >= 1


@needs_small
def test_tags_of_the_small_set():
    found = read_movielens(SMALL, "tags")
    assert found.categories.shape == (9742, len(found.names)) and "pixar" in found.names
    assert np.asarray(found.categories.sum(0)).min() >= 5
