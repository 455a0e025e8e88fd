// Queues and topics through the JavaScript SDK v3; prints what it saw as JSON. The SDK itself compares the MD5 sums.
const sqs = require("@aws-sdk/client-sqs");
const sns = require("@aws-sdk/client-sns");

const [name] = process.argv.slice(2);
const queues = new sqs.SQSClient({});
const topics = new sns.SNSClient({});

const receive = async (QueueUrl, more = {}) => (await queues.send(new sqs.ReceiveMessageCommand({
  QueueUrl, WaitTimeSeconds: 5, MaxNumberOfMessages: 10, ...more,
}))).Messages ?? [];
const failure = (command, client = queues) => client.send(command).then(() => "no error", (problem) => problem.name);

async function plain() {
  const { QueueUrl } = await queues.send(new sqs.CreateQueueCommand({ QueueName: name, Attributes: { DelaySeconds: "0" } }));
  const again = await queues.send(new sqs.GetQueueUrlCommand({ QueueName: name }));
  await queues.send(new sqs.SendMessageCommand({
    QueueUrl, MessageBody: "grüße 🙂",
    MessageAttributes: {
      text: { DataType: "String", StringValue: "ü" },
      number: { DataType: "Number.int", StringValue: "5" },
      bytes: { DataType: "Binary", BinaryValue: new Uint8Array([0, 1, 255]) },
    },
  }));
  const [message] = await receive(QueueUrl, { MessageAttributeNames: ["All"], MessageSystemAttributeNames: ["All"] });
  await queues.send(new sqs.ChangeMessageVisibilityCommand({
    QueueUrl, ReceiptHandle: message.ReceiptHandle, VisibilityTimeout: 0,
  }));
  const [second] = await receive(QueueUrl, { MessageSystemAttributeNames: ["ApproximateReceiveCount"] });
  await queues.send(new sqs.DeleteMessageCommand({ QueueUrl, ReceiptHandle: second.ReceiptHandle }));
  const batch = await queues.send(new sqs.SendMessageBatchCommand({
    QueueUrl, Entries: [{ Id: "good", MessageBody: "1" }, { Id: "bad", MessageBody: "\u0001" }],
  }));
  const [last] = await receive(QueueUrl);
  const deleted = await queues.send(new sqs.DeleteMessageBatchCommand({
    QueueUrl, Entries: [{ Id: "a", ReceiptHandle: last.ReceiptHandle }, { Id: "b", ReceiptHandle: "no handle" }],
  }));
  return {
    sameUrl: again.QueueUrl === QueueUrl,
    body: message.Body,
    attributes: Object.keys(message.MessageAttributes).sort(),
    bytes: Array.from(message.MessageAttributes.bytes.BinaryValue),
    receives: [message.Attributes.ApproximateReceiveCount, second.Attributes.ApproximateReceiveCount],
    batch: [batch.Successful.map((entry) => entry.Id), batch.Failed.map((entry) => entry.Code)],
    deleted: [deleted.Successful.map((entry) => entry.Id), deleted.Failed.map((entry) => entry.Code)],
    twice: await failure(new sqs.SendMessageBatchCommand({
      QueueUrl, Entries: [{ Id: "a", MessageBody: "1" }, { Id: "a", MessageBody: "2" }],
    })),
    handle: await failure(new sqs.DeleteMessageCommand({ QueueUrl, ReceiptHandle: "no handle" })),
    missing: await failure(new sqs.GetQueueUrlCommand({ QueueName: `${name}-missing` })),
  };
}

async function fifo() {
  const QueueName = `${name}.fifo`;
  const { QueueUrl } = await queues.send(new sqs.CreateQueueCommand({
    QueueName, Attributes: { FifoQueue: "true", ContentBasedDeduplication: "true" },
  }));
  for (const MessageBody of ["1", "2", "2", "3"]) {
    await queues.send(new sqs.SendMessageCommand({ QueueUrl, MessageBody, MessageGroupId: "g" }));
  }
  return (await receive(QueueUrl)).map((message) => message.Body);
}

async function fanOut() {
  const { TopicArn } = await topics.send(new sns.CreateTopicCommand({ Name: name }));
  const account = TopicArn.split(":")[4];
  const QueueName = `${name}-reader`;
  const { QueueUrl } = await queues.send(new sqs.CreateQueueCommand({
    QueueName,
    Attributes: {
      Policy: JSON.stringify({
        Version: "2012-10-17",
        Statement: [{
          Effect: "Allow", Principal: { Service: "sns.amazonaws.com" }, Action: "sqs:SendMessage", Resource: "*",
          Condition: { ArnEquals: { "aws:SourceArn": TopicArn } },
        }],
      }),
    },
  }));
  await topics.send(new sns.SubscribeCommand({
    TopicArn, Protocol: "sqs", Endpoint: `arn:aws:sqs:us-east-1:${account}:${QueueName}`,
    Attributes: { FilterPolicy: JSON.stringify({ kind: ["wanted"] }) },
  }));
  const publish = (Message, kind) => topics.send(new sns.PublishCommand({
    TopicArn, Message, Subject: "news", MessageAttributes: { kind: { DataType: "String", StringValue: kind } },
  }));
  await publish("no", "other");
  const { MessageId } = await publish("yes", "wanted");
  const [message] = await receive(QueueUrl);
  const notification = JSON.parse(message.Body);
  return {
    type: notification.Type, message: notification.Message, subject: notification.Subject,
    sameId: notification.MessageId === MessageId, attribute: notification.MessageAttributes.kind.Value,
    missing: await failure(new sns.PublishCommand({ TopicArn: `${TopicArn}-missing`, Message: "x" }), topics),
  };
}

async function main() {
  console.log(JSON.stringify({ plain: await plain(), fifo: await fifo(), fanOut: await fanOut() }));
}

main().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
