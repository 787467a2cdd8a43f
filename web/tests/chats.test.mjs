// Chats in the page: what is stored of them, branches, drafts, and replies that are cut.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openPage, step } from "./browser.mjs";
import { at, browser, conversation, folder, page, reloaded, stored, tab } from "./chat-page.mjs";
import { WINDOW } from "./tiny.mjs";

step("chats of the page's first version become one record each, and none is lost", async () => {
  await page.goto(`${browser.server.url}/tests/blank.html`);
  await page.evaluate(
    async (chats) => {
      const open = indexedDB.open("keyval-store");
      open.onupgradeneeded = () => open.result.createObjectStore("keyval");
      await new Promise((resolve) => {
        open.onsuccess = resolve;
      });
      const change = open.result.transaction("keyval", "readwrite");
      change.objectStore("keyval").put(chats, "chats");
      await new Promise((resolve) => {
        change.oncomplete = resolve;
      });
      open.result.close();
    },
    [
      { id: "one", updated: 2, messages: conversation("First?", "Yes.", "And?", "That.") },
      { id: "two", updated: 1, messages: conversation("Second?") },
      { id: "odd", updated: 1, messages: "none" },
    ],
  );
  await openPage(page, browser.server);
  await page.getByText("That.").waitFor();
  assert.deepEqual(await at(page).titles(), ["First?", "Second?"]);
  assert.deepEqual(await at(page).users(), ["First?", "And?"]);
  const { keys, values } = await stored();
  assert.deepEqual(keys.filter((key) => key.startsWith("chat")).sort(), [
    "chat:one",
    "chat:two",
    "chats",
  ]);
  // A value that is not a chat stays where it was.
  assert.deepEqual(
    values[keys.indexOf("chats")].map(({ id }) => id),
    ["odd"],
  );
});

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
  // The editor is still open, even after a reload.
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

step("Undo restores a deleted chat, also one that another tab deleted", async () => {
  await page.getByRole("button", { name: "Delete the chat First?" }).click();
  assert.deepEqual(await at(page).titles(), ["Second?"]);
  await at(page).tool("Undo");
  assert.deepEqual(await at(page).titles(), ["First?", "Second?"]);
  assert.deepEqual(await at(page).users(), ["First?", "And?"]);
  const other = await tab();
  await openPage(other, browser.server);
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
    "the content of a deleted chat is erased",
  );
  // The other tab can still restore the chat.
  await at(other).tool("Undo");
  await page.locator("#chat-list").getByText("First?").waitFor();
  await other.close();
  await reloaded(page);
  await at(page).open("First?");
  assert.deepEqual(await at(page).users(), ["First?", "And?"]);
});

step(
  "an estimate that fails keeps no files, and a slow one does not replace a later one",
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
    // The slow response to the first estimate does not replace the second one's.
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
    // A change to the page would be drawn by the second frame.
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
  "of two tabs that load one model, the second waits and reads the files that the first has kept",
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
    await openPage(other, browser.server);
    await look(page);
    await look(other);
    for (const one of [page, other])
      await one.locator("#chosen").getByRole("button", { name: "Load" }).waitFor();
    // The head of the file is read before the download, which waits here.
    let requested = 0;
    browser.server.rules = ({ path, range }) =>
      path.endsWith("tiny.gguf") && range !== "bytes=0-0" && ++requested > 1 ? { later } : {};
    browser.server.requests.length = 0;
    await page.locator("#chosen").getByRole("button", { name: "Load" }).click();
    await page.getByText(/Downloading/).waitFor();
    await other.locator("#chosen").getByRole("button", { name: "Load" }).click();
    await other.getByText(/Another tab is downloading this model/).waitFor();
    // The other tab can't delete the model meanwhile.
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
      "the first tab reads the head and downloads, the second requests nothing",
    );
    await other.close();
  },
);

step(
  "regenerated and edited turns are branches, also of early turns, and a reload keeps them",
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
    // The newest branch below the turn is shown.
    assert.deepEqual(await at(page).versions(), ["1/2", "2/2"]);
    await at(page).tool("Previous version");
    assert.deepEqual(await at(page).users(), ["First?", "And?"]);
  },
);

step("an open editor keeps its text while another message is sent", async () => {
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
  "a reply at its maximum length says so, and Continue gives the same text as an uncut reply",
  async () => {
    await page.getByRole("button", { name: "New chat" }).click();
    await at(page).ask("Long?");
    await page.getByText("The reply was cut: it reached its maximum length.").waitFor();
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
    // After a reload the reply's tokens are unknown. Its text is continued as well.
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

step("export and import keep the branches of chats", async () => {
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
  // The imported chat has a new id, and is open.
  const current = page.locator("#chat-list .open[aria-current=true]");
  await page.locator("#chat-list .open", { hasText: "First?" }).nth(1).waitFor();
  assert.notEqual(await current.getAttribute("data-chat"), "one");
  assert.deepEqual([await at(page).users(), await at(page).versions()], [users, versions]);
  // A chat whose turns form a cycle is refused.
  const leaf = chat.turns.at(-1);
  let root = leaf;
  while (root.parent) root = chat.turns.find(({ id }) => id === root.parent);
  root.parent = leaf.id;
  writeFileSync(file, JSON.stringify({ godwit: 2, chats: [chat] }));
  await page.setInputFiles("#import-file", file);
  await page.getByText(/A chat in the file is damaged/).waitFor();
  await at(page).dismiss();
});
