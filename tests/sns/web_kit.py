"""A real web server for the tests of SNS's deliveries, and the check of its signatures."""
import base64
import http.server
import json
import queue
import subprocess
import threading
import time
import urllib.request

from conftest import advance


class Endpoint:
    """An HTTP server that notes what it gets. `answers` are the statuses of the next requests; then 200."""

    def __init__(self, tls=None, credentials=None):
        self.got, self.answers, self.credentials = queue.Queue(), [], credentials
        self.may_answer = threading.Event()
        self.may_answer.set()
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status, extra = endpoint.status(self.headers)
                endpoint.got.put((dict(self.headers.items()), body.decode(), self.path, status))
                endpoint.may_answer.wait(60)
                self.send_response(status)
                for name, value in extra:
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def status(self, headers):
        if self.credentials:
            wanted = "Basic " + base64.b64encode(self.credentials.encode()).decode()
            if headers.get("authorization") != wanted:
                return 401, [("www-authenticate", 'Basic realm="hooks"')]
        if not self.answers:
            return 200, []
        status = self.answers.pop(0)
        return status, [("location", f"{self.url}/elsewhere")] if status in (301, 302, 307) else []

    def next(self, timeout=30):
        """Headers (lower case) and body of the next request."""
        headers, body, self.path, self.last_status = self.got.get(timeout=timeout)
        return {name.lower(): value for name, value in headers.items()}, body

    def message(self, timeout=30):
        headers, body = self.next(timeout)
        return headers, json.loads(body)

    def is_quiet(self, seconds=0.5):
        """Nothing comes. The one wait that is for nothing to happen."""
        try:
            self.got.get(timeout=seconds)
            return False
        except queue.Empty:
            return True

    def close(self):
        self.may_answer.set()
        self.server.shutdown()
        self.server.server_close()


def visit(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def ask(server, path):
    """The private API's answer."""
    request = urllib.request.Request(f"{server.endpoint}/_lamplighter/{path}", headers={"x-lamplighter": "1"})
    return json.loads(urllib.request.urlopen(request, timeout=30).read())


def counts_of(server, topic):
    """What happened at a topic."""
    return ask(server, f"topics?topic={topic}")["topics"][topic]


def outbox(server, **wanted):
    query = "&".join(f"{name}={value}" for name, value in wanted.items())
    return ask(server, f"outbox?{query}")["messages"]


def eventually(check, seconds=30):
    """What `check` gives once it gives something."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def string_to_sign(message):
    """As AWS documents it."""
    if message["Type"] == "Notification":
        names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    else:
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    return "".join(f"{name}\n{message[name]}\n" for name in names if name in message)


def assert_signed(message, folder):
    """Checks the signature with openssl and the certificate that the message names."""
    certificate, signature, key, text = (folder / name for name in ("cert.pem", "signature", "key.pem", "text"))
    certificate.write_text(visit(message["SigningCertURL"]))
    signature.write_bytes(base64.b64decode(message["Signature"]))
    text.write_text(string_to_sign(message))
    key.write_bytes(subprocess.run(["openssl", "x509", "-in", certificate, "-pubkey", "-noout"], check=True, capture_output=True).stdout)
    digest = {"1": "-sha1", "2": "-sha256"}[message["SignatureVersion"]]
    checked = subprocess.run(["openssl", "dgst", digest, "-verify", key, "-signature", signature, text], capture_output=True, text=True)
    assert checked.stdout.strip() == "Verified OK", checked
