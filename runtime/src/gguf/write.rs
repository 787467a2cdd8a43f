//! GGUF files in the making: the header, and where each tensor's bytes go behind it.

use godwit_shaders::WeightFormat;

use super::metadata::{Array, Value};
use super::tensor::Tensor;

/// Alignment of tensors in bytes; the format's default.
const ALIGNMENT: u64 = 32;

/// The metadata and the tensor table of a GGUF file. Who writes the file puts
/// [`GgufWriter::header`] first, then each tensor's bytes at its offset.
#[derive(Clone, Debug, Default)]
pub struct GgufWriter {
    metadata: Vec<(String, Value)>,
    tensors: Vec<Tensor>,
    end: u64,
}

impl GgufWriter {
    /// Adds a key.
    pub fn key(&mut self, key: impl Into<String>, value: Value) {
        self.metadata.push((key.into(), value));
    }

    /// Adds a tensor; `shape` is the length of a row first, and a row is whole blocks of the
    /// format. Returns its offset behind the header.
    pub fn tensor(&mut self, name: impl Into<String>, format: WeightFormat, shape: &[u64]) -> u64 {
        let offset = self.end.next_multiple_of(ALIGNMENT);
        let bytes =
            shape.iter().product::<u64>() / format.block_len() as u64 * format.block_bytes() as u64;
        self.end = offset + bytes;
        self.tensors.push(Tensor {
            name: name.into(),
            format,
            shape: shape.to_vec(),
            part: 0,
            offset,
            bytes,
        });
        offset
    }

    /// The tensors; offsets count from the end of the header.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Bytes behind the header.
    pub fn data_bytes(&self) -> u64 {
        self.end.next_multiple_of(ALIGNMENT)
    }

    /// All bytes before the first tensor's, GGUF version 3.
    pub fn header(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            text(&mut out, key.as_bytes());
            out.extend(kind(value).to_le_bytes());
            put(&mut out, value);
        }
        for tensor in &self.tensors {
            text(&mut out, tensor.name.as_bytes());
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            out.extend(tensor.shape.iter().flat_map(|n| n.to_le_bytes()));
            out.extend(tensor.format.gguf_type().to_le_bytes());
            out.extend(tensor.offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(ALIGNMENT as usize), 0);
        out
    }
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text);
}

/// GGUF's number of a value's type.
fn kind(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::String(_) | Value::Bytes(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

fn put(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(x) => out.push(*x),
        Value::I8(x) => out.extend(x.to_le_bytes()),
        Value::U16(x) => out.extend(x.to_le_bytes()),
        Value::I16(x) => out.extend(x.to_le_bytes()),
        Value::U32(x) => out.extend(x.to_le_bytes()),
        Value::I32(x) => out.extend(x.to_le_bytes()),
        Value::U64(x) => out.extend(x.to_le_bytes()),
        Value::I64(x) => out.extend(x.to_le_bytes()),
        Value::F32(x) => out.extend(x.to_le_bytes()),
        Value::F64(x) => out.extend(x.to_le_bytes()),
        Value::Bool(x) => out.push(u8::from(*x)),
        Value::String(x) => text(out, x.as_bytes()),
        Value::Bytes(x) => text(out, x),
        Value::Array(array) => {
            let (kind, values) = values(array);
            out.extend(kind.to_le_bytes());
            out.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| put(out, value));
        }
    }
}

/// The number of an array's type, and its values one by one.
fn values(array: &Array) -> (u32, Vec<Value>) {
    fn all<T: Clone + Default>(list: &[T], value: fn(T) -> Value) -> (u32, Vec<Value>) {
        (
            kind(&value(T::default())),
            list.iter().cloned().map(value).collect(),
        )
    }
    match array {
        Array::U8(list) => all(list, Value::U8),
        Array::I8(list) => all(list, Value::I8),
        Array::U16(list) => all(list, Value::U16),
        Array::I16(list) => all(list, Value::I16),
        Array::U32(list) => all(list, Value::U32),
        Array::I32(list) => all(list, Value::I32),
        Array::U64(list) => all(list, Value::U64),
        Array::I64(list) => all(list, Value::I64),
        Array::F32(list) => all(list, Value::F32),
        Array::F64(list) => all(list, Value::F64),
        Array::Bool(list) => all(list, Value::Bool),
        Array::String(list) => all(list, Value::String),
        Array::Bytes(list) => all(list, Value::Bytes),
        Array::Nested(list) => (9, list.iter().cloned().map(Value::Array).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::Gguf;
    use crate::io::Bytes;

    #[test]
    fn what_is_written_reads_back() {
        let mut writer = GgufWriter::default();
        let entries = [
            ("a.text", Value::String("godwit".into())),
            ("a.small", Value::I8(-3)),
            ("a.wide", Value::U64(1 << 40)),
            ("a.real", Value::F64(0.1)),
            ("a.yes", Value::Bool(true)),
            (
                "a.list",
                Value::Array(Array::String(vec!["x".into(), String::new()])),
            ),
            ("a.none", Value::Array(Array::String(Vec::new()))),
            (
                "a.lists",
                Value::Array(Array::Nested(vec![
                    Array::F32(vec![1.5]),
                    Array::F32(vec![2.5]),
                ])),
            ),
        ];
        for (key, value) in &entries {
            writer.key(*key, value.clone());
        }
        writer.tensor("one", WeightFormat::F32, &[3]);
        let at = writer.tensor("two", WeightFormat::Q4_0, &[64, 2]);
        let mut file = writer.header();
        let start = file.len();
        file.resize(start + writer.data_bytes() as usize, 0);
        file[start + at as usize] = 7;
        let gguf = Gguf::read(vec![Box::new(Bytes {
            name: "made".into(),
            data: file,
        })])
        .expect("it reads");
        for (key, value) in &entries {
            assert_eq!(gguf.metadata().get(key), Some(value), "{key}");
        }
        let two = gguf.tensor("two").expect("it is there");
        assert_eq!(
            (two.format, &two.shape[..], two.bytes),
            (WeightFormat::Q4_0, &[64, 2][..], 72)
        );
        assert_eq!(gguf.data(two, 0..1).expect("a byte")[..], [7]);
    }
}
