/** The conversation on the page. */

import type { Turn } from "./chats.js";
import { button, byId, make } from "./dom.js";
import { rendered } from "./markdown.js";

/** The content of the conversation on the page. */
export interface View {
  turns: Turn[];
  /** All versions of a turn, including the turn itself. */
  siblings(turn: Turn): Turn[];
  /** The turn that receives a reply in this tab. */
  streaming?: Turn;
  /** Whether a reply is in progress, in this tab or another one, so that no other can begin. */
  busy: boolean;
}

/** The actions on a turn. `edit` returns whether the edited question was sent. */
export interface Actions {
  edit(turn: Turn, content: string): Promise<boolean>;
  regenerate(turn: Turn): void;
  proceed(turn: Turn): void;
  answer(turn: Turn): void;
  /** Shows the branch of the turn. */
  show(turn: Turn): void;
}

/** A turn's element, and the values that it was drawn from. */
interface Item {
  li: HTMLLIElement;
  body: HTMLElement;
  foot: HTMLElement;
  content?: string;
  tools?: string;
}

const NOTES = {
  limit: "The reply was cut: it reached its maximum length.",
  context: "The reply was cut: the context is full.",
  stopped: "The reply was stopped.",
  interrupted: "The reply was interrupted.",
};

const list = byId<HTMLOListElement>("messages");
/** The elements on the page, by the turn's id. */
let items = new Map<string, Item>();
/** The texts of open editors, by the turn's id. They survive a reload of the tab. */
const editors = {
  key: (turn: Turn) => `godwit.editor.${turn.id}`,
  get: (turn: Turn) => sessionStorage.getItem(editors.key(turn)),
  set: (turn: Turn, text: string) => sessionStorage.setItem(editors.key(turn), text),
  delete: (turn: Turn) => sessionStorage.removeItem(editors.key(turn)),
};

/**
 * Shows a conversation. Elements of turns that are already on the page stay, and so do their open
 * editors.
 */
export function show(view: View, actions: Actions): void {
  if (view.turns.length === 0) {
    items = new Map();
    const text = "The model and your messages stay on this machine.";
    list.replaceChildren(make("li", { className: "empty" }, text));
    return;
  }
  const before = items;
  items = new Map();
  for (const turn of view.turns) {
    const item = before.get(turn.id) ?? newItem(turn);
    items.set(turn.id, item);
    draw(item, turn, view, actions);
  }
  const wanted = [...items.values()].map(({ li }) => li as Element);
  for (const child of [...list.children]) if (!wanted.includes(child)) child.remove();
  for (const [i, li] of wanted.entries()) {
    if (list.children[i] !== li) list.insertBefore(li, list.children[i] ?? null);
  }
  if (view.turns.some(({ id }) => !before.has(id))) list.scrollTop = list.scrollHeight;
}

function newItem(turn: Turn): Item {
  const body = make("div", { className: "body" });
  const foot = make("div", { className: "foot" });
  return { li: make("li", { className: turn.role }, body, foot), body, foot };
}

function draw(item: Item, turn: Turn, view: View, actions: Actions): void {
  const isLast = turn === view.turns.at(-1);
  item.body.classList.toggle("waiting", turn === view.streaming);
  const text = editors.get(turn);
  if (text !== null) {
    edit(item, turn, text, view.busy, actions);
    return;
  }
  fill(item, turn);
  const siblings = view.siblings(turn);
  const at = siblings.indexOf(turn);
  const tools = JSON.stringify([siblings.map(({ id }) => id), at, view.busy, isLast, turn.cut]);
  if (item.tools === tools) return;
  item.tools = tools;
  const focused =
    item.foot.contains(document.activeElement) &&
    (document.activeElement as HTMLElement).dataset.tool;
  const foot = view.busy ? [] : footOf(item, turn, siblings, isLast, actions);
  item.foot.replaceChildren(...foot);
  if (focused) focus(turn, focused);
}

/** The elements below a message: a note if it was cut, and its tools. */
function footOf(
  item: Item,
  turn: Turn,
  siblings: Turn[],
  isLast: boolean,
  actions: Actions,
): HTMLElement[] {
  const copy = button("Copy", async () => {
    await navigator.clipboard.writeText(turn.content);
    copy.textContent = "Copied";
  });
  const tools = make("div", { className: "tools" });
  if (siblings.length > 1) tools.append(switcherOf(turn, siblings, actions));
  tools.append(copy);
  if (turn.role === "user") {
    const begin = () => {
      edit(item, turn, turn.content, false, actions);
      item.body.querySelector("textarea")?.focus();
    };
    tools.append(button("Edit", begin));
    if (isLast) tools.append(button("Reply", () => actions.answer(turn)));
  } else {
    tools.append(button("Regenerate", () => actions.regenerate(turn)));
  }
  if (!turn.cut) return [tools];
  const note = make("p", { className: "cut" }, NOTES[turn.cut]);
  if (isLast) note.append(button("Continue", () => actions.proceed(turn)));
  return [note, tools];
}

/** The buttons ‹ and › between the versions of a turn. */
function switcherOf(turn: Turn, siblings: Turn[], actions: Actions): HTMLElement {
  const at = siblings.indexOf(turn);
  const to = (step: number, text: string, tool: string, ariaLabel: string) => {
    const other = siblings[at + step];
    const act = () => {
      if (!other) return;
      actions.show(other);
      focus(other, tool);
    };
    const one = button(text, act, { ariaLabel, disabled: !other });
    one.dataset.tool = tool;
    return one;
  };
  const place = make("span", {}, `${at + 1}/${siblings.length}`);
  place.setAttribute("aria-label", `Version ${at + 1} of ${siblings.length}`);
  place.setAttribute("role", "status");
  const previous = to(-1, "‹", "previous", "Previous version");
  const next = to(1, "›", "next", "Next version");
  return make("span", { className: "switcher" }, previous, place, next);
}

/** Focuses a tool of a turn. If ‹ or › is disabled there, focuses the other one. */
function focus(turn: Turn, tool: string): void {
  const foot = items.get(turn.id)?.foot;
  const enabled = (name: string) =>
    foot?.querySelector<HTMLElement>(`[data-tool="${name}"]:enabled`);
  (enabled(tool) ?? enabled(tool === "next" ? "previous" : "next"))?.focus();
}

/** Draws a turn's content if it has changed. */
function fill(item: Item, turn: Turn): void {
  if (item.content === turn.content) return;
  item.content = turn.content;
  if (turn.role === "assistant") item.body.replaceChildren(rendered(turn.content));
  else item.body.textContent = turn.content;
}

/** Replaces a message by an editor. An open editor keeps its text. */
function edit(item: Item, turn: Turn, text: string, busy: boolean, actions: Actions): void {
  const open = item.body.querySelector("textarea");
  if (open) {
    for (const one of item.foot.querySelectorAll<HTMLButtonElement>(".send")) one.disabled = busy;
    return;
  }
  editors.set(turn, text);
  item.content = undefined;
  item.tools = undefined;
  const area = make("textarea", { value: text, rows: 3, ariaLabel: "Edit the message" });
  area.oninput = () => editors.set(turn, area.value);
  const close = () => {
    editors.delete(turn);
    item.li.classList.remove("editing");
    item.body.replaceChildren();
    actions.show(turn);
  };
  const send = button(
    "Send",
    async () => {
      if (area.value.trim() === "") close();
      else if (await actions.edit(turn, area.value)) editors.delete(turn);
    },
    { className: "send", disabled: busy },
  );
  area.onkeydown = (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    }
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send.click();
    }
  };
  item.li.classList.add("editing");
  item.body.replaceChildren(area);
  item.foot.replaceChildren(make("div", { className: "tools" }, send, button("Cancel", close)));
}

let frame = 0;

/** Draws a turn's content in the next frame. Scrolls along if the end was visible. */
export function update(turn: Turn): void {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => {
    const item = items.get(turn.id);
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
    if (item) fill(item, turn);
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  });
}
