import boto3

BEFORE = boto3.DEFAULT_SESSION


def handler(event, context):
    clients = [boto3.client(name) for name in ("s3", "dynamodb", "sqs", "ec2", "s3")]
    second = boto3.session.Session(region_name="us-west-2").client("s3")
    credentials = boto3.DEFAULT_SESSION.get_credentials().get_frozen_credentials()
    url = second.generate_presigned_url("get_object", {"Bucket": "b", "Key": "k"}, ExpiresIn=1)
    return {
        "default_session": BEFORE,
        "keys": list(credentials)[:3],
        "endpoints": [client.meta.endpoint_url for client in clients + [second]],
        "regions": [client.meta.region_name for client in clients + [second]],
        "operations": [len(client.meta.service_model.operation_names) for client in clients + [second]],
        "same": clients[0].meta.service_model is clients[4].meta.service_model,
        "own": clients[0].meta.service_model.metadata is second.meta.service_model.metadata,
        "url": url.split("?")[0],
        "table": boto3.resource("dynamodb").Table("t").name,
        "paginators": clients[0].can_paginate("list_objects_v2"),
        "waiters": clients[0].waiter_names,
    }
