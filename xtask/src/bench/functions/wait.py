import time


def handler(event, context):
    time.sleep(0.001)
    return {"message": "Hello, " + event["name"] + "!"}
