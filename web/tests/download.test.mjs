// Downloads, in Node, from a server that misbehaves.
import assert from "node:assert/strict";
import { test } from "node:test";
import { imported } from "./bundle.mjs";

const { downloads, requests, manifests } = await imported({
  downloads: "js/download.ts",
  requests: "js/request.ts",
  manifests: "js/manifest.ts",
});
const { DOWNLOAD_CHUNK } = manifests;
const URL = "https://example.org/model.gguf";
const never = new AbortController().signal;
const file = (more = {}) => ({ name: "model.gguf", url: URL, chunks: [], ...more });

/**
 * Replaces `fetch`. `respond` makes each response from the first and the last byte of the requested
 * range, if there is one. Returns the list of requested ranges.
 */
function serve(respond) {
  const requested = [];
  globalThis.fetch = async (_url, { headers }) => {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(headers.Range ?? "") ?? [];
    requested.push(headers.Range ?? "");
    const number = (text) => (text ? Number(text) : undefined);
    const { body = null, ...options } = respond(number(first), number(last));
    return new Response(body, options);
  };
  return requested;
}

/** A body in parts. With `broken`, the connection is lost after them. */
const stream = (parts, broken = false) =>
  new ReadableStream({
    pull(controller) {
      const next = parts.next();
      if (!next.done) controller.enqueue(next.value);
      else if (broken) controller.error(new Error("the connection was lost"));
      else controller.close();
    },
  });

/** A folder with one file, whose bytes are `written.bytes`. */
function memoryFolder() {
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
  const folder = { getFileHandle: async () => ({ createSyncAccessHandle: async () => handle }) };
  return { folder, written };
}

/** Downloads into memory. Returns the bytes, and the sum of the reported ones. */
async function downloaded(file, ranges) {
  const { folder, written } = memoryFolder();
  let reported = 0;
  const report = (bytes) => {
    reported += bytes;
  };
  await downloads.download({ folder, file, ranges, report, remember() {}, signal: never });
  return { bytes: written.bytes, reported };
}

test("a length that is missing or not a number is unknown, not 0", () => {
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

test("a file's length is measured whichever headers a server sends, or is an error", async () => {
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
  // A server of another origin hides Content-Range. The range from byte 0 on has the same length.
  const requested = serve((_, last) => ({
    status: 206,
    headers: { "Content-Length": last === undefined ? "1234" : "1" },
  }));
  assert.equal((await downloads.measure(file(), never)).size, 1234);
  assert.deepEqual(requested, ["bytes=0-0", "bytes=0-"]);
});

test("a file of unknown length is downloaded completely", async () => {
  const text = Buffer.from("all of the file");
  let tries = 0;
  serve(() => ({ body: stream([text.subarray(0, ++tries * 5)].values(), tries < 3) }));
  const one = file();
  // The connection is lost during the first two responses.
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

test("a file that is shorter than its length is requested again", async () => {
  let tries = 0;
  serve(() => ({ body: tries++ === 0 ? "short" : "ten bytes." }));
  const { bytes, reported } = await downloaded(file({ size: 10 }), false);
  assert.deepEqual([String(bytes), reported], ["ten bytes.", 10]);
});

test("chunks of two versions of a file are never combined", async () => {
  const answer = (more) => (first, last) => ({
    status: 206,
    headers: { "Content-Range": `bytes ${first}-${last}/10`, ETag: "a", ...more },
    body: "ten bytes.".slice(first, last + 1),
  });
  const begun = () => file({ size: 10, etag: "a" });
  serve(answer());
  assert.equal(String((await downloaded(begun(), true)).bytes), "ten bytes.");
  // Hidden headers can't be compared.
  serve((first, last) => ({ status: 206, body: "ten bytes.".slice(first, last + 1) }));
  assert.equal(String((await downloaded(begun(), true)).bytes), "ten bytes.");
  for (const other of [{ ETag: "b" }, { "Content-Range": "bytes 0-9/11" }]) {
    serve(answer(other));
    const error = await downloaded(begun(), true).catch((error) => error);
    assert.ok(error instanceof requests.ChangedError, `${error}`);
    assert.equal(error.name, "NetworkError");
    assert.match(error.message, /changed on the server while it was read; load the model again/);
  }
  serve(answer({ "Content-Range": "bytes 3-9/10" }));
  await assert.rejects(downloaded(begun(), true), /sent bytes from 3, not from 0/);
  // Without ranges too.
  serve(() => ({ headers: { ETag: "b" }, body: "ten bytes." }));
  await assert.rejects(downloaded(begun(), false), requests.ChangedError);
  serve(() => ({ headers: { ETag: "a", "Content-Length": "11" }, body: "ten bytes.+" }));
  await assert.rejects(downloaded(begun(), false), requests.ChangedError);
});

test("a download of more than 4 GiB resumes, and writes at the right offsets", async () => {
  const size = 5 * 2 ** 30 + 12345;
  const zeros = new Uint8Array(DOWNLOAD_CHUNK);
  const requested = serve((first, last) => ({
    status: 206,
    headers: { "Content-Range": `bytes ${first}-${last}/${size}` },
    body: stream([zeros.subarray(0, last - first + 1)].values()),
  }));
  const places = new Map();
  let length;
  const handle = {
    write: (bytes, { at }) => {
      places.set(at, bytes.length);
      return bytes.length;
    },
    truncate: (bytes) => {
      length = bytes;
    },
    flush() {},
    close() {},
  };
  const folder = { getFileHandle: async () => ({ createSyncAccessHandle: async () => handle }) };
  const count = Math.ceil(size / DOWNLOAD_CHUNK);
  // All chunks but the last hundred are stored.
  const one = file({ size, chunks: Array.from({ length: count - 100 }, (_, i) => i) });
  let reported = 0;
  const report = (bytes) => {
    reported += bytes;
  };
  const download = { folder, file: one, ranges: true, report, remember() {}, signal: never };
  await downloads.download(download);
  assert.equal(requested.length, 100);
  assert.ok(requested.includes(`bytes=${(count - 1) * DOWNLOAD_CHUNK}-${size - 1}`));
  assert.ok((count - 1) * DOWNLOAD_CHUNK > 2 ** 32);
  assert.equal(places.get((count - 1) * DOWNLOAD_CHUNK), 12345);
  assert.equal(places.get((count - 100) * DOWNLOAD_CHUNK), DOWNLOAD_CHUNK);
  assert.equal(length, size);
  assert.equal(reported, 99 * DOWNLOAD_CHUNK + 12345);
  assert.equal(one.chunks.length, count);
});
