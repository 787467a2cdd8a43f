/** Replies in the shapes of OpenAI's API. */

import type { Link } from "./engine.js";
import { Aborted } from "./errors.js";
import type { Event, Finish, Message, SamplingOptions } from "./protocol.js";

/** What a reply is asked for with. */
export interface CompletionParams extends SamplingOptions {
  messages: Message[];
  stream?: boolean;
  /** The last message is the beginning of the assistant's reply, which goes on from there. */
  continue_final_message?: boolean;
  /** Ends the reply: what is awaited then throws Aborted. */
  signal?: AbortSignal;
  /** Hears how many of the prompt's new tokens are read. */
  onPrompt?: (done: number, total: number) => void;
}

/** Tokens that a reply took, and how fast they were. */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  /** Of the prompt, those that were there from turns before. */
  prompt_tokens_details: { cached_tokens: number };
  prompt_tokens_per_second: number;
  completion_tokens_per_second: number;
}

/** A piece of a reply. */
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
      finish_reason: "stop" | "length" | null;
      /** The tokens that the piece is made of. */
      token_ids: number[];
    },
  ];
  /** With the last piece. */
  usage?: Usage;
}

/** A whole reply. */
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
      finish_reason: "stop" | "length";
      token_ids: number[];
    },
  ];
  usage: Usage;
}

/** Asks a model. */
export class Completions {
  constructor(
    private readonly link: Link,
    private readonly model: string,
  ) {}

  /**
   * A reply to messages: with `stream`, piece by piece. Tokens that the messages share with the conversation so far are not
   * computed again. Throws ContextFull, BadRequest, OutOfMemory, DeviceLost, or Aborted.
   */
  async create(params: CompletionParams & { stream: true }): Promise<AsyncIterable<CompletionChunk>>;
  async create(params: CompletionParams & { stream?: false }): Promise<Completion>;
  async create(params: CompletionParams): Promise<Completion | AsyncIterable<CompletionChunk>> {
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
        return { ...rest, object: "chat.completion", choices: [{ index: 0, message, finish_reason, token_ids: ids }], usage };
      }
    }
    throw new Aborted("the reply has no end");
  }

  private async *stream({
    messages, stream: _, continue_final_message = false, signal, onPrompt, stop, seed, ...sampling
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
      finish_reason: "stop" | "length" | null = null,
    ): CompletionChunk => ({ ...head, choices: [{ index: 0, delta, finish_reason, token_ids }] });

    const waiting: CompletionChunk[] = [];
    let wake = () => {};
    const event = (event: Event) => {
      if (event.kind === "progress") return onPrompt?.(event.done, event.total);
      waiting.push(chunk({ content: event.text }, event.ids));
      wake();
    };
    // Whoever stops listening stops the reply.
    const left = new AbortController();
    const either = signal ? AbortSignal.any([signal, left.signal]) : left.signal;
    const options = { ...sampling, stop: [stop ?? []].flat(), seed: seed ?? Math.floor(Math.random() * 2 ** 32) };
    let done = false;
    const listeners = { event, signal: either };
    const finish = this.link.call("reply", [messages, options, continue_final_message], listeners);
    const end = () => ((done = true), wake());
    finish.then(end, end);
    try {
      yield chunk({ role: "assistant", content: "" }, []);
      for (;;) {
        const next = waiting.shift();
        if (next) yield next;
        else if (done) break;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
      const finished = await finish;
      yield { ...chunk({}, [], finished.finish_reason), usage: usage(finished) };
    } finally {
      left.abort();
    }
  }
}

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
