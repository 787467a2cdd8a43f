// A tiny model of random weights whose tokens are letters. A token takes milliseconds, and no reply
// ends before its limit. Each token adds a visible letter to the page.

/** The context window, in tokens. A reply that fills it takes a minute or more. */
export const WINDOW = 8192;

const [WIDTH, FFN, LAYERS] = [64, 64, 1];
const TEMPLATE =
  "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}" +
  "{% if add_generation_prompt %}<|assistant|>{% endif %}";
const CONTROL = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"];

/** The characters that stand for the 256 bytes in byte-level vocabularies. */
function byteNames() {
  const plain = (byte) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(plain(byte) ? byte : next++));
}

/** Pseudo-random numbers between -1 and 1, the same in each run. */
function numbers() {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

const u32 = (value) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const text = (value) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
/** Encodes values of GGUF metadata, by type. */
const value = {
  u32: (value) => Buffer.concat([u32(4), u32(value)]),
  f32: (value) => Buffer.concat([u32(6), Buffer.from(Float32Array.of(value).buffer)]),
  text: (value) => Buffer.concat([u32(8), text(value)]),
  texts: (values) => Buffer.concat([u32(9), u32(8), u64(values.length), ...values.map(text)]),
  i32s: (values) =>
    Buffer.concat([
      u32(9),
      u32(5),
      u64(values.length),
      Buffer.from(Int32Array.from(values).buffer),
    ]),
};

/** The model as a GGUF file: `head`, a `gap` of so many unused bytes, and `tail`. */
export function tinyModel(gap = 0) {
  const tokens = [...byteNames(), "ab", ...CONTROL];
  const metadata = {
    "general.architecture": value.text("llama"),
    "general.name": value.text("Tiny"),
    "llama.block_count": value.u32(LAYERS),
    "llama.context_length": value.u32(WINDOW),
    "llama.embedding_length": value.u32(WIDTH),
    "llama.feed_forward_length": value.u32(FFN),
    "llama.attention.head_count": value.u32(1),
    "llama.attention.head_count_kv": value.u32(1),
    "llama.attention.layer_norm_rms_epsilon": value.f32(1e-5),
    "llama.rope.dimension_count": value.u32(WIDTH),
    "llama.rope.freq_base": value.f32(1e4),
    "tokenizer.ggml.model": value.text("gpt2"),
    "tokenizer.ggml.pre": value.text("default"),
    "tokenizer.ggml.tokens": value.texts(tokens),
    "tokenizer.ggml.token_type": value.i32s(
      tokens.map((token) => (CONTROL.includes(token) ? 3 : 1)),
    ),
    "tokenizer.ggml.merges": value.texts(["a b"]),
    "tokenizer.ggml.eos_token_id": value.u32(tokens.length - 1),
    "tokenizer.chat_template": value.text(TEMPLATE),
  };
  const random = numbers();
  const matrix = (rows, columns) =>
    Float32Array.from({ length: rows * columns }, () => random() / Math.sqrt(columns));
  const ones = new Float32Array(WIDTH).fill(1);
  // Tokens that are not letters have a logit of 0, which is never the largest one.
  const output = matrix(tokens.length, WIDTH);
  for (const [row, token] of tokens.entries()) {
    if (!/^[a-z]$/.test(token)) output.fill(0, row * WIDTH, (row + 1) * WIDTH);
  }
  const tensors = {
    "token_embd.weight": [[WIDTH, tokens.length], matrix(tokens.length, WIDTH)],
    "blk.0.attn_norm.weight": [[WIDTH], ones],
    "blk.0.attn_q.weight": [[WIDTH, WIDTH], matrix(WIDTH, WIDTH)],
    "blk.0.attn_k.weight": [[WIDTH, WIDTH], matrix(WIDTH, WIDTH)],
    "blk.0.attn_v.weight": [[WIDTH, WIDTH], matrix(WIDTH, WIDTH)],
    "blk.0.attn_output.weight": [[WIDTH, WIDTH], matrix(WIDTH, WIDTH)],
    "blk.0.ffn_norm.weight": [[WIDTH], ones],
    "blk.0.ffn_gate.weight": [[WIDTH, FFN], matrix(FFN, WIDTH)],
    "blk.0.ffn_up.weight": [[WIDTH, FFN], matrix(FFN, WIDTH)],
    "blk.0.ffn_down.weight": [[FFN, WIDTH], matrix(WIDTH, FFN)],
    "output_norm.weight": [[WIDTH], ones],
    "output.weight": [[WIDTH, tokens.length], output],
  };
  const entries = Object.entries(metadata);
  const head = [Buffer.from("GGUF"), u32(3), u64(Object.keys(tensors).length), u64(entries.length)];
  for (const [key, bytes] of entries) head.push(text(key), bytes);
  let offset = gap;
  for (const [name, [shape, weights]] of Object.entries(tensors)) {
    head.push(text(name), u32(shape.length), ...shape.map(u64), u32(0), u64(offset));
    // All lengths are multiples of the alignment, 32 bytes.
    offset += weights.byteLength;
  }
  const before = Buffer.concat(head);
  const padding = Buffer.alloc((32 - (before.length % 32)) % 32);
  const weights = Object.values(tensors).map(([, weights]) => Buffer.from(weights.buffer));
  const parts = { head: Buffer.concat([before, padding]), tail: Buffer.concat(weights) };
  return { ...parts, file: Buffer.concat([parts.head, parts.tail]) };
}
