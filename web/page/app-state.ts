/** The state that all parts of the page share. */

import type { Engine, Source } from "../js/index.js";
import { apply, type Chat, isEmpty, newChat, type Patch, type Turn } from "./chats.js";
import { byId } from "./dom.js";
import { loadSettings, type Settings } from "./state.js";
import * as storage from "./storage.js";

/** A reply in progress, in this tab. */
export interface Reply {
  stop: AbortController;
  /** The turn that receives the text, once this tab has locked the chat. */
  turn?: Turn;
}

interface State {
  settings: Settings;
  /** The chats in the list, by id. */
  chats: Map<string, Chat>;
  /** The chat on the page. A new one is not in the list yet. */
  current: Chat;
  engine?: Engine;
  /** The model that is loaded, is being loaded, or was loaded last. */
  model?: { source: Source; name: string };
  /** Stops the loading in progress. */
  loading?: AbortController;
  /** Replies of this tab, by the chat's id. The engine computes them one after the other. */
  replies: Map<string, Reply>;
  /** The header's text about each chat's last reply, by the chat's id. */
  statuses: Map<string, string>;
  /** The ids of chats in which another tab is replying. */
  repliesElsewhere: Set<string>;
}

export const state: State = {
  settings: await loadSettings(),
  chats: new Map(),
  current: newChat(),
  replies: new Map(),
  statuses: new Map(),
  repliesElsewhere: new Set(),
};

let draw = () => {};

/** Sets the function that draws the page. */
export function setView(view: () => void): void {
  draw = view;
}

/** Draws the page from the state. */
export function refresh(): void {
  draw();
}

/** Changes a chat here and in the database. */
export function change(chat: Chat, patch: Patch): Promise<void> {
  apply(chat, patch);
  if (chat.deleted === undefined) state.chats.set(chat.id, chat);
  return storage.save(chat.id, patch);
}

/** The chats that are not empty, the newest first. */
export function sortedChats(): Chat[] {
  const chats = [...state.chats.values()].filter((chat) => !isEmpty(chat));
  return chats.sort((a, b) => b.updated - a.updated);
}

/** Sets the header's text about a chat's reply. */
export function setStatus(chat: Chat, text: string): void {
  state.statuses.set(chat.id, text);
  if (chat === state.current) byId("stats").textContent = text;
}
