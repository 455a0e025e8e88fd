import logging

logging.getLogger().setLevel("INFO")
logging.info("at load")

def handler(event, context):
    logging.info("in handler")
    return __name__
