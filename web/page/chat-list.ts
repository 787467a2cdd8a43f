/** The list of chats. */

import { type Chat, title } from "./chats.js";
import { button, byId, make } from "./dom.js";

/** The actions on a chat. */
export interface Actions {
  open(chat: Chat): void;
  remove(chat: Chat): void;
}

/**
 * Shows the list. `markOf` returns the text of the mark beside a chat's title, or an empty one. The
 * focus stays where it is.
 */
export function show(
  chats: Chat[],
  current: Chat,
  markOf: (chat: Chat) => string,
  actions: Actions,
): void {
  const list = byId("chat-list");
  const focused = list.contains(document.activeElement)
    ? (document.activeElement as HTMLElement).dataset.chat
    : undefined;
  list.replaceChildren(...chats.map((one) => item(one, one === current, markOf(one), actions)));
  if (focused) list.querySelector<HTMLElement>(`[data-chat="${focused}"]`)?.focus();
}

function item(chat: Chat, isCurrent: boolean, markText: string, actions: Actions): HTMLLIElement {
  const open = button(title(chat), () => actions.open(chat), { className: "open" });
  open.dataset.chat = chat.id;
  open.setAttribute("aria-current", String(isCurrent));
  if (markText) {
    const mark = make("span", { className: "replying", title: markText });
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", markText);
    open.prepend(mark);
  }
  const label = `Delete the chat ${title(chat)}`;
  const remove = button("✕", () => actions.remove(chat), { className: "icon", ariaLabel: label });
  return make("li", {}, open, remove);
}
