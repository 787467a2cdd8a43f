// A wasm file with less memory, for tests.

/** Reads a number in LEB128. Returns it with the offset of its end. */
function read(bytes, at) {
  let [value, shift] = [0, 0];
  for (;;) {
    const byte = bytes[at++];
    value += (byte & 0x7f) * 2 ** shift;
    shift += 7;
    if (byte < 0x80) return [value, at];
  }
}

function written(value) {
  const bytes = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value & 0x7f) | 0x80);
  return Buffer.from([...bytes, value]);
}

/** Limits the memory of a wasm file to so many pages of 64 KiB. */
export function limited(wasm, pages) {
  for (let at = 8; at < wasm.length; ) {
    const id = wasm[at];
    const [size, begin] = read(wasm, at + 1);
    const end = begin + size;
    // The memory section must have one memory without a maximum.
    if (id === 5) {
      const [least] = read(wasm, begin + 2);
      if (wasm[begin] !== 1 || wasm[begin + 1] !== 0 || least > pages)
        throw new Error("the wasm file's memory section has another form");
      const body = Buffer.concat([Buffer.from([1, 1]), written(least), written(pages)]);
      return Buffer.concat([
        wasm.subarray(0, at),
        Buffer.from([5]),
        written(body.length),
        body,
        wasm.subarray(end),
      ]);
    }
    at = end;
  }
  throw new Error("the wasm file has no memory section");
}
