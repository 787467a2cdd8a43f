/** The conversation on the page. */

import type { Message } from "../js/index.js";
import { button, byId, make } from "./dom.js";
import { rendered } from "./markdown.js";

/** What can be done with a message. */
export interface Actions {
  edit(index: number, content: string): void;
  regenerate(index: number): void;
}

const list = byId<HTMLOListElement>("messages");

/** Shows all messages; no actions while a reply comes. */
export function show(messages: Message[], actions: Actions, replying: boolean): void {
  if (messages.length === 0) {
    list.replaceChildren(make("li", { className: "empty" }, "Everything stays on this machine: the model, and what you write."));
    return;
  }
  list.replaceChildren(...messages.map((message, i) => item(message, i, actions, replying, i === messages.length - 1)));
  scrollDown(true);
}

function item(message: Message, index: number, actions: Actions, replying: boolean, last: boolean): HTMLLIElement {
  const body = make("div", { className: "body" });
  const li = make("li", { className: message.role }, body);
  fill(body, message);
  if (replying) {
    if (last && message.role === "assistant") body.classList.add("waiting");
    return li;
  }
  const copy = button("Copy", () => {
    void navigator.clipboard.writeText(message.content).then(() => (copy.textContent = "Copied"));
  });
  const tools = make("div", { className: "tools" }, copy);
  if (message.role === "user") tools.append(button("Edit", () => edit(li, message, (content) => actions.edit(index, content))));
  if (message.role === "assistant") tools.append(button("Regenerate", () => actions.regenerate(index)));
  li.append(tools);
  return li;
}

function fill(body: HTMLElement, message: Message): void {
  if (message.role === "assistant") body.replaceChildren(rendered(message.content));
  else body.textContent = message.content;
}

/** Puts an editor in a message's place. */
function edit(li: HTMLLIElement, message: Message, done: (content: string) => void): void {
  const before = [...li.childNodes];
  const area = make("textarea", { value: message.content, rows: 3, ariaLabel: "Edit the message" });
  const cancel = () => li.replaceChildren(...before);
  const send = () => (area.value.trim() ? done(area.value) : cancel());
  area.onkeydown = (event) => {
    if (event.key === "Escape") cancel();
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
  };
  li.replaceChildren(area, make("div", { className: "tools" }, button("Send", send), button("Cancel", cancel)));
  area.focus();
}

let frame = 0;

/** Shows the last message as it is now, with the next frame. */
export function update(message: Message): void {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => {
    const body = list.lastElementChild?.querySelector<HTMLElement>(".body");
    const stays = atBottom();
    if (body) fill(body, message);
    scrollDown(stays);
  });
}

const atBottom = () => list.scrollHeight - list.scrollTop - list.clientHeight < 80;

function scrollDown(really: boolean): void {
  if (really) list.scrollTop = list.scrollHeight;
}
