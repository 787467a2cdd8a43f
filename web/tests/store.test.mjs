// The store of kept models, in Node with a file system in memory.
import assert from "node:assert/strict";
import { test } from "node:test";
import { imported } from "./bundle.mjs";
import { Closed, Opfs } from "./opfs.mjs";

const { store, manifests } = await imported({ store: "js/store.ts", manifests: "js/manifest.ts" });

const SOURCE = "https://example.org/model.gguf";
const manifest = (used) => ({
  source: SOURCE,
  name: "Model",
  files: [{ name: "model.gguf", url: SOURCE, size: 10 << 20, etag: '"a"', chunks: [0, 2] }],
  used,
});
/** A manifest in its stored form, in which the chunks have another name. */
const storedManifest = (used) => {
  const { files, ...rest } = manifest(used);
  return { ...rest, files: files.map(({ chunks, ...file }) => ({ ...file, pieces: chunks })) };
};

/** A file system with a model whose manifest was written so many times. */
async function kept(times) {
  const opfs = new Opfs();
  opfs.install();
  const folder = await store.folderOf(SOURCE);
  for (let used = 1; used <= times; used++) await store.writeManifest(folder, manifest(used));
  return { opfs, folder };
}

const writeFile = (folder, name, text) =>
  folder.getFileHandle(name, { create: true }).then((file) => (file.bytes = Buffer.from(text)));

test("a tab that is closed at any moment of a write leaves a valid manifest", async () => {
  for (const times of [1, 2, 3]) {
    let closed = 0;
    for (let left = 0; ; left++) {
      const { opfs, folder } = await kept(times);
      opfs.left = left;
      const outcome = await store
        .writeManifest(folder, manifest(times + 1))
        .catch((error) => error);
      opfs.left = Infinity;
      const { used } = (await store.readManifest(folder)) ?? {};
      if (outcome instanceof Closed) {
        closed++;
        assert.ok(used === times || used === times + 1, `after ${left} writes: ${used}`);
        // The next tab can write again.
        await store.writeManifest(folder, manifest(9));
        assert.equal((await store.readManifest(folder)).used, 9);
        continue;
      }
      assert.equal(outcome, undefined);
      assert.equal(used, times + 1);
      break;
    }
    assert.ok(closed > 200, `${closed} moments`);
  }
});

test("a damaged manifest is ignored in favour of the previous one", async () => {
  const { folder } = await kept(2);
  const newest = await folder.getFileHandle(manifests.SLOTS[1]);
  assert.match(String(newest.bytes), /"number":2/);
  const whole = newest.bytes;
  for (let at = 0; at < whole.length; at++) {
    newest.bytes = Buffer.from(whole);
    newest.bytes[at] ^= 1;
    assert.equal((await store.readManifest(folder)).used, 1, `byte ${at}`);
    newest.bytes = whole.subarray(0, at);
    assert.equal((await store.readManifest(folder)).used, 1, `${at} bytes`);
  }
  newest.bytes = Buffer.concat([whole, Buffer.from("}")]);
  assert.equal((await store.readManifest(folder)).used, 1);
  newest.bytes = whole;
  assert.equal((await store.readManifest(folder)).used, 2);
});

test("a manifest of an earlier version is read, and replaced by the next write", async () => {
  const { folder } = await kept(0);
  await writeFile(folder, manifests.OLD_SLOT, JSON.stringify(storedManifest(7)));
  assert.deepEqual(JSON.parse(JSON.stringify(await store.readManifest(folder))), manifest(7));
  await store.writeManifest(folder, manifest(8));
  assert.deepEqual([...folder.entries.keys()], [manifests.SLOTS[0]]);
  assert.equal((await store.readManifest(folder)).used, 8);
});

test("manifests with invalid parts are refused", () => {
  const valid = storedManifest(1);
  const file = valid.files[0];
  const wrong = [
    null,
    [],
    "x",
    {},
    { ...valid, source: "" },
    { ...valid, source: 5 },
    { ...valid, files: [] },
    { ...valid, files: {} },
    { ...valid, files: [null] },
    { ...valid, files: [file, file] },
    ...[
      { name: "" },
      { name: ".." },
      { name: "a/b" },
      { name: "a\\b" },
      { name: manifests.SLOTS[0] },
      { name: manifests.OLD_SLOT },
      { url: undefined },
      { size: -1 },
      { size: 0.5 },
      { size: "10" },
      { size: 2 ** 53 },
      { sha256: "abc" },
      { optional: 1 },
      { pieces: false },
      { pieces: [3] },
      { pieces: [-1] },
      { pieces: [0.5] },
      { pieces: [0, 0] },
      { pieces: ["0"] },
      { pieces: true, size: undefined },
      { pieces: [0], size: undefined },
    ].map((change) => ({ ...valid, files: [{ ...file, ...change }] })),
  ];
  for (const one of wrong)
    assert.equal(manifests.checkManifest(one), undefined, JSON.stringify(one));
  for (const one of [valid, { ...valid, used: "yesterday" }])
    assert.ok(manifests.checkManifest(one));
});

test("a stored manifest keeps the names of its members", async () => {
  const { folder } = await kept(1);
  const { bytes } = await folder.getFileHandle(manifests.SLOTS[0]);
  // Earlier versions of the page read manifests too, in a tab that was not reloaded.
  assert.deepEqual(JSON.parse(String(bytes).split("\n")[1]).manifest, storedManifest(1));
});

test("folders without a model are deleted unless a tab holds their lock", async () => {
  const { opfs } = await kept(1);
  const models = await opfs.root.getDirectoryHandle("godwit-models");
  const names = () => [...models.entries.keys()].sort();
  const [model] = names();
  const damaged = await models.getDirectoryHandle("0".repeat(32), { create: true });
  await writeFile(damaged, manifests.SLOTS[0], '{"source":');
  await writeFile(damaged, "model.gguf", "x".repeat(1000));
  // A folder with the manifest of another model.
  const other = await models.getDirectoryHandle("1".repeat(32), { create: true });
  await store.writeManifest(other, manifest(3));
  const held = new Set([`godwit-model ${"0".repeat(32)}`]);
  opfs.install(held);
  const list = async () => (await store.cachedModels()).map(({ source }) => source);
  assert.deepEqual(await list(), [SOURCE]);
  assert.deepEqual(names(), ["0".repeat(32), model].sort());
  held.clear();
  assert.deepEqual(await list(), [SOURCE]);
  assert.deepEqual(names(), [model]);
});
