/** Chat completions in the shapes of OpenAI's API. */

import type { Link } from "./engine.js";
import { Aborted, BadRequest } from "./errors.js";
import type { Event } from "./protocol.js";
import type { Finish, FinishReason, Message, SamplingOptions } from "./wire.js";

/** The parameters of a completion. */
export interface CompletionParams extends SamplingOptions {
  messages: Message[];
  /** Whether to stream the reply in chunks. */
  stream?: boolean | null;
  /** Continues the last message, which holds the beginning of the assistant's reply. */
  continue_final_message?: boolean;
  /** Stops the reply: the pending call then throws `Aborted`. */
  signal?: AbortSignal;
  /** Receives how many of the prompt's new tokens are computed. */
  onPrompt?: (done: number, total: number) => void;
}

/** Token counts and speeds of a completion. The prompt of several replies counts once. */
export interface Usage {
  prompt_tokens: number;
  /** The tokens of all replies. */
  completion_tokens: number;
  total_tokens: number;
  /** Prompt tokens that the KV cache already held. */
  prompt_tokens_details: { cached_tokens: number };
  prompt_tokens_per_second: number;
  completion_tokens_per_second: number;
}

/** A part of a streamed reply. */
export interface ChunkChoice {
  /** The index of the reply: from 0 to `n` - 1. */
  index: number;
  delta: { role?: "assistant"; content?: string };
  finish_reason: FinishReason | null;
  /** The token ids that this chunk decodes. */
  token_ids: number[];
}

/** A chunk of streamed replies: a part of one of them. */
export interface CompletionChunk {
  id: string;
  object: "chat.completion.chunk";
  /** Seconds since 1970. */
  created: number;
  model: string;
  choices: [ChunkChoice];
  /** Present in the last chunk only. */
  usage?: Usage;
}

/** A reply. */
export interface Choice {
  /** The index of the reply: from 0 to `n` - 1. */
  index: number;
  message: { role: "assistant"; content: string };
  finish_reason: FinishReason;
  token_ids: number[];
}

/** The complete replies to a prompt. */
export interface Completion {
  id: string;
  object: "chat.completion";
  /** Seconds since 1970. */
  created: number;
  model: string;
  /** The `n` replies, in the order of their indexes. */
  choices: [Choice, ...Choice[]];
  usage: Usage;
}

/** The completions of an engine: `engine.chat.completions`. */
export class Completions {
  constructor(
    private readonly link: Link,
    private readonly model: string,
  ) {}

  /**
   * Replies to messages, with `stream` in chunks. The KV cache keeps the tokens that the messages
   * share with the conversation so far. With `n` above 1, there are several replies: each step
   * computes a token of all of them, and the conversation stays as it is. Throws `ContextFull`,
   * `BadRequest`, `OutOfMemory`, `DeviceLost` or `Aborted`.
   */
  async create(
    params: CompletionParams & { stream: true },
  ): Promise<AsyncIterable<CompletionChunk>>;
  async create(params: CompletionParams & { stream?: false | null }): Promise<Completion>;
  async create(params: CompletionParams): Promise<Completion | AsyncIterable<CompletionChunk>>;
  async create(params: CompletionParams): Promise<Completion | AsyncIterable<CompletionChunk>> {
    if (!Array.isArray(params?.messages))
      throw new BadRequest("messages must be an array of { role, content }");
    const chunks = this.stream(params);
    if (params.stream) return chunks;
    const choices: [Choice, ...Choice[]] = [emptyChoice(0)];
    for await (const { choices: parts, usage, ...rest } of chunks) {
      const [{ index, delta, finish_reason, token_ids }] = parts;
      choices[index] ??= emptyChoice(index);
      const choice = choices[index];
      choice.message.content += delta.content ?? "";
      choice.token_ids.push(...token_ids);
      if (finish_reason) choice.finish_reason = finish_reason;
      if (usage) return { ...rest, object: "chat.completion", choices, usage };
    }
    throw new Aborted("the reply ended without a finish reason");
  }

  private async *stream({
    messages,
    stream: _,
    continue_final_message = false,
    signal,
    onPrompt,
    seed,
    ...sampling
  }: CompletionParams): AsyncGenerator<CompletionChunk, void> {
    const head = {
      id: `chatcmpl-${crypto.randomUUID()}`,
      object: "chat.completion.chunk" as const,
      created: Math.floor(Date.now() / 1000),
      model: this.model,
    };
    const chunk = (
      index: number,
      delta: ChunkChoice["delta"],
      token_ids: number[] = [],
      finish_reason: FinishReason | null = null,
    ): CompletionChunk => ({ ...head, choices: [{ index, delta, finish_reason, token_ids }] });
    const beginning = (index: number) => chunk(index, { role: "assistant", content: "" });

    const pending: CompletionChunk[] = [];
    // The first reply begins at once, the others with their first text.
    const begun = new Set([0]);
    let wake = () => {};
    const onEvent = (event: Event) => {
      if (event.kind === "progress") {
        onPrompt?.(event.done, event.total);
        return;
      }
      const { index } = event;
      if (!begun.has(index)) pending.push(beginning(index));
      begun.add(index);
      if (event.kind === "text") pending.push(chunk(index, { content: event.text }, event.ids));
      else pending.push(chunk(index, {}, [], event.reason));
      wake();
    };
    // A caller that leaves its loop over the chunks stops the reply.
    const abandoned = new AbortController();
    const stop = signal ? AbortSignal.any([signal, abandoned.signal]) : abandoned.signal;
    const options = { ...sampling, seed: seed ?? Math.floor(Math.random() * 2 ** 32) };
    const finish = this.link.call("reply", [messages, options, continue_final_message], {
      onEvent,
      signal: stop,
    });
    let done = false;
    const end = () => {
      done = true;
      wake();
    };
    finish.then(end, end);
    try {
      yield beginning(0);
      for (;;) {
        const next = pending.shift();
        if (next) {
          yield next;
          continue;
        }
        if (done) break;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const finished = await finish;
      if (!begun.has(finished.index)) yield beginning(finished.index);
      yield {
        ...chunk(finished.index, {}, [], finished.finish_reason),
        usage: usage(finished),
      };
    } finally {
      abandoned.abort();
    }
  }
}

/** A reply without text. Its finish reason is replaced when it ends. */
function emptyChoice(index: number): Choice {
  const message = { role: "assistant" as const, content: "" };
  return { index, message, finish_reason: "stop", token_ids: [] };
}

/** Token counts and speeds in OpenAI's shape, from those of the wasm engine. */
function usage(finish: Finish): Usage {
  const { prompt_tokens, completion_tokens, cached_tokens } = finish;
  const rate = (tokens: number, seconds: number) => (seconds > 0 ? tokens / seconds : 0);
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: { cached_tokens },
    prompt_tokens_per_second: rate(prompt_tokens - cached_tokens, finish.prefill_seconds),
    completion_tokens_per_second: rate(completion_tokens, finish.decode_seconds),
  };
}
