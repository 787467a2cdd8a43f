/** The list of chats. */

import { type Chat, title } from "./chats.js";
import { button, byId, make } from "./dom.js";

/** What can be done with a chat. */
export interface Actions {
  open(chat: Chat): void;
  remove(chat: Chat): void;
}

/**
 * Shows the list. `stateOf` says of a chat what is marked beside its title, or nothing. The focus
 * stays where it is.
 */
export function show(
  chats: Chat[],
  current: Chat,
  stateOf: (chat: Chat) => string,
  actions: Actions,
): void {
  const list = byId("chat-list");
  const focused = list.contains(document.activeElement)
    ? (document.activeElement as HTMLElement).dataset.chat
    : undefined;
  list.replaceChildren(...chats.map((one) => item(one, one === current, stateOf(one), actions)));
  if (focused) list.querySelector<HTMLElement>(`[data-chat="${focused}"]`)?.focus();
}

function item(chat: Chat, isCurrent: boolean, state: string, actions: Actions): HTMLLIElement {
  const open = button(title(chat), () => actions.open(chat), { className: "open" });
  open.dataset.chat = chat.id;
  open.setAttribute("aria-current", String(isCurrent));
  if (state) {
    const mark = make("span", { className: "coming", title: state });
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", state);
    open.prepend(mark);
  }
  const label = `Delete the chat ${title(chat)}`;
  const remove = button("✕", () => actions.remove(chat), { className: "icon", ariaLabel: label });
  return make("li", {}, open, remove);
}
