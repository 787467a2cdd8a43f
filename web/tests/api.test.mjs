// The npm package in Chromium: loading, replies, errors.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { GOLDEN, MODEL, MODEL_FILE, TARGET, library, start, step } from "./browser.mjs";

const { turns } = JSON.parse(readFileSync(join(GOLDEN, "turns.json"), "utf8"));
const model = readFileSync(MODEL_FILE);
const sha256 = createHash("sha256").update(model).digest("hex");

/** A conversation that is soon read: a second a token, on a busy machine. */
const brief = [{ role: "system", content: "Hi" }, { role: "user", content: "Hi" }];

let browser, page, url;

before(async () => {
  browser = await start();
  page = await library(browser);
  url = `${browser.server.url}/models/${MODEL}`;
});
after(() => browser?.stop());

/** Ranges that were asked of the model's file since the last call. */
function ranges() {
  return browser.server.requests.splice(0).filter(({ path }) => path.endsWith(".gguf")).map(({ range }) => range);
}

step("a download that breaks off is gone on with, and the greedy ids of two turns are the native ones", async () => {
  browser.server.rules = ({ path }) => (path.endsWith(".gguf") ? { cut: 1_500_000 } : {});
  const first = await page.evaluate(async (source) => {
    const stop = new AbortController();
    let most = 0;
    const onProgress = ({ phase, done }) => {
      most = Math.max(most, done);
      if (phase === "download" && done > 40e6) stop.abort();
    };
    return [await thrown(godwit.Engine.load(source, { onProgress, signal: stop.signal })), most];
  }, { url, sha256 });
  assert.match(first[0], /^Aborted/);
  // Answers that were cut short were asked for again where they ended; the head was read by blocks of 1 MiB.
  assert.ok(ranges().some((range) => Number(/\d+/.exec(range)[0]) % (1 << 20) !== 0));

  browser.server.rules = undefined;
  const result = await page.evaluate(async ([source, turns]) => {
    const phases = {};
    const onProgress = ({ phase, done, total }) => ((phases[phase] ??= []).push(done), (phases[`${phase} total`] = total));
    globalThis.engine = await godwit.Engine.load(source, { onProgress, context: 1024 });
    const [messages, replies] = [[], []];
    for (const { user, ids } of turns) {
      messages.push({ role: "user", content: user });
      replies.push(await replied(engine, { messages, max_tokens: ids.length }));
      messages.push({ role: "assistant", content: replies.at(-1).text });
    }
    return { phases, replies, info: await engine.info() };
  }, [{ url, sha256 }, turns]);
  assert.ok(result.phases.download[0] > 20e6, `it goes on at ${result.phases.download[0]}`);
  assert.equal(result.phases.download.at(-1), model.length);
  assert.equal(result.phases["verify total"], model.length);
  assert.ok(result.phases.gpu.length > 10);
  turns.forEach(({ ids, text }, i) => {
    assert.deepEqual(result.replies[i].ids, ids);
    assert.equal(result.replies[i].text, text);
  });
  const [one, two] = result.replies.map(({ usage }) => usage);
  assert.equal(one.prompt_tokens_details.cached_tokens, 0);
  assert.ok(two.prompt_tokens_details.cached_tokens > one.prompt_tokens, "the second turn computes only what is new");
  assert.ok(result.info.wasmBytes < 100 << 20, `wasm takes ${result.info.wasmBytes} bytes`);
});

step("a reply is stopped in its middle, by a signal and by leaving the loop, and the engine goes on", async () => {
  const result = await page.evaluate(async ([user, ids]) => {
    const messages = [{ role: "user", content: user }];
    const stop = new AbortController();
    let pieces = 0;
    const stopped = await thrown((async () => {
      const params = { messages, temperature: 0, stream: true, signal: stop.signal };
      for await (const _ of await engine.chat.completions.create(params)) if (++pieces === 4) stop.abort();
    })());
    for await (const _ of await engine.chat.completions.create({ messages, temperature: 0, stream: true })) if (++pieces > 7) break;
    const again = await replied(engine, { messages, max_tokens: ids.length });
    const ended = await replied(engine, { messages, max_tokens: 200, stop: ["the", " of"] });
    return { stopped, again, ended };
  }, [turns[0].user, turns[0].ids]);
  assert.match(result.stopped, /^Aborted/);
  assert.deepEqual(result.again.ids, turns[0].ids);
  assert.ok(result.again.usage.prompt_tokens_details.cached_tokens > 20, "a reply again computes one token of the prompt");
  assert.equal(result.ended.reason, "stop");
  const expected = turns[0].text.split(/the| of/)[0];
  assert.equal(result.ended.text, expected);
});

step("contexts are saved and resumed, texts become tokens and text again", async () => {
  const result = await page.evaluate(async (messages) => {
    const before = await engine.session.tokens();
    const saved = await engine.session.save({ chat: 7 });
    await replied(engine, { messages, max_tokens: 1 });
    const note = await engine.session.resume(saved);
    const after = await engine.session.tokens();
    const damaged = await thrown(engine.session.resume(saved.slice(0, saved.size - 5)));
    const text = "Zoë says: naïve 🐦";
    const back = await engine.detokenize(await engine.tokenize(text));
    return { before, after, note, damaged, text, back };
  }, brief);
  assert.deepEqual(result.note, { chat: 7 });
  assert.deepEqual(result.after, result.before);
  assert.match(result.damaged, /^BadContext: it is cut short/);
  assert.equal(result.back, result.text);
});

step("bad requests are told apart, and numbers out of range name the parameter", async () => {
  const [full, messages] = await page.evaluate(async () => {
    const ask = (params) => thrown(replied(engine, { messages: [{ role: "user", content: "Hi" }], ...params }));
    const wrong = [undefined, null, "Hi", [null], [{ role: "user" }], [{ role: "robot", content: "" }], [{ role: "user", content: NaN }]];
    return [
      await ask({ messages: [{ role: "user", content: "word ".repeat(2000) }] }),
      await Promise.all(wrong.map((messages) => ask({ messages }))),
    ];
  });
  assert.match(full, /^ContextFull: /);
  const expected = [
    /messages must be an array/, /messages must be an array/, /messages must be an array/, /messages\[0\]: invalid type: null/,
    /messages\[0\]: missing field `content`/, /messages\[0\]\.role: unknown variant `robot`/, /content is NaN/,
  ];
  messages.forEach((text, i) => assert.match(text, new RegExp(`^BadRequest: ${expected[i].source}`)));

  const numbers = {
    temperature: [-1, NaN, Infinity], top_p: [0, 2, 3, NaN], top_k: [-1, 1.5, 2 ** 32, NaN], min_p: [-0.1, 1.1],
    repetition_penalty: [0, -1], presence_penalty: [-3, 3], frequency_penalty: [-3, 3], seed: [-1, 0.5, 2 ** 60, NaN],
    max_tokens: [0, -1, 1.5, NaN, Infinity], n: [0, 2, 1.5],
  };
  for (const [name, values] of Object.entries(numbers)) {
    const texts = await page.evaluate(
      ([name, values]) => Promise.all(values.map((value) =>
        thrown(replied(engine, { messages: [{ role: "user", content: "Hi" }], max_tokens: 1, [name]: value })))),
      [name, values],
    );
    texts.forEach((text, i) => assert.match(text, new RegExp(`^BadRequest: ${name} is .*, but it must be`), `${name}: ${values[i]}`));
  }
  const others = await page.evaluate(() => {
    const ask = (params) => thrown(replied(engine, { messages: [{ role: "user", content: "Hi" }], max_tokens: 1, ...params }));
    return Promise.all([
      ask({ temperature: "hot" }), ask({ top_k: 5n }), ask({ stop: 5 }), ask({ topP: 0.5 }), ask({ max_tokens: () => 1 }),
      thrown(engine.detokenize([1, -1])), thrown(engine.detokenize([1.5])), thrown(engine.detokenize([1e6])), thrown(engine.detokenize([NaN])),
      thrown(engine.detokenize("a")), thrown(engine.tokenize(5)), thrown(engine.session.resume({})),
      thrown(engine.session.save(() => 1)), thrown(engine.session.save({ a: NaN })),
    ]);
  });
  const said = [
    /temperature: invalid type: string "hot"/, /top_k is the BigInt 5/, /stop: /, /topP: unknown field `topP`/,
    /.*can't be sent to the worker/, /ids\[1\] is -1/, /ids\[0\] is 1.5/, /ids\[0\] is 1000000, but it must be .* to 49151/, /ids\[0\] is NaN/,
    /ids: invalid type/, /text is 5/, /context must be a Blob/, /.*can't be sent to the worker/, /a is NaN/,
  ];
  others.forEach((text, i) => assert.match(text, new RegExp(`^BadRequest: ${said[i].source}`)));
  const one = await page.evaluate((messages) => replied(engine, { messages, n: 1, max_tokens: 1, seed: 2 ** 53 - 1, stop: "x" }), brief);
  assert.equal(one.ids.length, 1);
});

/** The fields that the generated types declare: `[name, type]`. */
const wire = readFileSync(new URL("../js/wire.ts", import.meta.url), "utf8");
function fields(type) {
  const [, body] = new RegExp(`export interface ${type} {\n([^]*?)\n}`).exec(wire) ?? assert.fail(`no interface ${type}`);
  return [...body.matchAll(/^ {4}(\w+): (.*);$/gm)].map(([, name, type]) => [name, type]);
}

/** Compares a value with a declared type: each field is there, has its type, and no other field is there. */
function conforms(value, type, at) {
  if (type.endsWith("[]")) {
    assert.ok(Array.isArray(value), at);
    return value.forEach((one, i) => conforms(one, type.slice(0, -2), `${at}[${i}]`));
  }
  if (["number", "string", "boolean"].includes(type)) return assert.equal(typeof value, type, at);
  const [, words] = new RegExp(`export type ${type} = (.*);`).exec(wire) ?? [];
  if (words) return assert.ok(words.split(" | ").includes(JSON.stringify(value)), `${at} is ${value}`);
  const declared = fields(type);
  assert.deepEqual(Object.keys(value).sort(), declared.map(([name]) => name).sort(), at);
  for (const [name, type] of declared) conforms(value[name], type, `${at}.${name}`);
}

step("what arrives is what the types declare, field by field", async () => {
  const arrived = await page.evaluate(async (messages) => {
    const heard = await engine.info();
    // What a reply ends with comes from wasm, but pages get it in another shape.
    const finish = await engine.session.link.call("reply", [messages, { max_tokens: 1, temperature: 0 }, false]);
    const estimate = await godwit.Engine.estimate("/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    return { ModelInfo: engine.model, EngineInfo: heard, Estimate: estimate, Finish: finish };
  }, brief);
  for (const [type, value] of Object.entries(arrived)) conforms(value, type, type);
  assert.ok(fields("ModelInfo").some(([name]) => name === "topP"));
  assert.ok(arrived.ModelInfo.topP > 0 && arrived.EngineInfo.context === 1024);
});

step("a lost device is a DeviceLost, and a new engine works", async () => {
  await page.workers()[0].evaluate(() => {
    const { createCommandEncoder } = GPUDevice.prototype;
    GPUDevice.prototype.createCommandEncoder = function (...rest) {
      this.destroy();
      return createCommandEncoder.apply(this, rest);
    };
  });
  browser.server.rules = ({ path }) => (path.startsWith("/models/") ? { status: 404 } : {});
  const result = await page.evaluate(async ([source, messages]) => {
    const lost = await thrown(replied(engine, { messages, max_tokens: 4 }));
    engine.destroy();
    // From what is kept: the server has nothing any more.
    const cached = await godwit.Engine.cached();
    globalThis.engine = await godwit.Engine.load(source, { context: 1024 });
    return { lost, cached, reply: await replied(engine, { messages, max_tokens: 2 }) };
  }, [{ url, sha256 }, brief]);
  browser.server.rules = undefined;
  assert.match(result.lost, /^DeviceLost: /);
  assert.deepEqual(result.cached.map(({ bytes, complete }) => complete && bytes > model.length), [true]);
  assert.equal(result.reply.ids.length, 2);
});

/** The model with one tensor's bytes moved past 5 GiB; what lies between is a hole that takes no room on the disk. */
function vast(folder) {
  const path = join(folder, "vast.gguf");
  const head = Buffer.from(model.subarray(0, 4 << 20));
  /** Where the table says a tensor's offset. */
  const field = (name) => name + 4 + 8 * head.readUInt32LE(name) + 4;
  const at = field(head.indexOf("output_norm.weight") + "output_norm.weight".length);
  const data = Math.ceil((field(head.lastIndexOf(".weight") + ".weight".length) + 8) / 32) * 32;
  const from = data + Number(head.readBigUInt64LE(at));
  const to = 5 * 2 ** 30;
  head.writeBigUInt64LE(BigInt(to), at);
  const file = openSync(path, "w");
  writeSync(file, model);
  writeSync(file, head, 0, data, 0);
  writeSync(file, Buffer.alloc(4 * 576), 0, 4 * 576, from);
  writeSync(file, model, from, 4 * 576, data + to);
  closeSync(file);
  return path;
}

step("a file of 5 GiB that a person picks is loaded where it is", async () => {
  const expected = await page.evaluate(async (messages) => {
    const reply = await replied(engine, { messages, max_tokens: 2 });
    engine.destroy();
    return reply;
  }, brief);
  const folder = mkdtempSync(join(tmpdir(), "godwit-vast-"));
  await page.setInputFiles("#file", vast(folder));
  const result = await page.evaluate(async (messages) => {
    const [file] = document.querySelector("#file").files;
    const little = await thrown(godwit.Engine.load(file, { memory: 50e6 }));
    const engine = await godwit.Engine.load([file], { context: 512 });
    const reply = await replied(engine, { messages, max_tokens: 2 });
    const info = await engine.info();
    engine.destroy();
    return { size: file.size, little, reply, info, after: await thrown(engine.info()) };
  }, brief);
  rmSync(folder, { recursive: true });
  assert.ok(result.size > 2 ** 32);
  assert.match(result.little, /^OutOfMemory: /);
  assert.deepEqual(result.reply.ids, expected.ids);
  assert.equal(result.info.context, 512);
  assert.ok(result.info.wasmBytes < 100 << 20, `wasm takes ${result.info.wasmBytes} bytes`);
  assert.match(result.after, /^DeviceLost: the engine was destroyed/);
});

step("an estimate costs a few requests for the model's beginning", async () => {
  ranges();
  const other = `${url}?other`;
  const result = await page.evaluate((source) => godwit.Engine.estimate(source, { context: 2048 }), other);
  const asked = ranges();
  assert.equal(result.model.window, 8192);
  assert.equal(result.model.fileBytes, model.length);
  assert.equal(result.cached, false);
  assert.ok(result.memory.kv > 40e6 && result.memory.total > model.length, JSON.stringify(result.memory));
  assert.ok(asked.length < 12, `${asked.length} requests`);
});

step("a sharded repository is loaded by its config.json, and its files are kept", async () => {
  const source = `${browser.server.url}/golden/repositories/untied/config.json`;
  const load = () => page.evaluate(async (source) => {
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

step("a split model is loaded by its first part's URL, and from its parts, which are kept where that is asked for", async () => {
  const file = (name) => `golden/shapes/llama3_1${name}.gguf`;
  const names = [3, 1, 2].map((part) => file(`-0000${part}-of-00003`));
  await page.setInputFiles("#file", names.map((name) => join(TARGET, name)));
  const load = (source, options) => page.evaluate(async ([source, options]) => {
    const phases = new Set();
    const onProgress = ({ phase }) => phases.add(phase);
    const picked = [...document.querySelector("#file").files];
    const engine = await godwit.Engine.load(source ?? picked, { context: 64, onProgress, ...options });
    const { memory } = await engine.info();
    engine.destroy();
    return { phases: [...phases], bytes: engine.model.fileBytes, weights: memory.weights, cached: await godwit.Engine.cached() };
  }, [source, options]);
  const whole = await load(`${browser.server.url}/${file("")}`);
  const remote = await load(`${browser.server.url}/${names[1]}`);
  const picked = await load();
  const copied = await load(undefined, { keep: true });
  const [{ source, name, complete }] = copied.cached;
  const kept = await load(source);
  assert.deepEqual([remote, picked, copied, kept].map(({ weights }) => weights), Array(4).fill(whole.weights));
  assert.deepEqual([picked, copied, kept].map(({ bytes }) => bytes), Array(3).fill(remote.bytes));
  assert.deepEqual([picked, copied, kept].map(({ phases }) => phases), [["gpu"], ["copy", "gpu"], ["gpu"]]);
  assert.deepEqual([name, complete], [names[1].split("/").pop(), true]);
  assert.equal(picked.cached.some((model) => model.source === source), false);
  const gone = await page.evaluate(async (source) => {
    await godwit.Engine.deleteCached(source);
    return thrown(godwit.Engine.load(source));
  }, source);
  assert.match(gone, /^BadRequest: .*is not kept here any more; pick its files again/);
});

step("where the disk is full the model is read from the server, and a server without ranges serves a whole file", async () => {
  const source = `${browser.server.url}/golden/shapes/llama3.gguf`;
  const load = (source) => page.evaluate(async (source) => {
    const engine = await godwit.Engine.load(source, { context: 64 });
    engine.destroy();
    return (await godwit.Engine.cached()).some((model) => model.source === source);
  }, source);
  const storage = await browser.context.newCDPSession(page);
  const quota = (quotaSize) => storage.send("Storage.overrideQuotaForOrigin", { origin: browser.server.url, quotaSize });
  await quota(1000);
  assert.equal(await load(source), false);
  await quota(undefined);
  browser.server.rules = () => ({ ranges: false });
  assert.equal(await load(`${source}?whole`), true);
  browser.server.rules = undefined;
});

step("broken addresses and files are errors that say what is wrong", async () => {
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
  for (const source of [undefined, null, 5, {}, [], [5]]) assert.match(await load(source), /^BadRequest: (source|no file)/);
  browser.server.rules = ({ path }) => (path.endsWith("none.gguf") ? { status: 503 } : {});
  const busy = page.evaluate((source) => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 2000);
    return thrown(godwit.Engine.load(source, { signal: stop.signal }));
  }, at("none.gguf?busy"));
  assert.match(await busy, /^Aborted/);
  assert.ok(browser.server.requests.filter(({ path }) => path.endsWith("none.gguf")).length > 3, "it is tried again");
  browser.server.rules = undefined;
  const kept = await page.evaluate(() => godwit.Engine.cached());
  const whole = kept.filter(({ complete }) => complete).map(({ name }) => name);
  assert.deepEqual(whole.filter((name) => name in { "cut.gguf": 1, "none.gguf": 1, "empty.gguf": 1 }), [], "nothing broken is kept");
  await page.evaluate(async () => {
    for (const { source } of await godwit.Engine.cached()) await godwit.Engine.deleteCached(source);
  });
  assert.deepEqual(await page.evaluate(() => godwit.Engine.cached()), []);
});
