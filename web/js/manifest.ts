/**
 * Manifests of kept models: the description of a model's files, and the checks of a stored one.
 *
 * A manifest is stored twice, in two files that are written in turn. Each has a number and a
 * checksum, so a tab that ends in the middle of a write leaves the manifest before it.
 */

/** One of a model's files. */
export interface StoredFile {
  name: string;
  url: string;
  /** Bytes; unknown before the server was asked, and where it does not tell. */
  size?: number;
  /** What the server calls this version of the file. */
  etag?: string;
  /** In hexadecimal. */
  sha256?: string;
  /** A file that a repository may lack. */
  optional?: boolean;
  /** Which pieces are there; `true` when all are, and the hash was right. */
  pieces: number[] | true;
}

/** What is kept of a model. */
export interface Manifest {
  /** The URL that it is loaded by. */
  source: string;
  name: string;
  files: StoredFile[];
  /** Milliseconds since 1970. */
  used: number;
}

/** Bytes of a piece, the unit of a download that is remembered as done. */
export const PIECE = 4 << 20;

/** The two files of a manifest. */
export const SLOTS = ["godwit-manifest.0", "godwit-manifest.1"] as const;
/** The only file of a manifest in earlier versions, without a checksum. */
export const OLD_SLOT = "manifest.json";

/** A manifest as it was stored. Of two the one with the larger number is the newer. */
export interface Stored {
  number: number;
  manifest: Manifest;
}

/** Whether a model's file may have this name: names of manifests are taken. */
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

/** A file of a manifest, or `undefined` where a part of it makes no sense. */
function checkFile(value: unknown): StoredFile | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { name, url, size, etag, sha256, optional, pieces } = value as Record<string, unknown>;
  if (!isFileName(name) || typeof url !== "string") return undefined;
  if (size !== undefined && !isCount(size)) return undefined;
  if (etag !== undefined && typeof etag !== "string") return undefined;
  if (sha256 !== undefined && !(typeof sha256 === "string" && /^[\da-f]{64}$/i.test(sha256)))
    return undefined;
  if (optional !== undefined && typeof optional !== "boolean") return undefined;
  const file = { name, url, size, etag, sha256, optional };
  if (pieces === true) return size === undefined ? undefined : { ...file, pieces };
  const count = Math.ceil((size ?? 0) / PIECE);
  if (!Array.isArray(pieces) || pieces.length > count) return undefined;
  const isPiece = (piece: unknown) => isCount(piece) && piece < count;
  if (!pieces.every(isPiece) || new Set(pieces).size < pieces.length) return undefined;
  return { ...file, pieces: [...(pieces as number[])] };
}

/** A manifest from JSON, or `undefined` where it is none. */
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
  // The time only orders the list.
  const time = typeof used === "number" && Number.isFinite(used) ? used : 0;
  return { source, name, files: checked, used: time };
}

async function checksum(text: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bytes of a manifest's file: a line with the checksum of the JSON in the next. */
export async function encodeManifest(stored: Stored): Promise<Uint8Array<ArrayBuffer>> {
  const json = JSON.stringify(stored);
  return new TextEncoder().encode(`${await checksum(json)}\n${json}`);
}

/** The manifest in a file's text, or `undefined` where the file is not whole. */
export async function decodeManifest(text: string): Promise<Stored | undefined> {
  const [sum = "", json = ""] = text.split("\n", 2);
  if (sum.length + 1 + json.length !== text.length || sum !== (await checksum(json)))
    return undefined;
  const { number, manifest } = parsed(json);
  const checked = checkManifest(manifest);
  return checked && isCount(number) ? { number, manifest: checked } : undefined;
}

/** The manifest in a file of an earlier version, or `undefined` where it is none. */
export function decodeOldManifest(text: string): Stored | undefined {
  const manifest = checkManifest(parsed(text));
  return manifest && { number: 0, manifest };
}

/** The members of a JSON object; of anything else, none. */
function parsed(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
