"""The setting `views`: sets, lists on the command line, and what is refused."""

from pathlib import Path

import pytest

from ssl_audio.io.errors import SslAudioError
from ssl_audio.pretrain import COMMAND
from ssl_audio.settings.components import argument_names, component_of, instantiate
from ssl_audio.settings.recipes import view_sets
from ssl_audio.settings.tree import to_yaml
from ssl_audio.settings.views import TRANSFORMS


def load(*words: str):
    return COMMAND.load(["recipe=contrastive", *words])


def test_none_is_the_default() -> None:
    assert load().views == load("views=none").views == ()


@pytest.mark.parametrize("name", [name for name in view_sets() if name != "none"])
def test_each_set_can_be_made_and_printed(name: str, tmp_path: Path) -> None:
    settings = load(f"views={name}")
    assert settings.views
    for view in settings.views:
        assert instantiate(component_of(view, TRANSFORMS), "views").stage
    own = tmp_path / "mine.yaml"
    own.write_text(to_yaml(settings))
    assert COMMAND.load([f"recipe={own}"]).views == settings.views
    own.write_text(f"defaults: [contrastive, /views: {name}, _self_]\n")
    assert COMMAND.load([f"recipe={own}"]).views == settings.views


def test_every_name_has_its_class_and_arguments_are_known_without_torch() -> None:
    for name in TRANSFORMS:
        assert argument_names(TRANSFORMS[name]) is not None, name


def test_a_list_on_the_command_line() -> None:
    made = load("views=[{name: gain, db: 6}, {name: noise, snr: [10, 40]}]").views
    assert made == ({"name": "gain", "db": 6}, {"name": "noise", "snr": [10, 40]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lihgt", "views=lihgt does not exist. Did you mean light?"),
        ("[{name: gian}]", "views[0].name=gian: one of gain"),
        ("[{name: gain}, {name: noise, sn: 3}]", "views[1].sn=3: no such argument. Did you mean"),
        ("[{db: 3}]", "give name: or _target_:"),
        ("[gain]", "views=[gain]: a list of components"),
        ("[{", "a list of components"),
    ],
)  # fmt: skip
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(SslAudioError) as error:
        load(f"views={text}")
    assert message in str(error.value) and "\n" not in str(error.value)
