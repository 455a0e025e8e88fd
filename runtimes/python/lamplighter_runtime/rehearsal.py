"""A rehearsal with the AWS SDK for an image: what the first client of a process loads is loaded, and stays.

The SDK parses the descriptions of services, which takes most of the time that a first client takes. What is parsed
here is handed to whoever asks for it first, once: nobody shares it, and a second session reads its own, as ever.

Of the rehearsal itself nothing stays: it has a session of its own, with made-up keys, and sends nothing.
"""

# Described so that a first client finds it. Others are read when they are asked for.
SERVICES = (
    "cloudwatch dynamodb events firehose kinesis kms lambda logs s3 secretsmanager sns sqs ssm stepfunctions sts"
).split()
# A client of each is made: one for each protocol, and those with ways of their own.
ACTORS = "s3 dynamodb sqs sts lambda".split()


def sdk():
    """Loads the SDK; its version, or None if the host has none."""
    try:
        import boto3
    except ImportError:
        return None
    memory = _Memory()
    session = boto3.session.Session(
        aws_access_key_id="rehearsal", aws_secret_access_key="rehearsal", region_name="us-east-1"
    )
    known = set(session.get_available_services())
    for name in ACTORS:
        if name in known:
            client = session.client(name, endpoint_url="http://localhost:9")
            _act(client, name)
    for name in session.get_available_resources():
        if name in ("s3", "dynamodb"):
            session.resource(name, endpoint_url="http://localhost:9")
    loader = session._session.get_component("data_loader")
    for name in SERVICES:
        if name in known:
            for kind in ("service-2", "paginators-1", "waiters-2", "endpoint-rule-set-1"):
                try:
                    loader.load_service_model(name, kind)
                except Exception:
                    # Not every service has each.
                    pass
    memory.recording = False
    return boto3.__version__


def first_client():
    """What a function does first with the SDK."""
    import boto3

    boto3.client("s3", region_name="us-east-1", aws_access_key_id="rehearsal", aws_secret_access_key="rehearsal")


def when_first_used(prepare):
    """Calls `prepare` once, before the first session."""
    from botocore.session import Session

    plain = Session.__init__

    def __init__(self, *arguments, **named):
        Session.__init__ = plain
        prepare()
        plain(self, *arguments, **named)

    Session.__init__ = __init__


def _act(client, name):
    """A call that is answered on the spot."""
    from botocore.awsrequest import AWSResponse

    class Answer:
        def stream(self, *_, **__):
            return iter(())

    call = {"s3": "list_buckets", "dynamodb": "list_tables", "sqs": "list_queues", "sts": "get_caller_identity"}.get(name)
    if call is None:
        return
    kind, body = {
        "s3": ("application/xml", b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>"),
        "dynamodb": ("application/x-amz-json-1.0", b'{"TableNames": []}'),
        "sqs": ("application/x-amz-json-1.0", b"{}"),
        "sts": (
            "text/xml",
            b"<GetCallerIdentityResponse><GetCallerIdentityResult/><ResponseMetadata><RequestId>1</RequestId>"
            b"</ResponseMetadata></GetCallerIdentityResponse>",
        ),
    }[name]

    def answer(request, **_):
        response = AWSResponse(request.url, 200, {"Content-Type": kind}, Answer())
        response._content = body
        return response

    client.meta.events.register("before-send.*.*", answer)
    getattr(client, call)()


class _Memory:
    """Remembers what the SDK finds out in the rehearsal and would find out again.

    What is on disk and what follows from code alone: descriptions, the list of services, other names of events, whether
    a handler takes any argument. Never anything that depends on the environment. Whoever listens to the SDK's log
    (level DEBUG) gets everything done as ever.
    """

    def __init__(self):
        self.recording = True
        for patch in (self._files, self._services, self._aliases, self._handlers):
            try:
                patch()
            except (ImportError, AttributeError):
                # Another version of the SDK: it takes its time.
                pass

    def _replace(self, owner, name, make):
        plain = getattr(owner, name)
        new = make(plain)
        new.__name__, new.__qualname__, new.__module__ = plain.__name__, plain.__qualname__, plain.__module__
        new.__doc__ = plain.__doc__
        setattr(owner, name, new)

    def _files(self):
        from botocore.loaders import JSONFileLoader, logger

        data = {}

        def make(plain):
            def load_file(self_, file_path):
                if self.recording:
                    value = data[file_path] = plain(self_, file_path)
                    return value
                # Given away once: nobody shares it.
                value = data.pop(file_path, None)
                return plain(self_, file_path) if value is None or logger.isEnabledFor(10) else value

            return load_file

        self._replace(JSONFileLoader, "load_file", make)

    def _services(self):
        import os

        from botocore.loaders import Loader

        known = {}

        def make(plain):
            def list_available_services(self_, type_name):
                # Where there are further places, what is known of the SDK's own is of no use.
                key = type_name, *filter(os.path.isdir, self_.search_paths)
                if self.recording:
                    known[key] = tuple(plain(self_, type_name))
                return list(known[key]) if key in known else plain(self_, type_name)

            return list_available_services

        self._replace(Loader, "list_available_services", make)

    def _aliases(self):
        from botocore.hooks import EVENT_ALIASES, EventAliaser, logger

        known, count = {}, len(EVENT_ALIASES)

        def make(plain):
            def _alias_event_name(self_, event_name):
                if self.recording:
                    known[event_name] = plain(self_, event_name)
                elif event_name in known and len(self_._event_aliases) == count and not logger.isEnabledFor(10):
                    return known[event_name]
                return plain(self_, event_name)

            return _alias_event_name

        self._replace(EventAliaser, "_alias_event_name", make)

    def _handlers(self):
        import sys

        from botocore import hooks

        known = {}

        def make(plain):
            def accepts_kwargs(func):
                try:
                    if func in known:
                        return known[func]
                except TypeError:
                    pass
                accepts = plain(func)
                name = getattr(func, "__qualname__", "")
                home = sys.modules.get(getattr(func, "__module__", None))
                if self.recording and getattr(home, name, None) is func:
                    known[func] = accepts
                return accepts

            return accepts_kwargs

        self._replace(hooks, "accepts_kwargs", make)
