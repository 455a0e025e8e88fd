// Bills every order. The queue is FIFO: one customer's orders come in their order.
const PRICES = { lamp: 40, oil: 5, wick: 1, manual: 3 };

export const handler = async (event) => {
  for (const { body, attributes } of event.Records) {
    const order = JSON.parse(body);
    const sum = order.items.reduce((sum, item) => sum + (PRICES[item.article] ?? 0) * (item.pieces ?? 1), 0);
    console.log(`order ${order.id} billed to ${attributes.MessageGroupId}: ${sum}`);
  }
};
