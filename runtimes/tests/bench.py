"""Measures the runtime clients side by side, official and ours: events per second through a fake Runtime API, and the
time from the start of the process to its first question for an event. Not a test: run it by hand.

Usage: python bench.py [python|node|ruby|java]
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from fake_runtime_api import ROOT, FakeRuntimeApi

EVENTS = 5_000
STARTS = 25


class Echoes:
    """A Runtime API in one thread on one connection, as fast as Python allows: the same small event again and again."""

    def __init__(self, count):
        self.count = count
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.seconds = None
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        connection, _ = self.listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        deadline = int(time.time() * 1000) + 3000
        event = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: 1-2-3\r\n"
            b"Lambda-Runtime-Deadline-Ms: %d\r\nLambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:r:1:function:f\r\n"
            b"Lambda-Runtime-Trace-Id: Root=1-2-3\r\nContent-Length: 15\r\n\r\n" b'{"key":"value"}' % deadline
        )
        accepted = b"HTTP/1.1 202 Accepted\r\nContent-Length: 15\r\n\r\n" b'{"status":"OK"}'
        data, served, started = b"", 0, None
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                more = connection.recv(65536)
                if not more:  # a client that opens a connection per kind of request
                    connection, _ = self.listener.accept()
                data += more
                continue
            head = data[:end].lower()
            if head.startswith(b"get"):
                data = data[end + 4 :]
                if served == self.count:
                    break
                if served == 500:
                    started = time.perf_counter()
                served += 1
                connection.sendall(event)
            else:
                length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
                while len(data) < end + 4 + length:
                    data += connection.recv(65536)
                data = data[end + 4 + length :]
                connection.sendall(accepted)
        self.seconds = time.perf_counter() - started


def environment(address, task_root, handler):
    return {
        "PATH": "/usr/bin:/bin", "AWS_LAMBDA_RUNTIME_API": address, "_HANDLER": handler, "LAMBDA_TASK_ROOT": task_root,
        "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "g", "AWS_LAMBDA_LOG_STREAM_NAME": "s", "AWS_EXECUTION_ENV": "x",
    }


def rate(command, task_root, handler):
    echoes = Echoes(EVENTS)
    process = subprocess.Popen(command, env=environment(echoes.address, task_root, handler), cwd=task_root)
    echoes.thread.join()
    process.kill()
    process.wait()
    return (EVENTS - 500) / echoes.seconds


def start(command, task_root, handler):
    """(milliseconds to the first question for an event, milliseconds of processor time until then)."""
    api = FakeRuntimeApi([])
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment(api.address, task_root, handler), cwd=task_root)
    api.finished.wait()
    process.kill()
    return (api.first_next - started) * 1000, cpu_ms(process)


def plain_start(command):
    started = time.monotonic()
    process = subprocess.Popen(command, env={"PATH": "/usr/bin:/bin"})
    cpu = cpu_ms(process)
    return (time.monotonic() - started) * 1000, cpu


def cpu_ms(process):
    _, process.returncode, usage = os.wait4(process.pid, 0)
    return (usage.ru_utime + usage.ru_stime) * 1000


def report(clients, task_root, handler, plain):
    for name, command in clients.items():
        rates = sorted(rate(command, task_root, handler) for _ in range(3))
        print("%-10s %8.0f events/s (best of %s)" % (name, rates[-1], [round(r) for r in rates]))
    starts = {name: [] for name in [*clients, "(plain)"]}
    for _ in range(STARTS):
        for name, command in clients.items():
            starts[name].append(start(command, task_root, handler))
        starts["(plain)"].append(plain_start(plain))
    for name, values in starts.items():
        wall, cpu = zip(*values)
        print("%-10s start: min %5.1f ms, median %5.1f ms; processor: min %5.1f ms, median %5.1f ms"
              % (name, min(wall), statistics.median(wall), min(cpu), statistics.median(cpu)))


JAVA_FLAGS = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xmx108m", "-Xlog:disable"]


def java_clients(scratch, task, runtime):
    """Without the archive of classes, and with it."""
    import zipfile

    with zipfile.ZipFile(os.path.join(ROOT, "tests", "handlers", "java", "handlers.jar")) as jar:
        jar.extractall(task)
    os.mkdir(runtime)
    shutil.copy(os.path.join(ROOT, "java", "lamplighter-runtime.jar"), runtime)
    client = ["-cp", "../runtime/lamplighter-runtime.jar", "lamplighter.runtime.Main"]
    archive = os.path.join(runtime, "x.jsa")
    subprocess.run(["java", *JAVA_FLAGS, f"-XX:ArchiveClassesAtExit={archive}", *client, "--rehearse"],
                   cwd=task, check=True, capture_output=True)
    return {"ours": ["java", *JAVA_FLAGS, f"-XX:SharedArchiveFile={archive}", *client],
            "unarchived": ["java", *JAVA_FLAGS, *client]}


def main():
    with tempfile.TemporaryDirectory() as scratch:
        task, runtime = os.path.join(scratch, "task"), os.path.join(scratch, "runtime")
        os.mkdir(task)
        with open(os.path.join(task, "hello.py"), "w") as file:
            file.write("def handler(event, context):\n    return {'hello': event['key']}\n")
        with open(os.path.join(task, "hello.js"), "w") as file:
            file.write("exports.handler = async (event) => ({ hello: event.key });\n")
        which = sys.argv[1] if len(sys.argv) > 1 else "python"
        if which == "python":
            shutil.copytree(os.path.join(ROOT, "python"), runtime)
            subprocess.run([sys.executable, "-m", "compileall", "-q", runtime], check=True)
            python = sys.executable
            clients = {
                "ours": [python, "-u", os.path.join(runtime, "bootstrap.py")],
                "official": [sys.executable, "-m", "awslambdaric", "hello.handler"],
            }
            report(clients, task, "hello.handler", [python, "-c", "pass"])
        elif which == "ruby":
            with open(os.path.join(task, "hello.rb"), "w") as file:
                file.write("def handler(event:, context:)\n  { hello: event['key'] }\nend\n")
            clients = {"ours": ["ruby", "--disable-gems", os.path.join(ROOT, "ruby", "bootstrap.rb")]}
            report(clients, task, "hello.handler", ["ruby", "--disable-gems", "-e", "1"])
        elif which == "java":
            report(java_clients(scratch, task, runtime), task, "example.App::echo", ["java", *JAVA_FLAGS, "-version"])
        else:
            import test_node

            version = int(sys.argv[2]) if len(sys.argv) > 2 else 20
            node = test_node.NODES[version]
            clients = {"ours": [node, os.path.join(ROOT, "node", "bootstrap.cjs")]}
            report(clients, task, "hello.handler", [node, "-e", "0"])


if __name__ == "__main__":
    main()
