//! Model files that lie, are cut, or make no sense: an error that names the cause, never a panic,
//! never memory for a lie.

use std::fmt::Write as _;

use godwit::checkpoint::Checkpoint;
use godwit::gguf::Gguf;
use godwit::io::{Bytes, Source};
use godwit::sampling::Parameter;
use godwit::{Error, Model, RopeOverride, RopeStretch, Sampling};
use godwit_tests::gguf::{Builder, Field, array, f32, i32s, string, strings, u32};

fn open(bytes: Vec<u8>) -> Result<Model, Error> {
    Model::from_sources(vec![source("model.gguf", bytes)])
}

fn source(name: &str, data: Vec<u8>) -> Box<dyn Source> {
    Box::new(Bytes {
        name: name.into(),
        data,
    })
}

fn nested(depth: usize) -> Field {
    (0..depth).fold(array(4, 0, vec![]), |inner, _| array(9, 1, inner.1))
}

/// A string that is not UTF-8.
fn latin1() -> Field {
    Field(8, [&4_u64.to_le_bytes()[..], b"caf\xe9"].concat())
}

fn cases() -> Vec<(&'static str, Vec<u8>)> {
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

#[test]
fn every_lie_is_named() {
    let mut messages = String::new();
    let mut accepted = Vec::new();
    for (name, bytes) in cases() {
        match open(bytes) {
            Ok(_) => accepted.push(name),
            Err(error) => {
                let _ = writeln!(messages, "{name}\n    {error}");
            }
        }
    }
    assert!(accepted.is_empty(), "accepted: {accepted:?}");
    insta::assert_snapshot!("messages", messages);
}

/// Parts that the tokenizer can do without are left out, with a note.
#[test]
fn odd_tokens_are_said() {
    let notes = |key: &str, value: Field| {
        let model = open(Builder::llama().with(key, value).build()).expect(key);
        model.tokenizer().notes().join("\n")
    };
    let tokens = |texts: &[&str]| notes("tokenizer.ggml.tokens", strings(texts));
    assert!(tokens(&["a", "b", "a"]).contains("0 and 2 (\"a\")"));
    let damaged = Builder::llama()
        .with(
            "tokenizer.ggml.tokens",
            array(8, 2, [string("a").1, latin1().1].concat()),
        )
        .with("tokenizer.ggml.merges", strings(&["a b"]));
    let damaged = open(damaged.build())
        .expect("it opens")
        .tokenizer()
        .notes()
        .join("\n");
    let said =
        "the text of 1 tokens, from 1, is not valid UTF-8; 1 merges that need them are left out";
    assert!(damaged.contains(said), "{damaged}");
    let many: Vec<String> = (0..34).map(|i| format!("t{i}")).collect();
    let beyond = notes("tokenizer.ggml.tokens", strings(&many));
    assert!(
        beyond.contains("2 of 34 tokens are beyond the embedding's 32 rows, such as \"t32\" (32)"),
        "{beyond}"
    );
    assert!(
        notes("tokenizer.ggml.bos_token_id", u32(32)).contains("the begin-of-text token is 32")
    );
    assert!(
        notes(
            "tokenizer.ggml.eos_token_id",
            Field(11, (-1_i64).to_le_bytes().to_vec())
        )
        .contains("an end token is")
    );
    assert!(notes("tokenizer.ggml.token_type", i32s(&[0; 32])).contains("32 tokens have type 0"));
    // Keys that a byte-level vocabulary does not need may have any type.
    assert_eq!(notes("tokenizer.ggml.scores", i32s(&[0; 32])), "");
    assert_eq!(notes("tokenizer.ggml.add_space_prefix", u32(0)), "");
}

#[test]
fn the_honest_file_opens() {
    let model = open(Builder::llama().build()).expect("a valid file");
    assert_eq!(model.config().width, 64);
}

#[test]
fn cut_at_every_byte() {
    let bytes = Builder::llama().build();
    for len in 0..bytes.len() {
        // The last tensor's padding may be cut; nothing else.
        let needed = bytes.len();
        assert!(
            open(bytes[..len].to_vec()).is_err() || len + 31 >= needed,
            "a file of {len} of {needed} bytes opened"
        );
    }
}

#[test]
fn any_flipped_byte_is_survived() {
    let bytes = Builder::llama().build();
    let header = bytes.len() - Builder::llama().data.len();
    for at in 0..header {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = bytes.clone();
            bad[at] ^= flip;
            // Whether it is still a model is not the question.
            let _ = open(bad);
        }
    }
}

/// Shapes that contradict the hyperparameters, and missing tensors, are found before weights are
/// loaded.
#[test]
fn tensors_must_fit_the_model() {
    let opens = |builder: Builder| open(builder.build()).map(|_| ());
    assert_eq!(opens(Builder::llama()), Ok(()));
    let missing = opens(Builder::llama().change(|b| drop(b.rows.remove(4))));
    assert_eq!(
        missing,
        Err(Error::TensorMissing {
            name: "blk.0.attn_k.weight".into()
        })
    );
    let shape = opens(Builder::llama().change(|b| b.rows[3].shape = vec![32, 128]));
    assert!(matches!(shape, Err(Error::TensorShape { name, .. }) if name == "blk.0.attn_q.weight"));
    let bias = opens(Builder::llama().change(|b| b.tensor("blk.0.attn_q.bias", &[32])));
    assert!(matches!(bias, Err(Error::TensorShape { name, .. }) if name == "blk.0.attn_q.bias"));
}

/// Nothing in a model is ignored silently: a tensor is computed with, changes nothing, or is
/// refused by name.
#[test]
fn tensors_that_no_code_computes_with_are_refused() {
    let with = |name: &str, shape: &[u64]| {
        open(Builder::llama().change(|b| b.tensor(name, shape)).build())
    };
    for name in [
        "blk.0.attn_q_norm.weight",
        "blk.0.attn_k_norm.weight",
        "blk.0.attn_norm.bias",
        "blk.0.post_attention_norm.weight",
        "blk.0.ffn_gate_inp.weight",
        "blk.0.ffn_gate_exps.weight",
        "blk.0.attn_qkv.weight",
        "blk.0.attn_sinks.weight",
        "blk.0.attn_q.scale",
        "blk.0.attn_q.weight.lora_a",
        "blk.1.attn_q.weight",
        "blk.00.attn_q.bias",
        "blk.0.foo.weight",
        "output_norm.bias",
        "output.bias",
        "token_embd_norm.weight",
        "rope_factors_long.weight",
        "masked_bias.weight",
    ] {
        let refused = Err(Error::TensorsUnused {
            file: "model.gguf".into(),
            names: vec![name.into()],
        });
        assert_eq!(with(name, &[64]).map(|_| ()), refused);
        assert!(
            with(name, &[64])
                .expect_err(name)
                .to_string()
                .contains(name)
        );
    }
    let many =
        Builder::llama().change(|b| (0..9).for_each(|i| b.tensor(&format!("extra.{i}"), &[1])));
    let said = open(many.build()).expect_err("nine tensors").to_string();
    assert!(
        said.contains("9 tensors: `extra.0`") && said.contains("`extra.3` and 5 more"),
        "{said}"
    );

    for part in [
        "attn_q",
        "attn_k",
        "attn_v",
        "attn_output",
        "ffn_gate",
        "ffn_up",
        "ffn_down",
    ] {
        with(&format!("blk.0.{part}.bias"), &[64]).expect("biases of projections are computed");
    }
    for name in [
        "blk.0.attn_rot_embd.weight",
        "blk.0.attn.rotary_emb.inv_freq",
        "blk.0.attn.masked_bias",
    ] {
        with(name, &[32]).expect("it changes nothing");
    }
}

/// Hyperparameters that would change an answer are refused by key and value, unless the value
/// changes nothing.
#[test]
fn variations_are_refused_by_key_and_value() {
    let flag = |on: bool| Field(7, vec![u8::from(on)]);
    let with = |key: &str, value: Field| open(Builder::llama().with(key, value).build());
    for (key, bad, shown, good) in [
        ("llama.expert_count", u32(8), "8", u32(0)),
        ("llama.attention.causal", flag(false), "false", flag(true)),
        (
            "llama.use_parallel_residual",
            flag(true),
            "true",
            flag(false),
        ),
        ("llama.attention.clamp_kqv", f32(8.0), "8", f32(0.0)),
        ("llama.attention.scale", f32(0.5), "0.5", f32(0.125)),
        ("llama.attention.max_alibi_bias", f32(8.0), "8", f32(0.0)),
        ("llama.attn_logit_softcapping", f32(50.0), "50", f32(0.0)),
        ("llama.final_logit_softcapping", f32(30.0), "30", f32(0.0)),
        ("llama.logit_scale", f32(0.25), "0.25", f32(1.0)),
        ("llama.residual_scale", f32(0.5), "0.5", f32(1.0)),
        ("llama.embedding_scale", f32(12.0), "12", f32(1.0)),
        ("llama.rope.scaling.attn_factor", f32(2.0), "2", f32(1.0)),
        (
            "llama.rope.dimension_sections",
            i32s(&[8, 12]),
            "8",
            i32s(&[0, 0]),
        ),
        (
            "general.type",
            string("retriever"),
            "`retriever`",
            string("model"),
        ),
    ] {
        let said = with(key, bad).expect_err(key).to_string();
        assert!(
            said.contains(&format!("`{key}` is {shown}, which is not supported")),
            "{said}"
        );
        with(key, good).expect("it changes nothing");
    }
    // Keys that are in no table, but whose names say what they do.
    for (key, bad, shown, good) in [
        ("llama.attention.logit_cap", f32(30.0), "30", f32(0.0)),
        ("llama.residual_mult", f32(0.5), "0.5", f32(1.0)),
        ("llama.embedding_multiplier", f32(12.0), "12", f32(1.0)),
        ("llama.attn_scale", f32(0.5), "0.5", f32(0.125)),
        ("llama.mup_alpha", f32(2.0), "2", f32(1.0)),
    ] {
        let said = with(key, bad).expect_err(key).to_string();
        assert!(
            said.contains(&format!("`{key}` is {shown}, which is not supported")),
            "{said}"
        );
        assert_eq!(
            with(key, good).expect("it changes nothing").notes(),
            &[] as &[String],
            "{key}"
        );
    }
    with("llama.rope.scaling.finetuned", flag(true)).expect("it describes");
}

/// An unknown key may change an answer or not: the model opens, and the key is named.
#[test]
fn unknown_keys_are_named() {
    let notes = |builder: Builder| open(builder.build()).expect("it opens").notes().to_vec();
    let one = Builder::llama().with("llama.attention.sink_scale", f32(3.0));
    let said = "model.gguf: this key is not known and is ignored: llama.attention.sink_scale";
    assert_eq!(notes(one.clone()), [said]);
    let two = one.with("llama.foo", string("x\n"));
    let said = "model.gguf: these keys are not known and are ignored: llama.attention.sink_scale, \
        llama.foo";
    assert_eq!(notes(two), [said]);
    let many = (0..100).fold(Builder::llama(), |builder, i| {
        builder.with(&format!("llama.foo{i}\n"), u32(1))
    });
    let said = notes(many).join("\n");
    assert!(
        said.len() < 300 && said.ends_with(" and 88 more") && said.contains(r"llama.foo11\n and"),
        "{said}"
    );

    // The keys that llama.cpp's converter and its quantisation write.
    let mut usual = Builder::llama();
    for key in [
        "general.file_type",
        "general.quantization_version",
        "general.base_model.count",
        "general.size_label",
        "quantize.imatrix.entries_count",
        "tokenizer.ggml.add_space_prefix",
        "llama.vocab_size",
        "llama.attention.key_length",
        "llama.attention.value_length",
        "llama.rope.dimension_count",
    ] {
        usual = usual.with(key, u32(if key.contains("llama.vocab") { 32 } else { 64 }));
    }
    let usual = usual
        .with("llama.expert_count", u32(0))
        .with("llama.expert_used_count", u32(0))
        .with("llama.attention.layer_norm_epsilon", f32(1e-5))
        .with("llama.tensor_data_layout", string("Meta AI original pth"))
        .with("quantize.imatrix.file", string("imatrix.gguf"));
    assert_eq!(notes(usual), &[] as &[String]);
}

/// A sliding window changes nothing up to its length: the window is no longer.
#[test]
fn sliding_windows_limit_the_window() {
    let builder = Builder::llama().with("llama.attention.sliding_window", u32(100));
    let model = open(builder.build()).expect("it opens");
    assert_eq!(model.config().context, 100);
    assert!(
        model
            .notes()
            .iter()
            .any(|note| note.contains("llama.attention.sliding_window is 100")),
        "{:?}",
        model.notes()
    );
    let longer = RopeOverride {
        window: Some(101),
        ..RopeOverride::default()
    };
    let said = model.with_rope(&longer).expect_err("too long").to_string();
    assert!(
        said.contains("`llama.attention.sliding_window` is 100"),
        "{said}"
    );
    let wide = Builder::llama().with("llama.attention.sliding_window", u32(4096));
    let model = open(wide.build()).expect("it opens");
    assert_eq!((model.config().context, model.notes().len()), (128, 0));
}

/// Files that are no whole model are called what they are.
#[test]
fn kinds_of_files_are_named() {
    let of = |kind: &str| {
        open(Builder::llama().with("general.type", string(kind)).build())
            .expect_err(kind)
            .to_string()
    };
    assert!(
        of("adapter").contains("this is a LoRA adapter"),
        "{}",
        of("adapter")
    );
    assert!(of("mmproj").contains("projector"), "{}", of("mmproj"));
    assert!(
        of("imatrix").contains("importance matrix"),
        "{}",
        of("imatrix")
    );
    let clip = open(
        Builder::llama()
            .with("general.architecture", string("clip"))
            .build(),
    )
    .expect_err("a projector");
    assert!(clip.to_string().contains("projector"), "{clip}");
    let empty = Builder::llama()
        .change(|b| (b.rows, b.data) = (Vec::new(), Vec::new()))
        .build();
    let said = open(empty.clone()).expect_err("no weights").to_string();
    assert!(said.contains("a vocabulary without weights"), "{said}");
    // Its tokenizer is of use all the same.
    let vocabulary = Gguf::read(vec![source("vocab.gguf", empty)]).expect("it reads");
    assert_eq!(
        Checkpoint::tokenizer(&vocabulary)
            .expect("a tokenizer")
            .vocab_size(),
        32
    );
    let split = Builder::llama()
        .with("split.count", Field(2, 3_u16.to_le_bytes().to_vec()))
        .with("split.no", Field(2, 1_u16.to_le_bytes().to_vec()));
    let said = open(split.build()).expect_err("a part").to_string();
    assert!(
        said.contains("part 2 of a model that is split into 3 files"),
        "{said}"
    );
}

/// What nothing needs may have any type; counts may come as any number, and one for each layer
/// where all are the same.
#[test]
fn what_is_not_needed_may_be_anything() {
    let double = |value: f64| Field(12, value.to_le_bytes().to_vec());
    let wide = |value: u64| Field(10, value.to_le_bytes().to_vec());
    for (key, value) in [
        ("general.description", latin1()),
        ("general.tags", array(8, 1, latin1().1)),
        ("general.name", u32(5)),
        ("general.extra", nested(2)),
        ("tokenizer.ggml.scores", i32s(&[0; 32])),
        ("tokenizer.ggml.scores", array(8, 0, vec![])),
        ("tokenizer.chat_template", strings(&["x"])),
        ("llama.context_length", wide(128)),
        ("llama.context_length", double(128.0)),
        ("llama.attention.head_count", i32s(&[1])),
        ("llama.attention.head_count_kv", i32s(&[1, 1])),
        ("llama.feed_forward_length", i32s(&[64, 64, 64])),
        ("llama.vocab_size", u32(31)),
        ("general.sampling.top_k", i32s(&[-1])),
        ("general.sampling.temp", f32(-1.0)),
        ("general.sampling.top_p", string("0.9")),
    ] {
        assert_eq!(
            open(Builder::llama().with(key, value).build()).map(|_| ()),
            Ok(()),
            "{key}"
        );
    }
    let uneven = open(
        Builder::llama()
            .with("llama.feed_forward_length", i32s(&[64, 96]))
            .build(),
    );
    let said = uneven.expect_err("two widths").to_string();
    assert!(
        said.contains("llama.feed_forward_length") && said.contains("64 and 96"),
        "{said}"
    );
}

/// Recommended values are checked where they are used; the others stay as they are.
#[test]
fn recommendations_that_make_no_sense_are_known() {
    let builder = Builder::llama()
        .with("general.sampling.temp", f32(-1.0))
        .with(
            "general.sampling.top_k",
            Field(5, (-1_i32).to_le_bytes().to_vec()),
        )
        .with("general.sampling.top_p", f32(0.5));
    let model = open(builder.build()).expect("it opens");
    let default = Sampling::default();
    assert_eq!(
        model.sampling(),
        Sampling {
            temperature: default.temperature,
            top_k: 0,
            top_p: 0.5,
            ..default
        }
    );
    let causes = model.recommended().causes().iter();
    let causes: Vec<_> = causes
        .map(|(parameter, error)| (*parameter, error.to_string()))
        .collect();
    let said = "model.gguf, key `general.sampling.temp`: it is -1, but must be a number at least 0";
    assert_eq!(causes, [(Parameter::Temperature, said.to_owned())]);
}

/// A rotary embedding that is replaced need not make sense.
#[test]
fn what_the_caller_replaces_is_not_read() {
    let open = |key: &str, value: Field, rope: &RopeOverride| {
        let gguf = Gguf::read(vec![source(
            "model.gguf",
            Builder::llama().with(key, value).build(),
        )])
        .expect("it reads");
        Model::from_checkpoint_with(std::sync::Arc::new(gguf), rope)
    };
    let theta = RopeOverride {
        theta: Some(1e6),
        ..RopeOverride::default()
    };
    let stretch = RopeOverride {
        stretch: Some(RopeStretch::Linear(2.0)),
        ..RopeOverride::default()
    };
    let window = RopeOverride {
        window: Some(64),
        ..RopeOverride::default()
    };
    for (key, value, rope) in [
        ("llama.rope.freq_base", f32(f32::NAN), theta),
        ("llama.rope.scaling.type", string("magic"), stretch),
        ("llama.context_length", u32(0), window),
    ] {
        assert!(
            open(key, value.clone(), &RopeOverride::default()).is_err(),
            "{key}"
        );
        open(key, value, &rope).expect("it is replaced");
    }
}
