// Several replies to one prompt, in Chromium with a tiny model.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { library, start, step } from "./browser.mjs";
import { tinyModel } from "./tiny.mjs";

const URL = "/tiny/tiny.gguf";
const CONTEXT = 1024;
/** A prompt of several pages of the KV cache, whose last page is not full. */
const messages = question(10);
/** A prompt of 13 full pages and a part of the next one. */
const long = question(29);
const MOST = 24;

function question(sentences) {
  return [{ role: "user", content: "a question of several words. ".repeat(sentences) }];
}

let browser, folder, page;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "godwit-several-"));
  writeFileSync(join(folder, "tiny.gguf"), tinyModel().file);
  browser = await start({ "/tiny/": folder });
  page = await library(browser);
  await page.evaluate(
    async ([url, context, messages, max_tokens]) => {
      /** The replies to the question, unless the parameters say otherwise. */
      globalThis.ask = (params, of = engine) =>
        of.chat.completions.create({ messages, max_tokens, ...params });
      globalThis.engine = await godwit.Engine.load(url, { context });
    },
    [URL, CONTEXT, messages, MOST],
  );
});
after(async () => {
  await browser?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const ask = (params) => page.evaluate((params) => ask(params), params);
const texts = ({ choices }) => choices.map(({ message }) => message.content);
const range = (n) => Array.from({ length: n }, (_, i) => i);

step("greedy replies are all alike, and leave the conversation as it is", async () => {
  const one = await ask({ temperature: 0 });
  const tokens = await page.evaluate(() => engine.session.tokens());
  const three = await ask({ temperature: 0, n: 3 });
  assert.deepEqual(texts(three), Array(3).fill(one.choices[0].message.content));
  for (const [index, choice] of three.choices.entries()) {
    assert.equal(choice.index, index);
    assert.equal(choice.message.role, "assistant");
    assert.equal(choice.finish_reason, "length");
    assert.deepEqual(choice.token_ids, one.choices[0].token_ids);
  }
  // The prompt counts once.
  const { prompt_tokens } = one.usage;
  assert.ok(prompt_tokens > 256 && prompt_tokens % 64 > 1, `${prompt_tokens}`);
  assert.equal(three.usage.prompt_tokens, prompt_tokens);
  assert.equal(three.usage.completion_tokens, 3 * MOST);
  assert.equal(three.usage.total_tokens, prompt_tokens + 3 * MOST);
  assert.deepEqual(await page.evaluate(() => engine.session.tokens()), tokens);
  const again = await ask({ temperature: 0 });
  assert.deepEqual(again.choices, one.choices);
  assert.equal(again.usage.prompt_tokens_details.cached_tokens, prompt_tokens - 1);
});

step("reply number i is the one that the seed plus i gives alone", async () => {
  const sampling = { temperature: 1.5, top_k: 6, top_p: 1, seed: 7 };
  const three = await ask({ ...sampling, n: 3 });
  assert.equal(new Set(texts(three)).size, 3, "replies differ");
  for (const i of range(3)) {
    const one = await ask({ ...sampling, seed: 7 + i });
    assert.deepEqual(three.choices[i].token_ids, one.choices[0].token_ids, `reply ${i}`);
  }
  // Nor does a reply depend on how many others there are.
  const sixteen = await ask({ ...sampling, n: 16 });
  assert.deepEqual(sixteen.choices.slice(0, 3), three.choices);
  assert.deepEqual(
    sixteen.choices.map(({ index }) => index),
    range(16),
  );
  // Without a seed, replies differ too.
  assert.ok(new Set(texts(await ask({ ...sampling, seed: undefined, n: 3 }))).size > 1);
});

step("chunks carry the index of their reply, interleaved", async () => {
  const params = { temperature: 1, top_k: 6, seed: 3, n: 4 };
  const whole = await ask(params);
  const { chunks, prompt } = await page.evaluate(async (params) => {
    const [chunks, prompt] = [[], []];
    const onPrompt = (done, total) => prompt.push([done, total]);
    for await (const chunk of await ask({ ...params, stream: true, onPrompt })) chunks.push(chunk);
    return { chunks, prompt };
  }, params);
  assert.ok(prompt.length > 0);
  assert.deepEqual(prompt.at(-1), Array(2).fill(whole.usage.prompt_tokens));
  for (const { object, choices } of chunks) {
    assert.equal(object, "chat.completion.chunk");
    assert.equal(choices.length, 1);
  }
  const parts = chunks.map(({ choices }) => choices[0]);
  for (const { index, message, finish_reason, token_ids } of whole.choices) {
    const own = parts.filter((part) => part.index === index);
    assert.deepEqual(own[0].delta, { role: "assistant", content: "" });
    assert.equal(own.filter(({ delta }) => delta.role).length, 1);
    assert.equal(own.map(({ delta }) => delta.content ?? "").join(""), message.content);
    assert.deepEqual(
      own.flatMap(({ token_ids }) => token_ids),
      token_ids,
    );
    assert.deepEqual(own.map(({ finish_reason }) => finish_reason).filter(Boolean), [
      finish_reason,
    ]);
    assert.equal(own.at(-1).finish_reason, finish_reason);
  }
  const last = (index) => parts.findLastIndex((part) => part.index === index);
  const first = (index) => parts.findIndex((part) => part.index === index);
  assert.ok(first(3) < last(0), "the last reply begins before the first one ends");
  const counted = chunks.filter(({ usage }) => usage);
  assert.deepEqual(counted, chunks.slice(-1));
  assert.equal(counted[0].usage.completion_tokens, 4 * MOST);
});

step("all replies are computed in the same steps, and the prompt once", async () => {
  const [worker] = page.workers();
  await worker.evaluate(() => {
    const passes = GPUComputePassEncoder.prototype;
    for (const name of ["dispatchWorkgroups", "dispatchWorkgroupsIndirect"]) {
      const dispatch = passes[name];
      passes[name] = function (...rest) {
        globalThis.dispatches++;
        return dispatch.apply(this, rest);
      };
    }
  });
  const dispatches = async (n) => {
    await worker.evaluate(() => {
      globalThis.dispatches = 0;
    });
    await ask({ temperature: 1, top_k: 6, n });
    return worker.evaluate(() => globalThis.dispatches);
  };
  const [two, eight] = [await dispatches(2), await dispatches(8)];
  assert.ok(two > 4 * MOST, `${two} dispatches`);
  assert.ok(eight < 1.2 * two, `${eight} dispatches for 8 replies, ${two} for 2`);
});

step("each reply ends at its stop text or at max_tokens", async () => {
  const sampling = { temperature: 1.5, top_k: 6, top_p: 1, seed: 20, n: 4 };
  const whole = texts(await ask(sampling));
  const stop = whole[1].slice(5, 7);
  const stopped = await ask({ ...sampling, stop: ["no such text", stop] });
  for (const [i, { message, finish_reason }] of stopped.choices.entries()) {
    assert.equal(message.content, whole[i].split(stop)[0]);
    assert.equal(finish_reason, whole[i].includes(stop) ? "stop" : "length");
  }
  const [ends, goesOn] = ["stop", "length"].map(
    (reason) => stopped.choices.filter(({ finish_reason }) => finish_reason === reason).length,
  );
  assert.ok(ends > 0 && goesOn > 0, `${ends} stop, ${goesOn} go on`);
  const tokens = stopped.choices.flatMap(({ token_ids }) => token_ids);
  assert.equal(stopped.usage.completion_tokens, tokens.length);
  const brief = await ask({ ...sampling, max_tokens: 5 });
  assert.deepEqual(
    texts(brief),
    whole.map((text) => text.slice(0, 5)),
  );
  // Without max_tokens, the context ends each reply.
  const full = await ask({ ...sampling, n: 2, messages: question(34), max_tokens: undefined });
  for (const { finish_reason, token_ids } of full.choices) {
    assert.equal(finish_reason, "length");
    assert.equal(token_ids.length, CONTEXT - full.usage.prompt_tokens);
  }
});

step("a prompt whose last page is full, and one of a few tokens", async () => {
  for (const tokens of [64, 65, 128, 5]) {
    const [one, two] = await page.evaluate(async (tokens) => {
      const ask = (content, n) =>
        globalThis.ask({ messages: [{ role: "user", content }], temperature: 0, n });
      const [bare] = [await ask("", 1)];
      const content = "x".repeat(tokens - bare.usage.prompt_tokens);
      return [await ask(content, 1), await ask(content, 2)];
    }, tokens);
    assert.equal(one.usage.prompt_tokens, tokens);
    assert.deepEqual(texts(two), Array(2).fill(texts(one)[0]), `${tokens} tokens`);
  }
});

step("several continuations of the beginning of a reply", async () => {
  const whole = texts(await ask({ temperature: 0 }))[0];
  const begun = [...messages, { role: "assistant", content: whole.slice(0, 9) }];
  const params = { messages: begun, continue_final_message: true, temperature: 0 };
  const two = await ask({ ...params, n: 2, max_tokens: MOST - 9 });
  assert.deepEqual(texts(two), Array(2).fill(whole.slice(9)));
});

step("a signal, or leaving the loop, ends all replies, and the engine stays usable", async () => {
  const greedy = await ask({ temperature: 0, n: 3 });
  const result = await page.evaluate(async () => {
    const params = { temperature: 0, n: 3, max_tokens: 200, stream: true };
    const [stop, early] = [new AbortController(), new AbortController()];
    let chunks = 0;
    const run = async (params, each = () => false) => {
      for await (const _ of await ask(params)) if (each()) break;
    };
    const stopped = await thrown(
      run({ ...params, signal: stop.signal }, () => void (++chunks === 12 && stop.abort())),
    );
    const whilePrompt = await thrown(
      run({ ...params, signal: early.signal, onPrompt: () => early.abort() }),
    );
    let left = 0;
    await run(params, () => ++left > 9);
    const waiting = new AbortController();
    const [next, neverBegun] = await Promise.all([
      ask({ temperature: 0, n: 3 }),
      thrown(ask({ n: 3, signal: waiting.signal })),
      waiting.abort(),
    ]);
    const one = await ask({ temperature: 0 });
    return { stopped, whilePrompt, chunks, next, neverBegun, one };
  });
  assert.match(result.stopped, /^Aborted/);
  assert.match(result.whilePrompt, /^Aborted/);
  assert.match(result.neverBegun, /^Aborted/);
  assert.ok(result.chunks < 300, `${result.chunks} chunks`);
  assert.deepEqual(result.next.choices, greedy.choices);
  assert.deepEqual(result.one.choices, greedy.choices.slice(0, 1));
});

step("bad numbers of replies are refused by name", async () => {
  const refused = await page.evaluate(() =>
    Promise.all([0, 17, -1, 1.5, NaN, "2"].map((n) => thrown(ask({ n })))),
  );
  const expected = [
    /n is 0, but it must be a whole number from 1 to 16/,
    /n is 17, but it must be a whole number from 1 to 16/,
    /n is -1, but/,
    /n is 1\.5, but/,
    /n is NaN, but/,
    /n: invalid type: string "2"/,
  ];
  for (const [i, text] of refused.entries())
    assert.match(text, new RegExp(`^BadRequest: ${expected[i].source}`));
  const full = await page.evaluate(() =>
    thrown(ask({ n: 2, messages: [{ role: "user", content: "x".repeat(1100) }] })),
  );
  assert.match(full, /^ContextFull: /);
});

step("a 4-bit KV cache can't be shared", async () => {
  const refused = await page.evaluate(async (url) => {
    const engine = await godwit.Engine.load(url, { context: 512, kv: "q8_0/q4_0" });
    const refused = await thrown(ask({ n: 2 }, engine));
    engine.destroy();
    return refused;
  }, URL);
  assert.match(refused, /^BadRequest: n is 2, .* type q8_0\/q4_0, .* kv: "q8_0" or "f16"/);
});

step("replies free their memory, and wait for each other where there is little", async () => {
  const params = { messages: long, temperature: 1.5, top_k: 6, seed: 9, n: 4, max_tokens: 90 };
  const [worker] = page.workers();
  // The buffers that count towards `memory`: those that kernels bind.
  await worker.evaluate(() => {
    const [COUNTED, { createBuffer }, { destroy }] = [
      GPUBufferUsage.STORAGE |
        GPUBufferUsage.UNIFORM |
        GPUBufferUsage.COPY_SRC |
        GPUBufferUsage.COPY_DST,
      GPUDevice.prototype,
      GPUBuffer.prototype,
    ];
    globalThis.created = new Map();
    globalThis.destroyed = new Set();
    GPUDevice.prototype.createBuffer = function (descriptor) {
      const buffer = createBuffer.call(this, descriptor);
      if (descriptor.usage === COUNTED) globalThis.created.set(buffer, descriptor);
      return buffer;
    };
    GPUBuffer.prototype.destroy = function () {
      globalThis.destroyed.add(this);
      return destroy.call(this);
    };
  });
  const whole = await ask(params);
  const { left, others } = await worker.evaluate(() => {
    const { created, destroyed } = globalThis;
    const left = [...created].filter(([buffer]) => !destroyed.has(buffer));
    const isCache = ({ label }) => /^[kv]\d/.test(label);
    const others = [...created.values()].filter((descriptor) => !isCache(descriptor));
    const bytes = others.reduce((sum, { size }) => sum + size, 0);
    return { left: left.map(([, { label }]) => label), others: bytes };
  });
  assert.deepEqual(left, []);
  assert.ok(others > 100_000, `${others} bytes of activations`);

  const { weights, scratch, bytesPerToken } = await page.evaluate(async () => {
    const { memory, kvBytesPerToken } = await engine.info();
    return { ...memory, bytesPerToken: kvBytesPerToken };
  });
  // The KV cache begins with 16 pages of 64 tokens. The prompt takes 13, and each reply 2.
  const { prompt_tokens } = whole.usage;
  assert.ok(prompt_tokens > 13 * 64 && prompt_tokens + 90 < 15 * 64, `${prompt_tokens}`);
  const [none, few] = [0, 16].map(
    (pages) => weights + scratch + others + pages * 64 * bytesPerToken,
  );
  const result = await page.evaluate(
    async ([url, context, none, few, params]) => {
      const poor = await godwit.Engine.load(url, { context, memory: none });
      const before = await poor.info();
      const refused = await thrown(ask(params, poor));
      const after = await poor.info();
      poor.destroy();
      const tight = await godwit.Engine.load(url, { context, memory: few });
      const parts = [];
      for await (const { choices } of await ask({ ...params, stream: true }, tight))
        parts.push(choices[0]);
      tight.destroy();
      return { before, refused, after, parts };
    },
    [URL, CONTEXT, none, few, params],
  );
  assert.match(result.refused, /^OutOfMemory: n is 4, .* bytes of GPU memory that are allowed/);
  assert.deepEqual(result.after.memory, result.before.memory);
  const { parts } = result;
  for (const { index, token_ids } of whole.choices) {
    const own = parts.filter((part) => part.index === index);
    assert.deepEqual(
      own.flatMap(({ token_ids }) => token_ids),
      token_ids,
      `reply ${index}`,
    );
  }
  const first = parts.findIndex(({ index }) => index === 3);
  const last = parts.findLastIndex(({ index }) => index === 0);
  assert.ok(first > last, "the last reply waits for the first one");
});

step("a lost device ends all replies", async () => {
  await page.workers()[0].evaluate(() => {
    const { createCommandEncoder } = GPUDevice.prototype;
    GPUDevice.prototype.createCommandEncoder = function (...rest) {
      this.destroy();
      return createCommandEncoder.apply(this, rest);
    };
  });
  assert.match(await page.evaluate(() => thrown(ask({ n: 3 }))), /^DeviceLost: /);
});
