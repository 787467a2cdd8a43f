// Compares Godwit with wllama: the same model, messages and browser, one after the other.
//
//   npm install --ignore-scripts --prefix FOLDER @wllama/wllama
//   node web/tests/compare.mjs FOLDER/node_modules/@wllama/wllama [TOKENS]
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { MODEL, start } from "./browser.mjs";

const [folder, tokens = "16"] = process.argv.slice(2);
const params = {
  messages: [{ role: "user", content: "Tell me a story about the sea." }],
  temperature: 0,
  max_tokens: Number(tokens),
  stream: true,
};

/** Loads twice in the page, then replies twice. Returns the times. */
const measure = async ({ kind, url, params }) => {
  const now = () => performance.now() / 1000;
  const load = {
    godwit: async () => {
      const { Engine } = await import("/npm/index.js");
      const engine = await Engine.load(url, { context: 1024 });
      const ask = () => engine.chat.completions.create(params);
      return { ask, end: async () => ({ info: await engine.info(), end: engine.destroy() }) };
    },
    wllama: async () => {
      const { Wllama } = await import("/wllama/esm/index.js");
      const wllama = new Wllama({ default: "/wllama/esm/wasm/wllama.wasm" });
      await wllama.loadModelFromUrl(url, { n_ctx: 1024, n_gpu_layers: kind.gpu ? 99 : 0 });
      return {
        ask: () => wllama.createChatCompletion({ ...params, top_k: 1 }),
        end: () => wllama.exit(),
      };
    },
  }[kind.name];
  const result = { loads: [] };
  let engine;
  for (let i = 0; i < 2; i++) {
    await engine?.end();
    const begin = now();
    engine = await load();
    result.loads.push(now() - begin);
  }
  for (let i = 0; i < 2; i++) {
    const [begin, times, texts] = [now(), [], []];
    for await (const { choices } of await engine.ask()) {
      const text = choices[0]?.delta?.content;
      if (!text) continue;
      times.push(now());
      texts.push(text);
    }
    result[i === 0 ? "first" : "second"] = {
      wait: times[0] - begin,
      rate: (times.length - 1) / (times.at(-1) - times[0]),
      text: texts.join(""),
    };
  }
  result.wasm = (await engine.end())?.info?.wasmBytes;
  return result;
};

for (const kind of [
  { name: "wllama", gpu: false },
  { name: "wllama", gpu: true },
  { name: "godwit" },
]) {
  const browser = await start({ "/wllama/": resolve(folder) });
  try {
    const page = await browser.context.newPage();
    page.on("console", (message) => message.type() === "error" && console.error(message.text()));
    await page.goto(`${browser.server.url}/tests/blank.html`);
    const run = page.evaluate(measure, {
      kind,
      url: `${browser.server.url}/models/${MODEL}`,
      params,
    });
    const tooLong = new Promise((_, reject) =>
      setTimeout(() => reject(new Error("too long")), 400_000).unref(),
    );
    const result = await Promise.race([run, tooLong]);
    const session = await browser.context.browser()?.newBrowserCDPSession();
    const { processInfo = [] } = (await session?.send("SystemInfo.getProcessInfo")) ?? {};
    const peak = (id) =>
      Number(
        /VmHWM:\s*(\d+)/.exec(readFileSync(join("/proc", String(id), "status"), "utf8"))?.[1],
      ) / 1024;
    const peaks = processInfo
      .filter(({ type }) => /renderer|gpu/i.test(type))
      .map(({ type, id }) => `${type} ${peak(id).toFixed(0)} MiB`);
    console.log(JSON.stringify({ ...kind, ...result, peaks }, null, 1));
  } catch (error) {
    console.log(JSON.stringify({ ...kind, error: error.message.split("\n")[0] }));
  } finally {
    await browser.stop();
  }
}
