"""Ships what was ordered. Orders that fail are named, so that only they come again."""
import json

STOCK = {"lamp": 40, "oil": 500, "wick": 1000}


def ship(order):
    for item in order["items"]:
        if not item.get("download"):
            STOCK[item["article"]] -= item["pieces"]
    print(f"order {order['id']} shipped to {order['customer']}")


def handler(event, context):
    failures, error = [], None
    for record in event["Records"]:
        try:
            ship(json.loads(record["body"]))
        except Exception as failed:
            error = failed
            print(f"message {record['messageId']}, receive {record['attributes']['ApproximateReceiveCount']}: {failed!r}")
            failures.append({"itemIdentifier": record["messageId"]})
    if len(failures) == len(event["Records"]):
        raise error  # the whole batch failed: say why
    return {"batchItemFailures": failures}
