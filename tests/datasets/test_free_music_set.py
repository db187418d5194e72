"""The tagging set of the free music."""

from made_datasets import touch

from ssl_audio.datasets.dataset import SPLITS
from ssl_audio.datasets.free_music import FreeMusic

HEADER = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"


def test_tags_are_packages_and_paths_lie_below_the_corpus(tmp_path):
    (tmp_path / "tagging").mkdir()
    for split in SPLITS:
        lines = [HEADER]
        for package in ("etw", "naev"):
            path = f"{package}/{split}.ogg"
            touch(tmp_path, [path])
            row = [f"track_{split}", f"artist_{package}", "album_0", path, "30.0"]
            lines.append("\t".join([*row, f"package---{package}"]))
        (tmp_path / "tagging" / f"tagging-{split}.tsv").write_text("\n".join(lines) + "\n")
    found = FreeMusic(root=tmp_path).load()
    assert found.name == "free_music" and found.tags == ("etw", "naev")
    assert found.train.ids == ("etw/train.ogg", "naev/train.ogg")
    assert found.test.artists == ("artist_etw", "artist_naev")
    assert found.test.targets.tolist() == [[1, 0], [0, 1]]
