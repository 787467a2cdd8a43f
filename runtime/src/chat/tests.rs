//! Tests of the module above.

use super::*;

fn conversation() -> Vec<Message> {
    vec![
        Message::system("Be brief."),
        Message::user(" Hi "),
        Message::assistant("Hello."),
        Message::user("Bye"),
    ]
}

#[test]
fn built_in_templates() {
    let llama3 = ChatTemplate::llama3().and_then(|t| t.render(&conversation(), true));
    assert_eq!(
        llama3.as_deref(),
        Ok(
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>\
            <|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>\
            <|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>\
            <|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>\
            <|start_header_id|>assistant<|end_header_id|>\n\n"
        )
    );
    let chatml = ChatTemplate::chatml().and_then(|t| t.render(&conversation()[..2], true));
    let expected = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi \
        <|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(chatml.as_deref(), Ok(expected));
}

fn fails(source: &str) -> String {
    let rendered =
        ChatTemplate::new(source, "<s>", "</s>").and_then(|t| t.render(&conversation(), true));
    rendered.expect_err(source).to_string()
}

#[test]
fn programs_from_strangers_end() {
    assert!(
        fails("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}")
            .contains("steps")
    );
    let doubling = "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s \
        ~ ns.s %}{{ ns.s }}{% endfor %}";
    assert!(fails(doubling).contains("bytes"), "{}", fails(doubling));
    assert!(fails("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").contains("template"));
    assert!(
        fails("{{ raise_exception('roles must alternate') }}").contains("roles must alternate")
    );
    assert!(fails("{% if %}").contains("line 1"));
    assert!(fails("{{ ''.__class__.__mro__[1].__subclasses__() }}").contains("template"));
    assert!(fails("{% include '/etc/passwd' %}").contains("template"));
    assert!(fails(&"x".repeat(MAX_TEMPLATE + 1)).contains("1048577"));
}

#[test]
fn what_templates_expect_of_python() {
    let render = |source: &str| {
        ChatTemplate::new(source, "<s>", "</s>").and_then(|t| t.render(&conversation(), false))
    };
    assert_eq!(
        render("{{ messages[0]['content'].strip().upper() }}").as_deref(),
        Ok("BE BRIEF.")
    );
    assert_eq!(
        render("{{ bos_token }}{{ messages[1:] | length }}{{ eos_token }}").as_deref(),
        Ok("<s>3</s>")
    );
    assert_eq!(
        render("{{ strftime_now('%Y') | length }}").as_deref(),
        Ok("4")
    );
    assert_eq!(
        render("{% if tools is none %}a{% endif %}{% if nothing is defined %}b{% endif %}")
            .as_deref(),
        Ok("a")
    );
}

#[test]
fn special_tokens_and_other_variables() {
    let source = "{{ bos_token }}|{{ unk_token }}|{{ pad_token is defined }}|{{ tools | \
        tojson }}|{{ strftime_now('%F') }}";
    let template =
        ChatTemplate::new(source, "", "</s>").map(|t| t.with_token("unk_token", "<unk>").at(0));
    let mut variables = Map::new();
    let tools = serde_json::from_str(r#"[{"b": 1, "a": "<x>"}]"#).expect("JSON");
    variables.insert("tools".into(), tools);
    let rendered = template.and_then(|template| template.render_with(&variables));
    assert_eq!(
        rendered.as_deref(),
        Ok(r#"|<unk>|False|[{"b": 1, "a": "<x>"}]|1970-01-01"#)
    );
}

#[test]
fn an_empty_template_counts_as_none() {
    let json = r#"{"model": {"type": "BPE", "vocab": {"H": 0, "i": 1, "<unk>": 2,
        "<|im_start|>": 3, "<|im_end|>": 4},
        "merges": []}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
        "decoder": {"type": "ByteLevel"},
        "added_tokens": [{"id": 2, "content": "<unk>", "special": true},
        {"id": 3, "content": "<|im_start|>", "special": true},
        {"id": 4, "content": "<|im_end|>", "special": true}]}"#;
    let tokenizer = Tokenizer::from_json(json.as_bytes(), None).expect("a tokenizer");
    let rendered = |source: Option<&str>| {
        let mut metadata = Metadata::new("test.gguf");
        metadata.insert(
            "tokenizer.ggml.unknown_token_id".into(),
            crate::gguf::Value::U32(2),
        );
        if let Some(source) = source {
            metadata.insert(TEMPLATE.into(), crate::gguf::Value::String(source.into()));
        }
        ChatTemplate::for_model(&metadata, &tokenizer)
            .and_then(|t| t.render(&[Message::user("Hi")], false))
    };
    let chatml = Ok("<|im_start|>user\nHi<|im_end|>\n");
    for empty in [None, Some(""), Some(" \r\n")] {
        assert_eq!(rendered(empty).as_deref(), chatml, "{empty:?}");
    }
    assert_eq!(
        rendered(Some("{{ unk_token }}{{ pad_token is defined }}")).as_deref(),
        Ok("<unk>False")
    );
}

/// Budgets grow with the messages: a long conversation is no attack.
#[test]
fn long_conversations_render() {
    let messages: Vec<Message> = (0..2000)
        .map(|_| Message::user("word ".repeat(400)))
        .collect();
    let rendered = ChatTemplate::llama3().and_then(|template| template.render(&messages, true));
    assert!(rendered.is_ok_and(|text| text.len() > 4_000_000));
}
