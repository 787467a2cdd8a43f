/** The dialog of settings. */

import { byId } from "./dom.js";
import { type Settings, saveSetting } from "./state.js";

const NUMBERS = [
  "temperature",
  "top_p",
  "repetition_penalty",
  "max_tokens",
  "seed",
  "context",
] as const;
const TEXTS = ["system", "kv", "theme"] as const;

const form = byId<HTMLFormElement>("settings-form");
const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement;

/** Changes a setting as if the user had typed it. */
export function set(name: keyof Settings, value: string | number): void {
  field(name).value = String(value);
  field(name).dispatchEvent(new Event("input", { bubbles: true }));
}

/** Fills the dialog, and stores the changes that the user makes to `settings`. */
export function setUp(settings: Settings): void {
  for (const name of [...NUMBERS, ...TEXTS]) field(name).value = String(settings[name] ?? "");
  const apply = () => {
    document.documentElement.style.colorScheme = settings.theme;
  };
  apply();
  form.oninput = ({ target }) => {
    const { name, value, validity, valueAsNumber } = target as HTMLInputElement;
    const text = TEXTS.find((one) => one === name);
    const number = NUMBERS.find((one) => one === name);
    if (text) {
      settings[text] = value;
      void saveSetting(text, value);
    }
    if (number && validity.valid && value !== "") {
      settings[number] = valueAsNumber;
      void saveSetting(number, valueAsNumber);
    } else if (number && number !== "context" && value === "") {
      delete settings[number];
      void saveSetting(number, undefined);
    }
    apply();
  };
  form.onsubmit = (event) => event.preventDefault();
  byId("show-settings").onclick = () => byId<HTMLDialogElement>("settings").showModal();
}
