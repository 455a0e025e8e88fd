import boto3

client = boto3.client("dynamodb", region_name="us-east-1")


def handler(event, context):
    assert client.meta.region_name == "us-east-1"
    return {"message": "Hello, " + event["name"] + "!"}
