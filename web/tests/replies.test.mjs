// Long replies in the page: during a reload, beside other chats, and in several tabs.
import assert from "node:assert/strict";
import { openPage, step } from "./browser.mjs";
import { at, browser, eventually, page, reloaded, tab } from "./chat-page.mjs";
import { WINDOW } from "./tiny.mjs";

step("a model with a long context is loaded", async () => {
  await openPage(page, browser.server);
  await at(page).settings({ temperature: 0, context: WINDOW, max_tokens: WINDOW });
  await page.getByRole("button", { name: /Choose a model/ }).click();
  await page.locator("#url").fill(`${browser.server.url}/tiny/tiny.gguf`);
  await page.locator("#url").press("Enter");
  await page.locator("#chosen").getByRole("button", { name: "Load" }).click();
  await at(page).idle();
});

step("a reload during a reply keeps the question, the partial reply and the draft", async () => {
  await at(page).begin("Reload?");
  await at(page).type("a draft");
  // The text on the page at its end must be there again.
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
});

step(
  "a reply continues while another chat is open; the list marks its chat, and other replies wait",
  async () => {
    await at(page).settings({ max_tokens: WINDOW });
    await at(page).begin("Going on?");
    await page.getByRole("button", { name: "New chat" }).click();
    await page.locator("#chat-list").getByRole("img", { name: "A reply is coming" }).waitFor();
    assert.equal(await page.locator("#stop").isVisible(), false);
    await at(page).open("A reply is coming Going on?");
    await at(page).grows();
    // A second question waits for the end of the first reply.
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

step("two tabs never overwrite each other's chats, and show each other's changes", async () => {
  const other = await tab();
  await openPage(other, browser.server);
  await at(other).idle();
  await at(page).begin("Tab one?");
  // The second tab shows the streaming reply, and can't reply in the same chat.
  await other.getByRole("img", { name: "Another tab is replying" }).waitFor();
  await at(other).open("Another tab is replying Tab one?");
  await other.getByText("Another tab is replying in this chat.").waitFor();
  assert.ok(await other.locator("#send").isDisabled());
  await at(other).grows();
  // It can reply in another chat at the same time.
  await at(other).settings({ max_tokens: 8 });
  await other.getByRole("button", { name: "New chat" }).click();
  await at(other).ask("Tab two?");
  await at(page).settings({ max_tokens: WINDOW });
  await page.locator("#stop").click();
  await at(page).idle();
  await other.locator("#chat-list .replying").waitFor({ state: "detached" });
  const [reply] = await at(page).replies();
  await page.locator("#chat-list").getByText("Tab two?").waitFor();
  // Both tabs ask in one chat, one after the other.
  await at(other).open("Tab one?");
  await eventually(at(other).replies, [reply]);
  await at(other).ask("From two?");
  await page.locator("#messages .user .body", { hasText: "From two?" }).waitFor();
  await at(page).settings({ max_tokens: 8 });
  await at(page).ask("From one?");
  // Each question follows the previous reply, even if that is another tab's.
  await eventually(async () => (await at(page).replies()).length, 3);
  for (const one of [page, other])
    await one.locator("#messages .user .body", { hasText: "From one?" }).waitFor();
  // Each tab changes another setting. Both changes are kept.
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

step("when a tab is closed during a reply, other tabs can continue it", async () => {
  const other = await tab();
  await openPage(other, browser.server);
  await at(other).idle();
  await at(other).settings({ system: "", max_tokens: WINDOW });
  await at(other).begin("Closed?");
  await page.getByRole("img", { name: "Another tab is replying" }).waitFor();
  // A closed tab has no time to write. The text that other tabs have shown is stored.
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
