/** The banner above the conversation: what went wrong, and what can be done about it. */

import { button, byId, make } from "./dom.js";

/** What can be done: a button's text, and what it does. */
export type Offer = [text: string, act: () => void];

/** An error as a sentence. */
export function message(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/([^.!?])$/, "$1.");
}

/** Shows a text, with something that can be done; an empty one hides the banner. */
export function say(text: string, offer?: Offer): void {
  const banner = byId("banner");
  banner.hidden = text === "";
  banner.replaceChildren(make("p", {}, text));
  if (offer) banner.append(button(...offer, { className: "primary" }));
  if (text) banner.append(button("Dismiss", () => say("")));
}
