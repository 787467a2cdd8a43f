// Downloads, in Node with a server that does what it should not.
import assert from "node:assert/strict";
import { test } from "node:test";
import { imported } from "./bundle.mjs";

const { downloads, requests, manifests } = await imported({
  downloads: "js/download.ts",
  requests: "js/request.ts",
  manifests: "js/manifest.ts",
});
const { PIECE } = manifests;
const URL = "https://example.org/model.gguf";
const never = new AbortController().signal;
const file = (more = {}) => ({ name: "model.gguf", url: URL, pieces: [], ...more });

/** Has each request answered by a function of its first and last byte, if it asks for a range. */
function serve(answer) {
  const asked = [];
  globalThis.fetch = async (url, { headers }) => {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(headers.Range ?? "") ?? [];
    asked.push(headers.Range ?? "");
    const number = (text) => (text ? Number(text) : undefined);
    const { status = 200, headers: said = {}, body = null } = answer(number(first), number(last));
    return new Response(body, { status, headers: said });
  };
  return asked;
}

/** A body in pieces; it breaks off after them where `broken` says so. */
const stream = (pieces, broken = false) =>
  new ReadableStream({
    pull(controller) {
      const next = pieces.next();
      if (!next.done) controller.enqueue(next.value);
      else if (broken) controller.error(new Error("the connection was lost"));
      else controller.close();
    },
  });

/** A folder whose only file is written to memory. */
function folder() {
  const written = { bytes: Buffer.alloc(0) };
  const handle = {
    write(bytes, { at }) {
      const end = Math.max(written.bytes.length, at + bytes.length);
      written.bytes = Buffer.concat([written.bytes, Buffer.alloc(end - written.bytes.length)]);
      written.bytes.set(bytes, at);
      return bytes.length;
    },
    truncate: (length) => {
      written.bytes = Buffer.concat([written.bytes, Buffer.alloc(length)]).subarray(0, length);
    },
    flush() {},
    close() {},
  };
  written.folder = { getFileHandle: async () => ({ createSyncAccessHandle: async () => handle }) };
  return written;
}

/** Downloads into memory. Returns the bytes, and the sum of what was reported. */
async function downloaded(file, ranges) {
  const into = folder();
  let reported = 0;
  const report = (bytes) => (reported += bytes);
  await downloads.download(into.folder, file, ranges, report, () => {}, never);
  return { bytes: into.bytes, reported };
}

test("a length that is missing or no number is unknown, and not 0", () => {
  for (const text of [
    null,
    undefined,
    "",
    " ",
    "-1",
    "1.5",
    "0x10",
    "1e3",
    "12, 12",
    "9".repeat(17),
  ])
    assert.equal(requests.byteCount(text), undefined, `${text}`);
  assert.equal(requests.byteCount("0"), 0);
  assert.equal(requests.byteCount("5368709120"), 5368709120);
});

test("a file's length is measured whatever a server tells, or refused in plain words", async () => {
  const part = (headers) => () => ({ status: 206, headers });
  const cases = [
    [
      part({ "Content-Range": "bytes 0-0/5368709120", ETag: "a" }),
      { size: 5368709120, etag: "a", ranges: true },
    ],
    [
      part({ "Content-Range": "bytes 0-0/*", "Content-Length": "7" }),
      { size: 7, etag: undefined, ranges: true },
    ],
    [part({}), /the server does not say how large the file is/],
    [part({ "Content-Range": "bytes 0-0/" }), /the server does not say how large the file is/],
    [() => ({ headers: {} }), { size: undefined, etag: undefined, ranges: false }],
    [() => ({ headers: { "Content-Length": "12" } }), { size: 12, etag: undefined, ranges: false }],
    [
      () => ({ headers: { "Content-Length": "12", "Content-Encoding": "gzip" } }),
      { size: undefined, etag: undefined, ranges: false },
    ],
    [
      () => ({ status: 416, headers: { "Content-Range": "bytes */0" } }),
      { size: 0, etag: undefined, ranges: true },
    ],
    [
      () => ({ status: 416, headers: { "Content-Range": "bytes */9" } }),
      /refuses the first of 9 bytes/,
    ],
  ];
  for (const [answer, expected] of cases) {
    serve(answer);
    const found = downloads.measure(file(), never);
    if (expected instanceof RegExp) await assert.rejects(found, expected);
    else assert.deepEqual(await found, expected);
  }
  // Another origin's server hides Content-Range; the length of the range from 0 on says the same.
  const asked = serve((_, last) => ({
    status: 206,
    headers: { "Content-Length": last === undefined ? "1234" : "1" },
  }));
  assert.equal((await downloads.measure(file(), never)).size, 1234);
  assert.deepEqual(asked, ["bytes=0-0", "bytes=0-"]);
});

test("a file of unknown length is downloaded whole, and never cut short", async () => {
  const text = Buffer.from("all of the file");
  let tries = 0;
  serve(() => ({ body: stream([text.subarray(0, ++tries * 5)].values(), tries < 3) }));
  const one = file();
  // The first two answers break off.
  const { bytes, reported } = await downloaded(one, false);
  assert.deepEqual([String(bytes), reported, one.size, tries], [String(text), 15, 15, 3]);
});

test("a file that is longer than its length is refused", async () => {
  serve(() => ({ body: "longer than ten" }));
  await assert.rejects(downloaded(file({ size: 10 }), false), /sent more than the 10 bytes/);
  serve((first) => ({
    status: 206,
    headers: { "Content-Range": `bytes ${first}-9/10` },
    body: "longer than ten",
  }));
  await assert.rejects(downloaded(file({ size: 10 }), true), /sent more than the 10 bytes/);
});

test("a file that is shorter than its length is asked for again", async () => {
  let tries = 0;
  serve(() => ({ body: tries++ === 0 ? "short" : "ten bytes." }));
  const { bytes, reported } = await downloaded(file({ size: 10 }), false);
  assert.deepEqual([String(bytes), reported], ["ten bytes.", 10]);
});

test("pieces of two versions of a file are never mixed", async () => {
  const answer = (more) => (first, last) => ({
    status: 206,
    headers: { "Content-Range": `bytes ${first}-${last}/10`, ETag: "a", ...more },
    body: "ten bytes.".slice(first, last + 1),
  });
  const begun = () => file({ size: 10, etag: "a" });
  serve(answer());
  assert.equal(String((await downloaded(begun(), true)).bytes), "ten bytes.");
  // What a server does not show can't be compared.
  serve((first, last) => ({ status: 206, body: "ten bytes.".slice(first, last + 1) }));
  assert.equal(String((await downloaded(begun(), true)).bytes), "ten bytes.");
  for (const other of [{ ETag: "b" }, { "Content-Range": "bytes 0-9/11" }]) {
    serve(answer(other));
    const error = await downloaded(begun(), true).catch((error) => error);
    assert.ok(error instanceof requests.Changed, `${error}`);
    assert.equal(error.name, "NetworkError");
    assert.match(error.message, /changed on the server while it was read; load the model again/);
  }
  serve(answer({ "Content-Range": "bytes 3-9/10" }));
  await assert.rejects(downloaded(begun(), true), /sent bytes from 3, not from 0/);
  // Without ranges too.
  serve(() => ({ headers: { ETag: "b" }, body: "ten bytes." }));
  await assert.rejects(downloaded(begun(), false), requests.Changed);
  serve(() => ({ headers: { ETag: "a", "Content-Length": "11" }, body: "ten bytes.+" }));
  await assert.rejects(downloaded(begun(), false), requests.Changed);
});

test("a file of more than 4 GiB lands where it belongs, and goes on where it was", async () => {
  const size = 5 * 2 ** 30 + 12345;
  const zeros = new Uint8Array(PIECE);
  const asked = serve((first, last) => ({
    status: 206,
    headers: { "Content-Range": `bytes ${first}-${last}/${size}` },
    body: stream([zeros.subarray(0, last - first + 1)].values()),
  }));
  const places = new Map();
  let length;
  const handle = {
    write: (bytes, { at }) => (places.set(at, bytes.length), bytes.length),
    truncate: (bytes) => (length = bytes),
    flush() {},
    close() {},
  };
  const into = { getFileHandle: async () => ({ createSyncAccessHandle: async () => handle }) };
  const count = Math.ceil(size / PIECE);
  // All but the last hundred pieces are there.
  const one = file({ size, pieces: Array.from({ length: count - 100 }, (_, i) => i) });
  let reported = 0;
  await downloads.download(
    into,
    one,
    true,
    (bytes) => (reported += bytes),
    () => {},
    never,
  );
  assert.equal(asked.length, 100);
  assert.ok(asked.includes(`bytes=${(count - 1) * PIECE}-${size - 1}`));
  assert.ok((count - 1) * PIECE > 2 ** 32);
  assert.equal(places.get((count - 1) * PIECE), 12345);
  assert.equal(places.get((count - 100) * PIECE), PIECE);
  assert.equal(length, size);
  assert.equal(reported, 99 * PIECE + 12345);
  assert.equal(one.pieces.length, count);
});
