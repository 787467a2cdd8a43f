// Chromium with WebGPU on SwiftShader, and a server of the page, the npm package and the test
// model.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { serve } from "./server.mjs";

const root = new URL("../..", import.meta.url).pathname;
export const MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf";
export const MODEL_FILE = join(root, "models", MODEL);
export const GOLDEN = join(root, "tests/golden");
export const TARGET = join(root, "target");
/** Milliseconds that a step on SwiftShader may take. */
export const PATIENCE = Number(process.env.PATIENCE ?? 400_000);

let broken = false;

/** A test that continues the previous one. After a failure all further steps fail at once. */
export function step(name, run) {
  test(name, async () => {
    assert.ok(!broken, "a previous step failed");
    broken = true;
    await run();
    broken = false;
  });
}

/** Starts a server, with additional `folders`, and a browser with a new profile. */
export async function start(folders = {}) {
  const server = await serve({
    ...folders,
    "/npm/": join(root, "web/dist/npm"),
    "/models/": join(root, "models"),
    "/golden/": join(TARGET, "golden"),
    "/tests/": join(root, "web/tests"),
    "/": join(root, "web/dist/page"),
  });
  const profile = mkdtempSync(join(tmpdir(), "godwit-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [
      "--no-sandbox",
      "--enable-unsafe-webgpu",
      "--enable-features=Vulkan,WebGPU",
      "--use-webgpu-adapter=swiftshader",
      "--disable-background-networking",
      "--no-first-run",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  context.setDefaultTimeout(PATIENCE);
  const stop = async () => {
    await context.close();
    server.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { server, context, stop };
}

/** Opens the chat page in a tab, and waits for its script: clicks before that are lost. */
export async function openPage(tab, { url }) {
  await tab.goto(url);
  await tab.locator("#messages > li").first().waitFor();
}

/** Opens a page with the npm package as `godwit`, and with helper functions for tests. */
export async function library({ server, context }) {
  const page = await context.newPage();
  page.on(
    "console",
    (message) => message.type() === "error" && console.error(`  browser: ${message.text()}`),
  );
  await page.goto(`${server.url}/tests/blank.html`);
  await page.evaluate(async () => {
    globalThis.godwit = await import("/npm/index.js");
    /** Replies to messages. Returns the text, the token ids and the usage. */
    globalThis.replied = async (engine, params) => {
      const { choices, usage } = await engine.chat.completions.create({
        temperature: 0,
        ...params,
      });
      return {
        text: choices[0].message.content,
        ids: choices[0].token_ids,
        reason: choices[0].finish_reason,
        usage,
      };
    };
    /** The name and message of the error that a promise rejects with. */
    globalThis.thrown = (promise) =>
      promise.then(
        () => "nothing",
        (error) => `${error.name}: ${error.message}`,
      );
  });
  return page;
}
