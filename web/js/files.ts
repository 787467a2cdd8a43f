/** Files whose bytes can be had at once, which only workers can do. */

import type { ByteFile } from "godwit-wasm";
import { NetworkError, StorageError, isTrap, words } from "./errors.js";
import { Passing, byteCount, checkAnswer, fileHeaders, passes, unreachable } from "./request.js";

/** Bytes that are had at least: each read takes milliseconds, and the runtime's are small. */
const BLOCK = 1 << 20;
/** Blocks that are held: rows of two matrices are read in turn, and either may end in the next block. */
const HELD = 4;

/** A file that is read by blocks. */
export abstract class BlockFile implements ByteFile {
  /** The blocks held by number, the least recently used first. */
  readonly #blocks = new Map<number, Uint8Array>();
  /** Why a read failed: what wasm makes of it says only that the file can't be read. */
  failure: Error | undefined;
  constructor(
    readonly name: string,
    readonly size: number,
  ) {}

  /** The bytes from `start` to `end`. */
  protected abstract bytes(start: number, end: number): Uint8Array;

  read(offset: number, into: Uint8Array): void {
    try {
      this.#fill(offset, into);
    } catch (error) {
      this.failure = error as Error;
      throw error;
    }
  }

  #fill(offset: number, into: Uint8Array): void {
    if (into.length >= BLOCK) {
      into.set(this.bytes(offset, offset + into.length));
      return;
    }
    for (let done = 0; done < into.length; ) {
      const number = Math.floor((offset + done) / BLOCK);
      const from = offset + done - number * BLOCK;
      const part = this.#block(number).subarray(from, from + into.length - done);
      if (part.length === 0) throw new NetworkError(`${this.name} ends before byte ${offset + into.length}`);
      into.set(part, done);
      done += part.length;
    }
  }

  #block(number: number): Uint8Array {
    const block = this.#blocks.get(number) ?? this.bytes(number * BLOCK, Math.min(this.size, (number + 1) * BLOCK));
    this.#blocks.delete(number);
    this.#blocks.set(number, block);
    for (const oldest of this.#blocks.keys()) {
      if (this.#blocks.size <= HELD) break;
      this.#blocks.delete(oldest);
    }
    return block;
  }
}

/** A file that a person picked, or one of the origin's private file system. */
export class BlobFile extends BlockFile {
  readonly #reader = new FileReaderSync();
  constructor(
    name: string,
    readonly blob: Blob,
  ) {
    super(name, blob.size);
  }

  protected override bytes(start: number, end: number): Uint8Array {
    try {
      return new Uint8Array(this.#reader.readAsArrayBuffer(this.blob.slice(start, end)));
    } catch (error) {
      if (error instanceof RangeError) throw error;
      throw new StorageError(
        `${this.name} can't be read any more (${words(error).message}); was it changed or deleted?`,
      );
    }
  }
}

/** A file on a server: its beginning, or all of it where there is no room to keep it. */
export class HttpFile extends BlockFile {
  constructor(
    name: string,
    readonly url: string,
    size: number,
    /** The server's name for the version of the file that is read. */
    readonly version?: string,
  ) {
    super(name, size);
  }

  /** Asks how large the file is. Throws a NetworkError where the server does not serve ranges. */
  static open(name: string, url: string): HttpFile {
    const answer = send("GET", url, "bytes=0-0");
    if (answer.status !== 206) {
      throw refusal(
        answer,
        `${url}: the server answers ${answer.status}, not with a range; it must serve ranges`,
      );
    }
    const { size, version } = fileHeaders(headersOf(answer));
    const bytes = size ?? lengthOf(url);
    if (bytes === undefined) {
      throw new NetworkError(
        `${url}: the server does not say how large the file is; let it send Content-Length, and ` +
          "expose Content-Range to other origins",
      );
    }
    return new HttpFile(name, url, bytes, version);
  }

  protected override bytes(start: number, end: number): Uint8Array {
    const { url, size, version } = this;
    const answer = send("GET", url, `bytes=${start}-${end - 1}`);
    const bytes = new Uint8Array(answer.response as ArrayBuffer);
    if (answer.status === 206) checkAnswer(url, fileHeaders(headersOf(answer)), { start, size, version });
    if (answer.status !== 206 || bytes.length !== end - start) {
      throw refusal(answer, `${url}: bytes ${start} to ${end} could not be had (${answer.status})`);
    }
    return bytes;
  }
}

/** The headers of an answer. Browsers log each question for a single one that a server hides. */
function headersOf(answer: XMLHttpRequest): Headers {
  const headers = new Headers();
  for (const line of answer.getAllResponseHeaders().split("\r\n")) {
    const [, name, value] = /^([^:]+):(.*)$/.exec(line) ?? [];
    if (name && value !== undefined) headers.append(name, value);
  }
  return headers;
}

/** A file's length, from a server of another origin that hides Content-Range. */
function lengthOf(url: string): number | undefined {
  // With a range, browsers ask for the file as it is, not compressed.
  const answer = send("HEAD", url, "bytes=0-");
  return [200, 206].includes(answer.status)
    ? byteCount(headersOf(answer).get("Content-Length"))
    : undefined;
}

const refusal = ({ status }: XMLHttpRequest, text: string) =>
  new (passes(status) ? Passing : NetworkError)(text);

/** The work that reads these files. Where a read fails, what it failed of is thrown. */
export function reading<T>(files: ByteFile[], work: () => T): T {
  const own = files.filter((file) => file instanceof BlockFile);
  const fail = (error: unknown): never => {
    // A trap stays a trap: the file is none of its causes.
    throw isTrap(error) ? error : (own.find(({ failure }) => failure)?.failure ?? error);
  };
  for (const file of own) file.failure = undefined;
  try {
    const value = work();
    return value instanceof Promise ? (value.catch(fail) as T) : value;
  } catch (error) {
    return fail(error);
  }
}

function send(method: string, url: string, range: string): XMLHttpRequest {
  const request = new XMLHttpRequest();
  request.open(method, url, false);
  request.responseType = "arraybuffer";
  request.setRequestHeader("Range", range);
  try {
    request.send();
  } catch {
    throw new Passing(unreachable(url));
  }
  return request;
}

/** Writes all of these bytes, or fails as a full disk does. */
export function writeAll(handle: FileSystemSyncAccessHandle, bytes: Uint8Array, at: number): void {
  const done = handle.write(bytes, { at });
  if (done < bytes.length)
    throw new DOMException(
      `${bytes.length - done} bytes could not be written`,
      "QuotaExceededError",
    );
}
