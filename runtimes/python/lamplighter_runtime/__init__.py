"""The Python runtime client: loads the handler, then asks the Runtime API for events for ever.

It runs inside a box, on Python 3.10 to 3.14. Cold start counts, so the way to the first event imports only built-in
modules: no http.client, no socket, no logging, no json, no traceback. What is needed for logs and errors is loaded
when the first log line or error comes.

What it is not: it neither limits nor times anything (the platform does), and it does not restart after a crash.

Defined by: https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html and
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import os
import sys

from . import codec, context
from .context import LambdaContext
from .http import RuntimeApi

# The part of sys.path that comes with the runtime: frames of files in it are ours, not the user's.
RUNTIME_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Where the host's AWS SDK is, if the platform was given one for this interpreter; searched last.
SDK_DIR = "/var/lang/lib/python%d.%d/site-packages" % sys.version_info[:2]


class Fault(Exception):
    """An error that the runtime itself found. `kind` becomes the error's type, `trace` its stack trace."""

    def __init__(self, kind, message, trace=None):
        self.kind = kind
        self.message = message
        self.trace = trace


class Current:
    """What log lines need to know about the request being served. None between requests."""

    request_id = None
    tenant_id = None


def main():
    """Runs until the box is killed. Exits with 1 after an error in initialisation."""
    environ = os.environ
    purpose = environ.get("LAMPLIGHTER_IMAGE")
    if purpose is not None and purpose.startswith("generic"):
        from . import image

        # It returns in a restored process only, which goes on as one that has just booted.
        image.make(purpose)
    elif purpose == "snap-start":
        from . import snapshot

        del environ["LAMPLIGHTER_IMAGE"]
        snapshot.begin()
    set_search_path(environ)
    codec.settle(environ)
    context.settle(environ)
    if "lamplighter_runtime.logs" in sys.modules:
        sys.modules["lamplighter_runtime.logs"].settle(environ)
    telemetry_fd = environ.pop("_LAMBDA_TELEMETRY_LOG_FD", None)
    Current.telemetry_fd = int(telemetry_fd) if telemetry_fd else None
    configure_logging_when_imported()
    api = RuntimeApi(environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        handler = load_handler(environ.get("_HANDLER", ""))
    except Exception as error:
        from . import errors

        report = errors.of_initialisation(error)
        errors.log(report)
        api.initialisation_failed(codec.encode_error(report), report["errorType"])
        sys.exit(1)
    if environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        from . import snapshot

        snapshot.go_through(api)
    serve(api, handler)


def set_search_path(environ):
    """The function's own folder first, then the layers. A PYTHONPATH set by the user goes before the layers."""
    version = "python%d.%d" % sys.version_info[:2]
    layers = ["/opt/python/lib/" + version + "/site-packages", "/opt/python"]
    # sys.path[0] is the folder of bootstrap.py; the entries of PYTHONPATH follow it.
    own = sys.path.pop(0)
    user_path = environ.get("PYTHONPATH")
    if user_path == own:
        # The platform's default, as on AWS: no wish of the user's.
        user_path = None
        sys.path.pop(0)
    after = len(user_path.split(":")) if user_path else 0
    sys.path[after:after] = layers + [own]
    sys.path.insert(0, environ.get("LAMBDA_TASK_ROOT", "/var/task"))
    if os.path.isdir(SDK_DIR):
        sys.path.append(SDK_DIR)


def configure_logging_when_imported():
    """Gives the root logger AWS's handler as soon as anybody imports `logging`: who never does, never pays."""
    if "logging" in sys.modules:
        from . import logs

        logs.configure()
    else:
        sys.meta_path.insert(0, LoggingFinder)


class LoggingFinder:
    """A finder that finds nothing itself, but makes sure that `logging` is configured once it has been loaded."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(cls)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        loader, execute = spec.loader, spec.loader.exec_module

        def execute_and_configure(module):
            del loader.exec_module
            execute(module)
            from . import logs

            logs.configure()

        loader.exec_module = execute_and_configure
        return spec


def load_handler(name):
    """The function that `name` ("folder/module.function") stands for."""
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        raise Fault(
            "Runtime.MalformedHandlerName",
            "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % name,
        )
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault(
            "Runtime.BuiltInModuleConflict", "Cannot use built-in module %s as a handler module" % module_name
        )
    try:
        # What importlib.import_module calls; that module itself is not loaded yet at this point.
        module = sys.modules["_frozen_importlib"]._gcd_import(module_name.replace("/", "."))
    except ImportError as error:
        raise Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, error))
    except SyntaxError as error:
        raise Fault(
            "Runtime.UserCodeSyntaxError",
            "Syntax error in module '%s': %s" % (module_name, error),
            ['  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)],
        )
    try:
        return getattr(module, function_name)
    except AttributeError:
        raise Fault("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (function_name, module_name))


def serve(api, handler):
    """Event after event, for ever."""
    environ = os.environ
    headers, body = api.next()
    while True:
        request_id = headers[b"lambda-runtime-aws-request-id"].decode("latin-1")
        tenant_id = headers.get(b"lambda-runtime-aws-tenant-id")
        Current.request_id = request_id
        Current.tenant_id = tenant_id.decode() if tenant_id is not None else None
        trace_id = headers.get(b"lambda-runtime-trace-id")
        if trace_id is not None:
            environ["_X_AMZN_TRACE_ID"] = trace_id.decode("latin-1")
        elif "_X_AMZN_TRACE_ID" in environ:
            del environ["_X_AMZN_TRACE_ID"]
        try:
            payload, content_type = invoke(handler, headers, body)
        except Exception as error:
            from . import errors

            report, cause = errors.of_invocation(error, request_id)
            # A kept error would keep its frames, and all their variables, alive while the box waits.
            del error
            errors.log(report)
            headers, body = api.fail_then_next(request_id, codec.encode_error(report), report["errorType"], cause)
        else:
            headers, body = api.answer_then_next(request_id, payload, content_type)


def invoke(handler, headers, body):
    """One event: (payload, content type). A function of its own, so that nothing of it outlives it."""
    about = LambdaContext(Current.request_id, headers, Current.tenant_id)
    event = codec.decode_event(body, headers.get(b"content-type"))
    return codec.encode_result(handler(event, about))
