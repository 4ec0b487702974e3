"""What a server tells over its websocket. Only hints and progress: messages get lost, the queue and history do not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import closing

try:
    import websocket
except ImportError:
    websocket = None

CONNECT_SECONDS = 10.0
LISTEN_SECONDS = 0.5  # how long a stop goes unnoticed


def is_available() -> bool:
    """Whether websocket-client is installed; another package of the same module name does not count."""
    return hasattr(websocket, "create_connection")


class Feed(threading.Thread):
    """Hands every message with a prompt id to `on_message(type, data)` in a thread of its own, and connects again.

    `session` counts the connections made and `connected` tells whether the last one stands: as long as neither changes,
    the server has not been restarted.
    """

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        on_message: Callable[[str, dict], None],
        stopped: threading.Event,
        backoff: float,
    ) -> None:
        super().__init__(name=f"feed {url}", daemon=True)
        self._url, self._headers, self._on_message = url, headers, on_message
        self._stopped, self._backoff = stopped, backoff
        self.session, self.connected = 0, False
        self.tried = threading.Event()  # the first connection stands or has failed

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                # No origin: behind a proxy it differs from the host, which ComfyUI refuses on this machine.
                connection = websocket.create_connection(
                    self._url,
                    timeout=CONNECT_SECONDS,
                    header=self._headers,
                    suppress_origin=True,
                    http_no_proxy=["*"],
                )
                with closing(connection):
                    connection.settimeout(LISTEN_SECONDS)
                    self.session += 1
                    self.connected = True
                    self.tried.set()
                    self._listen(connection)
            except (OSError, websocket.WebSocketException):
                pass  # the worker notices by itself when the server is gone
            finally:
                self.connected = False
                self.tried.set()
            self._stopped.wait(self._backoff)

    def _listen(self, connection: websocket.WebSocket) -> None:
        while not self._stopped.is_set():
            try:
                text = connection.recv()
            except websocket.WebSocketTimeoutException:
                continue
            if not text:
                return  # closed by the server
            if isinstance(text, bytes):
                continue  # a preview
            try:
                message = json.loads(text)
                kind, data = message["type"], message["data"]
            except (ValueError, KeyError, TypeError):
                continue  # of a custom node, in a form of its own
            if isinstance(data, dict) and data.get("prompt_id"):
                self._on_message(kind, data)
