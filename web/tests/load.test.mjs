// Loading in the npm package without a GPU, permission or memory, and in two tabs at the same time.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { library, MODEL, MODEL_FILE, start, step, TARGET } from "./browser.mjs";
import { limited } from "./wasm.mjs";

const NPM = new URL("../dist/npm/", import.meta.url);
const worker = readFileSync(new URL("worker.js", NPM));
const small = readFileSync(join(TARGET, "golden/shapes/llama3.gguf"));
const bytes = readFileSync(MODEL_FILE).length;

let browser, page, url;

before(async () => {
  browser = await start();
  page = await library(browser);
  url = `${browser.server.url}/models/${MODEL}`;
});
after(() => browser?.stop());

/** Inserts a script at the beginning of workers, and sets the server's other rules. */
function patch(script, rules = () => ({})) {
  const body = Buffer.concat([Buffer.from(`${script}\n`), worker]);
  browser.server.rules = (request) =>
    request.path === "/npm/worker.js" ? { body } : rules(request);
}

/** Loads a model. Returns the error, or "nothing". */
const load = (source, options = {}, where = page) =>
  where.evaluate(
    ([source, options]) =>
      thrown(godwit.Engine.load(source, options).then((engine) => engine.destroy())),
    [source, options],
  );

/** The bytes of models that were requested since the last call. */
function requestedBytes() {
  const span = ({ range }) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [0, 0, bytes];
    return Number(last) - Number(first) + 1;
  };
  return browser.server.requests
    .splice(0)
    .filter(({ path }) => path.endsWith(".gguf"))
    .reduce((sum, one) => sum + span(one), 0);
}

/** The folders of models in the origin's private file system. */
const folders = () =>
  page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const names = [];
    for await (const name of (
      await root.getDirectoryHandle("godwit-models", { create: true })
    ).keys())
      names.push(name);
    return names;
  });

step("in Node the package can be imported, and throws NoWebGPU", async () => {
  const { Engine, NoWebGPU } = await import(new URL("index.js", NPM));
  await assert.rejects(
    Engine.load(url),
    (error) => error instanceof NoWebGPU && error.name === "NoWebGPU",
  );
  await assert.rejects(Engine.estimate(url), NoWebGPU);
  assert.deepEqual(await Engine.cached(), []);
  await Engine.deleteCached(url);
});

step("errors of invalid options name the option, and no request is sent", async () => {
  requestedBytes();
  const wrong = [
    [{ context: 0 }, /context is 0, but it must be/],
    [{ context: 1.5 }, /context is 1.5/],
    [{ context: NaN }, /context is NaN/],
    [{ context: "4096" }, /context: invalid type: string "4096"/],
    [{ memory: -1 }, /memory is -1/],
    [{ memory: NaN }, /memory is NaN/],
    [{ kv: "q5" }, /.*q5/],
    [{ contxt: 5 }, /contxt: unknown field `contxt`/],
    [{ keep: "yes" }, /keep: invalid type/],
  ];
  for (const [options, text] of wrong)
    assert.match(await load(url, options), new RegExp(`^BadRequest: ${text.source}`));
  assert.equal(requestedBytes(), 0);
});

step("without an adapter, or with too low limits, nothing is downloaded", async () => {
  patch("GPU.prototype.requestAdapter = async () => null;");
  assert.match(await load(url), /^NoWebGPU: this browser offers no GPU/);
  assert.equal(requestedBytes(), 0);
  for (const [limit, name] of [
    ["maxStorageBufferBindingSize", "max_storage_buffer_binding_size"],
    ["maxComputeInvocationsPerWorkgroup", "max_compute_invocations_per_workgroup"],
  ]) {
    patch(`
      const { get } = Object.getOwnPropertyDescriptor(GPUAdapter.prototype, "limits");
      Object.defineProperty(GPUAdapter.prototype, "limits", {
        get() {
          const limit = (limits, name) => (name === "${limit}" ? 128 : limits[name]);
          return new Proxy(get.call(this), { get: limit });
        },
      });
    `);
    assert.match(
      await load(url),
      new RegExp(`^NoWebGPU: .*${name} is 128, but \\d+ is the least that works`),
    );
    assert.equal(requestedBytes(), 0);
  }
  // A page without WebGPU starts no worker.
  browser.server.rules = undefined;
  const bare = await library(browser);
  await bare.evaluate(() => delete Navigator.prototype.gpu);
  assert.match(await load(url, {}, bare), /^NoWebGPU: this browser has no WebGPU/);
  await bare.close();
  assert.equal(requestedBytes(), 0);
  assert.deepEqual(await folders(), []);
});

step("a model that exceeds the memory, or an invalid one, is refused by its head", async () => {
  assert.match(
    await load(url, { memory: 50e6 }),
    /^OutOfMemory: the model with a context of 1 tokens takes \d+ bytes/,
  );
  const head = requestedBytes();
  assert.ok(head > 0 && head < 8e6, `${head} bytes`);
  assert.match(
    await load(url, { memory: 150e6, context: 8192 }),
    /^OutOfMemory: the model with a context of 8192 tokens/,
  );
  assert.ok(requestedBytes() < 8e6);
  const other = Buffer.from(small);
  other.write("x", other.indexOf("llama"));
  browser.server.rules = ({ path }) => (path === "/models/other.gguf" ? { body: other } : {});
  assert.match(await load(`${browser.server.url}/models/other.gguf`), /^BadModel: other.gguf/);
  browser.server.rules = ({ path }) => (path.endsWith(".gguf") ? { ranges: false } : {});
  assert.match(await load(url, { memory: 20e6 }), /^OutOfMemory: the model's files have \d+ bytes/);
  browser.server.rules = undefined;
  // A failed estimate keeps no files either.
  const missing = `${browser.server.url}/models/missing.gguf`;
  assert.match(
    await page.evaluate((source) => thrown(godwit.Engine.estimate(source)), missing),
    /^NetworkError: .*404/,
  );
  assert.match(await load(missing), /^NetworkError: .*404/);
  assert.deepEqual(await folders(), []);
  requestedBytes();
});

const source = () => `${browser.server.url}/golden/shapes/llama3.gguf`;

step("a worker that can't start is a CannotStart that names the remedy", async () => {
  const rule = (path, rule) =>
    (browser.server.rules = (request) => (request.path === path ? rule : {}));
  rule("/npm/worker.js", { headers: { "Content-Security-Policy": "script-src 'self'" } });
  const blocked = await load(source());
  assert.match(blocked, /^CannotStart: .*godwit_bg.wasm can't be started: /);
  assert.match(blocked, /can't be started: .*Content-Security-Policy .*'wasm-unsafe-eval'/);
  const both = await page.evaluate(
    (source) => Promise.all([1, 2].map(() => thrown(godwit.Engine.estimate(source)))),
    source(),
  );
  assert.deepEqual(both, [blocked, blocked]);
  rule("/npm/worker.js", { status: 404 });
  assert.match(
    await load(source()),
    /^CannotStart: Godwit's worker could not be started.*serve worker.js beside index.js/,
  );
  rule("/npm/godwit_bg.wasm", { status: 404 });
  assert.match(
    await load(source()),
    /^CannotStart: .*serve this version's godwit_bg.wasm beside worker.js/,
  );
  rule("/npm/godwit_bg.wasm", { body: Buffer.from("no wasm") });
  assert.match(await load(source()), /^CannotStart: /);
  rule("/tests/blank.html", { headers: { "Content-Security-Policy": "worker-src 'none'" } });
  const strict = await library(browser);
  assert.match(
    await load(source(), {}, strict),
    /^CannotStart: Godwit's worker could not be started.*worker-src/,
  );
  await strict.close();
  rule("/npm/worker.js", { headers: { "Content-Security-Policy": "connect-src 'self'" } });
  assert.match(
    await load("http://localhost:1/model.gguf"),
    /^NetworkError: .*can't be reached.*CORS.*connect-src/,
  );
  browser.server.rules = undefined;
});

/** Throws a wasm trap. */
const TRAP = `() => {
  const code = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 5, 1, 3,
    0, 0, 11,
  ];
  new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(code))).exports.f();
}`;

/** Makes the server hold back the second chunk of a model until the returned function is called. */
function gate() {
  let go;
  const open = new Promise((resolve) => {
    go = () => resolve({});
  });
  const chunk = `bytes=${4 << 20}-${small.length - 1}`;
  browser.server.rules = ({ path, range }) =>
    path.endsWith(".gguf") && range === chunk ? open : {};
  return go;
}

step("a panic, or a failed allocation in wasm, ends all calls with a typed error", async () => {
  await page.evaluate(
    async (source) => (globalThis.engine = await godwit.Engine.load(source, { context: 64 })),
    source(),
  );
  const go = gate();
  const running = page.evaluate(async (source) => {
    // A call that lasts until `go` is called.
    const stuck = engine.session.link.call("load", [source, "", {}]);
    const waits = engine.info();
    return [await thrown(stuck), await thrown(waits), await thrown(engine.info())];
  }, `${source()}?other`);
  await page
    .workers()[0]
    .evaluate(
      `setTimeout(() => ((globalThis.godwitPanic = "panicked at here"), (${TRAP})()), 500)`,
    );
  for (const text of await running)
    assert.match(text, /^DeviceLost: the engine failed: panicked at here; load the model again/);
  go();

  const wasm = limited(readFileSync(new URL("godwit_bg.wasm", NPM)), 1024);
  browser.server.rules = ({ path }) => (path === "/npm/godwit_bg.wasm" ? { body: wasm } : {});
  const full = await page.evaluate(async (source) => {
    engine.destroy();
    globalThis.engine = await godwit.Engine.load(source, { context: 64 });
    const texts = [
      await thrown(engine.tokenize("word ".repeat(20e6))),
      await thrown(engine.tokenize("a")),
    ];
    engine.destroy();
    return [...texts, await thrown(engine.info())];
  }, source());
  assert.match(full[0], /^OutOfMemory: the browser gives the engine no more memory/);
  assert.equal(full[1], full[0]);
  assert.match(full[2], /^DeviceLost: the engine was destroyed/);
  browser.server.rules = undefined;
});

/** Begins to load. `ended` returns the error and the phases. */
const begin = (where, source, options = {}) =>
  where.evaluate(
    ([source, options]) => {
      globalThis.phases = new Set();
      const onProgress = ({ phase }) => phases.add(phase);
      globalThis.loading = thrown(
        godwit.Engine.load(source, { context: 64, onProgress, ...options }).then((engine) =>
          engine.destroy(),
        ),
      );
    },
    [source, options],
  );
const ended = (where) => where.evaluate(async () => [await loading, [...phases]]);
/** Waits for a phase. Polls, because only the page in front draws frames. */
const reached = (where, phase) =>
  where.waitForFunction((phase) => phases.has(phase), phase, { polling: 100, timeout: 60_000 });

step("of two tabs that load one model, the second waits and reads the kept files", async () => {
  const [one, two] = [page, await library(browser)];
  await one.evaluate(async () => {
    for (const { source } of await godwit.Engine.cached()) await godwit.Engine.deleteCached(source);
  });
  let go = gate();
  await begin(one, source());
  await reached(one, "download");
  await begin(two, source());
  await reached(two, "wait");
  // A tab can stop waiting, and can't delete a model that another tab is loading.
  const three = await library(browser);
  await three.evaluate(() => (globalThis.stop = new AbortController()));
  const stopped = three.evaluate(
    (source) =>
      thrown(godwit.Engine.load(source, { signal: stop.signal, onProgress: () => stop.abort() })),
    source(),
  );
  assert.match(await stopped, /^Aborted/);
  const kept = await three.evaluate(
    (source) => thrown(godwit.Engine.deleteCached(source)),
    source(),
  );
  assert.match(
    kept,
    /^StorageError: the kept model can't be deleted: another tab or window is loading it/,
  );
  browser.server.requests.splice(0);
  go();
  const [[first, phases], [second, others]] = await Promise.all([ended(one), ended(two)]);
  assert.deepEqual([first, second], ["nothing", "nothing"]);
  assert.deepEqual(
    [phases, others],
    [
      ["download", "gpu"],
      ["wait", "gpu"],
    ],
  );
  assert.deepEqual(
    browser.server.requests.filter(({ path }) => path.endsWith(".gguf")),
    [],
    "the second tab requests nothing",
  );

  // Both tabs load the kept files at the same time.
  await Promise.all([begin(one, source()), begin(two, source())]);
  for (const [text, phases] of await Promise.all([ended(one), ended(two)]))
    assert.deepEqual([text, phases], ["nothing", ["gpu"]]);

  // The first tab is closed, and the second resumes its download.
  await three.evaluate((source) => godwit.Engine.deleteCached(source), source());
  assert.deepEqual(await folders(), []);
  go = gate();
  await begin(three, source());
  await reached(three, "download");
  await begin(two, source());
  await reached(two, "wait");
  await three.close();
  await reached(two, "download");
  go();
  assert.deepEqual(await ended(two), ["nothing", ["wait", "download", "gpu"]]);
  await two.evaluate((source) => godwit.Engine.deleteCached(source), source());
  await two.close();
});

step(
  "without Web Locks the second tab fails because another one is loading the model",
  async () => {
    const two = await library(browser);
    const go = gate();
    const { rules } = browser.server;
    const body = Buffer.concat([
      Buffer.from(
        "Object.defineProperty(WorkerNavigator.prototype, 'locks', { value: undefined });\n",
      ),
      worker,
    ]);
    browser.server.rules = (request) =>
      request.path === "/npm/worker.js" ? { body } : rules(request);
    await begin(page, source());
    await reached(page, "download");
    assert.match(
      await load(source(), {}, two),
      /^StorageError: .*another tab or window is loading or deleting this model; wait/,
    );
    go();
    assert.equal((await ended(page))[0], "nothing");
    assert.equal(await load(source(), {}, two), "nothing");
    browser.server.rules = undefined;
    await two.close();
  },
);
