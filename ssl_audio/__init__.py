"""Self-supervised audio representations: train an encoder on unlabelled music, and use it."""

from typing import TYPE_CHECKING, Any

from ssl_audio.io.version import __version__

if TYPE_CHECKING:
    from ssl_audio.models.encoder import Encoder, build_encoder, load_encoder

__all__ = ["Encoder", "__version__", "build_encoder", "load_encoder"]


def __getattr__(name: str) -> Any:
    """Import torch and the models only when one is asked for: `--help` needs neither."""
    if name in __all__:
        from ssl_audio.models import encoder

        return getattr(encoder, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
