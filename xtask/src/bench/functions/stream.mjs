// Says when it wrote its first bytes, in nanoseconds of the machine's steady clock, then writes as much as it is asked for.
const piece = Buffer.alloc(64 * 1024, 'x');

export const handler = awslambda.streamifyResponse(async ({ bytes }, stream) => {
  stream.write(`clock=${process.hrtime.bigint()};`);
  for (let left = bytes; left > 0; left -= piece.length) {
    if (!stream.write(piece.subarray(0, left))) await new Promise((resolve) => stream.once('drain', resolve));
  }
  stream.end();
});
