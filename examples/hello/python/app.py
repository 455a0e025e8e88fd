"""A function is a module with a handler. What stands outside the handler runs once per environment."""
import os

CALLS = 0


def handler(event, context):
    global CALLS
    CALLS += 1
    print(f"call {CALLS} of this environment")
    return {
        "message": f"{os.environ['GREETING']}, {event.get('name', 'world')}!",
        "function": context.function_name,
        "request_id": context.aws_request_id,
    }
