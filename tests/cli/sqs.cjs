// A queue's life through the JavaScript SDK v3, which sends its requests to the queue's URL; prints what it saw as JSON.
const sqs = require("@aws-sdk/client-sqs");

const [QueueName] = process.argv.slice(2);

async function main() {
  const client = new sqs.SQSClient({});
  const send = (command) => client.send(command);
  const failure = (command) => send(command).then(() => null, (problem) => [problem.name, problem instanceof sqs.SQSServiceException]);

  const { QueueUrl } = await send(new sqs.CreateQueueCommand({ QueueName, Attributes: { VisibilityTimeout: "30" }, tags: { a: "1" } }));
  const found = (await send(new sqs.GetQueueUrlCommand({ QueueName }))).QueueUrl;
  const listed = [];
  for await (const page of sqs.paginateListQueues({ client, pageSize: 1 }, { QueueNamePrefix: QueueName })) listed.push(...page.QueueUrls ?? []);
  await send(new sqs.SetQueueAttributesCommand({ QueueUrl, Attributes: { MaximumMessageSize: "4096" } }));
  const attributes = (await send(new sqs.GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["All"] }))).Attributes;
  const tags = (await send(new sqs.ListQueueTagsCommand({ QueueUrl }))).Tags;

  // The SDK checks the MD5 sums of bodies itself.
  await send(new sqs.SendMessageCommand({
    QueueUrl, MessageBody: "ü <&>", MessageAttributes: { n: { DataType: "Number", StringValue: "7" } },
  }));
  const batch = await send(new sqs.SendMessageBatchCommand({
    QueueUrl, Entries: [{ Id: "a", MessageBody: "1" }, { Id: "b", MessageBody: "x".repeat(5000) }],
  }));
  const bodies = [];
  while (bodies.length < 2) {
    const { Messages = [] } = await send(new sqs.ReceiveMessageCommand({
      QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 2, MessageAttributeNames: ["All"],
    }));
    for (const message of Messages) {
      bodies.push([message.Body, message.MessageAttributes?.n?.StringValue ?? null]);
      await send(new sqs.ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle: message.ReceiptHandle, VisibilityTimeout: 60 }));
      await send(new sqs.DeleteMessageCommand({ QueueUrl, ReceiptHandle: message.ReceiptHandle }));
    }
  }
  const errors = {
    attribute: await failure(new sqs.SetQueueAttributesCommand({ QueueUrl, Attributes: { DelaySeconds: "901" } })),
    name: await failure(new sqs.CreateQueueCommand({ QueueName: "a b" })),
    exists: await failure(new sqs.CreateQueueCommand({ QueueName, Attributes: { VisibilityTimeout: "1" } })),
    handle: await failure(new sqs.DeleteMessageCommand({ QueueUrl, ReceiptHandle: "x" })),
  };
  await send(new sqs.DeleteQueueCommand({ QueueUrl }));
  try {
    await send(new sqs.GetQueueUrlCommand({ QueueName }));
  } catch (problem) {
    errors.gone = [problem.name, problem instanceof sqs.QueueDoesNotExist];
  }
  console.log(JSON.stringify({
    QueueUrl, found, listed, attributes, tags, bodies, errors,
    batch: [batch.Successful.map((one) => one.Id), batch.Failed.map((one) => one.Id)],
  }));
}

main().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
