/** The settings and the name of the last model, which the page stores between visits. */

import { get, set, update } from "idb-keyval";

/** The user's settings. For those that are undefined the model's recommendations apply. */
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

const DEFAULTS: Settings = {
  system: "",
  max_tokens: 1024,
  context: 4096,
  kv: "f16",
  theme: "light dark",
};

export const loadSettings = async (): Promise<Settings> => ({
  ...DEFAULTS,
  ...(await get<Partial<Settings>>("settings")),
});
/** Stores one setting. The others stay as they are, because another tab may have changed them. */
export function saveSetting<Name extends keyof Settings>(
  name: Name,
  value: Settings[Name],
): Promise<void> {
  return update<Partial<Settings>>("settings", (settings) => ({ ...settings, [name]: value }));
}
export const lastModel = (): Promise<string | undefined> => get<string>("model");
export const rememberModel = (source: string): Promise<void> => set("model", source);
