// Changes that the host of the page makes: to the list of models, and to the page.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { openPage, step } from "./browser.mjs";
import { browser, conversation, importChats, page, reloaded, tab } from "./chat-page.mjs";

step(
  "the list of models comes from the server, or from the cache if the server fails",
  async () => {
    await openPage(page, browser.server);
    await importChats(conversation("Hi"));
    await page.evaluate(() => navigator.serviceWorker.ready);
    await reloaded(page);
    const names = async () => {
      // The dialog shows the previous list until the new one has arrived.
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
  },
);

step("a new version of the page is offered, and activated by the user", async () => {
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
  await openPage(other, browser.server);
  next["/index.html"] = next["/"];
  browser.server.rules = ({ path }) => (next[path] ? { body: next[path] } : {});
  await reloaded(page);
  await page.getByRole("button", { name: "Update" }).waitFor();
  assert.equal(await page.title(), "Godwit");
  await page.getByRole("button", { name: "Update" }).click();
  await page.waitForFunction(() => document.title === "Godwit the next");
  // The other tab is not reloaded without the user's consent.
  await other.getByRole("button", { name: "Reload", exact: true }).click();
  await other.waitForFunction(() => document.title === "Godwit the next");
  browser.server.rules = undefined;
  await other.close();
});
