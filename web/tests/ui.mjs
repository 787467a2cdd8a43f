import { start } from "./browser.mjs";
const b = await start();
try {
  const page = await b.context.newPage();
  page.setDefaultTimeout(20000);
  page.on("console", (m) => console.log("console", m.text())); page.on("pageerror", (e) => console.log("pageerror", e.message));
  await page.goto(b.server.url);
  await page.waitForTimeout(1000);
  await page.screenshot({ path: "/tmp/ui1.png" });
  await page.getByRole("button", { name: /Choose a model/ }).click();
  await page.locator("#suggested-list").getByRole("button", { name: "Look" }).click();
  await page.getByText(/to download ·/).waitFor();
  await page.screenshot({ path: "/tmp/ui2.png" });
  await page.getByRole("button", { name: "Load", exact: true }).click();
  await page.locator("#send:enabled").waitFor();
  await page.screenshot({ path: "/tmp/ui3.png" });
} catch (e) { console.log(e.message); await b.context.pages().at(-1).screenshot({ path: "/tmp/ui4.png" }); console.log(await b.context.pages().at(-1).evaluate(() => document.querySelector("main").innerText)); } finally { await b.stop(); }
