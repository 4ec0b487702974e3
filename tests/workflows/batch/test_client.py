"""Addresses, transfers and what a server that is none answers."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from workflows.batch.client import Client, Refused, Unreachable


@pytest.mark.parametrize(
    ("address", "url", "socket_url"),
    [
        ("127.0.0.1:8188", "http://127.0.0.1:8188", "ws://127.0.0.1:8188/ws?clientId=me"),
        ("http://host/", "http://host", "ws://host/ws?clientId=me"),
        ("https://u:p%40@host:1/comfy/", "https://host:1/comfy", "wss://host:1/comfy/ws?clientId=me"),
        ("http://[::1]:8188", "http://[::1]:8188", "ws://[::1]:8188/ws?clientId=me"),
    ],
)
def test_addresses(address, url, socket_url):
    client = Client(address)
    assert (client.url, client.socket_url("me")) == (url, socket_url)


def test_a_password_is_sent_and_not_shown():
    client = Client("https://u:p%40@host")
    assert client.headers == {"Authorization": "Basic dTpwQA=="}
    assert "u:" not in client.url


@pytest.mark.parametrize("address", ["ftp://host", "http://", "http://host:port", "http://host?x=1", ""])
def test_no_address(address):
    with pytest.raises(ValueError, match="is no address"):
        Client(address)


def test_a_file_arrives_as_it_is(server, tmp_path):
    content = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "clip").write_bytes(content)
    assert Client(server.url).upload(tmp_path / "clip", "name.mp4") == "name.mp4"
    assert server.uploads == {"name.mp4": content}
    server.files["out.mp4"] = content
    assert b"".join(Client(server.url).download("out.mp4", "", "output")) == content


def test_what_is_not_there(server):
    client = Client(server.url)
    assert client.history("x/../y") is None
    assert client.cancel(["x"]) == []
    with pytest.raises(Refused, match="HTTP 404"):
        list(client.download("../secret", "", "output"))


@pytest.fixture
def answer_with():
    """Function: address of a server that answers everything with these bytes."""
    servers = []

    def make(raw):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.wfile.write(raw)

            def log_message(self, *arguments):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n<html>please log in</html>", "does not answer as ComfyUI does"),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", "does not answer as ComfyUI does"),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", "is not there"),
        (b"nonsense\r\n\r\n", "does not answer"),
        (b"", "does not answer"),
    ],
)
def test_what_is_no_comfyui_may_become_one(answer_with, raw, message):
    with pytest.raises(Unreachable, match=message):
        Client(answer_with(raw)).queue()


def test_a_download_that_breaks_off_is_noticed(answer_with):
    client = Client(answer_with(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nonly this"))
    with pytest.raises(Unreachable, match=r"broke off in the middle of clip\.mp4"):
        list(client.download("clip.mp4", "", "output"))


def test_nobody_is_there(make_server):
    server = make_server()
    server.stop()
    with pytest.raises(Unreachable, match="does not answer"):
        Client(server.url).queue()
    server.start()
