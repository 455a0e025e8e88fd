"""Errors as AWS reports them: the document that is posted, the cause for tracing, and the text in the log.

Loaded at the first error, not before.

Defined by: https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
"""

import os
import time
import traceback

from . import RUNTIME_DIR, Fault, codec, logs

_NO_BREAK_SPACE = "\u00a0"


def of_initialisation(error):
    """The report of an error before the first event."""
    if isinstance(error, Fault):
        return _report(error.message, error.kind, error.trace, None)
    return _report(str(error), type(error).__name__, traceback.format_list(_frames(error)), None)


def of_invocation(error, request_id):
    """The report of an error while an event was served, and its cause (bytes fit for a header)."""
    if isinstance(error, Fault):
        report = _report(error.message, error.kind, error.trace, request_id)
        return report, _cause(error.message, "LambdaValidationError", [])
    frames = _frames(error)
    message, kind = str(error), type(error).__name__
    return _report(message, kind, traceback.format_list(frames), request_id), _cause(message, kind, frames)


def log(report):
    """Writes a report to the function's log, as one event."""
    if logs.JSON_FORMAT:
        now = time.strftime(logs.DATE_FORMAT, time.gmtime())
        logs.write_error(codec.encode_error({"timestamp": now, "level": "ERROR", **report}).decode())
        return
    first = "[ERROR]"
    if report["errorType"]:
        first += " " + report["errorType"]
    if report["errorMessage"]:
        first += (": " if report["errorType"] else " ") + report["errorMessage"]
    lines = [first, "Traceback (most recent call last):"]
    for entry in report["stackTrace"]:
        lines.extend(_indented(line) for line in entry.splitlines() or [""])
    # Without frames around a log event, a line feed would end it: a carriage return does not.
    logs.write_error(("\n" if logs.framed() else "\r").join(lines))


def _report(message, kind, trace, request_id):
    return {"errorMessage": message, "errorType": kind, "requestId": request_id or "", "stackTrace": trace or []}


def _frames(error):
    """(file, line, function, source) of the user's frames: those of this client are left out at the start."""
    frames = [
        (frame.filename, frame.lineno, frame.name, frame.line) for frame in traceback.extract_tb(error.__traceback__)
    ]
    own = RUNTIME_DIR + os.sep
    for index, frame in enumerate(frames):
        if not frame[0].startswith(own):
            return frames[index:]
    return frames


def _cause(message, kind, frames):
    stack = [{"label": name, "path": path, "line": line} for path, line, name, _ in frames]
    return codec.encode_ascii(
        {
            "working_directory": os.getcwd(),
            "exceptions": [{"message": message, "type": kind, "stack": stack}],
            "paths": sorted({frame[0] for frame in frames}),
        }
    )


def _indented(line):
    """A console that trims lines would eat blanks at their start."""
    text = line.lstrip(" ")
    return _NO_BREAK_SPACE * (len(line) - len(text)) + text
