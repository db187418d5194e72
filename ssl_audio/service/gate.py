"""What a request must show before anything of it is read: the token, the host, the page it is from.

A page of another site can send requests to a service on this machine, by the browser that shows
it. It cannot set the header `Host` or `Origin`, nor leave out `Sec-Fetch-Site`.
"""

import hashlib
import hmac
import ipaddress
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ssl_audio.service.problems import Problem

COOKIE = "ssl_audio"
_SAFE = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
}


class Gate:
    """Middleware that refuses requests, and adds headers of security to all answers.

    The token is asked for in the header `Authorization: Bearer`. Browsers send none for audio and
    pages: `?token=` in an address sets a cookie, which holds a hash of it and which no script
    and no other site can use, and leads to the same address without it.

    Args:
        app: behind the gate.
        token: None if none is asked for.
        loopback: only this machine can reach the service: requests must name it as host.
    """

    def __init__(self, app: ASGIApp, token: str | None, loopback: bool) -> None:
        self.app, self._loopback = app, loopback
        self._token = None if token is None else token.encode()
        self._cookie = hashlib.sha256(b"cookie of " + (self._token or b"")).hexdigest().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            _check_origin(scope["method"], headers)
            address = self._token_in_address(scope)
            if address is not None:
                response = RedirectResponse(address, 303)
                response.set_cookie(
                    COOKIE, self._cookie.decode(), httponly=True, samesite="strict",
                    secure=scope["scheme"] == "https",
                )  # fmt: skip
                await response(scope, receive, guarded)
                return
            self._check_token(HTTPConnection(scope))
        except Problem as problem:
            await problem.response()(scope, receive, guarded)
            return
        await self.app(scope, receive, guarded)

    def _check_host(self, headers: Headers) -> None:
        """Refuse names that lead to this machine by another's DNS (DNS rebinding)."""
        if self._loopback and not _is_this_machine(headers.get("host", "")):
            raise Problem(421, f"host {headers.get('host')!r}: this service answers as localhost")

    def _token_in_address(self, scope: Scope) -> str | None:
        """The address without its token, if it has the right one."""
        if (
            self._token is None
            or scope["method"] != "GET"
            or b"token=" not in scope["query_string"]
        ):
            return None
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in pairs if name == "token"]
        if len(given) != 1 or not hmac.compare_digest(given[0].encode(), self._token):
            return None
        rest = urlencode([pair for pair in pairs if pair[0] != "token"])
        path = "/" + scope["raw_path"].decode("latin-1").lstrip("/")
        return f"{path}?{rest}" if rest else path

    def _check_token(self, request: HTTPConnection) -> None:
        if self._token is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if hmac.compare_digest(given.strip().encode("latin-1"), self._token):
                return
        else:
            cookie = request.cookies.get(COOKIE, "").encode("latin-1", "replace")
            if hmac.compare_digest(cookie, self._cookie):
                return
        raise Problem(
            401, "send the header 'Authorization: Bearer TOKEN', or open the address ?token=TOKEN",
            {"WWW-Authenticate": "Bearer"},
        )  # fmt: skip


def _is_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _check_origin(method: str, headers: Headers) -> None:
    """Refuse what a page of another site asks for, but for links to follow."""
    site = headers.get("sec-fetch-site", "none")
    followed = method in _SAFE and headers.get("sec-fetch-mode") == "navigate"
    origin = headers.get("origin")
    own = origin is None or urlsplit(origin).netloc == headers.get("host")
    if (site not in ("none", "same-origin") and not followed) or not (own or method in _SAFE):
        raise Problem(403, "the request comes from a page of another site")
