// Makes the screenshots in docs/WEB.md: node web/tests/screenshots.mjs
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { openPage, start } from "./browser.mjs";

const folder = new URL("../../docs/images", import.meta.url).pathname;
mkdirSync(folder, { recursive: true });
const browser = await start();
try {
  const page = await browser.context.newPage();
  const shot = (name) => page.screenshot({ path: join(folder, `${name}.png`) });
  await page.setViewportSize({ width: 1100, height: 700 });
  await openPage(page, browser.server);
  await page.getByRole("button", { name: "Settings" }).click();
  await page.locator("#settings [name=max_tokens]").fill("60");
  await page.locator("#settings [name=temperature]").fill("0");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /Choose a model/ }).click();
  await page.locator("#suggested-list").getByRole("button", { name: "Look" }).click();
  await page.getByText(/to download ·/).waitFor();
  await shot("web-models");
  await page.getByRole("button", { name: "Load", exact: true }).click();
  await page.locator("#send:enabled").waitFor();
  await page.locator("#input").fill("Name three birds that migrate, as a list.");
  await page.keyboard.press("Enter");
  await page.getByText(/tokens\/s · \d+ of/).waitFor();
  await shot("web");
  await page.emulateMedia({ colorScheme: "dark" });
  await shot("web-dark");
  await page.setViewportSize({ width: 390, height: 700 });
  await page.emulateMedia({ colorScheme: "light" });
  await page.waitForTimeout(300);
  await shot("web-phone");
} finally {
  await browser.stop();
}
