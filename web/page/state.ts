/** What the page keeps between visits, in the browser's database: chats, settings, and which model was used last. */

import { get, set } from "idb-keyval";
import type { Message } from "../js/index.js";

/** A conversation. */
export interface Chat {
  id: string;
  /** Milliseconds since 1970. */
  updated: number;
  messages: Message[];
}

/** What a person chose; what is undefined is the model's to say. */
export interface Settings {
  system: string;
  temperature?: number;
  top_p?: number;
  repetition_penalty?: number;
  max_tokens?: number;
  seed?: number;
  context: number;
  kv: string;
  theme: string;
}

const DEFAULTS: Settings = { system: "", max_tokens: 1024, context: 4096, kv: "f16", theme: "light dark" };

/** An empty conversation. */
export const newChat = (): Chat => ({ id: crypto.randomUUID(), updated: Date.now(), messages: [] });

/** A conversation's title: its first words. */
export function title(chat: Chat): string {
  return chat.messages.find((message) => message.role === "user")?.content.slice(0, 60) || "New chat";
}

export const loadChats = async (): Promise<Chat[]> => (await get<Chat[]>("chats")) ?? [];
export const saveChats = (chats: Chat[]): Promise<void> => set("chats", chats.filter((chat) => chat.messages.length > 0));
export const loadSettings = async (): Promise<Settings> => ({ ...DEFAULTS, ...(await get<Partial<Settings>>("settings")) });
export const saveSettings = (settings: Settings): Promise<void> => set("settings", settings);
export const lastModel = (): Promise<string | undefined> => get<string>("model");
export const rememberModel = (source: string): Promise<void> => set("model", source);

/** Chats as a file for people to keep. */
export function exported(chats: Chat[]): Blob {
  return new Blob([JSON.stringify({ godwit: 1, chats }, null, 2)], { type: "application/json" });
}

const isMessage = (value: unknown): value is Message => {
  const { role, content } = (value ?? {}) as Partial<Message>;
  return ["system", "user", "assistant"].includes(String(role)) && typeof content === "string";
};

/** The chats in an exported file. Throws where it is none. */
export function imported(text: string): Chat[] {
  let chats: unknown;
  try {
    chats = (JSON.parse(text) as { chats?: unknown } | null)?.chats;
  } catch {
    throw new Error("the file is no JSON");
  }
  if (!Array.isArray(chats)) throw new Error("the file has no chats");
  return chats.map((chat: Partial<Chat> | null) => {
    if (!Array.isArray(chat?.messages) || !chat.messages.every(isMessage)) throw new Error("a chat in the file is damaged");
    const messages = chat.messages.map(({ role, content }) => ({ role, content }));
    return { id: crypto.randomUUID(), updated: Number(chat.updated) || Date.now(), messages };
  });
}
