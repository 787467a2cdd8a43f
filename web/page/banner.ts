/** The banner above the conversation: an error, and a button for what helps. */

import { button, byId, make } from "./dom.js";

/** A button in the banner: its text, and what it does. */
export type BannerAction = [text: string, act: () => void];

/** An error's message as a sentence. */
export function errorText(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/([^.!?])$/, "$1.");
}

/** Shows a text, with a button for `action`. An empty text hides the banner. */
export function showBanner(text: string, action?: BannerAction): void {
  const banner = byId("banner");
  banner.hidden = text === "";
  banner.replaceChildren(make("p", {}, text));
  if (action) banner.append(button(...action, { className: "primary" }));
  if (text) banner.append(button("Dismiss", () => showBanner("")));
}
