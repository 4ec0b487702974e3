"""One ComfyUI server over HTTP: upload, queue, look, fetch, cancel."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import urllib.parse
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REQUEST_SECONDS = 30.0
TRANSFER_SECONDS = 300.0  # a server writes a large upload to its disk before it answers
BLOCK = 1 << 20
AWAY = (http.HTTPStatus.BAD_GATEWAY, http.HTTPStatus.SERVICE_UNAVAILABLE, http.HTTPStatus.GATEWAY_TIMEOUT)


class Unreachable(Exception):  # noqa: N818 - a state of the server, not a fault
    """The server does not answer, at least not as a ComfyUI; it may come back."""


class Refused(Exception):  # noqa: N818 - an answer of the server
    """The server answered with an HTTP error; trying again would not help."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"HTTP {status} {http.client.responses.get(status, '')}".strip())
        self.status, self.body = status, body


class Client:
    """Requests to one server, one after the other. `url` is without name and password, fit to be shown and stored."""

    def __init__(self, address: str, *, timeout: float = REQUEST_SECONDS) -> None:
        """Address as `127.0.0.1:8188`, `https://name:password@host/path`. Raises ValueError for anything else."""
        parts = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
        try:
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"--server {address!r} is no address: {error}") from error
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
            raise ValueError(f"--server {address!r} is no address: expected http://HOST:PORT")
        self._secure, self._host, self._port = parts.scheme == "https", host, port
        self._prefix = parts.path.rstrip("/")
        self._timeout = min(timeout, REQUEST_SECONDS)
        self._connection: http.client.HTTPConnection | None = None
        self.headers: dict[str, str] = {}
        if parts.username is not None:
            login = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            self.headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        netloc = f"[{host}]" if ":" in host else host
        netloc = netloc if port is None else f"{netloc}:{port}"
        self.url = f"{parts.scheme}://{netloc}{self._prefix}"
        self._socket_url = f"{'wss' if self._secure else 'ws'}://{netloc}{self._prefix}/ws"

    def socket_url(self, client_id: str) -> str:
        """Where the server tells this client what it is doing."""
        return f"{self._socket_url}?{urllib.parse.urlencode({'clientId': client_id})}"

    def queue(self) -> dict[str, bool]:
        """Prompt ids in the server's queue, and whether each is running."""
        answer = self._json("GET", "/queue")
        try:
            pending, running = ([item[1] for item in answer[name]] for name in ("queue_pending", "queue_running"))
        except (KeyError, IndexError, TypeError) as error:
            raise Unreachable(f"{self.url} does not answer as ComfyUI does") from error
        return dict.fromkeys(pending, False) | dict.fromkeys(running, True)

    def history(self, prompt_id: str) -> dict | None:
        """What the server remembers of an ended prompt, None where it remembers nothing."""
        return self._json("GET", f"/history/{urllib.parse.quote(prompt_id, safe='')}").get(prompt_id)

    def submit(self, prompt: dict, prompt_id: str, client_id: str) -> tuple[str, dict]:
        """Queues a prompt; its id (old servers choose their own) and the errors of outputs that will be left out."""
        answer = self._json("POST", "/prompt", {"prompt": prompt, "prompt_id": prompt_id, "client_id": client_id})
        return answer.get("prompt_id", prompt_id), answer.get("node_errors") or {}

    def cancel(self, prompt_ids: list[str]) -> list[str]:
        """Takes prompts out of the queue and stops the running one; those that were there."""
        there = [prompt_id for prompt_id in prompt_ids if prompt_id in self.queue()]
        if there:
            self._post("/queue", {"delete": there})
            for prompt_id in there:
                # Asked again each time: servers that do not know the id in the request stop whatever runs.
                if self.queue().get(prompt_id):
                    self._post("/interrupt", {"prompt_id": prompt_id})
        return there

    def upload(self, path: Path, name: str) -> str:
        """Puts a file into the server's input folder; the name a node finds it under. Streams, so size is no matter.

        Raises:
            OSError: when the file cannot be opened.
        """
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        with path.open("rb") as file:
            length = len(head) + path.stat().st_size + len(tail)

            def body() -> Iterator[bytes]:
                yield head
                while block := file.read(BLOCK):
                    yield block
                yield tail

            headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(length)}
            with self._answer("POST", "/upload/image", body(), headers, TRANSFER_SECONDS) as response:
                answer = decode(response.read(), self.url)
        return "/".join(filter(None, (answer.get("subfolder"), answer.get("name", name))))

    def download(self, filename: str, subfolder: str, folder_type: str) -> Iterator[bytes]:
        """The bytes of a file the server made."""
        query = urllib.parse.urlencode({"filename": filename, "subfolder": subfolder, "type": folder_type})
        with self._answer("GET", f"/view?{query}", seconds=TRANSFER_SECONDS) as response:
            while block := response.read(BLOCK):
                yield block
            if response.length:
                raise Unreachable(f"{self.url} broke off in the middle of {filename}")

    def abort(self) -> None:
        """From another thread: ends the request under way."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _json(self, method: str, path: str, content: Any = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        with self._answer(method, path, body, {"Content-Type": "application/json"}) as response:
            return decode(response.read(), self.url)

    def _post(self, path: str, content: Any) -> None:
        with self._answer("POST", path, json.dumps(content).encode(), {"Content-Type": "application/json"}) as response:
            response.read()

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
        seconds: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        self._connection = connection = kind(self._host, self._port, timeout=self._timeout)
        try:
            connection.connect()
            connection.sock.settimeout(seconds or self._timeout)
            # A server that refuses an upload because of its size answers before it has read all of it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, self._prefix + path, body, {**self.headers, **(headers or {})})
            response = connection.getresponse()
            if response.status in AWAY:
                raise Unreachable(f"{self.url} is not there (HTTP {response.status})")
            if response.status >= http.HTTPStatus.BAD_REQUEST:
                raise Refused(response.status, response.read())
            yield response
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self.url} does not answer ({error or type(error).__name__})") from error
        finally:
            connection.close()
            self._connection = None


def decode(body: bytes, url: str) -> Any:
    """JSON from a server. Raises Unreachable where it is none, as from the login page in front of a server."""
    try:
        return json.loads(body)
    except ValueError as error:
        raise Unreachable(f"{url} does not answer as ComfyUI does: {body[:60]!r}") from error
