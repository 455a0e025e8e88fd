setTimeout(() => { throw new Error("after load"); }, 1);
exports.handler = async () => new Promise((resolve) => setTimeout(resolve, 60000));
