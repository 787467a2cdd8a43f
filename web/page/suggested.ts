/** The list of suggested models, `models.json`, which the host of the page can change. */

/** A suggested model. */
export interface Suggested {
  name: string;
  about: string;
  /** A URL, relative to the page. */
  url: string;
  sha256?: string;
}

/** Parses `models.json`. Entries that are not models are left out. */
export function suggestedModels(text: string): Suggested[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return [];
  }
  return Array.isArray(list) ? list.flatMap((one) => suggestedModel(one) ?? []) : [];
}

function suggestedModel(value: unknown): Suggested | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { name, about = "", url, sha256 } = value as Record<string, unknown>;
  if (typeof name !== "string" || typeof about !== "string" || typeof url !== "string")
    return undefined;
  if (name.trim() === "" || url.trim() === "") return undefined;
  // An invalid hash drops the model. Ignoring the hash would load the file unverified.
  if (sha256 === undefined) return { name, about, url };
  return typeof sha256 === "string" ? { name, about, url, sha256 } : undefined;
}
