// A function that uses Powertools as their documentation does. The event says which part.
const { Logger } = require('@aws-lambda-powertools/logger');
const { Metrics, MetricUnit } = require('@aws-lambda-powertools/metrics');
const { Tracer } = require('@aws-lambda-powertools/tracer');
const { BatchProcessor, EventType, processPartialResponse } = require('@aws-lambda-powertools/batch');
const { makeIdempotent, IdempotencyConfig, IdempotencyRecordStatus } = require('@aws-lambda-powertools/idempotency');
const { BasePersistenceLayer, IdempotencyRecord } = require('@aws-lambda-powertools/idempotency/persistence');
const {
  IdempotencyItemAlreadyExistsError,
  IdempotencyItemNotFoundError,
} = require('@aws-lambda-powertools/idempotency');

const logger = new Logger({ serviceName: 'shop', logLevel: 'INFO' });
const metrics = new Metrics({ namespace: 'Shop', serviceName: 'shop' });
const tracer = new Tracer({ serviceName: 'shop' });
const processor = new BatchProcessor(EventType.SQS);

// Keeps records in memory: enough to see the wrapper at work without DynamoDB.
class MemoryLayer extends BasePersistenceLayer {
  #records = new Map();

  async _getRecord(key) {
    const known = this.#records.get(key);
    if (!known) throw new IdempotencyItemNotFoundError();
    return new IdempotencyRecord(known);
  }

  async _putRecord(record) {
    if (this.#records.has(record.idempotencyKey)) {
      throw new IdempotencyItemAlreadyExistsError('already there', new IdempotencyRecord(this.#records.get(record.idempotencyKey)));
    }
    this.#keep(record, IdempotencyRecordStatus.INPROGRESS);
  }

  async _updateRecord(record) {
    this.#keep(record, IdempotencyRecordStatus.COMPLETED);
  }

  async _deleteRecord(record) {
    this.#records.delete(record.idempotencyKey);
  }

  #keep(record, status) {
    const { idempotencyKey, expiryTimestamp, responseData } = record;
    this.#records.set(idempotencyKey, { idempotencyKey, expiryTimestamp, responseData, status });
  }
}

let runs = 0;
const pay = makeIdempotent(
  async (order) => ({ paid: order.id, run: ++runs }),
  { persistenceStore: new MemoryLayer(), config: new IdempotencyConfig({ eventKeyJmesPath: 'id' }) });

const recordHandler = async (record) => {
  if (JSON.parse(record.body).bad) throw new Error('a bad record');
};

exports.handler = async (event, context) => {
  logger.addContext(context);
  logger.setCorrelationId(event.requestContext?.requestId);
  switch (event.do) {
    case 'log':
      logger.appendKeys({ order: 'o1' });
      logger.info('paid', { amount: 5 });
      logger.error('failed', new RangeError('none'));
      return 'logged';
    case 'metric':
      metrics.captureColdStartMetric();
      metrics.addDimension('shop', 'corner');
      metrics.addMetric('Paid', MetricUnit.Count, 2);
      metrics.publishStoredMetrics();
      return 'counted';
    case 'trace': {
      const segment = tracer.getSegment();
      const part = segment.addNewSubsegment('## priced');
      tracer.setSegment(part);
      tracer.putAnnotation('item', 'book');
      part.close();
      tracer.setSegment(segment);
      return { item: 'book', trace: process.env._X_AMZN_TRACE_ID, disabled: !tracer.isTracingEnabled() };
    }
    case 'batch':
      return processPartialResponse(event, recordHandler, processor, { context });
    case 'pay':
      return pay(event.order, context);
    default:
      throw new Error(event.do);
  }
};
