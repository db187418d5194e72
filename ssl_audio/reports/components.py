"""What the report and the explorer of `serve` have in common: templates, colours, styles."""

from __future__ import annotations

import json
from functools import cache, partial
from typing import TYPE_CHECKING

from ssl_audio.reports.drawing import PALETTE, SERIES

if TYPE_CHECKING:
    from jinja2 import Environment

STYLES, TOOLTIP = "components.css", "tooltip.js"


@cache
def templates() -> Environment:
    """The templates of this room; texts are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ssl_audio.reports"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["pretty"] = partial(json.dumps, indent=2, default=str)
    environment.globals.update(palette=PALETTE, series=SERIES)
    return environment


def component(name: str) -> str:
    """The text of a component that stands in a file of its own: `STYLES` or `TOOLTIP`."""
    return templates().get_template(name).render()
