"""A Runtime API for tests: hands out prepared events, one at a time, and keeps everything the client sends.

It speaks plain HTTP/1.1 on bare sockets, so that what it measures is the client and not itself. It checks what a
platform relies on: one event at a time, and answers for the right request.
"""

import json
import os
import socket
import subprocess
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Event:
    """One event: its body (bytes, or a value that becomes JSON) and extra headers."""

    def __init__(self, body, headers=None, request_id=None):
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = headers or {}
        self.request_id = request_id


class Answer:
    """What the client posted: to which path, with which headers (lower case) and body."""

    def __init__(self, path, headers, body, trailers=None):
        self.path, self.headers, self.body, self.trailers = path, headers, body, trailers or {}

    def json(self):
        return json.loads(self.body)


class FakeRuntimeApi:
    """Serves `events`, then keeps the client waiting. `quirk`: "close" closes the connection after every answer,
    "chunked" sends events in chunks, "slow" sends them in pieces."""

    def __init__(self, events, quirk=None, deadline_ms=3_000):
        self.events = events
        self.quirk = quirk
        self.deadline_ms = deadline_ms
        self.answers = []
        self.first_next = None
        self.finished = threading.Event()
        self.connections = 0
        self._at = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                method, path, _ = lines[0].split(" ")
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
                body, trailers = b"", {}
                if headers.get("transfer-encoding") == "chunked":
                    body, data, trailers = self._chunks(connection, data)
                else:
                    length = int(headers.get("content-length", 0))
                    while len(data) < length:
                        data += connection.recv(65536)
                    body, data = data[:length], data[length:]
                if not self._answer(connection, method, path, headers, body, trailers):
                    return
        except OSError:
            pass

    @staticmethod
    def _chunks(connection, data):
        def more():
            received = connection.recv(65536)
            if not received:
                raise OSError("the client ended the connection within a body")
            return received

        out, trailers = [], {}
        while True:
            while b"\r\n" not in data:
                data += more()
            line, _, data = data.partition(b"\r\n")
            size = int(line, 16)
            if size == 0:
                break
            while len(data) < size + 2:
                data += more()
            out.append(data[:size])
            data = data[size + 2 :]
        while True:
            while b"\r\n" not in data:
                data += more()
            line, _, data = data.partition(b"\r\n")
            if not line:
                return b"".join(out), data, trailers
            name, _, value = line.decode("latin-1").partition(":")
            trailers[name.lower()] = value.strip()

    def _answer(self, connection, method, path, headers, body, trailers):
        if method == "GET" and path.endswith("/invocation/next"):
            if self.first_next is None:
                self.first_next = time.monotonic()
            if self._at == len(self.events):
                self.finished.set()
                return True  # never answered: the client waits, as in a frozen box
            event = self.events[self._at]
            self._at += 1
            self._send_event(connection, event)
            return True
        assert method == "POST", (method, path)
        self.answers.append(Answer(path, headers, body, trailers))
        extra = b"Connection: close\r\n" if self.quirk == "close" else b""
        connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 15\r\n" + extra + b'\r\n{"status":"OK"}')
        if path.endswith("/init/error"):
            self.finished.set()
        if self.quirk == "close":
            connection.close()
            return False
        return True

    def _send_event(self, connection, event):
        request_id = event.request_id or "00000000-0000-4000-8000-%012d" % self._at
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + self.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:test",
            "Lambda-Runtime-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0",
            **event.headers,
        }
        if self.quirk == "chunked":
            headers["Transfer-Encoding"] = "chunked"
            third = max(1, len(event.body) // 3)
            pieces = [event.body[at : at + third] for at in range(0, len(event.body), third)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        else:
            headers["Content-Length"] = str(len(event.body))
            body = event.body
        head = "".join("%s: %s\r\n" % item for item in headers.items() if item[1] is not None)
        message = b"HTTP/1.1 200 OK\r\n" + head.encode("utf-8") + b"\r\n" + body
        if self.quirk == "slow":
            for at in range(0, len(message), 37):
                connection.sendall(message[at : at + 37])
                time.sleep(0.001)
        else:
            connection.sendall(message)


class Outcome:
    """What a client did: its answers, what it printed, its frames (type, message), how it ended (None: still waiting)."""

    def __init__(self, answers, output, frames, status, start_s, connections):
        self.answers, self.output, self.frames, self.status = answers, output, frames, status
        self.start_s, self.connections = start_s, connections


def parse_frames(data):
    frames = []
    while data:
        kind, length = data[:4].hex(), int.from_bytes(data[4:8], "big")
        frames.append((kind, data[16 : 16 + length].decode()))
        data = data[16 + length :]
    return frames


def wait_for_reader(process, fd):
    """Until the process waits in a read of its descriptor: then it has done all that it does ahead."""
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        for task in os.listdir("/proc/%d/task" % process.pid):
            try:
                with open("/proc/%d/task/%s/syscall" % (process.pid, task)) as file:
                    words = file.read().split()
            except OSError:
                continue
            if words[0] == "0" and int(words[1], 16) == fd:
                return
        time.sleep(0.002)
    raise AssertionError("the worker does not wait to be bound")


def start_bound(command, environ, worker_env, task_root, pass_fds, bind_at_once):
    """Starts a worker that knows nothing of its function, and then binds it."""
    receiver, sender = os.pipe()
    # The descriptor first: Java's client looks there.
    worker_env = {"LAMPLIGHTER_BIND_FD": str(receiver), **worker_env, "LAMPLIGHTER_BIND_ROOM": "." * 8192}
    process = subprocess.Popen(
        command, env=worker_env, cwd="/", pass_fds=(*pass_fds, receiver), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    os.close(receiver)
    if not bind_at_once:
        wait_for_reader(process, receiver)
    block = [task_root.encode()] + [b"%b=%b" % (os.fsencode(k), os.fsencode(v)) for k, v in environ.items()] + [b""]
    with os.fdopen(sender, "wb") as binding:
        binding.write(b"\0".join(block))
    return process


def run_client(command, task_root, handler, events, env=None, framed=False, quirk=None, timeout_s=20, bound=None):
    """Runs a runtime client until all events are answered (or it ends), and tells what it did. `bound`: it is started
    ahead with these variables, and bound to the function when it waits; or at once, if they hold {"AT_ONCE": "1"}."""
    api = FakeRuntimeApi(events, quirk)
    environ = {
        "PATH": "/usr/bin:/bin",
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "_HANDLER": handler,
        "LAMBDA_TASK_ROOT": task_root,
        "AWS_LAMBDA_FUNCTION_NAME": "test",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/test",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/23/[$LATEST]0123456789abcdef",
        "AWS_REGION": "us-east-1",
        "TZ": ":UTC",
        "LANG": "en_US.UTF-8",
        **(env or {}),
    }
    pass_fds, frames_read, frames_write = (), None, None
    if framed:
        frames_read, frames_write = os.pipe()
        environ["_LAMBDA_TELEMETRY_LOG_FD"] = str(frames_write)
        pass_fds = (frames_write,)
    started = time.monotonic()
    if bound is not None:
        generic = {"PATH": environ["PATH"], "TZ": ":UTC", "LANG": "en_US.UTF-8", **bound}
        process = start_bound(command, environ, generic, task_root, pass_fds, "AT_ONCE" in bound)
    else:
        process = subprocess.Popen(
            command, env=environ, cwd=task_root, pass_fds=pass_fds, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    output, frames = [], []
    readers = [threading.Thread(target=lambda: output.append(process.stdout.read()))]
    if framed:
        os.close(frames_write)
        readers.append(threading.Thread(target=lambda: frames.append(os.fdopen(frames_read, "rb").read())))
    for reader in readers:
        reader.start()
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and not api.finished.wait(0.005) and time.monotonic() < deadline:
        pass
    status = None
    if api.finished.is_set() and len(api.answers) and api.answers[-1].path.endswith("/init/error"):
        status = process.wait(timeout=10)
    elif process.poll() is not None:
        status = process.returncode
    timed_out = status is None and not api.finished.is_set()
    if process.poll() is None:
        process.kill()
        process.wait()
    for reader in readers:
        reader.join()
    api.close()
    assert not timed_out, "the client neither answered nor ended: %r" % output
    start_s = api.first_next - started if api.first_next else None
    text = b"".join(output).decode("utf-8", "replace")
    return Outcome(api.answers, text, parse_frames(b"".join(frames)), status, start_s, api.connections)
