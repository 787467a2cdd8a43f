//! Tensors and keys that do not fit, or that no code knows.

use super::*;

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

/// A key that may change the answer.
struct Variation {
    key: &'static str,
    /// A value that no code computes, and how the message shows it.
    bad: Field,
    shown: &'static str,
    /// A value that changes nothing.
    good: Field,
}

impl Variation {
    /// The message that refuses it.
    fn refusal(&self) -> String {
        let Self { key, shown, .. } = self;
        format!("`{key}` is {shown}, which is not supported")
    }
}

/// Hyperparameters that would change an answer are refused by key and value, unless the value
/// changes nothing.
#[test]
fn variations_are_refused_by_key_and_value() {
    let flag = |on: bool| Field(7, vec![u8::from(on)]);
    let with = |key: &str, value: Field| open(Builder::llama().with(key, value).build());
    for variation in [
        Variation {
            key: "llama.expert_count",
            bad: u32(8),
            shown: "8",
            good: u32(0),
        },
        Variation {
            key: "llama.attention.causal",
            bad: flag(false),
            shown: "false",
            good: flag(true),
        },
        Variation {
            key: "llama.use_parallel_residual",
            bad: flag(true),
            shown: "true",
            good: flag(false),
        },
        Variation {
            key: "llama.attention.clamp_kqv",
            bad: f32(8.0),
            shown: "8",
            good: f32(0.0),
        },
        Variation {
            key: "llama.attention.scale",
            bad: f32(0.5),
            shown: "0.5",
            good: f32(0.125),
        },
        Variation {
            key: "llama.attention.max_alibi_bias",
            bad: f32(8.0),
            shown: "8",
            good: f32(0.0),
        },
        Variation {
            key: "llama.attn_logit_softcapping",
            bad: f32(50.0),
            shown: "50",
            good: f32(0.0),
        },
        Variation {
            key: "llama.final_logit_softcapping",
            bad: f32(30.0),
            shown: "30",
            good: f32(0.0),
        },
        Variation {
            key: "llama.logit_scale",
            bad: f32(0.25),
            shown: "0.25",
            good: f32(1.0),
        },
        Variation {
            key: "llama.residual_scale",
            bad: f32(0.5),
            shown: "0.5",
            good: f32(1.0),
        },
        Variation {
            key: "llama.embedding_scale",
            bad: f32(12.0),
            shown: "12",
            good: f32(1.0),
        },
        Variation {
            key: "llama.rope.scaling.attn_factor",
            bad: f32(2.0),
            shown: "2",
            good: f32(1.0),
        },
        Variation {
            key: "llama.rope.dimension_sections",
            bad: i32s(&[8, 12]),
            shown: "8",
            good: i32s(&[0, 0]),
        },
        Variation {
            key: "general.type",
            bad: string("retriever"),
            shown: "`retriever`",
            good: string("model"),
        },
    ] {
        let refusal = variation.refusal();
        let Variation { key, bad, good, .. } = variation;
        let said = with(key, bad).expect_err(key).to_string();
        assert!(said.contains(&refusal), "{said}");
        with(key, good).expect("it changes nothing");
    }
    // Keys that are in no table, but whose names say what they do.
    for variation in [
        Variation {
            key: "llama.attention.logit_cap",
            bad: f32(30.0),
            shown: "30",
            good: f32(0.0),
        },
        Variation {
            key: "llama.residual_mult",
            bad: f32(0.5),
            shown: "0.5",
            good: f32(1.0),
        },
        Variation {
            key: "llama.embedding_multiplier",
            bad: f32(12.0),
            shown: "12",
            good: f32(1.0),
        },
        Variation {
            key: "llama.attn_scale",
            bad: f32(0.5),
            shown: "0.5",
            good: f32(0.125),
        },
        Variation {
            key: "llama.mup_alpha",
            bad: f32(2.0),
            shown: "2",
            good: f32(1.0),
        },
    ] {
        let refusal = variation.refusal();
        let Variation { key, bad, good, .. } = variation;
        let said = with(key, bad).expect_err(key).to_string();
        assert!(said.contains(&refusal), "{said}");
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
    let longer = RopeOverride::default().window(Some(101));
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
