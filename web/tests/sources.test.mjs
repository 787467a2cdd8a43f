// Sources of models in the npm package: repositories, split models, full disks, broken servers.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { library, MODEL, MODEL_FILE, start, step, TARGET } from "./browser.mjs";

const model = readFileSync(MODEL_FILE);
const sha256 = createHash("sha256").update(model).digest("hex");

let browser, page, url;

before(async () => {
  browser = await start();
  page = await library(browser);
  url = `${browser.server.url}/models/${MODEL}`;
});
after(() => browser?.stop());

/** The ranges of models' files that were requested since the last call. */
function ranges() {
  return browser.server.requests
    .splice(0)
    .filter(({ path }) => path.endsWith(".gguf"))
    .map(({ range }) => range);
}

step("an estimate needs few requests", async () => {
  ranges();
  const other = `${url}?other`;
  const result = await page.evaluate(
    (source) => godwit.Engine.estimate(source, { context: 2048 }),
    other,
  );
  const requested = ranges();
  assert.equal(result.model.window, 8192);
  assert.equal(result.model.fileBytes, model.length);
  assert.equal(result.cached, false);
  assert.ok(
    result.memory.kv > 40e6 && result.memory.total > model.length,
    JSON.stringify(result.memory),
  );
  assert.ok(requested.length < 12, `${requested.length} requests`);
});

step("a sharded repository is loaded by the URL of its config.json, and kept", async () => {
  const source = `${browser.server.url}/golden/repositories/untied/config.json`;
  const load = () =>
    page.evaluate(async (source) => {
      const engine = await godwit.Engine.load(source, { context: 64 });
      const kept = (await godwit.Engine.cached()).find((model) => model.source === source);
      engine.destroy();
      return { model: engine.model, kept };
    }, source);
  const { model, kept } = await load();
  assert.match(model.kind, /safetensors/);
  assert.deepEqual([kept.name, kept.complete], ["untied", true]);
  browser.server.rules = ({ path }) => (path.startsWith("/golden/") ? { status: 500 } : {});
  assert.deepEqual((await load()).model, model);
  browser.server.rules = undefined;
});

step(
  "a split model is loaded by its first part's URL and from picked parts, which `keep` copies",
  async () => {
    const file = (name) => `golden/shapes/llama3_1${name}.gguf`;
    const names = [3, 1, 2].map((part) => file(`-0000${part}-of-00003`));
    await page.setInputFiles(
      "#file",
      names.map((name) => join(TARGET, name)),
    );
    const load = (source, options) =>
      page.evaluate(
        async ([source, options]) => {
          const phases = new Set();
          const onProgress = ({ phase }) => phases.add(phase);
          const picked = [...document.querySelector("#file").files];
          const engine = await godwit.Engine.load(source ?? picked, {
            context: 64,
            onProgress,
            ...options,
          });
          const { memory } = await engine.info();
          engine.destroy();
          return {
            phases: [...phases],
            bytes: engine.model.fileBytes,
            weights: memory.weights,
            cached: await godwit.Engine.cached(),
          };
        },
        [source, options],
      );
    const whole = await load(`${browser.server.url}/${file("")}`);
    const remote = await load(`${browser.server.url}/${names[1]}`);
    const picked = await load();
    const copied = await load(undefined, { keep: true });
    const [{ source, name, complete }] = copied.cached;
    const kept = await load(source);
    assert.deepEqual(
      [remote, picked, copied, kept].map(({ weights }) => weights),
      Array(4).fill(whole.weights),
    );
    assert.deepEqual(
      [picked, copied, kept].map(({ bytes }) => bytes),
      Array(3).fill(remote.bytes),
    );
    assert.deepEqual(
      [picked, copied, kept].map(({ phases }) => phases),
      [["gpu"], ["copy", "gpu"], ["gpu"]],
    );
    assert.deepEqual([name, complete], [names[1].split("/").pop(), true]);
    assert.equal(
      picked.cached.some((model) => model.source === source),
      false,
    );
    const gone = await page.evaluate(async (source) => {
      await godwit.Engine.deleteCached(source);
      return thrown(godwit.Engine.load(source));
    }, source);
    assert.match(gone, /^BadRequest: .*is not kept here any more; pick its files again/);
  },
);

step(
  "with a full disk the model is read from the server; without ranges it is downloaded whole",
  async () => {
    const source = `${browser.server.url}/golden/shapes/llama3.gguf`;
    const load = (source) =>
      page.evaluate(async (source) => {
        const engine = await godwit.Engine.load(source, { context: 64 });
        engine.destroy();
        return (await godwit.Engine.cached()).some((model) => model.source === source);
      }, source);
    const storage = await browser.context.newCDPSession(page);
    const quota = (quotaSize) =>
      storage.send("Storage.overrideQuotaForOrigin", { origin: browser.server.url, quotaSize });
    await quota(1000);
    assert.equal(await load(source), false);
    await quota(undefined);
    browser.server.rules = () => ({ ranges: false });
    assert.equal(await load(`${source}?whole`), true);
    browser.server.rules = undefined;
  },
);

step("errors of broken URLs and files name the cause", async () => {
  const bodies = {
    "/models/cut.gguf": model.subarray(0, 8_000_000),
    "/models/none.gguf": Buffer.from("<html>this is a page</html>"),
    "/models/empty.gguf": Buffer.alloc(0),
  };
  browser.server.rules = ({ path }) => (bodies[path] ? { body: bodies[path] } : {});
  const load = (source) => page.evaluate((source) => thrown(godwit.Engine.load(source)), source);
  const at = (name) => `${browser.server.url}/models/${name}`;
  assert.match(await load(at("missing.gguf")), /^NetworkError: .*the server answers 404/);
  assert.match(await load("gguf://x"), /^BadRequest: /);
  assert.match(await load(at("cut.gguf")), /^BadModel: cut.gguf, byte .*cut short or damaged/);
  assert.match(await load(at("none.gguf")), /^BadModel: none.gguf.*not a GGUF file/);
  assert.match(await load(at("empty.gguf")), /^BadModel: empty.gguf/);
  const wrong = sha256.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
  const small = `${browser.server.url}/golden/shapes/llama3.gguf`;
  assert.match(await load({ url: small, sha256: wrong }), /^BadModel: llama3.gguf: its SHA-256 is/);
  assert.match(await load({ url: small, sha256: "abc" }), /^BadRequest: sha256 is "abc"/);
  for (const source of [undefined, null, 5, {}, [], [5]])
    assert.match(await load(source), /^BadRequest: (source|no file)/);
  browser.server.rules = ({ path }) => (path.endsWith("none.gguf") ? { status: 503 } : {});
  const busy = page.evaluate((source) => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 2000);
    return thrown(godwit.Engine.load(source, { signal: stop.signal }));
  }, at("none.gguf?busy"));
  assert.match(await busy, /^Aborted/);
  assert.ok(
    browser.server.requests.filter(({ path }) => path.endsWith("none.gguf")).length > 3,
    "the request is retried",
  );
  browser.server.rules = undefined;
  const kept = await page.evaluate(() => godwit.Engine.cached());
  const whole = kept.filter(({ complete }) => complete).map(({ name }) => name);
  assert.deepEqual(
    whole.filter((name) => name in { "cut.gguf": 1, "none.gguf": 1, "empty.gguf": 1 }),
    [],
    "no broken file is kept",
  );
  await page.evaluate(async () => {
    for (const { source } of await godwit.Engine.cached()) await godwit.Engine.deleteCached(source);
  });
  assert.deepEqual(await page.evaluate(() => godwit.Engine.cached()), []);
});
