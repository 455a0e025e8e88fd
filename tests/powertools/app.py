"""A function that uses Powertools as their documentation does. The event says which part."""
import json
import os

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent_function
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyItemAlreadyExistsError,
    IdempotencyItemNotFoundError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.base import BasePersistenceLayer
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord

logger = Logger(service="shop")
metrics = Metrics(namespace="Shop", service="shop")
tracer = Tracer(service="shop")
processor = BatchProcessor(event_type=EventType.SQS)


class FileLayer(BasePersistenceLayer):
    """Keeps records in a file of the environment: enough to see the decorator at work without DynamoDB."""

    PATH = "/tmp/idempotency.json"

    def _load(self):
        try:
            with open(self.PATH) as file:
                return json.load(file)
        except FileNotFoundError:
            return {}

    def _store(self, record, known=None):
        known = self._load() if known is None else known
        known[record.idempotency_key] = [record.status, record.expiry_timestamp, record.response_data]
        with open(self.PATH, "w") as file:
            json.dump(known, file)

    def _get_record(self, idempotency_key):
        known = self._load()
        if idempotency_key not in known:
            raise IdempotencyItemNotFoundError
        status, expiry, data = known[idempotency_key]
        return DataRecord(
            idempotency_key=idempotency_key, status=status, expiry_timestamp=expiry, response_data=data or "")

    def _put_record(self, data_record):
        known = self._load()
        if data_record.idempotency_key in known:
            raise IdempotencyItemAlreadyExistsError
        self._store(data_record, known)

    def _update_record(self, data_record):
        self._store(data_record)

    def _delete_record(self, data_record):
        known = self._load()
        known.pop(data_record.idempotency_key, None)
        with open(self.PATH, "w") as file:
            json.dump(known, file)


runs = [0]


@idempotent_function(
    data_keyword_argument="order", config=IdempotencyConfig(event_key_jmespath="id"), persistence_store=FileLayer())
def pay(order):
    runs[0] += 1
    return {"paid": order["id"], "run": runs[0]}


@tracer.capture_method
def priced(item):
    tracer.put_annotation(key="item", value=item)
    return {"item": item, "price": 5}


def record_handler(record):
    body = json.loads(record.body)
    if body.get("bad"):
        raise ValueError("a bad record")
    return body


@logger.inject_lambda_context(correlation_id_path="requestContext.requestId", log_event=False)
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event, context):
    if event["do"] == "log":
        logger.append_keys(order="o1")
        logger.info("paid", extra={"amount": 5})
        try:
            raise KeyError("none")
        except KeyError:
            logger.exception("failed")
        return "logged"
    if event["do"] == "metric":
        metrics.add_metric(name="Paid", unit=MetricUnit.Count, value=2)
        metrics.add_dimension(name="shop", value="corner")
        return "counted"
    if event["do"] == "trace":
        return {**priced("book"), "trace": os.environ.get("_X_AMZN_TRACE_ID"), "disabled": tracer.disabled}
    if event["do"] == "batch":
        return process_partial_response(event, record_handler, processor, context)
    if event["do"] == "pay":
        return pay(order=event["order"])
    raise ValueError(event["do"])
