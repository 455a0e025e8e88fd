"""The context object that a handler gets beside its event.

Defined by: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
"""

import time

_W3C_FIELDS = ("traceparent", "tracestate", "baggage")


def settle(environ):
    """Takes what does not change while a box lives. Called before the first event."""
    global _FUNCTION_NAME, _FUNCTION_VERSION, _MEMORY, _LOG_GROUP, _LOG_STREAM
    value = environ.get
    _FUNCTION_NAME = value("AWS_LAMBDA_FUNCTION_NAME")
    _FUNCTION_VERSION = value("AWS_LAMBDA_FUNCTION_VERSION")
    _MEMORY = value("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    _LOG_GROUP = value("AWS_LAMBDA_LOG_GROUP_NAME")
    _LOG_STREAM = value("AWS_LAMBDA_LOG_STREAM_NAME")


settle({})


def _show(instance, names):
    return "%s([%s])" % (type(instance).__name__, ",".join("%s=%s" % (name, getattr(instance, name)) for name in names))


class _Record:
    """A few named members, taken from a mapping; what it lacks is None."""

    __slots__ = ()

    def __init__(self, values):
        for name in self.__slots__:
            setattr(self, name, values.get(name))

    def __repr__(self):
        return _show(self, self.__slots__)


class Client(_Record):
    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


class ClientContext(_Record):
    __slots__ = ("custom", "env", "client")


class CognitoIdentity(_Record):
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")


class LambdaContext:
    def __init__(self, request_id, headers, tenant_id):
        self.aws_request_id = request_id
        self.log_group_name = _LOG_GROUP
        self.log_stream_name = _LOG_STREAM
        self.function_name = _FUNCTION_NAME
        self.memory_limit_in_mb = _MEMORY
        self.function_version = _FUNCTION_VERSION
        arn = headers.get(b"lambda-runtime-invoked-function-arn")
        self.invoked_function_arn = arn.decode() if arn is not None else None
        self.tenant_id = tenant_id
        self._deadline_ms = int(headers.get(b"lambda-runtime-deadline-ms", 0))
        client = headers.get(b"lambda-runtime-client-context")
        client = _parse(client, "Client Context") if client else None
        self._w3c = _take_w3c(client)
        self.client_context = None
        if client is not None:
            self.client_context = ClientContext(client)
            if self.client_context.client is not None:
                self.client_context.client = Client(self.client_context.client)
        identity = headers.get(b"lambda-runtime-cognito-identity")
        identity = _parse(identity, "Cognito Identity") if identity else {}
        self.identity = CognitoIdentity(
            {
                "cognito_identity_id": identity.get("cognitoIdentityId"),
                "cognito_identity_pool_id": identity.get("cognitoIdentityPoolId"),
            }
        )

    def get_remaining_time_in_millis(self):
        """Milliseconds until the platform ends this invocation; never negative."""
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def w3c(self):
        """The W3C trace context of this invocation: traceparent, tracestate and baggage, as far as given."""
        return dict(self._w3c)

    def log(self, message):
        """Writes `message` to the function's log, as it is."""
        from . import logs

        logs.write(str(message))

    def __repr__(self):
        return _show(
            self,
            (
                "aws_request_id",
                "log_group_name",
                "log_stream_name",
                "function_name",
                "memory_limit_in_mb",
                "function_version",
                "invoked_function_arn",
                "client_context",
                "identity",
                "tenant_id",
            ),
        )


def _parse(header, name):
    from . import Fault, codec

    try:
        return codec.decode_json(header.decode("utf-8"))
    except Exception as error:
        raise Fault("Runtime.LambdaContextUnmarshalError", "Unable to parse %s JSON: %s" % (name, error))


def _take_w3c(client):
    fields = client.pop("w3c", None) if isinstance(client, dict) else None
    if not isinstance(fields, dict):
        return {}
    return {name: fields[name] for name in _W3C_FIELDS if isinstance(fields.get(name), str)}
