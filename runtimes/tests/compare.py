"""Makes what two clients did comparable: times, addresses and the clients' own frames out, everything else stays."""

import base64
import json
import re

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


def text(value):
    return ADDRESS.sub("0xADDRESS", TIME.sub("TIME", value))


def answers(outcome, clean_body):
    """(path, content type, body) of each answer, and of a streamed one (mode, announced and sent trailers). JSON is
    compared as a value."""
    result = []
    for answer in outcome.answers:
        try:
            body = clean_body(json.loads(answer.body))
        except ValueError:
            body = answer.body
        error = answer.path.endswith("error")
        # What the official clients say about the type of an error document differs among themselves.
        kind = "error" if error else answer.headers.get("content-type")
        mode = answer.headers.get("lambda-runtime-function-response-mode")
        result.append((answer.path, kind, body) + ((mode, trailers(answer, clean_body)) if mode else ()))
    return result


def trailers(answer, clean_body):
    found = dict(answer.trailers)
    if "lambda-runtime-function-error-body" in found:
        document = json.loads(base64.b64decode(found["lambda-runtime-function-error-body"]))
        found["lambda-runtime-function-error-body"] = clean_body(document)
    return found
