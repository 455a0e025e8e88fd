import time


def handler(event, context):
    started = time.time_ns()
    for record in event["Records"]:
        # The sender wrote when it sent, by the same clock.
        print(f"LATENCY {started - int(record['body'])}")
