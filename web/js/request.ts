/** HTTP requests, with retries after transient errors. */

import { Aborted, NetworkError } from "./errors.js";

/** Milliseconds before each retry. */
const RETRY_DELAYS = [300, 1000, 3000, 9000];

/** Whether a request that failed with this status may succeed later. */
export const isTransient = (status: number) => status === 408 || status === 429 || status >= 500;

/** Waits. Throws `Aborted` once the signal is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new Aborted("stopped"));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

/** Runs `work`, and retries it after transient errors. An error after progress resets the count. */
export async function retry<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) throw new Aborted("stopped");
      if (!(error instanceof TransientError)) throw error;
      if (error.progress) tries = 0;
      const delay = RETRY_DELAYS[tries];
      if (delay === undefined) throw error;
      await pause(delay, signal);
    }
  }
}

/** A network error after which a retry may succeed. `progress`: whether bytes arrived before it. */
export class TransientError extends NetworkError {
  constructor(
    message: string,
    readonly progress = false,
  ) {
    super(message);
  }
}

/** The message of a request without a response. Browsers hide the cause from scripts. */
export const unreachable = (url: string) =>
  `${url} can't be reached; check the address and the network, and that another origin's server ` +
  "allows it (CORS) and the page's Content-Security-Policy too (connect-src)";

/**
 * Parses a number of bytes in a header. Returns `undefined` if the header is missing or not a
 * number (`Number` returns 0 for a missing one).
 */
export function byteCount(text: string | null | undefined): number | undefined {
  const value = /^\d+$/.test(text ?? "") ? Number(text) : undefined;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** A file's properties in response headers. Headers that another origin hides are missing. */
export interface FileHeaders {
  /** The first byte of the response, if it is a range. */
  start?: number;
  /** Bytes of the whole file, if the response is a range. */
  size?: number;
  /** The name of this version of the file. */
  version?: string;
}

/** Reads the range, the file's size and its version from response headers. */
export function fileHeaders(headers: Headers): FileHeaders {
  const range = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/i.exec(headers.get("Content-Range") ?? "");
  return {
    start: byteCount(range?.[1]),
    size: byteCount(range?.[2]),
    version: headers.get("ETag") ?? headers.get("Last-Modified") ?? undefined,
  };
}

/** The file on the server changed after the download began. */
export class ChangedError extends NetworkError {
  constructor(url: string) {
    super(`${url}: the file changed on the server while it was read; load the model again`);
  }
}

/**
 * Compares a response with the requested bytes, as far as its headers are visible. Throws if it has
 * other bytes, or bytes of another version of the file.
 */
export function checkResponse(
  url: string,
  found: FileHeaders,
  expected: { start: number; size?: number; version?: string },
): void {
  const { start, size, version } = expected;
  const differs = <T>(a: T | undefined, b: T | undefined) =>
    a !== undefined && b !== undefined && a !== b;
  if (differs(found.size, size) || differs(found.version, version)) throw new ChangedError(url);
  if (differs(found.start, start))
    throw new NetworkError(`${url}: the server sent bytes from ${found.start}, not from ${start}`);
}

/**
 * Sends one request. Throws a `NetworkError` if the status is neither a success nor one of the
 * `expected` ones.
 */
export async function requestOnce(
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal,
  expected: number[] = [],
): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { headers, signal });
  } catch {
    if (signal.aborted) throw new Aborted("stopped");
    throw new TransientError(unreachable(url));
  }
  if (response.ok || expected.includes(response.status)) return response;
  const ErrorClass = isTransient(response.status) ? TransientError : NetworkError;
  throw new ErrorClass(`${url}: the server answers ${response.status} ${response.statusText}`);
}

/** Sends a request, with retries after transient errors. */
export function request(
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal,
  expected: number[] = [],
): Promise<Response> {
  return retry(signal, () => requestOnce(url, headers, signal, expected));
}
