"""The transforms of `views=`: their names, and what a list of them must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ssl_audio.settings.components import TARGET, check_listed
from ssl_audio.settings.fields import SettingError
from ssl_audio.settings.tree import NAME, suggestion

TRANSFORMS = {
    "gain": "ssl_audio.audio.views.level.Gain",
    "polarity": "ssl_audio.audio.views.level.Polarity",
    "noise": "ssl_audio.audio.views.noise.Noise",
    "filter": "ssl_audio.audio.views.filter.Filter",
    "speed": "ssl_audio.audio.views.speed.Speed",
    "frontend": "ssl_audio.audio.views.other_frontend.OtherFrontEnd",
    "mix": "ssl_audio.audio.views.mixing.Mix",
    "time_mask": "ssl_audio.audio.views.mask.TimeMask",
    "frequency_mask": "ssl_audio.audio.views.mask.FrequencyMask",
    "patch_mask": "ssl_audio.audio.views.mask.PatchMask",
}


def component_of(view: Mapping[str, Any]) -> dict[str, Any]:
    """A transform as a component: its name replaced by the path of its class."""
    arguments = {key: value for key, value in view.items() if key != NAME}
    return {TARGET: TRANSFORMS[view[NAME]], **arguments} if NAME in view else arguments


def check_views(views: Sequence[Mapping[str, Any]]) -> None:
    """Refuse transforms without a class, and arguments that their class does not have.

    Raises:
        SettingError: names the transform by its place.
    """
    for place, view in enumerate(views):
        key, name = f"views[{place}]", view.get(NAME)
        if (name is None) == (TARGET not in view):
            raise SettingError(key, dict(view), f"give name: or {TARGET}:, one of them")
        if name is not None and name not in TRANSFORMS:
            expected = f"one of {', '.join(TRANSFORMS)}.{suggestion(str(name), TRANSFORMS)}"
            raise SettingError(f"{key}.{NAME}", name, expected.rstrip("."))
    check_listed("views", [component_of(view) for view in views])
