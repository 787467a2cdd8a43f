// What people keep in the chat page: chats, branches, drafts, in one tab and in two; a tiny model
// replies.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { setTimeout } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { PATIENCE, start, step } from "./browser.mjs";
import { WINDOW, tinyModel } from "./tiny.mjs";

let browser, page, folder;

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

/** A tab, in which the page is not open yet. */
async function tab() {
  const tab = await browser.context.newPage();
  tab.on("pageerror", (error) => console.error(`  page: ${error.message}`));
  return tab;
}

/** Reads until what is read is as expected. Fails with the difference that is left in the end. */
async function eventually(read, expected) {
  for (const end = Date.now() + PATIENCE; ; await setTimeout(50)) {
    const found = await read();
    if (isDeepStrictEqual(found, expected)) return;
    if (Date.now() > end) assert.deepEqual(found, expected);
  }
}

/** The value of a key in the database of the page in this tab. */
const storedValue = (tab, key) =>
  tab.evaluate(async (key) => {
    const wait = (request) =>
      new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
    const database = await wait(indexedDB.open("keyval-store"));
    const value = await wait(database.transaction("keyval").objectStore("keyval").get(key));
    database.close();
    return value;
  }, key);

/** Ways of a person in a tab. */
const at = (tab) => ({
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
  /** Begins a chat with a question that is replied to at length. */
  async begin(text) {
    await tab.getByRole("button", { name: "New chat" }).click();
    await this.send(text);
    await this.grows();
  },
  /** Waits until more of the last reply has come. */
  async grows() {
    const selector = "#messages > .assistant:last-child .body";
    const length = (selector) => document.querySelector(selector)?.textContent.length ?? 0;
    // The tab in front draws each frame.
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

/** What is stored of all chats. */
const stored = () =>
  page.evaluate(async () => {
    const wait = (request) =>
      new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
    const records = (await wait(indexedDB.open("keyval-store")))
      .transaction("keyval")
      .objectStore("keyval");
    return { keys: await wait(records.getAllKeys()), values: await wait(records.getAll()) };
  });

const said = (...contents) =>
  contents.map((content, i) => ({ role: i % 2 ? "assistant" : "user", content }));

/** Imports chats of plain messages. */
async function bring(...chats) {
  const file = join(folder, "chats.json");
  writeFileSync(
    file,
    JSON.stringify({ godwit: 1, chats: chats.map((messages) => ({ messages })) }),
  );
  await page.setInputFiles("#import-file", file);
}

/** Reloads a tab, and waits until the list of chats is there: reading texts does not wait. */
async function reloaded(tab) {
  await tab.reload();
  await tab.locator("#chat-list .open").first().waitFor();
}

step(
  "chats that the page's first version kept become a record each, and none is lost",
  async () => {
    await page.goto(`${browser.server.url}/tests/blank.html`);
    await page.evaluate(
      async (chats) => {
        const open = indexedDB.open("keyval-store");
        open.onupgradeneeded = () => open.result.createObjectStore("keyval");
        await new Promise((resolve) => (open.onsuccess = resolve));
        const change = open.result.transaction("keyval", "readwrite");
        change.objectStore("keyval").put(chats, "chats");
        await new Promise((resolve) => (change.oncomplete = resolve));
        open.result.close();
      },
      [
        { id: "one", updated: 2, messages: said("First?", "Yes.", "And?", "That.") },
        { id: "two", updated: 1, messages: said("Second?") },
        { id: "odd", updated: 1, messages: "none" },
      ],
    );
    await page.goto(browser.server.url);
    await page.getByText("That.").waitFor();
    assert.deepEqual(await at(page).titles(), ["First?", "Second?"]);
    assert.deepEqual(await at(page).users(), ["First?", "And?"]);
    const { keys, values } = await stored();
    assert.deepEqual(keys.filter((key) => key.startsWith("chat")).sort(), [
      "chat:one",
      "chat:two",
      "chats",
    ]);
    // What is no chat stays where it was.
    assert.deepEqual(
      values[keys.indexOf("chats")].map(({ id }) => id),
      ["odd"],
    );
  },
);

step("without a model, Regenerate and Edit say so and change nothing", async () => {
  await at(page).tool("Regenerate", 0);
  await page
    .getByRole("alert")
    .getByText(/No model is loaded. Nothing was changed/)
    .waitFor();
  await at(page).dismiss();
  await at(page).tool("Edit", 0);
  await page.getByRole("textbox", { name: "Edit the message" }).fill("Other?");
  await page.locator("#messages").getByRole("button", { name: "Send" }).click();
  await page
    .getByRole("alert")
    .getByText(/Nothing was changed/)
    .waitFor();
  // The editor is still there, after a reload too.
  await reloaded(page);
  assert.equal(
    await page.getByRole("textbox", { name: "Edit the message" }).inputValue(),
    "Other?",
  );
  await at(page).tool("Cancel");
  await at(page).type("unsent");
  await page.locator("#input").press("Enter");
  await page
    .getByRole("alert")
    .getByText(/Nothing was changed/)
    .waitFor();
  assert.equal(await page.locator("#input").inputValue(), "unsent");
  assert.deepEqual(await at(page).users(), ["First?", "And?"]);
  assert.deepEqual(await at(page).replies(), ["Yes.", "That."]);
  await at(page).type("");
  await at(page).dismiss();
});

step("a deleted chat comes back with Undo, also one of another tab", async () => {
  await page.getByRole("button", { name: "Delete the chat First?" }).click();
  assert.deepEqual(await at(page).titles(), ["Second?"]);
  await at(page).tool("Undo");
  assert.deepEqual(await at(page).titles(), ["First?", "Second?"]);
  assert.deepEqual(await at(page).users(), ["First?", "And?"]);
  const other = await tab();
  await other.goto(browser.server.url);
  await other.locator("#chat-list .open").first().waitFor();
  await page.getByRole("button", { name: "Delete the chat First?" }).click();
  await other.getByText(/“First\?” was deleted in another tab/).waitFor();
  assert.deepEqual(await at(other).titles(), ["Second?"]);
  await at(page).tool("Close");
  await reloaded(page);
  assert.deepEqual(await at(page).titles(), ["Second?"]);
  assert.equal(
    JSON.stringify((await stored()).values).includes("That."),
    false,
    "what is deleted is erased",
  );
  // The other tab has it still.
  await at(other).tool("Undo");
  await page.locator("#chat-list").getByText("First?").waitFor();
  await other.close();
  await reloaded(page);
  await at(page).open("First?");
  assert.deepEqual(await at(page).users(), ["First?", "And?"]);
});

step(
  "a look that fails leaves nothing behind, and one that is left does not come back",
  async () => {
    const kept = () =>
      page.evaluate(async () => {
        const names = [];
        const root = await navigator.storage.getDirectory();
        for await (const [name, folder] of root.entries())
          for await (const inner of folder.keys()) names.push(`${name}/${inner}`);
        return names;
      });
    await page.getByRole("button", { name: /Choose a model/ }).click();
    for (const name of ["none.gguf", "repository/config.json"]) {
      await page.locator("#url").fill(`${browser.server.url}/tiny/${name}`);
      await page.locator("#url").press("Enter");
      await page
        .locator("#chosen")
        .getByText(/the server answers 404/)
        .waitFor();
      assert.deepEqual(await kept(), []);
      await page.evaluate(() => document.querySelector("#chosen").replaceChildren());
    }
    // The slow answer to the first look does not replace the second one's.
    let answer;
    const later = new Promise((resolve) => (answer = resolve));
    browser.server.rules = ({ path }) => (path.endsWith("none.gguf") ? { later, status: 404 } : {});
    await page.locator("#url").fill(`${browser.server.url}/tiny/none.gguf`);
    await page.locator("#url").press("Enter");
    await page.locator("#url").fill(`${browser.server.url}/tiny/tiny.gguf`);
    await page.locator("#url").press("Enter");
    await page.locator("#chosen").getByRole("button", { name: "Load" }).waitFor();
    const slow = browser.server.requests.findLast(({ path }) => path.endsWith("none.gguf"));
    answer();
    await slow.closed;
    // Whatever the page made of it is drawn with the second frame.
    await page.evaluate(async () => {
      for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
    });
    assert.equal(await page.locator("#chosen").getByText("Tiny").count(), 1);
    browser.server.rules = undefined;
    assert.deepEqual(await kept(), []);
    await page.keyboard.press("Escape");
  },
);

step(
  "of two tabs that load one model the second waits and says so, and reads what the first has got",
  async () => {
    await at(page).settings({ temperature: 0, context: 256, max_tokens: 8 });
    let answer;
    const later = new Promise((resolve) => (answer = resolve));
    const look = async (tab) => {
      await tab.getByRole("button", { name: /Choose a model/ }).click();
      await tab.locator("#url").fill(`${browser.server.url}/tiny/tiny.gguf`);
      await tab.locator("#url").press("Enter");
    };
    const other = await tab();
    await other.goto(browser.server.url);
    await look(page);
    await look(other);
    for (const one of [page, other])
      await one.locator("#chosen").getByRole("button", { name: "Load" }).waitFor();
    // The head of the file is read before the download, which waits here.
    let asked = 0;
    browser.server.rules = ({ path, range }) =>
      path.endsWith("tiny.gguf") && range !== "bytes=0-0" && ++asked > 1 ? { later } : {};
    browser.server.requests.length = 0;
    await page.locator("#chosen").getByRole("button", { name: "Load" }).click();
    await page.getByText(/Downloading/).waitFor();
    await other.locator("#chosen").getByRole("button", { name: "Load" }).click();
    await other.getByText(/Another tab is getting this model/).waitFor();
    // It can't be deleted under the other tab's hands.
    const refusal = await other.evaluate(async (source) => {
      const { Engine } = await import("/npm/index.js");
      return Engine.deleteCached(source).then(
        () => "deleted",
        (error) => `${error.name}: ${error.message}`,
      );
    }, `${browser.server.url}/tiny/tiny.gguf`);
    assert.match(refusal, /^StorageError: .*another tab or window is loading it/);
    answer();
    await at(page).idle();
    await at(other).idle();
    browser.server.rules = undefined;
    const downloads = browser.server.requests.filter(
      ({ path, range }) => path.endsWith("tiny.gguf") && range !== "bytes=0-0",
    );
    assert.equal(
      downloads.length,
      2,
      "the first reads the head and downloads, the second asks for nothing",
    );
    await other.close();
  },
);

step(
  "regenerated and edited turns are branches, on early turns too, and a reload keeps them",
  async () => {
    await at(page).tool("Regenerate", 0);
    await at(page).idle();
    assert.deepEqual(await at(page).versions(), ["2/2"]);
    assert.deepEqual(await at(page).users(), ["First?"]);
    await at(page).tool("Previous version");
    assert.deepEqual(await at(page).versions(), ["1/2"]);
    assert.deepEqual(await at(page).users(), ["First?", "And?"]);
    assert.deepEqual(await at(page).replies(), ["Yes.", "That."]);
    assert.ok(
      await page
        .getByRole("button", { name: "Next version" })
        .evaluate((one) => one === document.activeElement),
    );
    await at(page).tool("Edit", 0);
    await page.getByRole("textbox", { name: "Edit the message" }).fill("Third?");
    await page.keyboard.press("Enter");
    await page.locator("#messages .user .body", { hasText: "Third?" }).waitFor();
    await at(page).idle();
    assert.deepEqual(await at(page).versions(), ["2/2"]);
    await reloaded(page);
    await at(page).idle();
    assert.deepEqual(await at(page).users(), ["Third?"]);
    await at(page).tool("Previous version");
    // The branch that is newest is the one below.
    assert.deepEqual(await at(page).versions(), ["1/2", "2/2"]);
    await at(page).tool("Previous version");
    assert.deepEqual(await at(page).users(), ["First?", "And?"]);
  },
);

step("an editor that is open stays as it is when something is sent from below", async () => {
  await at(page).tool("Edit", 0);
  const editor = page.getByRole("textbox", { name: "Edit the message" });
  await editor.fill("Fourth, but not yet");
  await at(page).ask("Below?");
  assert.equal(await editor.inputValue(), "Fourth, but not yet");
  await editor.fill("Fourth?");
  await editor.press("Enter");
  await page.locator("#messages .user .body", { hasText: "Fourth?" }).waitFor();
  await at(page).idle();
  assert.deepEqual(await at(page).versions(), ["3/3"]);
  await at(page).tool("Previous version");
  await at(page).tool("Previous version", 0);
  assert.deepEqual(await at(page).users(), ["First?", "And?", "Below?"]);
});

step(
  "a reply that is cut at its limit says so, and Continue goes on as if it had not been cut",
  async () => {
    await page.getByRole("button", { name: "New chat" }).click();
    await at(page).ask("Long?");
    await page.getByText("The reply was cut at the limit of its length.").waitFor();
    const [cut] = await at(page).replies();
    await at(page).tool("Continue");
    await at(page).idle();
    const [longer] = await at(page).replies();
    await at(page).settings({ max_tokens: 16 });
    await at(page).tool("Regenerate");
    await at(page).idle();
    const [uncut] = await at(page).replies();
    assert.equal(longer, uncut);
    assert.ok(uncut.length > cut.length && uncut.startsWith(cut), `${cut} / ${uncut}`);
    // Text that no tokens are known of is continued as well.
    await reloaded(page);
    await at(page).idle();
    await at(page).tool("Previous version");
    await at(page).settings({ max_tokens: 8 });
    await at(page).tool("Continue");
    await at(page).idle();
    assert.ok(
      (await at(page).replies())[0].startsWith(longer) &&
        (await at(page).replies())[0].length > longer.length,
    );
  },
);

step("a full context says so, and a larger one continues the reply", async () => {
  await at(page).settings({ max_tokens: "" });
  await page.getByRole("button", { name: "New chat" }).click();
  await at(page).ask("Longest?");
  await page.getByText("The reply was cut: the context is full.").waitFor();
  const [full] = await at(page).replies();
  await at(page).settings({ max_tokens: 8 });
  await at(page).tool("Continue");
  await page.getByRole("button", { name: "Load it with 512 tokens" }).click();
  await at(page).idle();
  assert.deepEqual(await at(page).replies(), [full]);
  await at(page).tool("Continue");
  await at(page).idle();
  const [more] = await at(page).replies();
  assert.ok(more.startsWith(full) && more.length > full.length);
  await at(page).settings({ context: WINDOW, max_tokens: WINDOW });
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("button", { name: "Load the model again" }).click();
  await at(page).idle();
});

step(
  "a reload during a reply keeps the question, what had come of the reply, and the draft",
  async () => {
    await at(page).begin("Reload?");
    await at(page).type("a draft");
    // All that was shown when the page ended is there again.
    await page.evaluate(() =>
      addEventListener("pagehide", () => {
        const { textContent } = document.querySelector("#messages .assistant .body");
        sessionStorage.setItem("shown", textContent.trim());
      }),
    );
    await page.reload();
    await page.getByText("The reply was interrupted.").waitFor();
    const before = await page.evaluate(() => sessionStorage.getItem("shown"));
    assert.ok(before.length >= 10);
    assert.deepEqual(await at(page).users(), ["Reload?"]);
    assert.equal(await page.locator("#input").inputValue(), "a draft");
    const [after] = await at(page).replies();
    assert.ok(after.startsWith(before), `${before} / ${after}`);
    await at(page).idle();
    await at(page).settings({ max_tokens: 8 });
    await at(page).tool("Continue");
    await at(page).idle();
    assert.ok((await at(page).replies())[0].startsWith(after));
    assert.equal(await page.locator("#input").inputValue(), "a draft");
    await at(page).type("");
  },
);

step(
  "another chat does not stop a reply, which the list shows, and whose end others wait for",
  async () => {
    await at(page).settings({ max_tokens: WINDOW });
    await at(page).begin("Going on?");
    await page.getByRole("button", { name: "New chat" }).click();
    await page.locator("#chat-list").getByRole("img", { name: "A reply is coming" }).waitFor();
    assert.equal(await page.locator("#stop").isVisible(), false);
    await at(page).open("A reply is coming Going on?");
    await at(page).grows();
    // A second question waits for the first reply's end.
    await page.getByRole("button", { name: "New chat" }).click();
    await at(page).send("Next?");
    await page.getByText("waits for the reply in another chat").waitFor();
    await page.locator("#stop").click();
    await at(page).idle();
    assert.deepEqual(await at(page).replies(), []);
    await at(page).send("");
    await at(page).tool("Reply");
    await page.getByText("waits for the reply in another chat").waitFor();
    await at(page).open("A reply is coming Going on?");
    await page.locator("#stop").click();
    await page.getByText("The reply was stopped.").waitFor();
    await at(page).open("A reply is coming Next?");
    await at(page).grows();
    await page.locator("#stop").click();
    await at(page).idle();
  },
);

step("two tabs never overwrite each other, and show what the other one does", async () => {
  const other = await tab();
  await other.goto(browser.server.url);
  await at(other).idle();
  await at(page).begin("Tab one?");
  // The second tab sees the reply as it comes, and can't reply into the same chat.
  await other.getByRole("img", { name: "Another tab is replying" }).waitFor();
  await at(other).open("Another tab is replying Tab one?");
  await other.getByText("Another tab is replying in this chat.").waitFor();
  assert.ok(await other.locator("#send").isDisabled());
  await at(other).grows();
  // It can in another one, at the same time.
  await at(other).settings({ max_tokens: 8 });
  await other.getByRole("button", { name: "New chat" }).click();
  await at(other).ask("Tab two?");
  await at(page).settings({ max_tokens: WINDOW });
  await page.locator("#stop").click();
  await at(page).idle();
  await other.locator("#chat-list .coming").waitFor({ state: "detached" });
  const [reply] = await at(page).replies();
  await page.locator("#chat-list").getByText("Tab two?").waitFor();
  // Both ask in one chat, one after the other.
  await at(other).open("Tab one?");
  await eventually(at(other).replies, [reply]);
  await at(other).ask("From two?");
  await page.locator("#messages .user .body", { hasText: "From two?" }).waitFor();
  await at(page).settings({ max_tokens: 8 });
  await at(page).ask("From one?");
  // Each question follows the reply to the one before, whichever tab that came to.
  await eventually(async () => (await at(page).replies()).length, 3);
  for (const one of [page, other])
    await one.locator("#messages .user .body", { hasText: "From one?" }).waitFor();
  // One changes a setting, the other one another: both stay.
  await at(page).settings({ system: "Be brief." });
  await at(other).settings({ seed: 7 });
  await other.close();
  await reloaded(page);
  await at(page).idle();
  assert.deepEqual(await at(page).users(), ["Tab one?", "From two?", "From one?"]);
  assert.ok((await at(page).titles()).includes("Tab two?"));
  assert.equal(await page.locator("#settings [name=system]").inputValue(), "Be brief.");
  assert.equal(await page.locator("#settings [name=seed]").inputValue(), "7");
});

step("a tab that is closed during a reply leaves its chat to the others", async () => {
  const other = await tab();
  await other.goto(browser.server.url);
  await at(other).idle();
  await at(other).settings({ system: "", max_tokens: WINDOW });
  await at(other).begin("Closed?");
  await page.getByRole("img", { name: "Another tab is replying" }).waitFor();
  // A tab that is closed has no time to write: what the other tabs have seen is stored.
  await at(page).open("Another tab is replying Closed?");
  await at(page).grows();
  const [seen] = await at(page).replies();
  await other.close();
  await page.getByText("The reply was interrupted.").waitFor();
  const [left] = await at(page).replies();
  assert.ok(left.startsWith(seen), `${seen} / ${left}`);
  await at(page).tool("Continue");
  await at(page).idle();
});

step("chats with branches are exported and imported whole", async () => {
  await at(page).open("First?");
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export" }).click();
  const text = readFileSync(await (await download).path(), "utf8");
  const chat = JSON.parse(text).chats.find(({ id }) => id === "one");
  assert.ok(chat.turns.length > 8);
  const file = join(folder, "branches.json");
  writeFileSync(file, JSON.stringify({ godwit: 2, chats: [chat] }));
  const [users, versions] = [await at(page).users(), await at(page).versions()];
  await page.setInputFiles("#import-file", file);
  // The new chat is another one, and open.
  const current = page.locator("#chat-list .open[aria-current=true]");
  await page.locator("#chat-list .open", { hasText: "First?" }).nth(1).waitFor();
  assert.notEqual(await current.getAttribute("data-chat"), "one");
  assert.deepEqual([await at(page).users(), await at(page).versions()], [users, versions]);
  // One whose turns go in a circle is refused.
  const leaf = chat.turns.at(-1);
  let root = leaf;
  while (root.parent) root = chat.turns.find(({ id }) => id === root.parent);
  root.parent = leaf.id;
  writeFileSync(file, JSON.stringify({ godwit: 2, chats: [chat] }));
  await page.setInputFiles("#import-file", file);
  await page.getByText(/A chat in the file is damaged/).waitFor();
  await at(page).dismiss();
});

step("Markdown is what it says, and safe", async () => {
  const math = (inner, block) =>
    `<math${block ? ' display="block" class="tml-display"' : ""}>${inner}</math>`;
  const table = [
    [
      "1. a\n\n```\nx\n```\n\n2. b\n\n```\ny\n```\n\n3. c",
      '<ol>\n<li>a</li>\n</ol>\n<pre><code>x\n</code></pre>\n<ol start="2">\n<li>b</li>\n</ol>\n<pre><code>y\n</code></pre>\n<ol start="3">\n<li>c</li>\n</ol>',
    ],
    [
      "|a|b|\n|:-:|-:|\n|1|2|",
      '<table>\n<thead>\n<tr>\n<th align="center">a</th>\n<th align="right">b</th>\n</tr>\n</thead>\n<tbody><tr>\n<td align="center">1</td>\n<td align="right">2</td>\n</tr>\n</tbody></table>',
    ],
    [
      "- [x] done\n- [ ] not",
      '<ul>\n<li class="task">☑ done</li>\n<li class="task">☐ not</li>\n</ul>',
    ],
    ["see \\(x\\)", `<p>see ${math("<mi>x</mi>")}</p>`],
    ["so\n\\[\nx\n\\]\nand", `<p>so</p>\n<p>${math("<mi>x</mi>", true)}</p><p>and</p>`],
    ["$$x$$", `<p>${math("<mi>x</mi>", true)}</p>`],
    [
      "two *\\(a*b\\)* three",
      `<p>two <em>${math("<mrow><mi>a</mi><mo>∗</mo><mi>b</mi></mrow>")}</em> three</p>`,
    ],
    // What is no formula stays as it was written.
    ["\\(\\bad{x}\\), \\(open", "<p>\\(\\bad{x}\\), \\(open</p>"],
    ["from $$ to $$$, $5 and $6", "<p>from $$ to $$$, $5 and $6</p>"],
    [
      "`\\(x\\)`\n\n```\n$$x$$\n```",
      "<p><code>\\(x\\)</code></p>\n<pre><code>$$x$$\n</code></pre>",
    ],
    ["\\*a\\*", "<p>*a*</p>"],
    [
      "**重要（注）**です。**“引用”**很。**该。**这",
      "<p><strong>重要（注）</strong>です。<strong>“引用”</strong>很。<strong>该。</strong>这</p>",
    ],
    // Hostile ones.
    [
      "<var>\\(x\\)</var><math><mi>x</mi></math>",
      `<p>&lt;var&gt;${math("<mi>x</mi>")}&lt;/var&gt;&lt;math&gt;&lt;mi&gt;x&lt;/mi&gt;&lt;/math&gt;</p>`,
    ],
    ["\\(\\href{javascript:alert(1)}{x}\\)", "<p>\\(\\href{javascript:alert(1)}{x}\\)</p>"],
    [
      "\\(\\text{<img src=x onerror=alert(1)>}\\)",
      `<p>${math("<mtext>&lt;img src=x onerror=alert(1)&gt;</mtext>")}</p>`,
    ],
    ["\\(\\includegraphics{/stolen}\\)", "<p>\\(\\includegraphics{/stolen}\\)</p>"],
    ["\\(\\def\\a{\\a\\a}\\a\\)", "<p>\\(\\def\\a{\\a\\a}\\a\\)</p>"],
    [
      "![x](/stolen) <b onclick=alert(1)>b</b> [j](javascript:alert(1))",
      '<p>![x](/stolen) &lt;b onclick=alert(1)&gt;b&lt;/b&gt; <a target="_blank" rel="noopener noreferrer nofollow">j</a></p>',
    ],
    ["\\(".repeat(20000), `<p>${"\\(".repeat(20000)}</p>`],
  ];
  await bring(said(...table.flatMap(([markdown]) => ["?", markdown])));
  await page
    .locator("#messages .assistant")
    .nth(table.length - 1)
    .waitFor();
  const found = await page
    .locator("#messages .assistant .body")
    .evaluateAll((all) => all.map((one) => one.innerHTML.trim()));
  table.forEach(([markdown, html], i) =>
    assert.equal(found[i].replace(/&nbsp;/g, " "), html, markdown.slice(0, 80)),
  );
});

step("the list of models is the server's, and without one that which is kept", async () => {
  await page.evaluate(() => navigator.serviceWorker.ready);
  await reloaded(page);
  const names = async () => {
    // The list of the last time is shown until the new one is there.
    await page.evaluate(() => {
      for (const li of document.querySelectorAll("#suggested-list li")) li.className = "old";
    });
    await page.locator("#show-models").click();
    await page.locator("#suggested-list li:not(.old)").first().waitFor();
    const all = await page.locator("#suggested-list li > span").allTextContents();
    await page.keyboard.press("Escape");
    return all;
  };
  const list = Buffer.from(JSON.stringify([{ name: "New", about: "here", url: "new.gguf" }]));
  browser.server.rules = ({ path }) => (path === "/models.json" ? { body: list } : {});
  assert.deepEqual(await names(), ["New here"]);
  browser.server.rules = ({ path }) => (path === "/models.json" ? { status: 500 } : {});
  assert.deepEqual(await names(), ["New here"]);
  browser.server.rules = undefined;
});

step("a new version of the page is offered, and takes over when it is asked to", async () => {
  const dist = new URL("../dist/page/", import.meta.url);
  const [script, html] = ["sw.js", "index.html"].map((name) =>
    readFileSync(new URL(name, dist), "utf8"),
  );
  const next = {
    "/sw.js": Buffer.from(script.replace(/godwit-page-[0-9a-f]{16}/, "godwit-page-next")),
    "/": Buffer.from(html.replace("<title>Godwit", "<title>Godwit the next")),
  };
  assert.notEqual(String(next["/sw.js"]), script);
  const other = await tab();
  await other.goto(browser.server.url);
  next["/index.html"] = next["/"];
  browser.server.rules = ({ path }) => (next[path] ? { body: next[path] } : {});
  await reloaded(page);
  await page.getByRole("button", { name: "Update" }).waitFor();
  assert.equal(await page.title(), "Godwit");
  await page.getByRole("button", { name: "Update" }).click();
  await page.waitForFunction(() => document.title === "Godwit the next");
  // The other tab is not reloaded under the hands of a person.
  await other.getByRole("button", { name: "Reload", exact: true }).click();
  await other.waitForFunction(() => document.title === "Godwit the next");
  browser.server.rules = undefined;
  await other.close();
});
