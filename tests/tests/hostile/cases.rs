//! The files that lie, and what each is refused with.

use super::*;

pub(super) fn nested(depth: usize) -> Field {
    (0..depth).fold(array(4, 0, vec![]), |inner, _| array(9, 1, inner.1))
}

/// A string that is not UTF-8.
pub(super) fn latin1() -> Field {
    Field(8, [&4_u64.to_le_bytes()[..], b"caf\xe9"].concat())
}

pub(super) fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let llama = Builder::llama;
    let set = |key, value| llama().with(key, value).build();
    let row = |change: fn(&mut godwit_tests::gguf::Row)| {
        llama().change(|b| change(&mut b.rows[1])).build()
    };
    vec![
        ("empty file", vec![]),
        (
            "another magic",
            llama().change(|b| b.magic = *b"GGML").build(),
        ),
        ("version 1", llama().change(|b| b.version = 1).build()),
        ("version 4", llama().change(|b| b.version = 4).build()),
        (
            "big endian",
            llama().change(|b| b.version = 3_u32.swap_bytes()).build(),
        ),
        (
            "tensor count u64::MAX",
            llama().change(|b| b.tensor_count = Some(u64::MAX)).build(),
        ),
        (
            "tensor count too large by one",
            llama().change(|b| b.tensor_count = Some(12)).build(),
        ),
        (
            "key count u64::MAX",
            llama().change(|b| b.key_count = Some(u64::MAX)).build(),
        ),
        (
            "key count 2^40",
            llama().change(|b| b.key_count = Some(1 << 40)).build(),
        ),
        (
            "string of u64::MAX bytes",
            set("x", Field(8, u64::MAX.to_le_bytes().to_vec())),
        ),
        (
            "string of 500 MB",
            set("x", Field(8, 500_000_000_u64.to_le_bytes().to_vec())),
        ),
        (
            "a needed string that is not UTF-8",
            set("general.architecture", latin1()),
        ),
        (
            "array of u64::MAX numbers",
            set("x", array(4, u64::MAX, vec![0; 8])),
        ),
        (
            "array of 2^61 u64",
            set("x", array(10, 1 << 61, vec![0; 8])),
        ),
        (
            "array of 2^62 empty strings",
            set("x", array(8, 1 << 62, vec![0; 8])),
        ),
        ("array of unknown type", set("x", array(13, 1, vec![0; 8]))),
        ("arrays nested 1000 deep", set("x", nested(1000))),
        ("value of unknown type", set("x", Field(77, vec![0; 8]))),
        ("bool that is 2", set("x", Field(7, vec![2]))),
        (
            "the same key twice",
            llama()
                .change(|b| b.metadata.push(("llama.block_count".into(), u32(1))))
                .build(),
        ),
        ("alignment 0", set("general.alignment", u32(0))),
        ("alignment 24", set("general.alignment", u32(24))),
        ("alignment 2^30", set("general.alignment", u32(1 << 30))),
        (
            "no dimensions",
            row(|r| (r.dimensions, r.shape) = (0, vec![])),
        ),
        (
            "five dimensions",
            row(|r| (r.dimensions, r.shape) = (5, vec![1; 5])),
        ),
        ("2^32 - 1 dimensions", row(|r| r.dimensions = u32::MAX)),
        ("a dimension of 0", row(|r| r.shape = vec![0])),
        (
            "dimensions whose product overflows",
            row(|r| (r.dimensions, r.shape) = (4, vec![1 << 32; 4])),
        ),
        ("bytes that overflow", row(|r| r.shape = vec![u64::MAX / 2])),
        ("unknown tensor type", row(|r| r.kind = 999)),
        ("a tensor type that is not supported", row(|r| r.kind = 16)),
        (
            "a row that is no whole block",
            row(|r| (r.kind, r.shape) = (2, vec![33])),
        ),
        ("an offset that is not aligned", row(|r| r.offset += 4)),
        ("an offset beyond the end", row(|r| r.offset = 1 << 40)),
        (
            "offset + size that overflows",
            row(|r| r.offset = u64::MAX - 31),
        ),
        ("overlapping tensors", row(|r| r.offset = 0)),
        (
            "two tensors of one name",
            row(|r| r.name = "token_embd.weight".into()),
        ),
        ("data cut in half", {
            let mut b = llama().build();
            b.truncate(b.len() / 2);
            b
        }),
        (
            "no architecture",
            llama().without("general.architecture").build(),
        ),
        (
            "another architecture",
            set("general.architecture", string("mamba")),
        ),
        (
            "architecture that is a number",
            set("general.architecture", u32(7)),
        ),
        ("no layers", set("llama.block_count", u32(0))),
        ("4 billion layers", set("llama.block_count", u32(u32::MAX))),
        ("width 0", set("llama.embedding_length", u32(0))),
        ("no heads", set("llama.attention.head_count", u32(0))),
        (
            "heads that KV heads don't divide",
            set("llama.attention.head_count_kv", u32(3)),
        ),
        (
            "2^31 heads",
            set("llama.attention.head_count", u32(1 << 31)),
        ),
        ("a head of 63", set("llama.attention.key_length", u32(63))),
        ("context 0", set("llama.context_length", u32(0))),
        ("theta NaN", set("llama.rope.freq_base", f32(f32::NAN))),
        ("theta 0", set("llama.rope.freq_base", f32(0.0))),
        ("theta negative", set("llama.rope.freq_base", f32(-1.0))),
        (
            "epsilon infinite",
            set("llama.attention.layer_norm_rms_epsilon", f32(f32::INFINITY)),
        ),
        (
            "epsilon negative",
            set("llama.attention.layer_norm_rms_epsilon", f32(-1e-5)),
        ),
        (
            "RoPE scaling of unknown type",
            set("llama.rope.scaling.type", string("magic")),
        ),
        (
            "RoPE scaling factor 0",
            llama()
                .with("llama.rope.scaling.type", string("linear"))
                .with("llama.rope.scaling.factor", f32(0.0))
                .build(),
        ),
        (
            "no tokenizer",
            llama().without("tokenizer.ggml.model").build(),
        ),
        (
            "unknown tokenizer",
            set("tokenizer.ggml.model", string("bert")),
        ),
        (
            "unknown pre-tokenizer",
            set("tokenizer.ggml.pre", string("klingon")),
        ),
        (
            "no tokens",
            llama().without("tokenizer.ggml.tokens").build(),
        ),
        (
            "tokens that are numbers",
            set("tokenizer.ggml.tokens", i32s(&[1, 2])),
        ),
        (
            "token types of another length",
            set("tokenizer.ggml.token_type", i32s(&[1, 2])),
        ),
        (
            "a token type that is none",
            set("tokenizer.ggml.token_type", i32s(&[99; 32])),
        ),
        (
            "a merge of three parts",
            set("tokenizer.ggml.merges", strings(&["a b c"])),
        ),
        (
            "a merge of unknown tokens",
            set("tokenizer.ggml.merges", strings(&["qq zz"])),
        ),
        (
            "EOS that is a string",
            set("tokenizer.ggml.eos_token_id", string("</s>")),
        ),
        ("a BOS for every text that the embedding has no row for", {
            let tokens: Vec<String> = (0..33).map(|i| format!("t{i}")).collect();
            let builder = llama().with("tokenizer.ggml.tokens", strings(&tokens));
            let builder = builder.with("tokenizer.ggml.bos_token_id", u32(32));
            builder
                .with("tokenizer.ggml.add_bos_token", Field(7, vec![1]))
                .build()
        }),
        (
            "a split part missing",
            set("split.count", Field(2, 2_u16.to_le_bytes().to_vec())),
        ),
    ]
}
