"""Handlers for the comparison of runtime clients. Each shows one behaviour."""

import logging
import os
import sys

calls = []


def echo(event, context):
    return event


def context_members(event, context):
    client = context.client_context
    return {
        "function_name": context.function_name,
        "function_version": context.function_version,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "request": context.aws_request_id,
        "group": context.log_group_name,
        "stream": context.log_stream_name,
        "identity": [context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id],
        "tenant": context.tenant_id,
        "custom": client and client.custom,
        "env": client and client.env,
        "client": client and client.client and [client.client.installation_id, client.client.app_title],
        "w3c": context.w3c(),
        "remaining": 0 < context.get_remaining_time_in_millis() <= 3000,
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
        "repr": repr(context).split("client_context=")[0],
    }


def client_repr(event, context):
    return [repr(context.client_context), repr(context.identity), repr(context.client_context.client)]


def environment(event, context):
    return {
        "telemetry": os.environ.get("_LAMBDA_TELEMETRY_LOG_FD"),
        "first": os.path.basename(sys.path[0]),
        "cwd": os.path.basename(os.getcwd()),
    }


def nothing(event, context):
    pass


def unicode(event, context):
    return {"text": "grüße \u2603 \U0001f600", "lone": "\ud800" if event == "lone" else ""}


def decimals(event, context):
    from decimal import Decimal

    return {"a": Decimal("1.10"), "b": [Decimal("-3"), Decimal("NaN"), float("nan"), float("inf")], "c": 'x"1.5"'}


def numbers(event, context):
    return [1, 1.0, 1e100, -0.0, 12345678901234567890123, True, None, {1: "one", None: "none", True: "true", 1.5: 2}]


def tuples(event, context):
    return ((1, 2), {"inner": (3, ())})


def named_tuples(event, context):
    from collections import OrderedDict, namedtuple

    point = namedtuple("Point", "x y")
    return {"p": point(1, [point(2, 3)]), "o": OrderedDict(z=1, a=(point(4, 5), 6)), "plain": (1, 2)}


def raw_bytes(event, context):
    return b"\x00\x01raw"


def inner_bytes(event, context):
    return {"bytes": b"text"}


def a_set(event, context):
    return {1, 2}


def an_object(event, context):
    return object()


def bad_key(event, context):
    return {(1, 2): 3}


def circular(event, context):
    value = []
    value.append(value)
    return value


def printing(event, context):
    print("to stdout", event)
    print("to stderr", file=sys.stderr)
    print("two\nlines")
    sys.stdout.write("no newline|")
    return None


def logging_levels(event, context):
    logger = logging.getLogger("mine")
    logger.setLevel(logging.DEBUG)
    logger.debug("d %s", 1)
    logger.info("i")
    logger.warning("w\nsecond line")
    logger.error("e ü")
    logger.critical("c")
    logger.log(35, "odd level")
    logging.getLogger().info("root info")


def logging_exception(event, context):
    try:
        raise KeyError("inside")
    except KeyError:
        logging.exception("caught")


def logging_extra(event, context):
    logging.warning("with extra", extra={"order": 7, "odd": {1}})
    logging.warning({"a": "dictionary", "n": 1})
    logging.getLogger("mine").warning("%(x)s and more", {"x": "mapped"})


def logging_twice(event, context):
    logging.basicConfig(level=logging.INFO, format="never seen %(message)s")
    logging.getLogger().setLevel("INFO")
    logging.info("once")


def context_log(event, context):
    context.log("logged by context\n")
    context.log(42)


def raises(event, context):
    raise ValueError("bad value %s" % event)


class CustomError(Exception):
    def __str__(self):
        return "custom: " + str(self.args)


def raises_custom(event, context):
    def inner():
        raise CustomError(1, "two")

    inner()


def raises_multiline(event, context):
    raise RuntimeError("first\n  second\nthird")


def raises_chained(event, context):
    try:
        {}["missing"]
    except KeyError as error:
        raise RuntimeError("outer") from error


def raises_empty(event, context):
    raise Exception()


def raises_unicode(event, context):
    raise ValueError("grüße \u2603")


def raises_in_library(event, context):
    import json

    return json.loads("{")


def wrong_arity():
    pass


def state(event, context):
    calls.append(event)
    return len(calls)


class Callable:
    def __call__(self, event, context):
        return "called " + str(event)


instance = Callable()
not_callable = 42


def exits(event, context):
    print("before the end")
    sys.exit(event)


def hard_exit(event, context):
    print("before the hard end")
    os._exit(7)


def interrupted(event, context):
    raise KeyboardInterrupt()


def threads(event, context):
    import threading

    result = []
    thread = threading.Thread(target=lambda: (print("in a thread"), result.append(event)))
    thread.start()
    thread.join()
    return result


def subprocess_output(event, context):
    import subprocess

    print("parent")
    subprocess.run(["/bin/echo", "child"], check=True)


def generator(event, context):
    yield 1


async def coroutine(event, context):
    return 1
