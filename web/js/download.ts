/** Files from a server into the origin's private file system: pieces in parallel, gone on with after an interruption. */

import { BadModel, NetworkError } from "./errors.js";
import { writeAll } from "./files.js";
import { PIECE, type StoredFile } from "./manifest.js";
import {
  Passing,
  byteCount,
  checkAnswer,
  fetched,
  request,
  retried,
  fileHeaders,
} from "./request.js";

/** Requests at a time. */
const PARALLEL = 4;

/** What a server says of a file. */
export interface Measured {
  /** Bytes. Unknown only where the server serves no parts and does not tell. */
  size?: number;
  etag?: string;
  /** Whether it serves parts of it. */
  ranges: boolean;
}

/** Asks a server for a file's size; nothing where an optional file is not there. */
export async function measure(file: StoredFile, signal: AbortSignal): Promise<Measured | undefined> {
  const { url } = file;
  const expected = file.optional ? [404, 416] : [416];
  const answer = await request(url, { Range: "bytes=0-0" }, signal, expected);
  await answer.body?.cancel();
  if (answer.status === 404) return undefined;
  const { size, version: etag } = fileHeaders(answer.headers);
  if (answer.status === 416) {
    if (size) throw new NetworkError(`${url}: the server refuses the first of ${size} bytes`);
    return { size: 0, etag, ranges: true };
  }
  if (answer.status !== 206) return { size: wholeLength(answer), etag, ranges: false };
  if (size !== undefined) return { size, etag, ranges: true };
  // Servers of other origins may hide Content-Range. The range from 0 on is as long as the file.
  const all = await request(url, { Range: "bytes=0-" }, signal);
  await all.body?.cancel();
  const length = wholeLength(all);
  if (length !== undefined) return { size: length, etag, ranges: true };
  throw new NetworkError(
    `${url}: the server does not say how large the file is; let it send Content-Length, and ` +
      "expose Content-Range to other origins",
  );
}

/** The bytes of an answer's body. Of a compressed answer only the compressed length is known. */
function wholeLength({ headers }: Response): number | undefined {
  const encoding = headers.get("Content-Encoding") ?? "identity";
  return encoding === "identity" ? byteCount(headers.get("Content-Length")) : undefined;
}

/**
 * Downloads what is missing of a file. `report` hears of bytes that have come, or, as a negative number, of bytes that must
 * come again; `remember` is called after each piece.
 */
export async function download(
  folder: FileSystemDirectoryHandle,
  file: StoredFile,
  ranges: boolean,
  report: (bytes: number) => void,
  remember: () => void,
  signal: AbortSignal,
): Promise<void> {
  if (file.pieces === true) return;
  const handle = await (await folder.getFileHandle(file.name, { create: true })).createSyncAccessHandle();
  try {
    const into = { handle, file, report, signal };
    if (ranges) await pieces(into, file.pieces, remember);
    else await whole(into);
    handle.truncate(file.size ?? 0);
    handle.flush();
  } finally {
    handle.close();
  }
}

interface Into {
  handle: FileSystemSyncAccessHandle;
  file: StoredFile;
  report: (bytes: number) => void;
  signal: AbortSignal;
}

async function pieces(into: Into, done: number[], remember: () => void): Promise<void> {
  const size = into.file.size ?? 0;
  const there = new Set(done);
  const all = Array.from({ length: Math.ceil(size / PIECE) }, (_, i) => i);
  const missing = all.filter((i) => !there.has(i));
  // One that fails stops the others.
  const failed = new AbortController();
  const signal = AbortSignal.any([into.signal, failed.signal]);
  const worker = async () => {
    for (let i = missing.shift(); i !== undefined; i = missing.shift()) {
      await piece({ ...into, signal }, i * PIECE, Math.min(size, (i + 1) * PIECE));
      into.handle.flush();
      done.push(i);
      remember();
    }
  };
  const workers = Array.from({ length: PARALLEL }, () => worker());
  const faults: unknown[] = [];
  const failing = (fault: unknown) => (faults.push(fault), failed.abort());
  await Promise.all(workers.map((one) => one.catch(failing)));
  if (faults.length > 0) throw faults[0];
}

/** One piece; after a fault it goes on where it was. */
async function piece(into: Into, start: number, end: number): Promise<void> {
  const { url, size, etag } = into.file;
  let at = start;
  await retried(into.signal, async () => {
    const answer = await fetched(url, { Range: `bytes=${at}-${end - 1}` }, into.signal);
    try {
      if (answer.status !== 206)
        throw new NetworkError(`${url}: the server no longer serves ranges`);
      checkAnswer(url, fileHeaders(answer.headers), { start: at, size, version: etag });
    } catch (error) {
      await answer.body?.cancel().catch(() => undefined);
      throw error;
    }
    const from = at;
    ({ at } = await write(into, answer, from, end));
    if (at < end) throw new Passing(`${url}: the answer was cut short`, at > from);
  });
}

/** A file from a server that knows no ranges: after a fault it begins anew. */
async function whole(into: Into): Promise<void> {
  const { url, size, etag } = into.file;
  await retried(into.signal, async () => {
    const answer = await fetched(url, {}, into.signal);
    const found = { size: wholeLength(answer), version: fileHeaders(answer.headers).version };
    try {
      checkAnswer(url, found, { start: 0, size, version: etag });
    } catch (error) {
      await answer.body?.cancel().catch(() => undefined);
      throw error;
    }
    const { at, ended } = await write(into, answer, 0, size ?? Infinity);
    if (!ended || at < (size ?? 0)) {
      into.report(-at);
      throw new Passing(`${url}: the answer was cut short after ${at} bytes`);
    }
    // A server that tells no length ends its answer, or breaks it off.
    into.file.size = at;
  });
}

/**
 * Writes an answer's body. Returns the position after its last byte, and whether the body ended
 * there; else the connection was lost.
 */
async function write(
  { handle, file, report }: Into,
  answer: Response,
  start: number,
  end: number,
): Promise<{ at: number; ended: boolean }> {
  const reader = answer.body?.getReader();
  let at = start;
  if (!reader) return { at, ended: true };
  for (;;) {
    const next = await reader.read().catch(() => undefined);
    if (!next?.value) return { at, ended: next?.done ?? false };
    if (at + next.value.length > end) {
      await reader.cancel();
      throw new NetworkError(
        `${file.url}: the server sent more than the ${end - start} bytes that it should have`,
      );
    }
    writeAll(handle, next.value, at);
    at += next.value.length;
    report(next.value.length);
  }
}

/** Something that hashes. */
export interface Hash {
  update(bytes: Uint8Array): void;
  finish(): string;
}

/** Compares a file with its SHA-256. */
export async function verify(
  file: Blob,
  { name, sha256 }: StoredFile,
  hash: Hash,
  report: (done: number) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let at = 0; at < file.size; at += PIECE) {
    signal.throwIfAborted();
    hash.update(new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer()));
    report(Math.min(file.size, at + PIECE));
  }
  const found = hash.finish();
  if (found !== sha256?.toLowerCase()) {
    throw new BadModel(`${name}: its SHA-256 is ${found}, not ${sha256}; the file is damaged, or another one: download it again`);
  }
}
