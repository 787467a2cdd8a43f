/** Files whose bytes can be had at once, which only workers can do. */

import type { ByteFile } from "godwit-wasm";
import { NetworkError } from "./errors.js";

/** A file that a person picked, or one of the origin's private file system. */
export class BlobFile implements ByteFile {
  readonly #reader = new FileReaderSync();
  constructor(
    readonly name: string,
    readonly blob: Blob,
  ) {}

  get size(): number {
    return this.blob.size;
  }

  read(offset: number, into: Uint8Array): void {
    const bytes = this.#reader.readAsArrayBuffer(this.blob.slice(offset, offset + into.length));
    into.set(new Uint8Array(bytes));
  }
}

/** Bytes asked for at least: many small reads make few requests. */
const AHEAD = 1 << 20;

/** A file on a server, for where there is no room to keep it. */
export class HttpFile implements ByteFile {
  #block = new Uint8Array();
  #start = 0;
  private constructor(
    readonly name: string,
    readonly url: string,
    readonly size: number,
  ) {}

  /** Asks how large the file is. Throws a NetworkError where the server does not serve ranges. */
  static open(name: string, url: string): HttpFile {
    const request = get(url, 0, 1);
    const total = Number(request.getResponseHeader("Content-Range")?.split("/")[1]);
    if (request.status !== 206 || !Number.isSafeInteger(total)) {
      throw new NetworkError(`${url}: the server answers ${request.status}, not with a range; it must serve ranges`);
    }
    return new HttpFile(name, url, total);
  }

  read(offset: number, into: Uint8Array): void {
    if (offset < this.#start || offset + into.length > this.#start + this.#block.length) {
      const end = Math.min(this.size, offset + Math.max(into.length, AHEAD));
      const request = get(this.url, offset, end);
      const block = new Uint8Array(request.response as ArrayBuffer);
      if (request.status !== 206 || block.length !== end - offset) {
        throw new NetworkError(`${this.url}: bytes ${offset} to ${end} could not be had (${request.status})`);
      }
      [this.#block, this.#start] = [block, offset];
    }
    const from = offset - this.#start;
    into.set(this.#block.subarray(from, from + into.length));
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
    throw new NetworkError(`${url} can't be reached; check the address and the network`);
  }
  return request;
}
