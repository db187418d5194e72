"""The model card of a trained encoder: README.md with a header for the Hugging Face Hub."""

from ssl_audio.reports.results import PretrainResults
from ssl_audio.settings.pretrain import DemoData, PretrainSettings, TagProbe
from ssl_audio.settings.tree import plain

SELECTED = "best on validation"  # name of the selected encoder among the systems of a probe

TEMPLATE = "model_card.md.jinja"


def model_card(
    settings: PretrainSettings, results: PretrainResults, system: str = "trained"
) -> str:
    """The text of the card: how the encoder was trained, on what, and what a probe measured.

    Args:
        settings, results: of the run.
        system: name of the encoder in `results.probe`: the last one, or the selected one.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - Markdown of the run's own settings
        loader=PackageLoader("ssl_audio.training", ""), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template(TEMPLATE).render(
        settings=settings, results=results, source=plain(settings)["data"]["name"],
        labelled=_labelled_name(settings), system=system,
        selected=results.selected if system == SELECTED else None,
    )  # fmt: skip


def _labelled_name(settings: PretrainSettings) -> str:
    probe = settings.online_probe
    if isinstance(probe, TagProbe) and probe.test_tsv is not None:
        return probe.test_tsv.name
    return "synthesised corpus" if isinstance(settings.data, DemoData) else ""
