/** The conversation on the page. */

import type { Turn } from "./chats.js";
import { button, byId, make } from "./dom.js";
import { rendered } from "./markdown.js";

/** What is shown. */
export interface View {
  turns: Turn[];
  /** The turns that a turn can be switched to, itself among them. */
  siblings(turn: Turn): Turn[];
  /** The turn that is being written, in this tab. */
  coming?: Turn;
  /** A reply comes, in this tab or another one: no other can begin. */
  busy: boolean;
}

/** What can be done with a turn. `edit` returns whether it was done. */
export interface Actions {
  edit(turn: Turn, content: string): Promise<boolean>;
  regenerate(turn: Turn): void;
  proceed(turn: Turn): void;
  answer(turn: Turn): void;
  /** Shows the branch that the turn is on. */
  show(turn: Turn): void;
}

/** A turn's element, and what it was made from. */
interface Item {
  li: HTMLLIElement;
  body: HTMLElement;
  foot: HTMLElement;
  content?: string;
  tools?: string;
}

const NOTES = {
  limit: "The reply was cut at the limit of its length.",
  context: "The reply was cut: the context is full.",
  stopped: "The reply was stopped.",
  interrupted: "The reply was interrupted.",
};

const list = byId<HTMLOListElement>("messages");
/** What is on the page, by the turn's id. */
let items = new Map<string, Item>();
/** Texts of editors that are open, by the turn's id. They survive a reload of the tab. */
const editors = {
  key: (turn: Turn) => `godwit.editor.${turn.id}`,
  get: (turn: Turn) => sessionStorage.getItem(editors.key(turn)),
  set: (turn: Turn, text: string) => sessionStorage.setItem(editors.key(turn), text),
  delete: (turn: Turn) => sessionStorage.removeItem(editors.key(turn)),
};

/**
 * Shows a conversation. Elements of turns that are there already stay, with an editor that is open
 * in them.
 */
export function show(view: View, actions: Actions): void {
  if (view.turns.length === 0) {
    items = new Map();
    const text = "Everything stays on this machine: the model, and what you write.";
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
  wanted.forEach(
    (li, i) => list.children[i] === li || list.insertBefore(li, list.children[i] ?? null),
  );
  if (view.turns.some(({ id }) => !before.has(id))) list.scrollTop = list.scrollHeight;
}

function newItem(turn: Turn): Item {
  const body = make("div", { className: "body" });
  const foot = make("div", { className: "foot" });
  return { li: make("li", { className: turn.role }, body, foot), body, foot };
}

function draw(item: Item, turn: Turn, view: View, actions: Actions): void {
  const last = turn === view.turns.at(-1);
  item.body.classList.toggle("waiting", turn === view.coming);
  const text = editors.get(turn);
  if (text !== null) {
    edit(item, turn, text, view.busy, actions);
    return;
  }
  fill(item, turn);
  const siblings = view.siblings(turn);
  const at = siblings.indexOf(turn);
  const tools = JSON.stringify([siblings.map(({ id }) => id), at, view.busy, last, turn.cut]);
  if (item.tools === tools) return;
  item.tools = tools;
  const focused =
    item.foot.contains(document.activeElement) &&
    (document.activeElement as HTMLElement).dataset.tool;
  item.foot.replaceChildren(...footOf(item, turn, siblings, at, view.busy, last, actions));
  if (focused) focus(turn, focused);
}

function footOf(
  item: Item,
  turn: Turn,
  siblings: Turn[],
  at: number,
  busy: boolean,
  last: boolean,
  actions: Actions,
): HTMLElement[] {
  if (busy) return [];
  const copy = button("Copy", () => {
    void navigator.clipboard.writeText(turn.content).then(() => (copy.textContent = "Copied"));
  });
  const tools = make("div", { className: "tools" });
  if (siblings.length > 1) {
    const to = (step: number, text: string, tool: string, label: string) => {
      const other = siblings[at + step];
      const one = button(
        text,
        () => {
          if (!other) return;
          actions.show(other);
          focus(other, tool);
        },
        { ariaLabel: label, disabled: !other },
      );
      one.dataset.tool = tool;
      return one;
    };
    const place = make("span", {}, `${at + 1}/${siblings.length}`);
    place.setAttribute("aria-label", `Version ${at + 1} of ${siblings.length}`);
    place.setAttribute("role", "status");
    const switcher = make("span", { className: "switcher" });
    switcher.append(
      to(-1, "‹", "previous", "Previous version"),
      place,
      to(1, "›", "next", "Next version"),
    );
    tools.append(switcher);
  }
  tools.append(copy);
  if (turn.role === "user") {
    const begin = () => {
      edit(item, turn, turn.content, false, actions);
      item.body.querySelector("textarea")?.focus();
    };
    tools.append(button("Edit", begin));
    if (last) tools.append(button("Reply", () => actions.answer(turn)));
  } else {
    tools.append(button("Regenerate", () => actions.regenerate(turn)));
  }
  if (!turn.cut) return [tools];
  const note = make("p", { className: "cut" }, NOTES[turn.cut]);
  if (last) note.append(button("Continue", () => actions.proceed(turn)));
  return [note, tools];
}

/**
 * Puts the focus on a tool of a turn, or on the other one of a pair where that one is at its end.
 */
function focus(turn: Turn, tool: string): void {
  const foot = items.get(turn.id)?.foot;
  const enabled = (name: string) =>
    foot?.querySelector<HTMLElement>(`[data-tool="${name}"]:enabled`);
  (enabled(tool) ?? enabled(tool === "next" ? "previous" : "next"))?.focus();
}

function fill(item: Item, turn: Turn): void {
  if (item.content === turn.content) return;
  item.content = turn.content;
  if (turn.role === "assistant") item.body.replaceChildren(rendered(turn.content));
  else item.body.textContent = turn.content;
}

/** Puts an editor in a message's place. One that is open stays as it is. */
function edit(item: Item, turn: Turn, text: string, busy: boolean, actions: Actions): void {
  const open = item.body.querySelector("textarea");
  if (open) {
    for (const one of item.foot.querySelectorAll<HTMLButtonElement>(".send")) one.disabled = busy;
    return;
  }
  editors.set(turn, text);
  item.content = item.tools = undefined;
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

/** Shows a turn as it is now, with the next frame. */
export function update(turn: Turn): void {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => {
    const item = items.get(turn.id);
    const stays = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
    if (item) fill(item, turn);
    if (stays) list.scrollTop = list.scrollHeight;
  });
}
