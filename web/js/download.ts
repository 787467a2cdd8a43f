/** Files from a server into the origin's private file system: pieces in parallel, gone on with after an interruption. */

import { BadModel, NetworkError } from "./errors.js";
import { writeAll } from "./files.js";
import { Passing, fetched, request, retried } from "./request.js";
import type { StoredFile } from "./store.js";

/** Bytes of a piece, the unit of what is remembered as done. */
export const PIECE = 4 << 20;
/** Requests at a time. */
const PARALLEL = 4;

/** What a server says of a file. */
export interface Measured {
  size: number;
  etag?: string;
  /** Whether it serves parts of it. */
  ranges: boolean;
}

/** Asks a server for a file's size; nothing where an optional file is not there. */
export async function measure(file: StoredFile, signal: AbortSignal): Promise<Measured | undefined> {
  const answer = await request(file.url, { Range: "bytes=0-0" }, signal, file.optional ? [404, 416] : [416]);
  await answer.body?.cancel();
  if (answer.status === 404) return undefined;
  const etag = answer.headers.get("ETag") ?? answer.headers.get("Last-Modified") ?? undefined;
  if (answer.status === 416) return { size: 0, etag, ranges: true };
  const ranges = answer.status === 206;
  // Servers of other origins may hide Content-Range.
  const told = answer.headers.get("Content-Range")?.split("/")[1];
  const size = Number(told ?? (await length(ranges ? await request(file.url, {}, signal) : answer)));
  if (!Number.isSafeInteger(size)) throw new NetworkError(`${file.url}: the server does not say how large the file is`);
  return { size, etag, ranges };
}

async function length(answer: Response): Promise<string | null> {
  if (!answer.bodyUsed) await answer.body?.cancel();
  return answer.headers.get("Content-Length");
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
  const missing = Array.from({ length: Math.ceil(size / PIECE) }, (_, i) => i).filter((i) => !done.includes(i));
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
  const all = Array.from({ length: PARALLEL }, () => worker());
  const faults: unknown[] = [];
  await Promise.all(all.map((one) => one.catch((fault) => (faults.push(fault), failed.abort()))));
  if (faults.length > 0) throw faults[0];
}

/** One piece; after a fault it goes on where it was. */
async function piece(into: Into, start: number, end: number): Promise<void> {
  let at = start;
  await retried(into.signal, async () => {
    const answer = await fetched(into.file.url, { Range: `bytes=${at}-${end - 1}` }, into.signal);
    if (answer.status !== 206) throw new NetworkError(`${into.file.url}: the server no longer serves ranges`);
    const from = at;
    at = await write(into, answer, from, end);
    if (at < end) throw new Passing(`${into.file.url}: the answer was cut short`, at > from);
  });
}

/** A file from a server that knows no ranges: after a fault it begins anew. */
async function whole(into: Into): Promise<void> {
  const size = into.file.size ?? 0;
  await retried(into.signal, async () => {
    const end = await write(into, await fetched(into.file.url, {}, into.signal), 0, size);
    if (end < size) {
      into.report(-end);
      throw new Passing(`${into.file.url}: the answer was cut short`);
    }
  });
}

/** Writes an answer's body. Returns where it ended, which a lost connection may have made early. */
async function write({ handle, file, report }: Into, answer: Response, at: number, end: number): Promise<number> {
  const reader = answer.body?.getReader();
  for (;;) {
    const next = await reader?.read().catch(() => undefined);
    if (!next?.value) return at;
    if (at + next.value.length > end) {
      await reader?.cancel();
      throw new NetworkError(`${file.url}: the server sent more than was asked for`);
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
