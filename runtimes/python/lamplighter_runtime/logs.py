"""The function's log: AWS's handler on the root logger, as text or JSON, and the framed channel to the platform.

Loaded when the function imports `logging`, or at the first error. What a function prints does not come this way: it
goes to stdout as it is.

Framed: each event is preceded by 4 bytes that tell its format and level, 4 bytes of length and 8 bytes of time
(microseconds since 1970), big endian, so that an event may have many lines.

Defined by: https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
"""

import os
import sys
import time

from . import Current

DATE_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_MAGIC = 0xA55A0002
_TEXT = 1
_ERROR = 40

# What a record has by itself; anything else was given as `extra` and belongs into the JSON line.
_OWN_MEMBERS = frozenset(
    "name msg args levelname levelno pathname filename module exc_info exc_text stack_info lineno funcName created"
    " msecs relativeCreated thread threadName processName process taskName aws_request_id tenant_id".split()
)


def settle(environ):
    """Takes what the user wishes. Called before the function is loaded, or when this is loaded later."""
    global JSON_FORMAT, _LEVEL
    JSON_FORMAT = environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
    _LEVEL = environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper().replace("TRACE", "DEBUG")


settle(os.environ)


def _frame_type(level, text):
    """`level` as in `logging`, 0 for none."""
    return (_MAGIC | (_TEXT if text else 0) | (level // 10 << 2) + (4 if level else 0)).to_bytes(4, "big")


def framed():
    """Whether events go to the platform in frames."""
    return Current.telemetry_fd is not None


def write(message, frame_type=_frame_type(0, True)):
    """Writes one event."""
    if Current.telemetry_fd is None:
        sys.stdout.write(message)
        sys.stdout.flush()
        return
    data = message.encode("utf-8", "backslashreplace")
    now = time.time_ns() // 1000
    frame = memoryview(b"".join((frame_type, len(data).to_bytes(4, "big"), now.to_bytes(8, "big"), data)))
    while frame:
        frame = frame[os.write(Current.telemetry_fd, frame) :]


def write_error(message):
    """Writes one event of level ERROR."""
    write(message if framed() else message + "\n", _frame_type(_ERROR, not JSON_FORMAT))


def configure():
    """Gives the root logger its handler. Called once, as soon as `logging` is there."""
    import logging

    class Handler(logging.Handler):
        def emit(self, record):
            try:
                record.aws_request_id = Current.request_id or ""
                record.tenant_id = Current.tenant_id
                message = self.format(record)
                # Levels are told apart on the channel only if the user asked for levels.
                level = _rounded(record.levelno) if JSON_FORMAT or _LEVEL else 0
                write(message, _frame_type(level, not JSON_FORMAT))
            except Exception:
                self.handleError(record)

    class JsonFormatter(logging.Formatter):
        def format(self, record):
            return _json_line(self, record)

    logging.Formatter.converter = time.gmtime
    if JSON_FORMAT:
        formatter = JsonFormatter(datefmt=DATE_FORMAT)
    else:
        formatter = logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"
        )
    handler = Handler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    if isinstance(logging.getLevelName(_LEVEL), int):
        root.setLevel(_LEVEL)
    root.addHandler(handler)


def _rounded(level):
    return min(50, max(0, level)) // 10 * 10


def _json_line(formatter, record):
    import json
    import logging
    import traceback

    error_type, error, trace = record.exc_info or (None, None, None)
    whole = isinstance(record.msg, dict) and not record.args
    line = {
        "timestamp": formatter.formatTime(record, formatter.datefmt),
        "level": logging.getLevelName(_rounded(record.levelno)),
        "message": record.msg if whole else record.getMessage(),
        "logger": record.name,
        "stackTrace": traceback.format_tb(trace) if error_type else None,
        "errorType": error_type.__name__ if error_type else None,
        "errorMessage": str(error) if error_type else None,
        "requestId": record.aws_request_id,
        "location": "%s:%s:%s" % (record.pathname, record.funcName, record.lineno) if error_type else None,
        "tenantId": record.tenant_id,
    }
    for name, value in record.__dict__.items():
        if name not in _OWN_MEMBERS and name not in line:
            line[name] = value
    line = {name: value for name, value in line.items() if value is not None}
    return json.dumps(line, ensure_ascii=False, default=str) + "\n"
