/** Files whose bytes can be had at once, which only workers can do. */

import type { ByteFile } from "godwit-wasm";
import { NetworkError, StorageError, isTrap, words } from "./errors.js";
import { Passing, passes, unreachable } from "./request.js";

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
  ) {
    super(name, size);
  }

  /** Asks how large the file is. Throws a NetworkError where the server does not serve ranges. */
  static open(name: string, url: string): HttpFile {
    const answer = get(url, 0, 1);
    const size = Number(answer.getResponseHeader("Content-Range")?.split("/")[1]);
    if (answer.status !== 206 || !Number.isSafeInteger(size)) {
      throw refusal(
        answer,
        `${url}: the server answers ${answer.status}, not with a range; it must serve ranges`,
      );
    }
    return new HttpFile(name, url, size);
  }

  protected override bytes(start: number, end: number): Uint8Array {
    const answer = get(this.url, start, end);
    const bytes = new Uint8Array(answer.response as ArrayBuffer);
    if (answer.status !== 206 || bytes.length !== end - start) {
      throw refusal(
        answer,
        `${this.url}: bytes ${start} to ${end} could not be had (${answer.status})`,
      );
    }
    return bytes;
  }
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

function get(url: string, start: number, end: number): XMLHttpRequest {
  const request = new XMLHttpRequest();
  request.open("GET", url, false);
  request.responseType = "arraybuffer";
  request.setRequestHeader("Range", `bytes=${start}-${end - 1}`);
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
