// A function's life through the JavaScript SDK v3; prints what it saw as JSON.
const { readFileSync } = require("node:fs");
const lambda = require("@aws-sdk/client-lambda");
const logs = require("@aws-sdk/client-cloudwatch-logs");
const sts = require("@aws-sdk/client-sts");

const [name, Runtime, Role] = process.argv.slice(2);
const FunctionName = name;

async function main() {
  const client = new lambda.LambdaClient({});
  await client.send(new lambda.CreateFunctionCommand({
    FunctionName, Runtime, Role, Handler: "index.handler", Code: { ZipFile: readFileSync("one.zip") },
  }));
  await lambda.waitUntilFunctionActiveV2({ client, maxWaitTime: 30 }, { FunctionName });
  const invoke = (event) => client.send(new lambda.InvokeCommand({ FunctionName, Payload: JSON.stringify(event) }));
  const first = JSON.parse(Buffer.from((await invoke({ a: "ü" })).Payload).toString());

  await client.send(new lambda.UpdateFunctionCodeCommand({ FunctionName, ZipFile: readFileSync("two.zip") }));
  await lambda.waitUntilFunctionUpdatedV2({ client, maxWaitTime: 30 }, { FunctionName });
  const error = (await invoke({})).FunctionError;

  const messages = [];
  const reader = new logs.CloudWatchLogsClient({});
  for (let attempt = 0; attempt < 100 && messages.length === 0; attempt += 1) {
    try {
      const found = await reader.send(new logs.FilterLogEventsCommand({ logGroupName: `/aws/lambda/${name}` }));
      messages.push(...found.events.map((event) => event.message));
    } catch (problem) {
      if (problem.name !== "ResourceNotFoundException") throw problem;
    }
    if (messages.length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
  }

  await client.send(new lambda.DeleteFunctionCommand({ FunctionName }));
  const gone = await invoke({}).then(() => "answered", (problem) => problem.name);
  const account = (await new sts.STSClient({}).send(new sts.GetCallerIdentityCommand({}))).Account;
  console.log(JSON.stringify({ first, error, messages, gone, account }));
}

main().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
