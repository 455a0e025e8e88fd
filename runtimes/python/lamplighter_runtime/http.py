"""The Runtime API as its one client sees it: HTTP/1.1 over one kept connection, on the bare socket module.

The answer to one event and the question for the next go out in one write (pipelined): the platform sees two ordinary
requests, the process is woken up once instead of twice.

Defined by: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import _socket

_VERSION = b"/2018-06-01/runtime/"
_CHUNK = 65536
# The platform's servers refuse huge headers. The cause is for tracing only.
_MAX_CAUSE = 16 * 1024
# How the platform says that an answer is accepted. It need not: whatever else comes is read as any answer is.
_ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n" b'{"status":"OK"}\n'
)


class RuntimeApi:
    """A connection to the Runtime API at `address` ("host:port"). Opened at the first use, again when it was closed."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self._address = (host.strip("[]"), int(port))
        self._socket = None
        self._pending = b""
        common = b" HTTP/1.1\r\nHost: " + address.encode() + b"\r\nUser-Agent: lamplighter-python\r\n"
        self._next = b"GET " + _VERSION + b"invocation/next" + common + b"\r\n"
        self._common = common

    def next(self):
        """Waits for an event: (headers with lower-case names, body)."""
        self._send(self._next)
        return self._receive_event()

    def answer_then_next(self, request_id, payload, content_type):
        """Answers an event, then waits for the next."""
        return self._post_then_next(
            b"%b/response" % request_id.encode(), b"Content-Type: " + content_type + b"\r\n", payload
        )

    def fail_then_next(self, request_id, payload, error_type, cause):
        """Answers an event with an error, then waits for the next."""
        headers = _error_headers(error_type)
        if len(cause) <= _MAX_CAUSE:
            headers += b"Lambda-Runtime-Function-XRay-Error-Cause: " + cause + b"\r\n"
        return self._post_then_next(b"%b/error" % request_id.encode(), headers, payload)

    def initialisation_failed(self, payload, error_type):
        """Tells that no event can be served. The caller exits next."""
        self._send(self._post(b"init/error", _error_headers(error_type), payload))
        self._receive()

    def restore_next(self):
        """Tells that the function has initialised, and may be kept as a snapshot."""
        self._send(b"GET " + _VERSION + b"restore/next" + self._common + b"\r\n")
        status, _, body = self._receive()
        if status != 200:
            raise RuntimeError("the Runtime API answered %d to a request for the restore: %r" % (status, body))

    def restore_failed(self, payload, error_type):
        """Tells that the function did not come back from its snapshot. The caller exits next."""
        self._send(self._post(b"restore/error", _error_headers(error_type), payload))
        self._receive()

    def close(self):
        """Ends the connection. The next request opens another one."""
        if self._socket is not None:
            self._close()

    def _post(self, path, headers, payload):
        length = b"Content-Length: %d\r\n\r\n" % len(payload)
        return b"".join((b"POST ", _VERSION, path, self._common, headers, length, payload))

    def _post_then_next(self, path, headers, payload):
        self._send(self._post(b"invocation/" + path, headers, payload) + self._next)
        # A refusal (too large, too late) is the platform's to report: the function goes on with the next event.
        data = self._pending or self._more()
        if data.startswith(_ACCEPTED):
            self._pending = data[len(_ACCEPTED) :]
        else:
            self._pending = data
            self._receive()
        try:
            if self._socket is not None:
                return self._receive_event()
        except ConnectionError:
            self._close()
        # The platform closed the connection after its answer: the question for the next event was not read.
        return self.next()

    def _receive_event(self):
        status, headers, body = self._receive()
        if status != 200:
            raise RuntimeError("the Runtime API answered %d to a request for the next event: %r" % (status, body))
        return headers, body

    def _send(self, request):
        connection = self._socket
        if connection is None:
            connection = _socket.socket(_socket.AF_INET6 if ":" in self._address[0] else _socket.AF_INET)
            connection.connect(self._address)
            connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            self._socket = connection
        connection.sendall(request)

    def _close(self):
        self._socket.close()
        self._socket = None
        self._pending = b""

    def _more(self):
        data = self._socket.recv(_CHUNK)
        if not data:
            raise ConnectionError("the Runtime API closed the connection")
        return data

    def _receive(self):
        data = self._pending or self._more()
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        lines = data[:end].split(b"\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        data = data[end + 4 :]
        if b"chunked" in headers.get(b"transfer-encoding", b""):
            body, self._pending = self._receive_chunks(data)
        else:
            length = int(headers.get(b"content-length", 0))
            if len(data) < length:
                body, self._pending = self._receive_rest(data, length), b""
            else:
                body, self._pending = data[:length], data[length:]
        if headers.get(b"connection") == b"close":
            self._close()
        return int(lines[0][9:12]), headers, body

    def _receive_rest(self, data, length):
        body = bytearray(length)
        at = len(data)
        body[:at] = data
        view = memoryview(body)
        while at < length:
            count = self._socket.recv_into(view[at:])
            if not count:
                raise ConnectionError("the Runtime API closed the connection in the middle of an event")
            at += count
        return body

    def _receive_chunks(self, data):
        body = []
        while True:
            while (end := data.find(b"\r\n")) < 0:
                data += self._more()
            size = int(data[:end].split(b";")[0], 16)
            data = data[end + 2 :]
            while len(data) < size + 2:
                data += self._more()
            body.append(data[:size])
            data = data[size + 2 :]
            if size == 0:
                return b"".join(body), data


def _error_headers(error_type):
    # A class name may hold any letter; a header may not.
    safe = error_type.encode("ascii", "backslashreplace")
    return (
        b"Content-Type: application/vnd.aws.lambda.error+json\r\n"
        b"Lambda-Runtime-Function-Error-Type: " + safe + b"\r\n"
    )
