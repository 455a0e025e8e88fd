"""A rehearsal with the AWS SDK for an image: what the first client of a process loads is loaded, and stays.

The SDK parses the descriptions of services, which takes most of the time that a first client takes. What is parsed
here is handed to whoever asks for it first, once: nobody shares it, and a second session reads its own, as ever.

Nothing else of the rehearsal stays: it has a session of its own, with made-up keys, and sends nothing.
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
        import botocore.loaders
    except ImportError:
        return None
    loaded = _Loaded(botocore.loaders.JSONFileLoader)
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
    loaded.hand_out()
    return boto3.__version__


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


class _Loaded:
    """Remembers what a class of the SDK loads from files."""

    def __init__(self, loader):
        self._loader = loader
        self._load = load = loader.load_file
        self._data = data = {}

        def load_file(self, file_path):
            value = data[file_path] = load(self, file_path)
            return value

        loader.load_file = load_file

    def hand_out(self):
        """From now on each is given to the first who asks, instead of loading it again."""
        load, take = self._load, self._data.pop

        def load_file(self, file_path):
            value = take(file_path, None)
            return load(self, file_path) if value is None else value

        load_file.__doc__, load_file.__qualname__ = load.__doc__, load.__qualname__
        load_file.__module__ = load.__module__
        self._loader.load_file = load_file
