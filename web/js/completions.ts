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

/** Token counts and speeds of a completion. */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  /** Prompt tokens that the KV cache already held. */
  prompt_tokens_details: { cached_tokens: number };
  prompt_tokens_per_second: number;
  completion_tokens_per_second: number;
}

/** A chunk of a streamed reply. */
export interface CompletionChunk {
  id: string;
  object: "chat.completion.chunk";
  /** Seconds since 1970. */
  created: number;
  model: string;
  choices: [
    {
      index: 0;
      delta: { role?: "assistant"; content?: string };
      finish_reason: FinishReason | null;
      /** The token ids that this chunk decodes. */
      token_ids: number[];
    },
  ];
  /** Present in the last chunk only. */
  usage?: Usage;
}

/** A complete reply. */
export interface Completion {
  id: string;
  object: "chat.completion";
  /** Seconds since 1970. */
  created: number;
  model: string;
  choices: [
    {
      index: 0;
      message: { role: "assistant"; content: string };
      finish_reason: FinishReason;
      token_ids: number[];
    },
  ];
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
   * share with the conversation so far. Throws `ContextFull`, `BadRequest`, `OutOfMemory`,
   * `DeviceLost` or `Aborted`.
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
    let content = "";
    const ids: number[] = [];
    for await (const { choices, usage, ...rest } of chunks) {
      const [{ delta, finish_reason, token_ids }] = choices;
      content += delta.content ?? "";
      ids.push(...token_ids);
      if (finish_reason && usage) {
        const message = { role: "assistant" as const, content };
        return {
          ...rest,
          object: "chat.completion",
          choices: [{ index: 0, message, finish_reason, token_ids: ids }],
          usage,
        };
      }
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
      delta: { role?: "assistant"; content?: string },
      token_ids: number[],
      finish_reason: FinishReason | null = null,
    ): CompletionChunk => ({ ...head, choices: [{ index: 0, delta, finish_reason, token_ids }] });

    const pending: CompletionChunk[] = [];
    let wake = () => {};
    const onEvent = (event: Event) => {
      if (event.kind === "progress") {
        onPrompt?.(event.done, event.total);
        return;
      }
      pending.push(chunk({ content: event.text }, event.ids));
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
      yield chunk({ role: "assistant", content: "" }, []);
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
      yield { ...chunk({}, [], finished.finish_reason), usage: usage(finished) };
    } finally {
      abandoned.abort();
    }
  }
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
