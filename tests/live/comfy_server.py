"""A server process started from a ComfyUI checkout, and a client that speaks its HTTP interface.

The server gets a base directory of its own with empty `models`, `input` and `output` folders and two node packs: this
repository and the test nodes of `stub_pack`. Nothing is written into the checkout.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .hosts import Host

ROOT = Path(__file__).resolve().parents[2]
PACKS = {"ComfyUI-GVR": ROOT, "gvr_test_stubs": Path(__file__).resolve().parent / "stub_pack"}
FOLDERS = ("custom_nodes", "models", "input", "output", "user", "temp")
START_TIMEOUT = 180.0
# Reached only when something hangs: on a busy machine a prompt of one second may take a minute.
RUN_TIMEOUT = 300.0
# Requests go to this machine: a proxy in the environment must not see them.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ComfyError(RuntimeError):
    """The server refused a prompt, or a node of it failed.

    Attributes:
        message: what a user would read.
        node_id: the node at fault, None where there is none.
        node_type: its class.
        kind: the exception's type, or the validation error's.
    """

    def __init__(self, message: str, *, node_id: str | None = None, node_type: str | None = None, kind: str = ""):
        super().__init__(f"{node_type or 'prompt'} [{node_id}] {kind}: {message}")
        self.message, self.node_id, self.node_type, self.kind = message, node_id, node_type, kind


class PromptInterrupted(ComfyError):  # noqa: N818  it is what was asked for
    """The prompt was interrupted."""


class ComfyServer:
    """A running server; use it as a context manager.

    Attributes:
        host: what it was started from.
        base: its base directory, with `models`, `input` and `output`.
        url: where it listens.
    """

    def __init__(self, host: Host, base: Path, environment: dict[str, str] | None = None):
        self.host, self.base = host, base
        self.environment = {**host.environment, **(environment or {})}
        for folder in FOLDERS:
            (base / folder).mkdir(parents=True, exist_ok=True)
        for name, target in PACKS.items():
            link = base / "custom_nodes" / name
            if not link.exists():
                link.symlink_to(target, target_is_directory=True)
        self.log_path = base / "server.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.command = [host.python, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(port)]
        self.command += ["--base-directory", str(base), "--database-url", "sqlite:///:memory:"]
        self.command += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", *PACKS]
        self.command += ["--preview-method", "none"]
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> ComfyServer:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.host.path, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        until = time.monotonic() + START_TIMEOUT
        with ExitStack() as stack:
            stack.callback(self.stop)
            while not self._answers():
                self.require_alive()
                if time.monotonic() > until:
                    raise TimeoutError(f"no answer within {START_TIMEOUT:.0f} s; {self.log_tail()}")
                time.sleep(0.2)
            stack.pop_all()  # it runs, and goes on when the block is left
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process, by force where it does not end by itself."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def require_alive(self) -> None:
        """Raises RuntimeError, with the end of the log, if the process is gone."""
        if self.process.poll() is not None:
            raise RuntimeError(f"ComfyUI ended with code {self.process.returncode}; {self.log_tail()}")

    def _answers(self) -> bool:
        with suppress(OSError):
            return "system" in self.get("/system_stats")
        return False

    def log(self) -> str:
        """All that the server has printed."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def log_tail(self, lines: int = 60) -> str:
        """The last lines of the log, for messages."""
        return f"the end of {self.log_path}:\n" + "\n".join(self.log().splitlines()[-lines:])

    def rss(self) -> int | None:
        """Bytes of memory in use, None where the system does not tell."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.is_file():
            return None
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read_text(encoding="ascii"))[1]) * 1024

    def request(self, route: str, data: bytes | None = None, content_type: str = "application/json") -> bytes:
        """Body of the answer to GET, or to POST where there is data. Raises HTTPError for 400 and above."""
        headers = {"Content-Type": content_type} if data is not None else {}
        request = urllib.request.Request(self.url + route, data=data, headers=headers)
        with OPENER.open(request, timeout=60) as answer:
            return answer.read()

    def get(self, route: str) -> Any:
        """JSON of a GET."""
        return json.loads(self.request(route))

    def post(self, route: str, content: Any) -> Any:
        """JSON of a POST, None where the answer is empty."""
        return json.loads(self.request(route, json.dumps(content).encode()) or "null")

    def object_info(self) -> dict[str, Any]:
        """Schemas of all nodes by id."""
        return self.get("/object_info")

    def interrupt(self) -> None:
        """Stop what is running."""
        self.request("/interrupt", b"{}")

    def upload(self, path: Path) -> str:
        """Put a file into the input folder; returns the name it has there."""
        boundary = "gvr-test-boundary"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{path.name}"\r\n\r\n'
        body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        answer = self.request("/upload/image", body, f"multipart/form-data; boundary={boundary}")
        return json.loads(answer)["name"]

    def view(self, filename: str, subfolder: str = "", kind: str = "output") -> bytes:
        """A file of the output, input or temp folder."""
        query = urllib.parse.urlencode({"filename": filename, "subfolder": subfolder, "type": kind})
        return self.request(f"/view?{query}")

    def array(self, entry: dict[str, Any]) -> Tensor:
        """The tensor of a probe's entry that has a file."""
        return torch.from_numpy(np.load(self.base / "output" / entry["file"]))

    def queue(self, prompt: dict[str, Any]) -> str:
        """Queue an API-format prompt; returns its id. Raises ComfyError where the server refuses it."""
        try:
            return self.post("/prompt", {"prompt": prompt, "client_id": "gvr-tests"})["prompt_id"]
        except urllib.error.HTTPError as error:
            raise _refusal(json.loads(error.read())) from error

    def wait(self, prompt_id: str, timeout: float = RUN_TIMEOUT) -> dict[str, Any]:
        """The history entry of a prompt, once it has succeeded. Raises ComfyError where it has failed."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            entry = self.get(f"/history/{prompt_id}").get(prompt_id)
            if entry is not None:
                _raise_failure(entry)
                return entry
            self.require_alive()
            time.sleep(0.02)
        raise TimeoutError(f"prompt {prompt_id} has not ended within {timeout:.0f} s; {self.log_tail()}")

    def run(self, prompt: dict[str, Any], timeout: float = RUN_TIMEOUT) -> dict[str, Any]:
        """Queue a prompt and wait for it."""
        return self.wait(self.queue(prompt), timeout)


def messages(entry: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Contents of the messages of one name (`execution_cached`, ...) in a history entry."""
    return [content for kind, content in entry["status"]["messages"] if kind == name]


def seconds(entry: dict[str, Any]) -> float:
    """How long a prompt has run, by the server's own clock."""
    start, end = (messages(entry, f"execution_{name}")[0]["timestamp"] for name in ("start", "success"))
    return (end - start) / 1000


def _refusal(answer: dict[str, Any]) -> ComfyError:
    for node_id, problem in (answer.get("node_errors") or {}).items():
        first = problem["errors"][0]
        text = f"{first['message']}: {first['details']}"
        return ComfyError(text, node_id=node_id, node_type=problem["class_type"], kind=first["type"])
    return ComfyError(answer["error"]["message"], kind=answer["error"]["type"])


def _raise_failure(entry: dict[str, Any]) -> None:
    for content in messages(entry, "execution_interrupted"):
        raise PromptInterrupted("interrupted", node_id=content["node_id"], node_type=content["node_type"])
    for content in messages(entry, "execution_error"):
        raise ComfyError(
            content["exception_message"].strip(),
            node_id=content["node_id"],
            node_type=content["node_type"],
            kind=content["exception_type"],
        )
