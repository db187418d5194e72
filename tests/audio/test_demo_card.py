"""The dataset card of the demo corpus."""

from pathlib import Path

from huggingface_hub import DatasetCard

from ssl_audio.audio import demo_corpus
from ssl_audio.audio.synthesis import GENRES, PLAYERS

CARD = Path(demo_corpus.__file__).with_suffix(".md")


def test_the_card_names_every_tag_and_the_sizes_of_the_splits():
    card = DatasetCard(CARD.read_text())
    assert card.data.license == "mit" and card.data.size_categories == ["n<1K"]
    rows = [line for line in card.text.splitlines() if line.startswith("| `")]
    listed = [set(row.split("|")[2].replace(",", " ").split()) for row in rows]
    assert listed[0] == set(GENRES) and listed[1] == {*PLAYERS, "drums"}
    ends = [round(end * 240) for _, end in demo_corpus.SPLITS]
    train, validation, test = ends[0], ends[1] - ends[0], ends[2] - ends[1]
    sizes = f"{train} training, {validation} validation and {test} test tracks"
    assert sizes in card.text
