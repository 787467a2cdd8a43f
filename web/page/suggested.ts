/** The list of models that whoever serves the page suggests: `models.json`. */

/** A model to download. */
export interface Suggested {
  name: string;
  about: string;
  /** Relative ones are the page's own. */
  url: string;
  sha256?: string;
}

/** The models in the text of `models.json`. What is no model is left out. */
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
  // Without its hash a file would be loaded unchecked.
  if (sha256 === undefined) return { name, about, url };
  return typeof sha256 === "string" ? { name, about, url, sha256 } : undefined;
}
