await Promise.reject(new RangeError("awaited at load"));
