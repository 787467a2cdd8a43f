/**
 * Manifests of kept models: the description of a model's files, and the validation of a stored one.
 *
 * A manifest is stored twice, in two files that are written in turn. Each has a number and a
 * checksum, so a tab that is closed during a write leaves the previous manifest intact.
 */

/** One of a model's files. */
export interface StoredFile {
  name: string;
  url: string;
  /** Bytes; unknown before the first request, and if the server sends no length. */
  size?: number;
  /** The server's name for this version of the file. */
  etag?: string;
  /** In hexadecimal. */
  sha256?: string;
  /** Whether a repository may lack the file. */
  optional?: boolean;
  /** The numbers of the chunks that are stored, or `true` once the whole file is verified. */
  chunks: number[] | true;
}

/** The description of a kept model. */
export interface Manifest {
  /** The URL that loads the model. */
  source: string;
  name: string;
  files: StoredFile[];
  /** The time of the last use, in milliseconds since 1970. */
  used: number;
}

/** Bytes of a chunk, the unit in which a manifest records the progress of a download. */
export const DOWNLOAD_CHUNK = 4 << 20;

/** The two files of a manifest. */
export const SLOTS = ["godwit-manifest.0", "godwit-manifest.1"] as const;
/** The file of a manifest in earlier versions, without a checksum. */
export const OLD_SLOT = "manifest.json";

/** A manifest with its number. Of two manifests, the one with the larger number is the newer. */
export interface Stored {
  number: number;
  manifest: Manifest;
}

/** Whether a model's file may have this name. The names of manifests are reserved. */
export function isFileName(name: unknown): name is string {
  return (
    typeof name === "string" &&
    name !== "" &&
    name !== "." &&
    name !== ".." &&
    !/[/\\]/.test(name) &&
    name !== OLD_SLOT &&
    !SLOTS.some((slot) => slot === name)
  );
}

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;

/** The name of `chunks` in stored manifests. Earlier versions of the page read it too. */
const STORED_CHUNKS = "pieces";

/** A file of a stored manifest, or `undefined` if a part of it is invalid. */
function checkFile(value: unknown): StoredFile | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const members = value as Record<string, unknown>;
  const { name, url, size, etag, sha256, optional, [STORED_CHUNKS]: chunks } = members;
  if (!isFileName(name) || typeof url !== "string") return undefined;
  if (size !== undefined && !isCount(size)) return undefined;
  if (etag !== undefined && typeof etag !== "string") return undefined;
  if (sha256 !== undefined && !(typeof sha256 === "string" && /^[\da-f]{64}$/i.test(sha256)))
    return undefined;
  if (optional !== undefined && typeof optional !== "boolean") return undefined;
  const file = { name, url, size, etag, sha256, optional };
  if (chunks === true) return size === undefined ? undefined : { ...file, chunks };
  const count = Math.ceil((size ?? 0) / DOWNLOAD_CHUNK);
  if (!Array.isArray(chunks) || chunks.length > count) return undefined;
  const isChunk = (chunk: unknown) => isCount(chunk) && chunk < count;
  if (!chunks.every(isChunk) || new Set(chunks).size < chunks.length) return undefined;
  return { ...file, chunks: [...(chunks as number[])] };
}

/** A manifest from stored JSON, or `undefined` if the value is not one. */
export function checkManifest(value: unknown): Manifest | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { source, name, files, used } = value as Record<string, unknown>;
  if (typeof source !== "string" || source === "" || typeof name !== "string") return undefined;
  if (!Array.isArray(files) || files.length === 0) return undefined;
  const checked: StoredFile[] = [];
  for (const one of files) {
    const file = checkFile(one);
    if (!file) return undefined;
    checked.push(file);
  }
  if (new Set(checked.map(({ name }) => name)).size < checked.length) return undefined;
  // An invalid time only changes the order of the list.
  const time = typeof used === "number" && Number.isFinite(used) ? used : 0;
  return { source, name, files: checked, used: time };
}

async function checksum(text: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Encodes a manifest's file: a line with the checksum of the JSON in the next line. */
export async function encodeManifest(stored: Stored): Promise<Uint8Array<ArrayBuffer>> {
  const { number, manifest } = stored;
  const files = manifest.files.map(({ chunks, ...file }) => ({ ...file, [STORED_CHUNKS]: chunks }));
  const json = JSON.stringify({ number, manifest: { ...manifest, files } });
  return new TextEncoder().encode(`${await checksum(json)}\n${json}`);
}

/** Decodes a manifest's file. Returns `undefined` if the file is damaged. */
export async function decodeManifest(text: string): Promise<Stored | undefined> {
  const [sum = "", json = ""] = text.split("\n", 2);
  if (sum.length + 1 + json.length !== text.length || sum !== (await checksum(json)))
    return undefined;
  const { number, manifest } = parsed(json);
  const checked = checkManifest(manifest);
  return checked && isCount(number) ? { number, manifest: checked } : undefined;
}

/** Decodes a manifest of an earlier version. Returns `undefined` if the text is not one. */
export function decodeOldManifest(text: string): Stored | undefined {
  const manifest = checkManifest(parsed(text));
  return manifest && { number: 0, manifest };
}

/** The members of a JSON object. Any other text has none. */
function parsed(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
