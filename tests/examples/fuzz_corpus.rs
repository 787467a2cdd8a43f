//! Writes the seeds that fuzzing starts from: `cargo run -p godwit-tests --example fuzz_corpus`.

use std::path::Path;

use godwit::WeightFormat;
use godwit::low_level::gguf::{GgufWriter, Value};
use godwit_tests::amplify::{SHAPES, repository};
use godwit_tests::gguf::{Builder, string, u32};
use godwit_tests::repository::{Files, safetensors, tiny_tensors};

const TOKENIZER: &str = r#"{"version":"1.0",
    "added_tokens":[{"id":4,"content":"<|im_end|>","special":true}],
"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"decoder":{"type":"ByteLevel"},
"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"c":3},"merges":["a b"]}}"#;

/// The length of the seeds of [`SHAPES`].
const SHORT: usize = 2048;

/// Redirects: the endpoint, and where it leads.
const REDIRECTS: [(&str, &str); 5] = [
    (
        "path",
        "https://hub.example\n/a/b\n//cdn.example/x?y=1#z\nhttps://hub.example:443/c\n",
    ),
    ("private", "https://hub.example\nhttps://0x7f.1/\n"),
    (
        "password",
        "https://hub.example/\nhttps://me:secret@hub.example/\n",
    ),
    (
        "no_host",
        "http://127.0.0.0.1:8080\nhttp://124.0.0.1:9090/x\nhttps://:[f:fff:10.0.0]/\n",
    ),
    (
        "home",
        "http://127.0.0.1:8080\nhttp://127.0.0.1:9090/x\nhttps://[::ffff:10.0.0.1]/\n",
    ),
];

const TEMPLATES: [&str; 5] = [
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m.content | trim }}<|im_end|>\n{% \
     endfor %}",
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% else %}{{ \
     raise_exception('x') }}{% endif %}{{ bos_token }}",
    "{%- macro m(x) -%}{{ x.split(' ')[0].upper() ~ strftime_now('%d %b %Y') }}{%- endmacro -%}{{ \
     m('a b') }}",
    "{{ '{:>20000000000}'.format(1) }}{{ '%2000000000d' % 1 }}",
    "{% for x in [3, 1] if x > 1 %}{% generation %}{{ loop.length }}{% endgeneration %}{% endfor \
     %}{{ [1]|tojson(indent=2) }}",
];

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(corpus.join(target))?;
        std::fs::write(corpus.join(target).join(name), bytes)
    };
    // Small enough to mutate well: the header of the tiny model, its data cut to what one tensor
    // needs.
    let header = Builder::llama().change(|b| {
        b.rows.truncate(1);
        b.data.truncate(8192);
    });
    write("gguf", "one_tensor", &header.build())?;
    write(
        "gguf",
        "split",
        &header.clone().with("split.count", u32(1)).build(),
    )?;
    write(
        "gguf",
        "template",
        &header
            .with("tokenizer.chat_template", string(TEMPLATES[0]))
            .build(),
    )?;
    // Two tensors are enough to open; with the settings and the template that the tiny repository
    // leaves out.
    let tensors = &tiny_tensors()[..2];
    let whole = Files::tiny().with("model.safetensors", safetensors(tensors));
    let map = r#"{"weight_map": {"model.embed_tokens.weight": "a.safetensors",
        "model.norm.weight": "b.safetensors"}}"#;
    let sharded = Files::tiny()
        .without("model.safetensors")
        .with("a.safetensors", safetensors(&tensors[..1]))
        .with("b.safetensors", safetensors(&tensors[1..]))
        .with("model.safetensors.index.json", map)
        .with(
            "generation_config.json",
            r#"{"eos_token_id": [1, 2], "temperature": 0.6, "top_k": 50}"#,
        );
    for (name, files) in [("tiny", whole), ("sharded", sharded)] {
        let settings = r#"{"eos_token": "t1", "chat_template": "{{ messages[0].content }}"}"#;
        write(
            "repository",
            name,
            &repository(&files.with("tokenizer_config.json", settings)),
        )?;
    }
    let mut matrix = GgufWriter::default();
    matrix.key("general.type", Value::String("imatrix".into()));
    matrix.tensor("a.in_sum2", WeightFormat::F32, &[2]);
    matrix.tensor("a.counts", WeightFormat::F32, &[1]);
    let mut newer = matrix.header();
    newer.resize(newer.len() + matrix.data_bytes() as usize, 63);
    write("imatrix", "newer", &newer)?;
    // One matrix `a` of two columns.
    let older: [&[u8]; 7] = [
        &[1, 0, 0, 0],
        &[1, 0, 0, 0],
        b"a",
        &[1, 0, 0, 0],
        &[2, 0, 0, 0],
        &[63; 8],
        &[0; 8],
    ];
    write("imatrix", "older", &older.concat())?;
    // Saved contexts and blocks as `godwit::fuzzing` wants them: 16 bytes for each position.
    for (target, name, first, count) in [
        ("snapshot", "whole", 0_u32, 40_u32),
        ("snapshot", "later", 32, 5),
        ("prefix_block", "block", 64, 32),
    ] {
        let header = format!(
            r#"{{"fingerprint":"f","model":"m","kv":"f16",
                "first":{first},"count":{count},"note":{{"messages":[]}}}}"#
        );
        let ids: Vec<u8> = (0..first + count).flat_map(u32::to_le_bytes).collect();
        let start = [
            &b"GODWITKV"[..],
            &2_u32.to_le_bytes(),
            &(header.len() as u32).to_le_bytes(),
        ]
        .concat();
        let content = vec![7; count.next_multiple_of(32) as usize * 16];
        write(
            target,
            name,
            &[&start, header.as_bytes(), &ids, &content].concat(),
        )?;
    }
    let mut weights = GgufWriter::default();
    weights.key("general.architecture", Value::String("llama".into()));
    weights.tensor("output_norm.weight", WeightFormat::F32, &[32]);
    weights.tensor("output.weight", WeightFormat::Q8_0, &[32, 2]);
    let mut file = weights.header();
    file.resize(file.len() + weights.data_bytes() as usize, 0);
    write("cached_weights", "two_tensors", &file)?;
    write("tokenizer_json", "byte_level", TOKENIZER.as_bytes())?;
    for shape in &SHAPES {
        write(shape.target, shape.name, &(shape.build)(SHORT))?;
    }
    for (name, redirects) in REDIRECTS {
        write("redirects", name, redirects.as_bytes())?;
    }
    for (name, have, whole, status, headers) in [
        (
            "rest",
            3,
            10,
            206,
            "content-range: bytes 3-9/10\ncontent-length: 7\n",
        ),
        ("whole", 3, 10, 200, "content-length: 10\n"),
        ("other_file", 3, 10, 200, "content-length: 9\n"),
        (
            "overflow",
            3,
            10,
            206,
            "content-range: bytes 3-9/10\ncontent-length: 18446744073709551615\n",
        ),
        ("backwards", 3, 10, 206, "content-range: bytes 9-3/4\n"),
        ("no_range", 0, 10, 416, "content-range: bytes */10\n"),
    ] {
        let (have, whole, status): (u64, u64, u16) = (have, whole, status);
        let numbers = [
            &have.to_le_bytes()[..],
            &whole.to_le_bytes(),
            &status.to_le_bytes(),
        ]
        .concat();
        write(
            "content_range",
            name,
            &[&numbers, headers.as_bytes()].concat(),
        )?;
    }
    for (i, template) in TEMPLATES.iter().enumerate() {
        write("chat_template", &format!("seed{i}"), template.as_bytes())?;
    }
    Ok(())
}
