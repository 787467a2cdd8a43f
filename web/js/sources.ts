/** Sources of models, and the files that belong to them. */

import { Aborted, BadModel, BadRequest, describe, NetworkError } from "./errors.js";
import { isFileName, type StoredFile } from "./manifest.js";
import { request } from "./request.js";

/**
 * The source of a model, one of:
 *
 * - the URL of a GGUF file (for a split model, of its first part), or of a repository's
 *   `config.json`;
 * - files that the user picked;
 * - a URL with the SHA-256 of its file in hexadecimal;
 * - the `source` of a kept model, as `Engine.cached()` lists it.
 */
export type Source = string | File | File[] | { url: string; sha256?: string; name?: string };

/** The scheme of the sources of kept copies of picked files. */
const LOCAL = "local:";

/**
 * The source of the kept copy of picked files. It contains their size, because the first file of
 * every repository is a `config.json`.
 */
export function keptSource(files: { name: string; size: number }[]): string {
  const [first] = files.map(({ name }) => name).sort();
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  return `${LOCAL}${encodeURIComponent(first ?? "")}?${bytes}`;
}

/** A model on a server, or a kept one. */
export interface Remote {
  source: string;
  name: string;
  sha256?: string;
}

/** Resolves a source. Returns `undefined` if it consists of picked files. */
export function remote(source: Source, base: string): Remote | undefined {
  if (source instanceof File) return undefined;
  if (Array.isArray(source)) {
    const wrong = source.findIndex((file) => !(file instanceof File));
    if (wrong >= 0) throw new BadRequest(`source[${wrong}] is no File`);
    return undefined;
  }
  const isUrl = typeof source === "string" || typeof source?.url === "string";
  if (!isUrl)
    throw new BadRequest("source must be a URL, a File, an array of Files, or { url, sha256 }");
  const { url, sha256, name } =
    typeof source === "string" ? { url: source, sha256: undefined, name: undefined } : source;
  let absolute: URL;
  try {
    absolute = new URL(url, base || undefined);
  } catch {
    throw new BadRequest(`source is ${JSON.stringify(url)}, but it must be a URL`);
  }
  if (!["http:", "https:", LOCAL].includes(absolute.protocol)) {
    throw new BadRequest(`source is ${absolute.href}, but it must be an http or https URL`);
  }
  if (sha256 !== undefined && !/^[\da-f]{64}$/i.test(sha256)) {
    throw new BadRequest(
      `sha256 is ${JSON.stringify(sha256)}, but it must be 64 hexadecimal digits`,
    );
  }
  const parts = decoded(absolute.pathname).split("/");
  const last = parts.pop() ?? "";
  const folder = parts.filter((part) => !["resolve", "main", ""].includes(part)).pop();
  const file = last === "config.json" && folder ? folder : last || absolute.host;
  return { source: absolute.href, name: name ?? file, sha256 };
}

/** Decodes the percent-encoding of a URL's part. Invalid encodings stay as they are. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Files of a repository that are read if it has them. */
const OPTIONAL = ["tokenizer_config.json", "generation_config.json", "chat_template.jinja"];

/** The files of a model: all parts of a split one; of a repository, those that Godwit reads. */
export async function filesOf(remote: Remote, signal: AbortSignal): Promise<StoredFile[]> {
  const url = new URL(remote.source);
  // The file system treats an encoded slash as a slash.
  const name =
    decoded(url.pathname.split("/").pop() ?? "")
      .split("/")
      .pop() || "model.gguf";
  if (url.protocol === LOCAL) {
    throw new BadRequest(`${name} is not kept here any more; pick its files again`);
  }
  if (!isFileName(name))
    throw new BadRequest(`a model's file can't be named ${JSON.stringify(name)}`);
  const sibling = (name: string, optional = false): StoredFile => {
    const other = new URL(url);
    other.pathname = other.pathname.replace(/[^/]*$/, encodeURIComponent(name));
    return { name, url: other.href, optional, chunks: [] };
  };
  const split = /^(.*)-\d{5}-of-(\d{5})\.gguf$/.exec(name);
  if (split) {
    const [, stem, count] = split;
    return Array.from({ length: Number(count) }, (_, i) =>
      sibling(`${stem}-${String(i + 1).padStart(5, "0")}-of-${count}.gguf`),
    );
  }
  if (name !== "config.json") return [{ name, url: url.href, sha256: remote.sha256, chunks: [] }];
  const index = sibling("model.safetensors.index.json", true);
  const response = await request(index.url, {}, signal, [404]);
  const weights = response.ok
    ? shards(await json(response, index.url, signal))
    : ["model.safetensors"];
  const needed = ["config.json", "tokenizer.json", ...weights].map((name) => sibling(name));
  return [
    ...needed,
    ...OPTIONAL.map((name) => sibling(name, true)),
    ...(response.ok ? [index] : []),
  ];
}

/** Reads a response as JSON. */
async function json(response: Response, url: string, signal: AbortSignal): Promise<unknown> {
  let text: string;
  try {
    text = await response.text();
  } catch {
    if (signal.aborted) throw new Aborted("stopped");
    throw new NetworkError(`${url}: the response was cut short`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BadModel(`${url} is not JSON: ${describe(error).message}`);
  }
}

/** The file names in a repository's index of shards. */
function shards(index: unknown): string[] {
  const map = (index as { weight_map?: unknown } | null)?.weight_map;
  const names = [...new Set(Object.values(map ?? {}))];
  return names
    .filter((name) => typeof name === "string" && /^[\w.-]+\.safetensors$/.test(name))
    .sort();
}
