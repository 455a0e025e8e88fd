"""Is told of what the intake could not take."""


def handler(record, context):
    print(f"not an order: {record['requestPayload']}: {record['responsePayload']['errorMessage']}")
