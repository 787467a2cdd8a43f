//! What is not needed may be anything.

use super::*;

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
    assert_eq!(model.sampling(), Sampling::default().top_k(0).top_p(0.5));
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
    let theta = RopeOverride::default().theta(Some(1e6));
    let stretch = RopeOverride::default().stretch(Some(RopeStretch::Linear(2.0)));
    let window = RopeOverride::default().window(Some(64));
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
