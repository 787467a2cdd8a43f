/** The chat page: its view, its events, and the changes that other tabs make. */

import { Engine } from "../js/index.js";
import { change, refresh, setView, sortedChats, state } from "./app-state.js";
import { errorText, showBanner } from "./banner.js";
import * as chatList from "./chat-list.js";
import {
  apply,
  type Chat,
  children,
  everything,
  exported,
  imported,
  isEmpty,
  newChat,
  newestLeaf,
  path,
  type Turn,
  takeNewerTurns,
  title,
} from "./chats.js";
import { byId, make } from "./dom.js";
import * as messages from "./messages.js";
import { load, reload } from "./model-loader.js";
import * as models from "./models.js";
import { answer, ask, edit, proceed, regenerate } from "./replies.js";
import * as settingsDialog from "./settings.js";
import { lastModel } from "./state.js";
import * as storage from "./storage.js";
import { offerUndo } from "./toast.js";
import { offerUpdates } from "./updates.js";

const input = byId<HTMLTextAreaElement>("input");
const { chats, replies, repliesElsewhere } = state;

// The view.

setView(() => {
  const { current } = state;
  const reply = replies.get(current.id);
  const isElsewhere = repliesElsewhere.has(current.id);
  const turns = path(current);
  const siblings = (turn: Turn) =>
    children(current, turn.parent).filter(({ role }) => role === turn.role);
  const busy = reply !== undefined || isElsewhere;
  messages.show(
    { turns, siblings, streaming: reply?.turn, busy },
    { edit, regenerate, proceed, answer, show },
  );
  byId("send").hidden = reply !== undefined;
  byId("stop").hidden = reply === undefined;
  byId<HTMLButtonElement>("send").disabled = state.engine === undefined || isElsewhere;
  byId<HTMLButtonElement>("reload").disabled = state.model === undefined;
  byId("stats").textContent = state.statuses.get(current.id) ?? "";
  byId("notice").textContent = isElsewhere ? "Another tab is replying in this chat." : "";
  const open = (chat: Chat) => {
    select(chat);
    toggleList(false);
  };
  chatList.show(sortedChats(), current, replyMark, { open, remove });
});

/** The mark of a chat in the list, beside its title. */
function replyMark({ id }: Chat): string {
  if (replies.has(id)) return "A reply is coming";
  return repliesElsewhere.has(id) ? "Another tab is replying" : "";
}

/** Shows the branch of a turn. */
function show(turn: Turn): void {
  const { current } = state;
  if (!path(current).includes(turn)) void change(current, { leaf: newestLeaf(current, turn.id) });
  refresh();
}

function select(chat: Chat): void {
  state.current = chat;
  sessionStorage.setItem("godwit.chat", chat.id);
  input.value = sessionStorage.getItem(draftKey(chat)) ?? chat.draft;
  refresh();
}

/** Opens or closes the list of chats, which small screens hide. */
function toggleList(open: boolean): void {
  byId("chats").classList.toggle("open", open);
  byId("show-chats").setAttribute("aria-expanded", String(open));
}

// Chats.

/** Deletes a chat, with an offer to undo that. */
function remove(chat: Chat): void {
  takeAway(chat, `Deleted “${title(chat)}”.`);
  void storage.save(chat.id, { deleted: Date.now() });
  byId("toasts").querySelector<HTMLElement>(":scope > :last-child button")?.focus();
}

/** Removes a deleted chat from the page, with an offer to restore it. */
function takeAway(chat: Chat, text: string): void {
  replies.get(chat.id)?.stop.abort();
  chat.deleted = Date.now();
  chats.delete(chat.id);
  if (chat === state.current) select(sortedChats()[0] ?? newChat());
  else refresh();
  const undo = () => {
    void change(chat, { ...everything(chat), deleted: null });
    select(chat);
  };
  offerUndo(text, undo, () => void storage.purge(chat.id));
}

/** Merges the changes that another tab made to a chat. */
async function receive(id: string): Promise<void> {
  for (const locked of await storage.chatsOfOtherTabs()) {
    if (repliesElsewhere.has(locked)) continue;
    repliesElsewhere.add(locked);
    const ended = () => {
      repliesElsewhere.delete(locked);
      void receive(locked);
    };
    void storage.released(locked).then(ended);
  }
  const stored = await storage.read(id);
  const known = chats.get(id) ?? (state.current.id === id ? state.current : undefined);
  if (!stored || stored.deleted !== undefined) {
    if (known && chats.has(id)) takeAway(known, `“${title(known)}” was deleted in another tab.`);
    refresh();
    return;
  }
  // This tab's branch stays while it replies in the chat; its draft stays while the chat is open.
  const chat = known ?? newChat(id);
  const leaf = takeNewerTurns(chat, stored);
  if (!replies.has(id)) chat.leaf = leaf;
  if (chat !== state.current) chat.draft = stored.draft;
  chats.set(id, chat);
  refresh();
}

// Drafts.

/** The key of this tab's draft. Two tabs may have different drafts of one chat. */
const draftKey = (chat: Chat) => `godwit.draft.${chat.id}`;

function keepDraft(chat: Chat, draft: string): void {
  sessionStorage.setItem(draftKey(chat), draft);
  apply(chat, { draft });
  if (!chats.has(chat.id) && isEmpty(chat)) return;
  chats.set(chat.id, chat);
  storage.saveSoon(chat.id, { draft });
  // The draft is the title of a chat without questions.
  if (path(chat).length === 0) refresh();
}

// Events.

byId("composer").onsubmit = async (event) => {
  event.preventDefault();
  const chat = state.current;
  const text = input.value.trim();
  if (!text || replies.has(chat.id)) return;
  if (!(await ask(chat, text))) return;
  const isShown = chat === state.current;
  if (isShown && input.value.trim() === text) input.value = "";
  keepDraft(chat, isShown ? input.value : "");
};
input.onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId<HTMLFormElement>("composer").requestSubmit();
};
input.oninput = () => keepDraft(state.current, input.value);

const stopReply = () => replies.get(state.current.id)?.stop.abort();
byId("stop").onclick = stopReply;
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  stopReply();
  toggleList(false);
});
byId("show-chats").onclick = () => toggleList(!byId("chats").classList.contains("open"));
byId("new-chat").onclick = () => {
  select(newChat());
  toggleList(false);
  input.focus();
};
byId("export").onclick = () => {
  const url = URL.createObjectURL(exported(sortedChats()));
  make("a", { href: url, download: "godwit-chats.json" }).click();
  URL.revokeObjectURL(url);
};
const importFile = byId<HTMLInputElement>("import-file");
byId("import").onclick = () => importFile.click();
importFile.onchange = async () => {
  const file = importFile.files?.[0];
  importFile.value = "";
  if (!file) return;
  try {
    const added = imported(await file.text());
    await Promise.all(added.map((chat) => change(chat, everything(chat))));
    select(added[0] ?? state.current);
  } catch (error) {
    showBanner(`The chats could not be imported: ${errorText(error)}`);
  }
};
byId("reload").onclick = () => {
  byId<HTMLDialogElement>("settings").close();
  reload();
};

// The start.

models.setUp(
  () => state.settings,
  (source, name, keep) => void load(source, name, keep),
);
settingsDialog.setUp(state.settings);
storage.listen(
  (id) => void receive(id),
  (error) => showBanner(`The chat can't be stored: ${errorText(error)} Export it.`),
);
for (const chat of await storage.readAll()) chats.set(chat.id, chat);
select(chats.get(sessionStorage.getItem("godwit.chat") ?? "") ?? sortedChats()[0] ?? newChat());
void receive(state.current.id);
input.focus();
void offerUpdates().catch(() => undefined);
const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
if (!adapter) {
  showBanner(
    "This browser offers no WebGPU, which the model needs. Use a current Chrome, Edge, Safari or " +
      "Firefox; on Linux, WebGPU may have to be enabled in the browser's settings.",
  );
} else {
  const last = await lastModel();
  const kept = (await Engine.cached()).find((model) => model.source === last && model.complete);
  if (kept) await load(kept.source, kept.name);
}
