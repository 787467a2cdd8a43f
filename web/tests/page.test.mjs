// The chat page in Chromium with a real model.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { MODEL_FILE, openPage, PATIENCE, start, step, TARGET } from "./browser.mjs";

let browser, page;

before(async () => {
  browser = await start();
  page = await browser.context.newPage();
  page.on("pageerror", (error) => console.error(`  page: ${error.message}`));
});
after(() => browser?.stop());

const replies = () => page.locator("#messages .assistant .body").allTextContents();
/** Waits until a message can be sent. */
const idle = () => page.locator("#send:enabled").waitFor();
const setting = (name, value) => page.locator(`#settings [name=${name}]`).fill(String(value));

step("a model is described, downloaded and asked by keyboard alone", async () => {
  await openPage(page, browser.server);
  await page.getByRole("button", { name: "Settings" }).press("Enter");
  await setting("system", "Hi");
  await setting("max_tokens", 8);
  await setting("temperature", 0);
  await setting("context", 512);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /Choose a model/ }).press("Enter");
  await page.locator("#suggested-list").getByRole("button", { name: "Look" }).press("Enter");
  await page.getByText(/98 MB to download · \d+ MB of GPU memory with 512 tokens/).waitFor();
  await page.getByRole("button", { name: "Load", exact: true }).press("Enter");
  await page.getByText(/Downloading|Writing to the GPU/).waitFor();
  await idle();
  await page.locator("#input").focus();
  await page.keyboard.type("What is the capital of France?");
  await page.keyboard.press("Enter");
  await page.getByText(/tokens\/s · \d+ of 512 tokens/).waitFor();
  assert.match((await replies())[0], /Paris|France/);
});

step("a reply is stopped and regenerated, and an edited question gets another", async () => {
  await page.getByRole("button", { name: "Settings" }).click();
  await setting("max_tokens", 200);
  await page.keyboard.press("Escape");
  await page.locator("#input").fill("Tell a story.");
  await page.keyboard.press("Enter");
  // The second reply: the last message is the question for a moment.
  const second = () =>
    document.querySelectorAll("#messages .assistant .body")[1]?.textContent.length > 5;
  await page.waitForFunction(second);
  await page.keyboard.press("Escape");
  await idle();
  assert.ok((await replies())[1].length < 400);
  await page.getByRole("button", { name: "Settings" }).click();
  await setting("max_tokens", 3);
  await page.keyboard.press("Escape");
  const before = (await replies())[1];
  await page.getByRole("button", { name: "Regenerate" }).last().click();
  await idle();
  const again = (await replies())[1];
  // Greedy replies begin alike, wherever they end.
  const [shorter, longer] = [before.trim(), again.trim()].sort((a, b) => a.length - b.length);
  assert.ok(shorter.length > 0 && longer.startsWith(shorter), `${before} / ${again}`);
  await page.getByRole("button", { name: "Edit" }).first().click();
  await page.getByRole("textbox", { name: "Edit the message" }).fill("Name a colour.");
  await page.keyboard.press("Enter");
  await idle();
  assert.deepEqual(await page.locator("#messages .user .body").allTextContents(), [
    "Name a colour.",
  ]);
  assert.equal((await replies()).length, 1);
});

step("hostile text of a model stays text", async () => {
  const hostile = [
    '<img src="/stolen?1" onerror="globalThis.pwned = 1"><script>globalThis.pwned = 2</script>',
    "[click](javascript:globalThis.pwned=3) ![x](/stolen?4) <svg onload=globalThis.pwned=5>",
    '<a href="javascript:globalThis.pwned=6" style="background:url(/stolen?7)">a</a> ' +
      '<iframe src="/stolen?8"></iframe>',
    "**bold** [fine](https://example.org)",
    "```html\n<b onclick=globalThis.pwned=9>code</b>\n```",
  ].join("\n\n");
  const file = join(tmpdir(), `godwit-chats-${process.pid}.json`);
  const chat = {
    messages: [
      { role: "user", content: "<b>Hi</b>" },
      { role: "assistant", content: hostile },
    ],
  };
  writeFileSync(file, JSON.stringify({ godwit: 1, chats: [chat] }));
  await page.setInputFiles("#import-file", file);
  const body = page.locator("#messages .assistant .body");
  await body.getByText("globalThis.pwned = 2").waitFor();
  const found = await body.evaluate((body) => ({
    tags: [...new Set([...body.querySelectorAll("*")].map((one) => one.localName))].sort(),
    attributes: [
      ...new Set([...body.querySelectorAll("*")].flatMap((one) => one.getAttributeNames())),
    ].sort(),
    links: [...body.querySelectorAll("a")].map((link) => link.getAttribute("href")),
    pwned: globalThis.pwned,
    text: body.textContent,
  }));
  assert.deepEqual(
    found.tags,
    ["a", "br", "code", "p", "pre", "strong"].filter((tag) => found.tags.includes(tag)),
  );
  assert.deepEqual(
    found.attributes.filter((name) => !["href", "target", "rel"].includes(name)),
    [],
  );
  assert.deepEqual(found.links.filter(Boolean), ["https://example.org"]);
  assert.equal(found.pwned, undefined);
  assert.match(found.text, /<img src=.*<iframe/s);
  assert.equal(browser.server.requests.filter(({ path }) => path.startsWith("/stolen")).length, 0);
  assert.equal(await page.locator("#messages .user .body").textContent(), "<b>Hi</b>");
});

step("chats are exported, and the import of another file is an error", async () => {
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export" }).click();
  const { chats } = JSON.parse(readFileSync(await (await download).path(), "utf8"));
  assert.equal(chats.length, 2);
  assert.equal(chats[1].messages[0].content, "Name a colour.");
  await page.setInputFiles("#import-file", MODEL_FILE);
  await page.getByText(/could not be imported: The file is not JSON/).waitFor();
  await page.getByRole("button", { name: "Dismiss" }).click();
});

step("without a network the page opens with its chats, and the kept model loads", async () => {
  await page.evaluate(() => navigator.serviceWorker.ready);
  browser.server.rules = () => ({ status: 500 });
  browser.server.requests.length = 0;
  await page.reload();
  await page.getByText(/Writing to the GPU: .* of .*, \d+ s/).waitFor();
  await idle();
  assert.equal(
    browser.server.requests.filter(({ path }) => path !== "/sw.js" && path !== "/models.json")
      .length,
    0,
  );
  await page.getByRole("button", { name: "Name a colour.", exact: true }).click();
  assert.equal((await replies()).length, 1);
  browser.server.rules = undefined;
});

step("the page reports a lost device, keeps the chat and loads the model again", async () => {
  await page.workers()[0].evaluate(() => {
    const { createCommandEncoder } = GPUDevice.prototype;
    GPUDevice.prototype.createCommandEncoder = function (...rest) {
      this.destroy();
      return createCommandEncoder.apply(this, rest);
    };
  });
  await page.getByRole("button", { name: "Regenerate" }).click();
  await page
    .getByRole("alert")
    .getByText(/The chat is kept/)
    .waitFor();
  assert.equal(await page.locator("#messages .user .body").textContent(), "Name a colour.");
  await page.getByRole("button", { name: "Load the model again" }).first().click();
  await idle();
  await page.locator("#input").fill("Why?");
  await page.keyboard.press("Enter");
  await idle();
  assert.equal(await page.locator("#messages > .user").count(), 2);
  assert.ok((await replies()).at(-1).length > 0);
});

step("files that are dropped on the page are described", async () => {
  await page.evaluate(async () => {
    const files = new DataTransfer();
    files.items.add(
      new File([await (await fetch("/golden/shapes/long.gguf")).arrayBuffer()], "long.gguf"),
    );
    document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, dataTransfer: files }));
  });
  await page.getByText(/3\.0 MB on this device/).waitFor();
  await page.keyboard.press("Escape");
});

step("the copy of a picked file is loaded at the next visit", async () => {
  await page.locator("#show-models").click();
  await page.setInputFiles("#file", join(TARGET, "golden/shapes/llama3_1.gguf"));
  await page.getByText(/1\.8 MB on this device · .* of GPU memory with 128 tokens/).waitFor();
  await page.getByLabel("Keep a copy in this browser").check();
  await page.locator("#chosen").getByRole("button", { name: "Load" }).click();
  await idle();
  await page.reload();
  // A busy machine takes a moment before it begins to load.
  await page.locator("#model-name", { hasText: "llama3_1.gguf" }).waitFor();
  await idle();
});

step("the page fits the width of a phone", async () => {
  await openPage(page, browser.server);
  await page.setViewportSize({ width: 360, height: 640 });
  /** The elements that are wider than the page. */
  const wide = () =>
    page.evaluate(() => {
      if (document.documentElement.scrollWidth <= innerWidth) return [];
      const all = [...document.querySelectorAll("body *")];
      return all
        .filter((one) => one.getBoundingClientRect().right > innerWidth)
        .map((one) => `${one.localName}#${one.id}`);
    });
  assert.deepEqual(await wide(), []);
  // The list of chats is hidden.
  await page.locator("#new-chat").waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Chats" }).click();
  await page.getByRole("button", { name: "New chat" }).click();
  await page.getByRole("button", { name: "Settings" }).click();
  assert.deepEqual(await wide(), []);
  await page.keyboard.press("Escape");
});

step("a browser without WebGPU says so", async () => {
  const other = await browser.context.newPage();
  await other.addInitScript(() => Object.defineProperty(navigator, "gpu", { value: undefined }));
  await openPage(other, browser.server);
  await other
    .getByRole("alert")
    .getByText(/offers no WebGPU/)
    .waitFor({ timeout: PATIENCE });
});
