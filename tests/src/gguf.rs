//! GGUF files built field by field, so that every field can lie.

/// A metadata value, as its type number and bytes.
#[derive(Clone, Debug)]
pub struct Field(pub u32, pub Vec<u8>);

/// A `u32`.
pub fn u32(value: u32) -> Field {
    Field(4, value.to_le_bytes().to_vec())
}

/// An `f32`.
pub fn f32(value: f32) -> Field {
    Field(6, value.to_le_bytes().to_vec())
}

/// A string.
pub fn string(text: &str) -> Field {
    Field(8, text_bytes(text))
}

/// An array of strings.
pub fn strings<S: AsRef<str>>(texts: &[S]) -> Field {
    array(
        8,
        texts.len() as u64,
        texts.iter().flat_map(|t| text_bytes(t.as_ref())).collect(),
    )
}

/// An array of `i32`.
pub fn i32s(values: &[i32]) -> Field {
    array(
        5,
        values.len() as u64,
        values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    )
}

/// An array that claims `count` elements of type `kind`, and holds `bytes`.
pub fn array(kind: u32, count: u64, bytes: Vec<u8>) -> Field {
    let mut all = kind.to_le_bytes().to_vec();
    all.extend(count.to_le_bytes());
    all.extend(bytes);
    Field(9, all)
}

fn text_bytes(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// A row of the tensor table.
#[derive(Clone, Debug)]
pub struct Row {
    /// The tensor's name.
    pub name: String,
    /// How many dimensions the file claims.
    pub dimensions: u32,
    /// The dimensions.
    pub shape: Vec<u64>,
    /// `ggml_type`.
    pub kind: u32,
    /// Offset in the data.
    pub offset: u64,
}

/// A file in the making. All fields are as the format wants them until they are changed.
#[derive(Clone, Debug)]
pub struct Builder {
    /// First four bytes.
    pub magic: [u8; 4],
    /// Format version.
    pub version: u32,
    /// Tensors the header claims; none: as many as there are.
    pub tensor_count: Option<u64>,
    /// Keys the header claims; none: as many as there are.
    pub key_count: Option<u64>,
    /// Metadata in order.
    pub metadata: Vec<(String, Field)>,
    /// The tensor table.
    pub rows: Vec<Row>,
    /// The data, from the first aligned byte on.
    pub data: Vec<u8>,
    /// The alignment of the data.
    pub alignment: usize,
}

impl Builder {
    /// A whole Llama model, tiny: one layer of width 64, all weights F32 and zero, a byte-level
    /// vocabulary.
    pub fn llama() -> Self {
        let tokens: Vec<String> = (0..32_u8)
            .map(|i| {
                char::from(b'a' + i % 26)
                    .to_string()
                    .repeat(1 + usize::from(i / 26))
            })
            .collect();
        let metadata = vec![
            ("general.architecture", string("llama")),
            ("llama.block_count", u32(1)),
            ("llama.embedding_length", u32(64)),
            ("llama.feed_forward_length", u32(64)),
            ("llama.attention.head_count", u32(1)),
            ("llama.attention.head_count_kv", u32(1)),
            ("llama.attention.layer_norm_rms_epsilon", f32(1e-5)),
            ("llama.context_length", u32(128)),
            ("llama.rope.freq_base", f32(10_000.0)),
            ("tokenizer.ggml.model", string("gpt2")),
            ("tokenizer.ggml.tokens", strings(&tokens)),
            ("tokenizer.ggml.merges", strings::<&str>(&[])),
        ];
        let mut builder = Self {
            magic: *b"GGUF",
            version: 3,
            tensor_count: None,
            key_count: None,
            metadata: metadata
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
            rows: Vec::new(),
            data: Vec::new(),
            alignment: 32,
        };
        builder.tensor("token_embd.weight", &[64, 32]);
        for name in ["attn_norm", "ffn_norm"] {
            builder.tensor(&format!("blk.0.{name}.weight"), &[64]);
        }
        for name in [
            "attn_q",
            "attn_k",
            "attn_v",
            "attn_output",
            "ffn_gate",
            "ffn_up",
            "ffn_down",
        ] {
            builder.tensor(&format!("blk.0.{name}.weight"), &[64, 64]);
        }
        builder.tensor("output_norm.weight", &[64]);
        builder
    }

    /// Adds an F32 tensor of zeros.
    pub fn tensor(&mut self, name: &str, shape: &[u64]) {
        let offset = self.data.len() as u64;
        let bytes = 4 * shape.iter().product::<u64>() as usize;
        self.data.resize(
            (self.data.len() + bytes).next_multiple_of(self.alignment),
            0,
        );
        let row = Row {
            name: name.into(),
            dimensions: shape.len() as u32,
            shape: shape.to_vec(),
            kind: 0,
            offset,
        };
        self.rows.push(row);
    }

    /// Sets or adds a key.
    #[must_use]
    pub fn with(mut self, key: &str, value: Field) -> Self {
        self.metadata.retain(|(known, _)| known != key);
        self.metadata.push((key.into(), value));
        self
    }

    /// Takes a key out.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.metadata.retain(|(known, _)| known != key);
        self
    }

    /// Changes whatever is to be changed.
    #[must_use]
    pub fn change(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(
            self.tensor_count
                .unwrap_or(self.rows.len() as u64)
                .to_le_bytes(),
        );
        out.extend(
            self.key_count
                .unwrap_or(self.metadata.len() as u64)
                .to_le_bytes(),
        );
        for (key, Field(kind, bytes)) in &self.metadata {
            out.extend(text_bytes(key));
            out.extend(kind.to_le_bytes());
            out.extend(bytes);
        }
        for row in &self.rows {
            out.extend(text_bytes(&row.name));
            out.extend(row.dimensions.to_le_bytes());
            out.extend(row.shape.iter().flat_map(|d| d.to_le_bytes()));
            out.extend(row.kind.to_le_bytes());
            out.extend(row.offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out.extend(&self.data);
        out
    }
}
