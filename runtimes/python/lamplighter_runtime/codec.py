"""Events in, results out: JSON through the interpreter's own C scanner and encoder.

The `json` package stands around those two with regular expressions that cost a good part of a cold start, so it is
loaded only for the text of an error. Results are encoded as AWS does: a Decimal as its digits, a NaN as NaN, a named
tuple as an object, bytes inside a result as text, and text outside ASCII as it is from Python 3.12 on and escaped
before.
"""

import os
import sys

try:
    from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner
except ImportError:  # An interpreter built without the accelerator: slower, not wrong.
    make_scanner = make_encoder = None

_OLD_RUNTIMES = ("AWS_Lambda_python3.10", "AWS_Lambda_python3.11")
_THIS_RUNTIME = "AWS_Lambda_python%d.%d" % sys.version_info[:2]
_JSON = b"application/json"
_BINARY = b"application/unknown"


def settle(environ):
    """Takes what depends on the function. Called before the first event."""
    global _ASCII, _DIGITS
    _ASCII = environ.get("AWS_EXECUTION_ENV", _THIS_RUNTIME) in _OLD_RUNTIMES
    # Marks the digits of a Decimal on their way through the encoder. Random: no text of a function can hold it.
    _DIGITS = os.urandom(12).hex() + ":"


settle({})


class _ScannerSettings:
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}.__getitem__
    memo = {}


_scan = make_scanner(_ScannerSettings) if make_scanner else None


def decode_json(text):
    """The value of a JSON text (str). Raises ValueError as json.loads does."""
    if _scan is not None:
        try:
            stripped = text.strip(" \t\n\r")
            value, end = _scan(stripped, 0)
            if end == len(stripped):
                return value
        except (StopIteration, ValueError, SystemError):
            # Without `json` loaded, the scanner of some versions cannot even make its error (SystemError).
            pass
    import json

    return json.loads(text)


def decode_event(body, content_type):
    """The event as the handler gets it: decoded, or the bytes themselves if they are not JSON."""
    if content_type is not None and content_type != _JSON:
        return bytes(body)
    try:
        return decode_json(body.decode("utf-8"))
    except Exception as error:
        from . import Fault

        raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error)


def encode_result(result):
    """What a handler returned, as (payload, content type)."""
    if isinstance(result, bytes):
        return result, _BINARY
    try:
        if _named_tuples_exist() and _holds_named_tuple(result):
            result = _as_objects(result)
        return _encode(result, _ASCII).encode("utf-8"), _JSON
    except Exception as error:
        from . import Fault

        raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % error)


def encode_error(report):
    """An error report, as bytes. Text that is no valid Unicode (a lone surrogate) is escaped."""
    return _encode(report, _ASCII).encode("utf-8", "backslashreplace")


def encode_ascii(value):
    """JSON that is fit for a header."""
    return _encode(value, True).encode("ascii")


def _encode(value, ascii_only):
    if make_encoder is None:
        import json

        text = json.dumps(value, default=_default, ensure_ascii=ascii_only)
    else:
        strings = encode_basestring_ascii if ascii_only else encode_basestring
        encode = make_encoder({}, _default, strings, None, ": ", ", ", False, False, True)
        text = "".join(encode(value, 0))
    return _unmark(text) if _DIGITS in text else text


def _default(value):
    decimal = sys.modules.get("decimal")
    if decimal is not None and isinstance(value, decimal.Decimal):
        return float("nan") if value.is_nan() else _DIGITS + str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8")
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


def _unmark(text):
    first, *rest = text.split('"' + _DIGITS)
    out = [first]
    for part in rest:
        digits, _, after = part.partition('"')
        out += (digits, after)
    return "".join(out)


# The C encoder writes every tuple as an array. Only a program that has defined a named tuple can return one, so only
# such a program pays for the search.
_tuple_classes = 0
_named_tuples = False


def _named_tuples_exist():
    global _tuple_classes, _named_tuples
    classes = tuple.__subclasses__()
    if len(classes) != _tuple_classes:
        _tuple_classes = len(classes)
        own = sys.stdlib_module_names
        _named_tuples = any(
            hasattr(each, "_asdict") and each.__module__.partition(".")[0] not in own for each in classes
        )
    return _named_tuples


def _holds_named_tuple(value):
    try:
        return _search(value)
    except RecursionError:  # A cycle, most likely: the encoder says so.
        return False


def _search(value):
    if isinstance(value, dict):
        return any(map(_search, value.values()))
    if isinstance(value, (list, tuple)):
        return (isinstance(value, tuple) and hasattr(value, "_asdict")) or any(map(_search, value))
    return False


def _as_objects(value):
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: _as_objects(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_objects(inner) for inner in value]
    return value
