"""A Hugging Face Hub in memory: the routes by which huggingface_hub moves models."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

TOKEN = "hf_fake"
LFS_SUFFIX = ".safetensors"


class FakeHub(ThreadingHTTPServer):
    """Repositories with one branch; writing needs `TOKEN`.

    Attributes:
        repositories: files by path, by OWNER/NAME.
        requests: methods and paths, in order.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}  # uploaded by LFS, by their SHA-256
        self.requests: list[tuple[str, str]] = []

    def commit(self, name: str) -> str:
        """The identifier of a repository's contents."""
        content = json.dumps({k: _oid(v) for k, v in sorted(self.repositories[name].items())})
        return hashlib.sha1(content.encode()).hexdigest()


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Within it, huggingface_hub and transformers talk to a fake hub on this machine.

    As `HF_ENDPOINT` and `HF_HUB_DISABLE_XET` before they are imported.
    """
    import huggingface_hub.hf_api
    from huggingface_hub import constants

    hub = FakeHub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    try:
        with (
            patch.object(constants, "ENDPOINT", hub.url),
            patch.object(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template),
            patch.object(constants, "HF_HUB_DISABLE_XET", True),
            patch.object(constants, "HF_HUB_OFFLINE", False),
            patch.object(huggingface_hub.hf_api.api, "endpoint", hub.url),
        ):
            yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


def _oid(content: bytes) -> str:
    """Git's identifier of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append((self.command, path))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = path.strip("/").split("/")
        writes = self.command in ("POST", "PUT") and parts[:2] != ["api", "validate-yaml"]
        if writes and self.headers.get("Authorization") != f"Bearer {TOKEN}" and parts[0] != "lfs":
            return self._answer(401, {"error": "Invalid credentials"})
        match (self.command, parts):
            case ("POST", ["api", "validate-yaml"]):
                return self._answer(200, {"errors": [], "warnings": []})
            case ("POST", ["api", "repos", "create"]):
                asked = json.loads(body)
                name = f"{asked['organization']}/{asked['name']}"
                exists = name in self.server.repositories
                self.server.repositories.setdefault(name, {})
                return self._answer(409 if exists else 200, {"url": f"{self.server.url}/{name}"})
            case ("POST", [owner, name, "info", "lfs", "objects", "batch"]):
                return self._answer(200, self._upload_actions(json.loads(body)))
            case ("PUT", ["lfs", oid]):
                self.server.blobs[oid] = body
                return self._answer(200, {})
            case (_, ["api", "models", owner, name, *rest]):
                return self._model(f"{owner}/{name}", rest, body)
            case ("GET" | "HEAD", [owner, name, "resolve", _, *file]):
                return self._file(f"{owner}/{name}", "/".join(file))
        return self._answer(404, {"error": "no such route"})

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _model(self, name: str, rest: list[str], body: bytes) -> None:
        files = self.server.repositories.get(name)
        if files is None:
            return self._answer(404, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
        match rest:
            case [] | ["revision", _]:
                about = {"id": name, "sha": self.server.commit(name), "private": False}
                return self._answer(200, about | {"siblings": [{"rfilename": f} for f in files]})
            case ["tree", *_]:
                return self._answer(200, [
                    {"type": "file", "path": path, "size": len(content), "oid": _oid(content)}
                    for path, content in files.items()
                ])  # fmt: skip
            case ["preupload", _]:
                return self._answer(200, {"files": [
                    {"path": one["path"], "shouldIgnore": False,
                     "uploadMode": "lfs" if one["path"].endswith(LFS_SUFFIX) else "regular"}
                    for one in json.loads(body)["files"]
                ]})  # fmt: skip
            case ["commit", _]:
                for line in map(json.loads, body.splitlines()):
                    value = line["value"]
                    if line["key"] == "file":
                        files[value["path"]] = base64.b64decode(value["content"])
                    elif line["key"] == "lfsFile":
                        files[value["path"]] = self.server.blobs[value["oid"]]
                oid = self.server.commit(name)
                url = f"{self.server.url}/{name}/commit/{oid}"
                return self._answer(200, {"success": True, "commitOid": oid, "commitUrl": url})
        return self._answer(404, {"error": "no such route"})

    def _upload_actions(self, asked: dict[str, Any]) -> dict[str, Any]:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.url}/lfs/{one['oid']}"}}}
            for one in asked["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    def _file(self, name: str, path: str) -> None:
        files = self.server.repositories.get(name)
        missing = "RepoNotFound" if files is None else "EntryNotFound"
        if files is None or path not in files:
            return self._answer(404, {"error": "not found"}, {"X-Error-Code": missing})
        content = files[path]
        known = {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": self.server.commit(name)}
        return self._answer(200, content, known)

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
