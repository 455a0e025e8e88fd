import { DynamoDBClient } from '@aws-sdk/client-dynamodb';

const client = new DynamoDBClient({ region: 'us-east-1' });

export const handler = async (event) => {
  if ((await client.config.region()) !== 'us-east-1') throw new Error('the client has another region');
  return { message: `Hello, ${event.name}!` };
};
