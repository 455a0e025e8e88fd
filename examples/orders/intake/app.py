"""Takes an order, checks it, and tells everybody who listens."""
import json
import os

import boto3

# Region, credentials and the platform's address are in the environment, as on AWS.
sns = boto3.client("sns")


def handler(order, context):
    missing = [name for name in ("id", "customer", "items") if not order.get(name)]
    if missing:
        raise ValueError(f"an order needs {', '.join(missing)}")
    kind = "goods" if any(not item.get("download") for item in order["items"]) else "download"
    published = sns.publish(
        TopicArn=os.environ["TOPIC_ARN"],
        Message=json.dumps(order),
        MessageGroupId=order["customer"],
        MessageAttributes={"kind": {"DataType": "String", "StringValue": kind}},
    )
    print(f"order {order['id']} of {order['customer']} accepted: {kind}")
    return {"order": order["id"], "kind": kind, "message": published["MessageId"]}
