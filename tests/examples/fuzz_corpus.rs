//! Writes the seeds that fuzzing starts from: `cargo run -p godwit-tests --example fuzz_corpus`.

use std::path::Path;

use godwit_tests::gguf::{Builder, string, u32};

const TOKENIZER: &str = r#"{"version":"1.0","added_tokens":[{"id":4,"content":"<|im_end|>","special":true}],
"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"decoder":{"type":"ByteLevel"},
"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"c":3},"merges":["a b"]}}"#;

const TEMPLATES: [&str; 3] = [
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}",
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% else %}{{ raise_exception('x') }}{% endif %}{{ bos_token }}",
    "{%- macro m(x) -%}{{ x.split(' ')[0].upper() ~ strftime_now('%d %b %Y') }}{%- endmacro -%}{{ m('a b') }}",
];

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(corpus.join(target))?;
        std::fs::write(corpus.join(target).join(name), bytes)
    };
    // Small enough to mutate well: the header of the tiny model, its data cut to what one tensor needs.
    let header = Builder::llama().change(|b| {
        b.rows.truncate(1);
        b.data.truncate(8192);
    });
    write("gguf", "one_tensor", &header.build())?;
    write("gguf", "split", &header.clone().with("split.count", u32(1)).build())?;
    write("gguf", "template", &header.with("tokenizer.chat_template", string(TEMPLATES[0])).build())?;
    write("tokenizer_json", "byte_level", TOKENIZER.as_bytes())?;
    for (i, template) in TEMPLATES.iter().enumerate() {
        write("chat_template", &format!("seed{i}"), template.as_bytes())?;
    }
    Ok(())
}
