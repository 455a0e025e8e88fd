// Response streaming through the JavaScript SDK v3; prints what it saw as JSON.
const lambda = require("@aws-sdk/client-lambda");

const [FunctionName] = process.argv.slice(2);
const client = new lambda.LambdaClient({ maxAttempts: 1 });
const open = (event, name = FunctionName) =>
  client.send(new lambda.InvokeWithResponseStreamCommand({ FunctionName: name, Payload: JSON.stringify(event) }));
const text = (event) => Buffer.from(event.PayloadChunk.Payload).toString();

async function main() {
  const answer = await open({ do: "wait", tag: "go" });
  let body = "";
  let complete;
  for await (const event of answer.EventStream) {
    if (event.InvokeComplete) {
      complete = event.InvokeComplete;
    } else {
      if (body === "") {
        // The function waits for this, so its first chunk is here before its end.
        const { Configuration } = await client.send(new lambda.GetFunctionCommand({ FunctionName }));
        await client.send(new lambda.TagResourceCommand({ Resource: Configuration.FunctionArn, Tags: { go: "1" } }));
      }
      body += text(event);
    }
  }
  const error = [];
  for await (const event of (await open({ do: "fail", write: "begin" })).EventStream) {
    if (event.PayloadChunk) error.push(text(event));
    else error.push(event.InvokeComplete.ErrorCode, JSON.parse(event.InvokeComplete.ErrorDetails).errorType);
  }
  const missing = await open({}, "there-is-no-such-function").catch((problem) => problem.name);
  console.log(JSON.stringify({ body, complete, version: answer.ExecutedVersion, error, missing }));
}

main().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
