/** Requests that are tried again. */

import { Aborted, NetworkError } from "./errors.js";

/** Waits before each further try, in milliseconds. */
const WAITS = [300, 1000, 3000, 9000];

/** Whether the same request may succeed later. */
export const passes = (status: number) => status === 408 || status === 429 || status >= 500;

/** Waits, unless the signal says stop. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => (clearTimeout(timer), reject(new Aborted("stopped")));
    const timer = setTimeout(() => (signal.removeEventListener("abort", stop), resolve()), ms);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

/** Does `work` again while it fails with what may pass: some times, or for as long as it gets on. */
export async function retried<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) throw new Aborted("stopped");
      if (!(error instanceof Passing)) throw error;
      if (error.progress) tries = 0;
      const wait = WAITS[tries];
      if (wait === undefined) throw error;
      await pause(wait, signal);
    }
  }
}

/** A network error that may pass; `progress` says that something was achieved before. */
export class Passing extends NetworkError {
  constructor(
    message: string,
    readonly progress = false,
  ) {
    super(message);
  }
}

/** Why a request may fail without an answer: browsers don't tell scripts. */
export const unreachable = (url: string) =>
  `${url} can't be reached; check the address and the network, and that another origin's server ` +
  "allows it (CORS) and the page's Content-Security-Policy too (connect-src)";

/**
 * A number of bytes from a header, or `undefined` where the header is missing or no number.
 * (`Number` makes 0 of a missing one.)
 */
export function byteCount(text: string | null | undefined): number | undefined {
  const value = /^\d+$/.test(text ?? "") ? Number(text) : undefined;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** What the headers of an answer say of the file. What another origin's server hides is missing. */
export interface FileHeaders {
  /** The first byte of the answer, if it is a range. */
  start?: number;
  /** Bytes of the whole file, if the answer is a range. */
  size?: number;
  /** The name of this version of the file. */
  version?: string;
}

/** Reads the headers that say which bytes of which version of a file an answer has. */
export function fileHeaders(headers: Headers): FileHeaders {
  const range = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/i.exec(headers.get("Content-Range") ?? "");
  return {
    start: byteCount(range?.[1]),
    size: byteCount(range?.[2]),
    version: headers.get("ETag") ?? headers.get("Last-Modified") ?? undefined,
  };
}

/** The file on the server is another one than at the beginning of the download. */
export class Changed extends NetworkError {
  constructor(url: string) {
    super(`${url}: the file changed on the server while it was read; load the model again`);
  }
}

/**
 * Compares an answer with the bytes that were asked for, as far as the server lets it be seen.
 * Throws where the bytes are others, or of another version of the file.
 */
export function checkAnswer(
  url: string,
  found: FileHeaders,
  expected: { start: number; size?: number; version?: string },
): void {
  const { start, size, version } = expected;
  const differs = <T>(a: T | undefined, b: T | undefined) =>
    a !== undefined && b !== undefined && a !== b;
  if (differs(found.size, size) || differs(found.version, version)) throw new Changed(url);
  if (differs(found.start, start))
    throw new NetworkError(`${url}: the server sent bytes from ${found.start}, not from ${start}`);
}

/** Fetches; throws a NetworkError where the answer is neither a success nor one of the `expected` codes. */
export async function fetched(
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
    throw new Passing(unreachable(url));
  }
  if (response.ok || expected.includes(response.status)) return response;
  const Kind = passes(response.status) ? Passing : NetworkError;
  throw new Kind(`${url}: the server answers ${response.status} ${response.statusText}`);
}

/** [`fetched`], tried again. */
export function request(
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal,
  expected: number[] = [],
): Promise<Response> {
  return retried(signal, () => fetched(url, headers, signal, expected));
}
