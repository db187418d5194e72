"""The weights that a run starts from: drawn from its seed, or those of another encoder."""

from ssl_audio.audio.logmel import FRONTENDS, LogMel
from ssl_audio.io.errors import CheckpointError, SslAudioError
from ssl_audio.models.encoder import Encoder, load_encoder


def take_weights(encoder: Encoder, source: str) -> None:
    """Replace an encoder's weights by those of another of its architecture, by folder or name.

    Raises:
        SslAudioError: it cannot be read, or its architecture differs, with the settings of a run
            that it fits.
    """
    try:
        given = load_encoder(source)
    except CheckpointError as error:
        raise SslAudioError(f"encoder.init_from={error}") from error
    remedies = _remedies(encoder, given)
    if remedies:
        raise SslAudioError(
            f"encoder.init_from={source} has another architecture than this run: "
            f"{', '.join(remedies)}"
        )
    encoder.load_state_dict(given.state_dict())


def _remedies(encoder: Encoder, given: Encoder) -> list[str]:
    """The settings by which a run has the architecture of `given`; empty if it has it."""
    found = []
    if given.frontend.settings != encoder.frontend.settings:
        found.append(_front_end_remedy(given.frontend))
    if given.backbone_name != encoder.backbone_name:
        found.append(f"set encoder.backbone={given.backbone_name}")
    if given.pool != encoder.pool:
        found.append(f"set encoder.pool={given.pool}")
    if given.embedding_size != encoder.embedding_size:
        found.append(f"set encoder.embedding_size={given.embedding_size}")
    if not found and _shapes(given) != _shapes(encoder):  # of positions
        found.append(f"set data.segment={given.segment:g}")
    return found


def _front_end_remedy(frontend: LogMel) -> str:
    for name in FRONTENDS:
        if LogMel.named(name).settings == frontend.settings:
            return f"set frontend={name}"
    return "its front end is none of frontend=, choose another encoder"


def _shapes(encoder: Encoder) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
