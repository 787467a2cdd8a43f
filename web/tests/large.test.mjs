// Files of more than 4 GiB, the limit of wasm's memory: tensors beyond it are read at their
// offsets. The files are sparse, and take little room on the disk.
import assert from "node:assert/strict";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { library, start, step, TARGET } from "./browser.mjs";
import { tinyModel } from "./tiny.mjs";

const REPOSITORY = join(TARGET, "golden/repositories/tied");
/** Bytes before the tensors, of a hole in the file. */
const GAP = 5 * 2 ** 30;

let browser, page, folder;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "godwit-large-"));
  browser = await start();
  page = await library(browser);
  await page.evaluate(() =>
    document.body.append(
      Object.assign(document.createElement("input"), { type: "file", multiple: true }),
    ),
  );
});
after(async () => {
  await browser?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A file of these bytes with a hole of `GAP` zeros between them. */
function sparse(name, head, tail) {
  const path = join(folder, name);
  const file = openSync(path, "w");
  writeSync(file, head);
  ftruncateSync(file, head.length + GAP);
  writeSync(file, tail, 0, tail.length, head.length + GAP);
  closeSync(file);
  return path;
}

/** The greedy reply of the model in these files. */
async function reply(files) {
  await page.setInputFiles("input", files);
  return page.evaluate(async () => {
    const engine = await godwit.Engine.load([...document.querySelector("input").files], {
      context: 64,
    });
    const prompt = { messages: [{ role: "user", content: "abba" }], max_tokens: 8 };
    const { ids } = await replied(engine, prompt);
    engine.destroy();
    return { ids, bytes: engine.model.fileBytes };
  });
}

step("a GGUF file with tensors beyond 4 GiB gives the same reply as a small one", async () => {
  const path = join(folder, "tiny.gguf");
  writeFileSync(path, tinyModel().file);
  const { head, tail } = tinyModel(GAP);
  const [expected, found] = [await reply([path]), await reply([sparse("large.gguf", head, tail)])];
  assert.ok(expected.ids.length > 0);
  assert.deepEqual(found.ids, expected.ids);
  assert.ok(found.bytes > GAP);
});

step(
  "a safetensors file with tensors beyond 4 GiB gives the same reply as a small one",
  async () => {
    const names = readdirSync(REPOSITORY);
    const replaced = ["model.safetensors", "tokenizer_config.json"];
    const rest = names
      .filter((name) => !replaced.includes(name))
      .map((name) => join(REPOSITORY, name));
    // The small vocabulary lacks the control tokens of the original template.
    const config = join(folder, "tokenizer_config.json");
    writeFileSync(
      config,
      JSON.stringify({ chat_template: "{% for m in messages %}{{ m.content }}{% endfor %}" }),
    );
    rest.push(config);
    const file = readFileSync(join(REPOSITORY, "model.safetensors"));
    const start = 8 + Number(file.readBigUInt64LE());
    const header = JSON.parse(file.subarray(8, start));
    for (const { data_offsets } of Object.values(header).filter(({ data_offsets }) => data_offsets))
      for (const [i, at] of data_offsets.entries()) data_offsets[i] = at + GAP;
    header["model.layers.0.self_attn.rotary_emb.inv_freq"] = {
      dtype: "F32",
      shape: [GAP / 4],
      data_offsets: [0, GAP],
    };
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const large = sparse("model.safetensors", Buffer.concat([length, text]), file.subarray(start));
    const expected = await reply([...rest, join(REPOSITORY, "model.safetensors")]);
    const found = await reply([...rest, large]);
    assert.ok(expected.ids.length > 0);
    assert.deepEqual(found.ids, expected.ids);
    assert.ok(found.bytes > GAP);
  },
);
