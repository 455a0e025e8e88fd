// What a waiting worker loads in place of a function's ES module.
export const handler = async (event) => event;
