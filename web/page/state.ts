/** What the page keeps between visits beside chats: settings, and which model was used last. */

import { get, set, update } from "idb-keyval";

/** What a person chose; what is undefined is the model's to say. */
export interface Settings {
  system: string;
  temperature?: number;
  top_p?: number;
  repetition_penalty?: number;
  max_tokens?: number;
  seed?: number;
  context: number;
  kv: string;
  theme: string;
}

const DEFAULTS: Settings = { system: "", max_tokens: 1024, context: 4096, kv: "f16", theme: "light dark" };

export const loadSettings = async (): Promise<Settings> => ({
  ...DEFAULTS,
  ...(await get<Partial<Settings>>("settings")),
});
/** Writes one setting; another tab may have changed the others. */
export function saveSetting<Name extends keyof Settings>(
  name: Name,
  value: Settings[Name],
): Promise<void> {
  return update<Partial<Settings>>("settings", (settings) => ({ ...settings, [name]: value }));
}
export const lastModel = (): Promise<string | undefined> => get<string>("model");
export const rememberModel = (source: string): Promise<void> => set("model", source);
