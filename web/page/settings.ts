/** The dialog of settings. */

import { byId } from "./dom.js";
import { type Settings, saveSettings } from "./state.js";

const NUMBERS = ["temperature", "top_p", "repetition_penalty", "max_tokens", "seed", "context"] as const;
const TEXTS = ["system", "kv", "theme"] as const;

/** Fills the dialog, and keeps `settings` as a person changes them. */
export function setUp(settings: Settings): void {
  const form = byId<HTMLFormElement>("settings-form");
  const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement;
  for (const name of [...NUMBERS, ...TEXTS]) field(name).value = String(settings[name] ?? "");
  const apply = () => (document.documentElement.style.colorScheme = settings.theme);
  apply();
  form.oninput = () => {
    for (const name of TEXTS) settings[name] = field(name).value;
    for (const name of NUMBERS) {
      const { value, validity, valueAsNumber } = field(name);
      if (validity.valid && value !== "") settings[name] = valueAsNumber;
      else if (name !== "context" && value === "") delete settings[name];
    }
    apply();
    void saveSettings(settings);
  };
  form.onsubmit = (event) => event.preventDefault();
  byId("show-settings").onclick = () => byId<HTMLDialogElement>("settings").showModal();
}
