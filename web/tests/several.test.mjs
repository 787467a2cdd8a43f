// Several replies to one prompt, in Chromium with a tiny model.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { library, start, step } from "./browser.mjs";
import { tinyModel } from "./tiny.mjs";

const URL = "/tiny/tiny.gguf";
/** A prompt of several pages of the KV cache, whose last page is not full. */
const messages = [{ role: "user", content: "a question of several words. ".repeat(10) }];
const MOST = 24;

let browser, folder, page;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "godwit-several-"));
  writeFileSync(join(folder, "tiny.gguf"), tinyModel().file);
  browser = await start({ "/tiny/": folder });
  page = await library(browser);
  await page.evaluate(
    async ([url, messages, max_tokens]) => {
      /** The replies to the question, unless the parameters say otherwise. */
      globalThis.ask = (params, of = engine) =>
        of.chat.completions.create({ messages, max_tokens, ...params });
      globalThis.engine = await godwit.Engine.load(url, { context: 512 });
    },
    [URL, messages, MOST],
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
  const sampling = { temperature: 1.5, top_k: 0, top_p: 1, seed: 7 };
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
  const params = { temperature: 1, seed: 3, n: 4 };
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
  await page.workers()[0].evaluate(() => {
    const { submit } = GPUQueue.prototype;
    globalThis.submissions = 0;
    GPUQueue.prototype.submit = function (...rest) {
      globalThis.submissions++;
      return submit.apply(this, rest);
    };
  });
  const submissions = async (params) => {
    await page.workers()[0].evaluate(() => {
      globalThis.submissions = 0;
    });
    await ask({ temperature: 1, ...params });
    return page.workers()[0].evaluate(() => globalThis.submissions);
  };
  const [two, eight] = [await submissions({ n: 2 }), await submissions({ n: 8 })];
  // Eight replies copy six more pages than two.
  assert.ok(eight <= two + 12, `${eight} submissions for 8 replies, ${two} for 2`);
});

step("each reply ends at its stop text or at max_tokens", async () => {
  const sampling = { temperature: 1.5, top_k: 0, top_p: 1, seed: 20, n: 4 };
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
  const full = await ask({ ...sampling, n: 2, max_tokens: undefined });
  for (const { finish_reason, token_ids } of full.choices) {
    assert.equal(finish_reason, "length");
    assert.equal(token_ids.length, 512 - full.usage.prompt_tokens);
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
    thrown(ask({ n: 2, messages: [{ role: "user", content: "x".repeat(600) }] })),
  );
  assert.match(full, /^ContextFull: /);
});

step("a 4-bit KV cache can't be shared", async () => {
  const result = await page.evaluate(async (url) => {
    const engine = await godwit.Engine.load(url, { context: 512, kv: "q8_0/q4_0" });
    const refused = await thrown(ask({ n: 2 }, engine));
    const one = await ask({ n: 1 }, engine);
    engine.destroy();
    return { refused, one };
  }, URL);
  assert.match(result.refused, /^BadRequest: n is 2, .* type q8_0\/q4_0, .* kv: "q8_0" or "f16"/);
  assert.equal(result.one.choices[0].token_ids.length, MOST);
});
