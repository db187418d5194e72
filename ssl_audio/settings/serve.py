"""Settings of `ssl-audio serve`."""

import ipaddress
import os
from pathlib import Path

from ssl_audio.io.remote import Url
from ssl_audio.settings.fields import CommandSettings, SettingError, setting

TOKEN_VARIABLE = "SSL_AUDIO_TOKEN"  # noqa: S105 - the variable's name


class ServeSettings(CommandSettings):
    features: Path | Url = setting(help="feature store that embed has written, a path or URL")
    checkpoint: Path | None = setting(None, help="encoder; null: the one recorded in features=")
    probe: Path | None = setting(
        None, help="folder that probe has saved; null: the one in the package for the encoder"
    )
    acoustic: Path | Url | None = setting(
        None, help="store of acoustic for the same tracks; its model is expected beside it"
    )
    run: Path | None = setting(
        None, help="folder of a run of recommend; null: playlists are continued by similarity"
    )
    model: str | None = setting(None, help="model of run=; null: as in complete")
    roots: tuple[Path, ...] = setting(
        (), help="folders below which requests may name files; [] allows no file names. With "
        "roots, audio of tracks outside of them is not served"
    )  # fmt: skip
    host: str = setting("127.0.0.1", help="address to listen on")
    port: int = setting(8000, help="port to listen on; 0: any free one", min=0, max=65535)
    token: str | None = setting(
        None, help=f"secret that every request must carry; null: the variable {TOKEN_VARIABLE}"
    )
    public: bool = setting(False, help="allow a host= other than this machine without a token=")
    max_upload: float = setting(100.0, help="largest request, megabytes", above=0)
    max_seconds: float = setting(1200.0, help="longest audio of a request, seconds", above=0)
    decode_seconds: float = setting(60.0, help="time limit of decoding a file, seconds", above=0)
    queue: int = setting(32, help="requests that may wait for a processor; 429 beyond", min=0)
    watch: float | None = setting(
        None, help="seconds between looks for a new version of the store; null: POST /reload only",
        above=0,
    )  # fmt: skip

    def check(self) -> None:
        if not self.loopback and not self.secret and not self.public:
            raise SettingError(
                "host", self.host, "others can reach this address: give token= (or the variable "
                f"{TOKEN_VARIABLE}), or public=true to let everyone in"
            )  # fmt: skip

    @property
    def secret(self) -> str | None:
        """The token of requests; None if none is required."""
        return self.token or os.environ.get(TOKEN_VARIABLE) or None

    @property
    def loopback(self) -> bool:
        """True if only this machine can reach the service."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
