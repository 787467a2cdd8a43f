// The npm package in Chromium: loading, replies, errors.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { GOLDEN, library, MODEL, MODEL_FILE, start, step } from "./browser.mjs";

const { turns } = JSON.parse(readFileSync(join(GOLDEN, "turns.json"), "utf8"));
const model = readFileSync(MODEL_FILE);
const sha256 = createHash("sha256").update(model).digest("hex");

/** A conversation of few tokens: each takes up to a second on a busy machine. */
const brief = [
  { role: "system", content: "Hi" },
  { role: "user", content: "Hi" },
];

let browser, page, url;

before(async () => {
  browser = await start();
  page = await library(browser);
  url = `${browser.server.url}/models/${MODEL}`;
});
after(() => browser?.stop());

/** The ranges of the model's file that were requested since the last call. */
function ranges() {
  return browser.server.requests
    .splice(0)
    .filter(({ path }) => path.endsWith(".gguf"))
    .map(({ range }) => range);
}

step(
  "an interrupted download resumes, and the greedy ids of two turns equal the native ones",
  async () => {
    browser.server.rules = ({ path }) => (path.endsWith(".gguf") ? { cut: 1_500_000 } : {});
    const first = await page.evaluate(
      async (source) => {
        const stop = new AbortController();
        let most = 0;
        const onProgress = ({ phase, done }) => {
          most = Math.max(most, done);
          if (phase === "download" && done > 40e6) stop.abort();
        };
        return [
          await thrown(godwit.Engine.load(source, { onProgress, signal: stop.signal })),
          most,
        ];
      },
      { url, sha256 },
    );
    assert.match(first[0], /^Aborted/);
    // Responses that were cut short were resumed at their end. The head was read in blocks of 1
    // MiB.
    assert.ok(ranges().some((range) => Number(/\d+/.exec(range)[0]) % (1 << 20) !== 0));

    browser.server.rules = undefined;
    const result = await page.evaluate(
      async ([source, turns]) => {
        const phases = {};
        const onProgress = ({ phase, done, total }) => {
          phases[phase] ??= [];
          phases[phase].push(done);
          phases[`${phase} total`] = total;
        };
        globalThis.engine = await godwit.Engine.load(source, { onProgress, context: 1024 });
        const [messages, replies] = [[], []];
        for (const { user, ids } of turns) {
          messages.push({ role: "user", content: user });
          replies.push(await replied(engine, { messages, max_tokens: ids.length }));
          messages.push({ role: "assistant", content: replies.at(-1).text });
        }
        return { phases, replies, info: await engine.info() };
      },
      [{ url, sha256 }, turns],
    );
    assert.ok(result.phases.download[0] > 20e6, `it resumes at ${result.phases.download[0]}`);
    assert.equal(result.phases.download.at(-1), model.length);
    assert.equal(result.phases["verify total"], model.length);
    assert.ok(result.phases.gpu.length > 10);
    turns.forEach(({ ids, text }, i) => {
      assert.deepEqual(result.replies[i].ids, ids);
      assert.equal(result.replies[i].text, text);
    });
    const [one, two] = result.replies.map(({ usage }) => usage);
    assert.equal(one.prompt_tokens_details.cached_tokens, 0);
    assert.ok(
      two.prompt_tokens_details.cached_tokens > one.prompt_tokens,
      "the second turn computes only its new tokens",
    );
    assert.ok(result.info.wasmBytes < 100 << 20, `wasm takes ${result.info.wasmBytes} bytes`);
  },
);

step("a signal, or leaving the loop, stops a reply, and the engine stays usable", async () => {
  const result = await page.evaluate(
    async ([user, ids]) => {
      const messages = [{ role: "user", content: user }];
      const stop = new AbortController();
      let chunks = 0;
      const stopped = await thrown(
        (async () => {
          const params = { messages, temperature: 0, stream: true, signal: stop.signal };
          for await (const _ of await engine.chat.completions.create(params))
            if (++chunks === 4) stop.abort();
        })(),
      );
      for await (const _ of await engine.chat.completions.create({
        messages,
        temperature: 0,
        stream: true,
      }))
        if (++chunks > 7) break;
      const again = await replied(engine, { messages, max_tokens: ids.length });
      const ended = await replied(engine, { messages, max_tokens: 200, stop: ["the", " of"] });
      return { stopped, again, ended };
    },
    [turns[0].user, turns[0].ids],
  );
  assert.match(result.stopped, /^Aborted/);
  assert.deepEqual(result.again.ids, turns[0].ids);
  assert.ok(
    result.again.usage.prompt_tokens_details.cached_tokens > 20,
    "the same prompt computes only its last token again",
  );
  assert.equal(result.ended.reason, "stop");
  const expected = turns[0].text.split(/the| of/)[0];
  assert.equal(result.ended.text, expected);
});

step("a snapshot is resumed, and a text is tokenized and detokenized", async () => {
  const result = await page.evaluate(async (messages) => {
    const before = await engine.session.tokens();
    const snapshot = await engine.session.save({ chat: 7 });
    await replied(engine, { messages, max_tokens: 1 });
    const note = await engine.session.resume(snapshot);
    const after = await engine.session.tokens();
    const damaged = await thrown(engine.session.resume(snapshot.slice(0, snapshot.size - 5)));
    const text = "Zoë says: naïve 🐦";
    const back = await engine.detokenize(await engine.tokenize(text));
    return { before, after, note, damaged, text, back };
  }, brief);
  assert.deepEqual(result.note, { chat: 7 });
  assert.deepEqual(result.after, result.before);
  assert.match(result.damaged, /^BadContext: it is cut short/);
  assert.equal(result.back, result.text);
});

step("errors of bad requests name the parameter and its value", async () => {
  const [full, messages] = await page.evaluate(async () => {
    const ask = (params) =>
      thrown(replied(engine, { messages: [{ role: "user", content: "Hi" }], ...params }));
    const wrong = [
      undefined,
      null,
      "Hi",
      [null],
      [{ role: "user" }],
      [{ role: "robot", content: "" }],
      [{ role: "user", content: NaN }],
    ];
    return [
      await ask({ messages: [{ role: "user", content: "word ".repeat(2000) }] }),
      await Promise.all(wrong.map((messages) => ask({ messages }))),
    ];
  });
  assert.match(full, /^ContextFull: /);
  const expected = [
    /messages must be an array/,
    /messages must be an array/,
    /messages must be an array/,
    /messages\[0\]: invalid type: null/,
    /messages\[0\]: missing field `content`/,
    /messages\[0\]\.role: unknown variant `robot`/,
    /content is NaN/,
  ];
  for (const [i, text] of messages.entries()) {
    assert.match(text, new RegExp(`^BadRequest: ${expected[i].source}`));
  }

  const numbers = {
    temperature: [-1, NaN, Infinity],
    top_p: [0, 2, 3, NaN],
    top_k: [-1, 1.5, 2 ** 32, NaN],
    min_p: [-0.1, 1.1],
    repetition_penalty: [0, -1],
    presence_penalty: [-3, 3],
    frequency_penalty: [-3, 3],
    seed: [-1, 0.5, 2 ** 60, NaN],
    max_tokens: [0, -1, 1.5, NaN, Infinity],
    n: [0, 17, 1.5],
  };
  for (const [name, values] of Object.entries(numbers)) {
    const texts = await page.evaluate(
      ([name, values]) =>
        Promise.all(
          values.map((value) =>
            thrown(
              replied(engine, {
                messages: [{ role: "user", content: "Hi" }],
                max_tokens: 1,
                [name]: value,
              }),
            ),
          ),
        ),
      [name, values],
    );
    const expected = new RegExp(`^BadRequest: ${name} is .*, but it must be`);
    for (const [i, text] of texts.entries()) {
      assert.match(text, expected, `${name}: ${values[i]}`);
    }
  }
  const others = await page.evaluate(() => {
    const ask = (params) =>
      thrown(
        replied(engine, { messages: [{ role: "user", content: "Hi" }], max_tokens: 1, ...params }),
      );
    return Promise.all([
      ask({ temperature: "hot" }),
      ask({ top_k: 5n }),
      ask({ stop: 5 }),
      ask({ topP: 0.5 }),
      ask({ max_tokens: () => 1 }),
      thrown(engine.detokenize([1, -1])),
      thrown(engine.detokenize([1.5])),
      thrown(engine.detokenize([1e6])),
      thrown(engine.detokenize([NaN])),
      thrown(engine.detokenize("a")),
      thrown(engine.tokenize(5)),
      thrown(engine.session.resume({})),
      thrown(engine.session.save(() => 1)),
      thrown(engine.session.save({ a: NaN })),
    ]);
  });
  const texts = [
    /temperature: invalid type: string "hot"/,
    /top_k is the BigInt 5/,
    /stop: /,
    /topP: unknown field `topP`/,
    /.*can't be sent to the worker/,
    /ids\[1\] is -1/,
    /ids\[0\] is 1.5/,
    /ids\[0\] is 1000000, but it must be .* to 49151/,
    /ids\[0\] is NaN/,
    /ids: invalid type/,
    /text is 5/,
    /context must be a Blob/,
    /.*can't be sent to the worker/,
    /a is NaN/,
  ];
  for (const [i, text] of others.entries()) {
    assert.match(text, new RegExp(`^BadRequest: ${texts[i].source}`));
  }
  const one = await page.evaluate(
    (messages) => replied(engine, { messages, n: 1, max_tokens: 1, seed: 2 ** 53 - 1, stop: "x" }),
    brief,
  );
  assert.equal(one.ids.length, 1);
});

/** The generated types, and the fields that they declare: `[name, type]`. */
const wire = readFileSync(new URL("../js/wire.ts", import.meta.url), "utf8");
function fields(type) {
  const [, body] =
    new RegExp(`export interface ${type} {\n([^]*?)\n}`).exec(wire) ??
    assert.fail(`no interface ${type}`);
  return [...body.matchAll(/^ {4}(\w+): (.*);$/gm)].map(([, name, type]) => [name, type]);
}

/**
 * Compares a value with a declared type: it must have exactly the declared fields, of their types.
 */
function conforms(value, type, at) {
  if (type.endsWith("[]")) {
    assert.ok(Array.isArray(value), at);
    for (const [i, one] of value.entries()) conforms(one, type.slice(0, -2), `${at}[${i}]`);
    return;
  }
  if (["number", "string", "boolean"].includes(type)) return assert.equal(typeof value, type, at);
  const [, members] = new RegExp(`export type ${type} = (.*);`).exec(wire) ?? [];
  if (members) {
    assert.ok(members.split(" | ").includes(JSON.stringify(value)), `${at} is ${value}`);
    return;
  }
  const declared = fields(type);
  assert.deepEqual(Object.keys(value).sort(), declared.map(([name]) => name).sort(), at);
  for (const [name, type] of declared) conforms(value[name], type, `${at}.${name}`);
}

step("the values from wasm have exactly the declared fields and types", async () => {
  const arrived = await page.evaluate(async (messages) => {
    const info = await engine.info();
    // Pages get the end of a reply in another shape than wasm returns it.
    const finish = await engine.session.link.call("reply", [
      messages,
      { max_tokens: 1, temperature: 0 },
      false,
    ]);
    const estimate = await godwit.Engine.estimate("/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    return { ModelInfo: engine.model, EngineInfo: info, Estimate: estimate, Finish: finish };
  }, brief);
  for (const [type, value] of Object.entries(arrived)) conforms(value, type, type);
  assert.ok(fields("ModelInfo").some(([name]) => name === "topP"));
  assert.ok(arrived.ModelInfo.topP > 0 && arrived.EngineInfo.context === 1024);
});

step("a lost device causes a DeviceLost, and a new engine works", async () => {
  await page.workers()[0].evaluate(() => {
    const { createCommandEncoder } = GPUDevice.prototype;
    GPUDevice.prototype.createCommandEncoder = function (...rest) {
      this.destroy();
      return createCommandEncoder.apply(this, rest);
    };
  });
  browser.server.rules = ({ path }) => (path.startsWith("/models/") ? { status: 404 } : {});
  const result = await page.evaluate(
    async ([source, messages]) => {
      const lost = await thrown(replied(engine, { messages, max_tokens: 4 }));
      engine.destroy();
      // The server has no model any more, so the kept files are loaded.
      const cached = await godwit.Engine.cached();
      globalThis.engine = await godwit.Engine.load(source, { context: 1024 });
      return { lost, cached, reply: await replied(engine, { messages, max_tokens: 2 }) };
    },
    [{ url, sha256 }, brief],
  );
  browser.server.rules = undefined;
  assert.match(result.lost, /^DeviceLost: /);
  assert.deepEqual(
    result.cached.map(({ bytes, complete }) => complete && bytes > model.length),
    [true],
  );
  assert.equal(result.reply.ids.length, 2);
});

/** The model with one tensor at an offset of 5 GiB. The file is sparse. */
function vast(folder) {
  const path = join(folder, "vast.gguf");
  const head = Buffer.from(model.subarray(0, 4 << 20));
  /** The position of a tensor's offset in the table of tensors. */
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

step("a picked file of 5 GiB is loaded without a copy", async () => {
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
