// A worker built with sqs-consumer; prints what it handled as JSON once it has handled everything.
const { SQSClient } = require("@aws-sdk/client-sqs");
const { Consumer } = require("sqs-consumer");

const [queueUrl, count] = process.argv.slice(2);
const handled = [];
const failures = [];
const failedOnce = new Set();
const consumer = Consumer.create({
  queueUrl,
  sqs: new SQSClient({}),
  batchSize: 10,
  waitTimeSeconds: 1,
  visibilityTimeout: 30,
  heartbeatInterval: 5,
  terminateVisibilityTimeout: true,
  messageAttributeNames: ["All"],
  handleMessage: async (message) => {
    if (message.Body === "fails once" && !failedOnce.has(message.MessageId)) {
      failedOnce.add(message.MessageId);
      throw new Error("the first time");
    }
    handled.push([message.Body, message.MessageAttributes?.kind?.StringValue ?? null]);
    return message;
  },
});
consumer.on("processing_error", (problem) => failures.push(problem.message));
consumer.on("error", (problem) => {
  console.error(problem);
  process.exit(1);
});
consumer.on("empty", () => {
  if (handled.length >= Number(count)) consumer.stop();
});
consumer.on("stopped", () => console.log(JSON.stringify({ handled, failures })));
consumer.start();
