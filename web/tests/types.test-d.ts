// Checks of the package's types. web/build.sh compiles this file as a project that uses the package
// would; nothing here runs.
import {
  type Choice,
  type ChunkChoice,
  type Completion,
  type CompletionChunk,
  Engine,
  type EngineInfo,
  type ErrorName,
  GodwitError,
  type Message,
  type ModelInfo,
  type SamplingOptions,
} from "godwit";

/** Compiles only if both types are the same. */
type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <T extends true>(_?: T) => {};

export async function replies(engine: Engine, messages: Message[], stream: boolean) {
  const create = engine.chat.completions.create.bind(engine.chat.completions);
  const chunks = await engine.chat.completions.create({ messages, stream: true });
  same<Same<typeof chunks, AsyncIterable<CompletionChunk>>>();
  const whole = await engine.chat.completions.create({ messages });
  same<Same<typeof whole, Completion>>();
  const texts = await engine.chat.completions.create({ messages, stream: false });
  same<Same<typeof texts, Completion>>();
  const either = await engine.chat.completions.create({ messages, stream });
  same<Same<typeof either, Completion | AsyncIterable<CompletionChunk>>>();
  // The caller narrows the union.
  if (Symbol.asyncIterator in either)
    for await (const { choices } of either) choices[0].delta.content?.at(0);
  else either.choices[0].message.content.at(0);
  await create({ messages, stop: "END" });
  await create({ messages, stop: ["a", "b"], n: 1, max_tokens: 5, seed: 7, temperature: 0 });
  const [one, two] = (await create({ messages, n: 4 })).choices;
  same<Same<typeof one, Choice>>();
  same<Same<typeof two, Choice | undefined>>();
  for await (const { choices } of chunks) same<Same<(typeof choices)[0], ChunkChoice>>();
  // @ts-expect-error: a number is not a stop text
  await create({ messages, stop: 5 });
  // @ts-expect-error: there is no such parameter
  await create({ messages, topP: 0.9 });
  // @ts-expect-error: there is no such role
  await create({ messages: [{ role: "robot", content: "" }] });
  return whole.choices[0].finish_reason;
}

export async function models(engine: Engine) {
  const info: ModelInfo = engine.model;
  same<Same<typeof info.topP, number>>();
  // @ts-expect-error: the member is named topP
  info.top_p;
  const about: EngineInfo = await engine.info();
  same<Same<typeof about.memory.kv, number>>();
  const estimate = await Engine.estimate("model.gguf", { context: 1024, kv: "q8_0" });
  same<Same<typeof estimate.model, ModelInfo>>();
  // @ts-expect-error: a context is a number
  await Engine.load("model.gguf", { context: "1024" });
  await Engine.load(
    { url: "model.gguf", sha256: "" },
    { keep: true, onProgress: ({ phase }) => phase === "wait" },
  );
}

export function failures(error: unknown): ErrorName | undefined {
  const name = error instanceof GodwitError ? error.name : undefined;
  // @ts-expect-error: there is no such class
  if (name === "Timeout") return undefined;
  return name;
}

export const sampling: SamplingOptions = { temperature: 0.5, min_p: 0.1, stop: "x" };
