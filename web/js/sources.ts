/** Where a model comes from, and which files it has. */

import { Aborted, BadModel, BadRequest, NetworkError, words } from "./errors.js";
import { type StoredFile, isFileName } from "./manifest.js";
import { request } from "./request.js";

/**
 * A model: the URL of a GGUF file (of a split one, of its first part) or of a repository's `config.json`; files that a person
 * picked; a URL with the SHA-256 of its file in hexadecimal; or what the list of kept models calls one.
 */
export type Source = string | File | File[] | { url: string; sha256?: string; name?: string };

/** Begins what picked files are called when they are kept. */
const LOCAL = "local:";

/** The source of picked files once they are kept. All repositories begin with a `config.json`, so their size counts. */
export function keptSource(files: { name: string; size: number }[]): string {
  const [first] = files.map(({ name }) => name).sort();
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  return `${LOCAL}${encodeURIComponent(first ?? "")}?${bytes}`;
}

/** A model that is on a server or kept. */
export interface Remote {
  source: string;
  name: string;
  sha256?: string;
}

/** The model that a source names; none where it is picked files. */
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
    throw new BadRequest(`${JSON.stringify(url)} is no URL`);
  }
  if (!["http:", "https:", LOCAL].includes(absolute.protocol)) throw new BadRequest(`${absolute.href} is no http or https URL`);
  if (sha256 !== undefined && !/^[\da-f]{64}$/i.test(sha256)) {
    throw new BadRequest(
      `sha256 is ${JSON.stringify(sha256)}, but it must be 64 hexadecimal digits`,
    );
  }
  const parts = decoded(absolute.pathname).split("/");
  const last = parts.pop() ?? "";
  const folder = parts.filter((part) => !["resolve", "main", ""].includes(part)).pop();
  return { source: absolute.href, name: name ?? (last === "config.json" && folder ? folder : last || absolute.host), sha256 };
}

/** A part of a URL without its escapes, where they make sense. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const SMALL = ["tokenizer_config.json", "generation_config.json", "chat_template.jinja"];

/** The files of a remote model: all parts of a split one; of a repository, those that matter. */
export async function filesOf(remote: Remote, signal: AbortSignal): Promise<StoredFile[]> {
  const url = new URL(remote.source);
  // An escaped slash is one to the file system.
  const name = decoded(url.pathname.split("/").pop() ?? "").split("/").pop() || "model.gguf";
  if (url.protocol === LOCAL) throw new BadRequest(`${name} is not kept here any more; pick its files again`);
  if (!isFileName(name))
    throw new BadRequest(`a model's file can't be named ${JSON.stringify(name)}`);
  const sibling = (name: string, optional = false): StoredFile => {
    const other = new URL(url);
    other.pathname = other.pathname.replace(/[^/]*$/, encodeURIComponent(name));
    return { name, url: other.href, optional, pieces: [] };
  };
  const split = /^(.*)-\d{5}-of-(\d{5})\.gguf$/.exec(name);
  if (split) {
    const [, stem, count] = split;
    return Array.from({ length: Number(count) }, (_, i) =>
      sibling(`${stem}-${String(i + 1).padStart(5, "0")}-of-${count}.gguf`),
    );
  }
  if (name !== "config.json") return [{ name, url: url.href, sha256: remote.sha256, pieces: [] }];
  const index = sibling("model.safetensors.index.json", true);
  const answer = await request(index.url, {}, signal, [404]);
  const weights = answer.ok ? shards(await json(answer, index.url, signal)) : ["model.safetensors"];
  const needed = ["config.json", "tokenizer.json", ...weights].map((name) => sibling(name));
  return [...needed, ...SMALL.map((name) => sibling(name, true)), ...(answer.ok ? [index] : [])];
}

/** An answer's JSON. */
async function json(answer: Response, url: string, signal: AbortSignal): Promise<unknown> {
  let text: string;
  try {
    text = await answer.text();
  } catch {
    if (signal.aborted) throw new Aborted("stopped");
    throw new NetworkError(`${url}: the answer was cut short`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BadModel(`${url} is no JSON: ${words(error).message}`);
  }
}

/** The names in an index of shards. */
function shards(index: unknown): string[] {
  const map = (index as { weight_map?: unknown } | null)?.weight_map;
  const names = [...new Set(Object.values(map ?? {}))];
  return names
    .filter((name) => typeof name === "string" && /^[\w.-]+\.safetensors$/.test(name))
    .sort();
}
