/** Files that are read synchronously, as wasm needs them. Only workers can do that. */

import type { ByteFile } from "godwit-wasm";
import { describe, isTrap, NetworkError, StorageError } from "./errors.js";
import {
  byteCount,
  checkResponse,
  fileHeaders,
  isTransient,
  TransientError,
  unreachable,
} from "./request.js";

/** Bytes of a block. Each read takes milliseconds, and the runtime's reads are small. */
const BLOCK = 1 << 20;
/**
 * Blocks in the cache of a file. Rows of two matrices are read in turn, and each may end in the
 * next block.
 */
const CACHED_BLOCKS = 4;

/** A file that is read in blocks, which are cached. */
export abstract class BlockFile implements ByteFile {
  /** The cached blocks by number, the least recently used first. */
  readonly #blocks = new Map<number, Uint8Array>();
  /** The error of the last failed read. The error that wasm returns has lost its class. */
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
      if (part.length === 0) {
        throw new NetworkError(`${this.name} ends before byte ${offset + into.length}`);
      }
      into.set(part, done);
      done += part.length;
    }
  }

  #block(number: number): Uint8Array {
    const start = number * BLOCK;
    const end = Math.min(this.size, start + BLOCK);
    const block = this.#blocks.get(number) ?? this.bytes(start, end);
    this.#blocks.delete(number);
    this.#blocks.set(number, block);
    for (const oldest of this.#blocks.keys()) {
      if (this.#blocks.size <= CACHED_BLOCKS) break;
      this.#blocks.delete(oldest);
    }
    return block;
  }
}

/** A file that the user picked, or one of the origin's private file system. */
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
        `${this.name} can't be read (${describe(error).message}); if it was changed or deleted, ` +
          "pick it again",
      );
    }
  }
}

/** A file on a server: for its head, or for all of it if there is no room to keep it. */
export class HttpFile extends BlockFile {
  constructor(
    name: string,
    readonly url: string,
    size: number,
    /** The ETag, or the date, of the version that is read. */
    readonly version?: string,
  ) {
    super(name, size);
  }

  /** Requests the file's size. Throws a `NetworkError` if the server does not serve ranges. */
  static open(name: string, url: string): HttpFile {
    const response = send("GET", url, "bytes=0-0");
    if (response.status !== 206) {
      throw refusal(
        response,
        `${url}: the server answers ${response.status} to a request for a range, but it must ` +
          "serve ranges",
      );
    }
    const { size, version } = fileHeaders(headersOf(response));
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
    const response = send("GET", url, `bytes=${start}-${end - 1}`);
    const bytes = new Uint8Array(response.response as ArrayBuffer);
    if (response.status === 206) {
      checkResponse(url, fileHeaders(headersOf(response)), { start, size, version });
    }
    if (response.status !== 206 || bytes.length !== end - start) {
      throw refusal(
        response,
        `${url}: the server answers ${response.status} to a request for bytes ${start} to ${end}`,
      );
    }
    return bytes;
  }
}

/** The headers of a response. Browsers log each access to a single header that a server hides. */
function headersOf(response: XMLHttpRequest): Headers {
  const headers = new Headers();
  for (const line of response.getAllResponseHeaders().split("\r\n")) {
    const [, name, value] = /^([^:]+):(.*)$/.exec(line) ?? [];
    if (name && value !== undefined) headers.append(name, value);
  }
  return headers;
}

/** A file's length by HEAD, for servers of another origin that hide Content-Range. */
function lengthOf(url: string): number | undefined {
  // With a range, browsers request the file uncompressed.
  const response = send("HEAD", url, "bytes=0-");
  return [200, 206].includes(response.status)
    ? byteCount(headersOf(response).get("Content-Length"))
    : undefined;
}

const refusal = ({ status }: XMLHttpRequest, text: string) =>
  new (isTransient(status) ? TransientError : NetworkError)(text);

/** Runs work that reads these files. If a read fails, throws the error of the read. */
export function reading<T>(files: ByteFile[], work: () => T): T {
  const blockFiles = files.filter((file) => file instanceof BlockFile);
  const fail = (error: unknown): never => {
    // A failed read never causes a trap.
    if (isTrap(error)) throw error;
    throw blockFiles.find(({ failure }) => failure)?.failure ?? error;
  };
  for (const file of blockFiles) file.failure = undefined;
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
    throw new TransientError(unreachable(url));
  }
  return request;
}

/** Writes all of these bytes, or throws the error of a full disk. */
export function writeAll(handle: FileSystemSyncAccessHandle, bytes: Uint8Array, at: number): void {
  const missing = bytes.length - handle.write(bytes, { at });
  if (missing > 0) {
    throw new DOMException(`${missing} bytes could not be written`, "QuotaExceededError");
  }
}
