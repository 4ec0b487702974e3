"""A ComfyUI that computes nothing: its routes, its queue, its messages, and all the ways in which it can go wrong."""

import base64
import contextlib
import email
import hashlib
import itertools
import json
import socket
import struct
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class FakeServer:
    """Runs prompts node by node. A `Sampler` takes `steps` steps, a `Break` fails, a `Save` makes a file that holds the
    prompt, a loader needs its file. What is uploaded and made survives a restart, queue and history do not.
    """

    def __init__(self):
        self.port, self.step_seconds, self.prompts = 0, 0.0, []
        self.uploads, self.files, self.upload_count, self.counter = {}, {}, 0, itertools.count(1)
        self.models = {"model"}  # else: validation error
        self.say_null_late = False  # `executing null` of a job comes when the next one is in the middle
        self.speaks = True  # over the websocket
        self.knows_prompt_ids = True
        self.hangs = self.asked = False  # accepts connections, answers nothing; whether somebody noticed
        self.refuses_uploads = False
        self.node_errors = {}  # told of prompts that are accepted
        self.release = threading.Event()  # samplers wait for it in their last step
        self.release.set()
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self.queue, self.running, self.history, self.sockets = [], None, {}, {}
        self.dead, self.interrupted, self.lock = threading.Event(), threading.Event(), threading.RLock()
        self.http = ThreadingHTTPServer(("127.0.0.1", self.port), type("Handler", (Handler,), {"fake": self}))
        self.http.handle_error = lambda *_: None  # clients that went away
        self.port = self.http.server_port
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        threading.Thread(target=self.work, args=(self.dead,), daemon=True).start()

    def stop(self):
        self.dead.set()
        self.http.shutdown()
        self.http.server_close()
        for connection in list(self.sockets.values()):
            with contextlib.suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)

    def restart(self):
        self.stop()
        self.start()

    def wait_for(self, condition, seconds=10.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "what the test waits for did not happen"
            time.sleep(0.005)

    def say(self, kind, item, **data):
        connection = self.sockets.get(item["client_id"])
        if connection is not None and self.speaks:
            text = json.dumps({"type": kind, "data": {"prompt_id": item["id"], **data}}).encode()
            size = bytes([len(text)]) if len(text) < 126 else struct.pack(">BH", 126, len(text))
            try:
                connection.sendall(b"\x81" + size + text)
            except OSError:
                self.sockets.pop(item["client_id"], None)

    def work(self, dead):
        late = None
        while not dead.is_set():
            with self.lock:
                self.running = item = self.queue.pop(0) if self.queue else None
            if item is None:
                time.sleep(0.002)
                continue
            self.interrupted.clear()
            self.say("execution_start", item)
            outputs, messages = {}, []
            for node_id, node in item["prompt"].items():
                self.say("executing", item, node=node_id)
                failure = self.execute(item, node_id, node, outputs, dead)
                if late is not None:
                    self.say("executing", late, node=None)
                    late = None
                if failure is not None:
                    kind, words = failure
                    messages.append([kind, {"node_id": node_id, "node_type": node["class_type"], **words}])
                    break
            if dead.is_set():
                return
            kind = messages[-1][0] if messages else "execution_success"
            self.say(kind, item)
            status = {"status_str": "error" if messages else "success", "completed": not messages, "messages": messages}
            with self.lock:
                self.history[item["id"]] = {"outputs": outputs, "status": status}
                self.running = None
            if self.say_null_late and self.queue:
                late = item
            else:
                self.say("executing", item, node=None)

    def execute(self, item, node_id, node, outputs, dead):
        inputs = node["inputs"]
        if node["class_type"] == "Break":
            return "execution_error", {"exception_type": "ValueError", "exception_message": inputs["message"]}
        if node["class_type"] == "Sampler":
            for step in range(1, inputs["steps"] + 1):
                self.say("progress", item, node=node_id, value=step, max=inputs["steps"])
                time.sleep(self.step_seconds)
                while step == inputs["steps"] and not self.release.is_set() and not dead.is_set():
                    if self.interrupted.is_set():
                        break
                    time.sleep(0.002)
                if self.interrupted.is_set():
                    return "execution_interrupted", {}
        if node["class_type"] == "Save":
            names = [f"{next(self.counter):05}_.{ending}" for ending in inputs.get("endings", ["mp4"])]
            self.files |= {name: json.dumps(item["prompt"]).encode() for name in names}
            outputs[node_id] = {"images": [{"filename": n, "subfolder": "", "type": "output"} for n in names]}
        return None


class Handler(BaseHTTPRequestHandler):
    fake: FakeServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, content, status=200):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def hang(self):
        self.fake.asked = True
        while self.fake.hangs and not self.fake.dead.is_set():
            time.sleep(0.01)

    def do_GET(self):
        self.hang()
        fake, url = self.fake, urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/ws":
            self.websocket(query["clientId"])
        elif url.path == "/queue":
            with fake.lock:
                running = [[0, fake.running["id"], {}]] if fake.running else []
                self.answer({"queue_running": running, "queue_pending": [[0, item["id"], {}] for item in fake.queue]})
        elif url.path.startswith("/history/"):
            prompt_id = url.path.rpartition("/")[2]
            self.answer({prompt_id: fake.history[prompt_id]} if prompt_id in fake.history else {})
        elif url.path == "/view" and query["filename"] in fake.files:
            self.answer(fake.files[query["filename"]])
        else:
            self.answer(b"", 404)

    def do_POST(self):
        self.hang()
        fake, body = self.fake, self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/upload/image":
            form = email.message_from_bytes(f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode() + body)
            (part,) = form.get_payload()
            fake.upload_count += 1
            if fake.refuses_uploads:
                return self.answer(b"too large", 413)
            fake.uploads[part.get_filename()] = part.get_payload(decode=True)
            return self.answer({"name": part.get_filename(), "subfolder": "", "type": "input"})
        content = json.loads(body)
        with fake.lock:
            if self.path == "/prompt":
                return self.prompt(content)
            if self.path == "/queue":
                fake.queue = [item for item in fake.queue if item["id"] not in content["delete"]]
            elif self.path == "/interrupt" and fake.running and content["prompt_id"] == fake.running["id"]:
                fake.interrupted.set()
        return self.answer(b"")

    def prompt(self, content):
        fake, errors = self.fake, {}
        for node_id, node in content["prompt"].items():
            file, model = node["inputs"].get("file"), node["inputs"].get("model")
            for name, value, known in (("file", file, fake.uploads), ("model", model, fake.models)):
                if value is not None and value not in known:
                    words = {"message": "Value not in list", "details": f"{name}: '{value}' not in {sorted(known)}"}
                    errors[node_id] = {"class_type": node["class_type"], "errors": [words]}
        if errors:
            return self.answer({"error": {"message": "Prompt outputs failed validation"}, "node_errors": errors}, 400)
        prompt_id = content["prompt_id"] if fake.knows_prompt_ids else f"own-{next(fake.counter)}"
        fake.prompts.append(content["prompt"])
        fake.queue.append({"id": prompt_id, "prompt": content["prompt"], "client_id": content["client_id"]})
        return self.answer({"prompt_id": prompt_id, "number": 0, "node_errors": fake.node_errors})

    def websocket(self, client_id):
        accepted = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + WEBSOCKET).encode()).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accepted).decode())
        self.end_headers()
        self.fake.sockets[client_id] = self.connection
        while self.rfile.read1(1024):  # until it is closed; what a client says does not matter
            pass
        self.close_connection = True
