// A function is a module with a handler. What stands outside the handler runs once per environment.
let calls = 0;

export const handler = async (event, context) => {
  calls += 1;
  console.log(`call ${calls} of this environment`);
  return {
    message: `${process.env.GREETING}, ${event.name ?? "world"}!`,
    function: context.functionName,
    request_id: context.awsRequestId,
  };
};
