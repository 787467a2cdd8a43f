import { start, library, MODEL } from "./browser.mjs";
const b = await start();
try {
  const page = await library(b);
  page.on("worker", (w) => w.evaluate(() => {
    globalThis.T = {};
    const wrap = (C, name) => { const f = C.prototype[name]; C.prototype[name] = function (...a) { const t = performance.now(); const r = f.apply(this, a); const e = (T[name] ??= { n: 0, sync: 0, async: 0 }); e.n++; e.sync += performance.now() - t; if (r?.then) r.then(() => e.async += performance.now() - t); return r; }; };
    wrap(FileReaderSync, "readAsArrayBuffer"); wrap(GPUQueue, "writeBuffer"); wrap(GPUDevice, "createBuffer"); wrap(GPUDevice, "popErrorScope"); wrap(GPUQueue, "onSubmittedWorkDone"); wrap(GPUQueue, "submit"); wrap(GPUDevice, "createComputePipeline"); wrap(GPUBuffer, "mapAsync"); wrap(GPUDevice, "createShaderModule"); wrap(GPUDevice,"createBindGroup"); wrap(GPUCommandEncoder,"beginComputePass");wrap(GPUComputePassEncoder,"dispatchWorkgroups");
  }).catch(() => {}));
  const url = `${b.server.url}/models/${MODEL}`;
  const dump = async (what) => { const w = page.workers().at(-1); console.log(what, JSON.stringify(await w.evaluate(() => { const t = T; globalThis.T = {}; return t; }), (k, v) => typeof v === "number" ? Math.round(v) : v)); };
  let t = Date.now();
  await page.evaluate(async (url) => { globalThis.engine = await godwit.Engine.load(url, { context: 1024 }); }, url);
  console.log("cold load", Date.now() - t); await dump("load");
  await page.evaluate(() => engine.destroy());
  t = Date.now();
  await page.evaluate(async (url) => { globalThis.engine = await godwit.Engine.load(url, { context: 1024 }); }, url);
  console.log("warm load", Date.now() - t); await dump("load");
  const messages = [{ role: "user", content: "Tell me a story about the sea." }];
  for (const [n, content] of [[1,"Hi"]]) {
    t = Date.now();
    const r = await page.evaluate(([content, n]) => replied(engine, { messages: [{ role: "user", content }], max_tokens: n }), [content, n]);
    console.log("reply", n, Date.now() - t, JSON.stringify(r.usage)); await dump("reply");
  }
} finally { await b.stop(); }
