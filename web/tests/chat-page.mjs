// The chat page in Chromium with a tiny model, and the actions of a user in it. A test file that
// imports this module gets a browser, from before its first test until after its last one.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { setTimeout } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { PATIENCE, start } from "./browser.mjs";
import { tinyModel } from "./tiny.mjs";

export let browser;
/** The first tab. */
export let page;
/** A folder that is served as `/tiny/`, with the model `tiny.gguf`. */
export let folder;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "godwit-tiny-"));
  writeFileSync(join(folder, "tiny.gguf"), tinyModel().file);
  browser = await start({ "/tiny/": folder });
  page = await tab();
});
after(async () => {
  await browser?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Opens a tab, without the page. */
export async function tab() {
  const tab = await browser.context.newPage();
  tab.on("pageerror", (error) => console.error(`  page: ${error.message}`));
  return tab;
}

/** Reads until the result is the expected one. After the timeout, fails with the difference. */
export async function eventually(read, expected) {
  for (const end = Date.now() + PATIENCE; ; await setTimeout(50)) {
    const found = await read();
    if (isDeepStrictEqual(found, expected)) return;
    if (Date.now() > end) assert.deepEqual(found, expected);
  }
}

/** The value of a key in the database of the page in this tab. */
export const storedValue = (tab, key) =>
  tab.evaluate(async (key) => {
    const wait = (request) =>
      new Promise((resolve) => {
        request.onsuccess = () => resolve(request.result);
      });
    const database = await wait(indexedDB.open("keyval-store"));
    const value = await wait(database.transaction("keyval").objectStore("keyval").get(key));
    database.close();
    return value;
  }, key);

/** The actions of a user in a tab, and what the user sees. */
export const at = (tab) => ({
  users: () => tab.locator("#messages .user .body").allTextContents(),
  replies: async () =>
    (await tab.locator("#messages .assistant .body").allTextContents()).map((text) => text.trim()),
  titles: () => tab.locator("#chat-list .open").allTextContents(),
  versions: () => tab.locator("#messages .switcher span").allTextContents(),
  idle: () => tab.locator("#send:enabled").waitFor(),
  type: (text) => tab.locator("#input").fill(text),
  async send(text) {
    await tab.locator("#input").fill(text);
    await tab.locator("#input").press("Enter");
  },
  async ask(text) {
    await this.send(text);
    await tab.locator("#messages .user .body", { hasText: text }).last().waitFor();
    await this.idle();
  },
  /** Begins a chat with a question, and waits for the beginning of a long reply. */
  async begin(text) {
    await tab.getByRole("button", { name: "New chat" }).click();
    await this.send(text);
    await this.grows();
  },
  /** Waits until the last reply has become longer. */
  async grows() {
    const selector = "#messages > .assistant:last-child .body";
    const length = (selector) => document.querySelector(selector)?.textContent.length ?? 0;
    // Only the tab in front draws frames.
    await tab.bringToFront();
    const before = await tab.evaluate(length, selector);
    await tab.waitForFunction(
      ([selector, least]) => (document.querySelector(selector)?.textContent.length ?? 0) >= least,
      [selector, before + 10],
      { polling: 50 },
    );
  },
  tool: (name, nth = -1) => tab.getByRole("button", { name, exact: true }).nth(nth).click(),
  open: (title) =>
    tab.locator("#chat-list").getByRole("button", { name: title, exact: true }).click(),
  /** Changes settings, and waits until they are stored. */
  async settings(values) {
    await tab.getByRole("button", { name: "Settings" }).click();
    for (const [name, value] of Object.entries(values))
      await tab.locator(`#settings [name=${name}]`).fill(String(value));
    await tab.keyboard.press("Escape");
    const pick = (all = {}) => Object.keys(values).map((name) => String(all[name] ?? ""));
    await eventually(async () => pick(await storedValue(tab, "settings")), pick(values));
  },
  dismiss: () => tab.getByRole("button", { name: "Dismiss" }).click(),
});

/** All keys and values in the page's database. */
export const stored = () =>
  page.evaluate(async () => {
    const wait = (request) =>
      new Promise((resolve) => {
        request.onsuccess = () => resolve(request.result);
      });
    const records = (await wait(indexedDB.open("keyval-store")))
      .transaction("keyval")
      .objectStore("keyval");
    return { keys: await wait(records.getAllKeys()), values: await wait(records.getAll()) };
  });

/** Messages of a user and an assistant in turn. */
export const conversation = (...contents) =>
  contents.map((content, i) => ({ role: i % 2 ? "assistant" : "user", content }));

/** Imports chats of plain messages. */
export async function importChats(...chats) {
  const file = join(folder, "chats.json");
  writeFileSync(
    file,
    JSON.stringify({ godwit: 1, chats: chats.map((messages) => ({ messages })) }),
  );
  await page.setInputFiles("#import-file", file);
}

/** Reloads a tab and waits for the list of chats, because reading texts does not wait. */
export async function reloaded(tab) {
  await tab.reload();
  await tab.locator("#chat-list .open").first().waitFor();
}
