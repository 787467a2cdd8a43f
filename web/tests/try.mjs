import { start, library, MODEL } from "./browser.mjs";
const b = await start();
try {
  const page = await library(b);
  page.on("console", (m) => console.log("console", m.text()));
  const t0 = Date.now();
  const r = await page.evaluate(async (url) => {
    const log = [];
    let last = "";
    globalThis.engine = await godwit.Engine.load(url, { context: 1024, onProgress: (p) => { if (p.phase !== last) { last = p.phase; log.push([p.phase, performance.now()]); } } });
    log.push(["loaded", performance.now()]);
    const info = await engine.info();
    return { log, info };
  }, `${b.server.url}/models/${MODEL}`);
  console.log(JSON.stringify(r, null, 1), Date.now() - t0);
  const a = await page.evaluate(async () => {
    const messages = [{ role: "user", content: "What is the capital of France?" }];
    const one = await replied(engine, { messages, max_tokens: 12 });
    messages.push({ role: "assistant", content: one.text }, { role: "user", content: "And of Italy?" });
    const two = await replied(engine, { messages, max_tokens: 12 });
    return { one, two, info: await engine.info() };
  });
  console.log(JSON.stringify(a));
} finally { await b.stop(); }
