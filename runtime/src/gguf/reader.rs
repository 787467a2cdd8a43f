//! Reads the head of a GGUF file: little-endian numbers, strings and values, each checked against
//! what is left.

use super::error::{FormatCause, FormatError, Subject};
use super::metadata::{Array, Value};
use crate::io::Source;

/// The most bytes that metadata and tensor table may take: real ones take 30 MB. Without a cap, a
/// file of weights with a damaged header could be read into memory as one long array.
pub(super) const MAX_HEAD: u64 = 128 << 20;
/// The longest key, as the GGUF specification has it.
const MAX_KEY: u64 = 65_535;
/// The longest tensor name. The specification says 64 bytes.
const MAX_NAME: u64 = 255;
/// How deep arrays may nest. Known files don't nest them at all.
const MAX_NESTING: u32 = 4;
/// The room that a list begins with.
const FIRST_ROOM: usize = 16;
/// How much is read at once.
const CHUNK: u64 = 64 << 10;

/// Text whose bytes were checked.
fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

/// A place in a file.
pub(crate) struct Reader<'a> {
    source: &'a dyn Source,
    at: u64,
    end: u64,
    chunk: Vec<u8>,
    chunk_start: u64,
    /// The value being read, for messages.
    pub subject: Subject,
}

impl<'a> Reader<'a> {
    pub fn new(source: &'a dyn Source) -> Self {
        Self {
            source,
            at: 0,
            end: source.len(),
            chunk: Vec::new(),
            chunk_start: 0,
            subject: Subject::Header,
        }
    }

    /// The next byte's offset.
    pub fn offset(&self) -> u64 {
        self.at
    }

    fn remaining(&self) -> u64 {
        self.end - self.at
    }

    /// An error at a byte.
    pub fn error(&self, offset: u64, cause: FormatCause) -> FormatError {
        let mut error = FormatError::file(self.source.name(), cause).at(offset);
        error.subject = self.subject.clone();
        error
    }

    /// Checks that `needed` bytes are left.
    fn need(&self, what: &'static str, needed: u64) -> Result<(), FormatError> {
        let remaining = self.remaining();
        if needed > remaining {
            return Err(self.error(
                self.at,
                FormatCause::Truncated {
                    what,
                    needed,
                    remaining,
                },
            ));
        }
        let head = self.at.saturating_add(needed);
        if head > MAX_HEAD {
            let cause = FormatCause::TooMuch {
                what: "the size of metadata and tensor table",
                count: head,
                most: MAX_HEAD,
            };
            return Err(self.error(self.at, cause));
        }
        Ok(())
    }

    /// Reads the next `into.len()` bytes.
    fn fill(&mut self, what: &'static str, into: &mut [u8]) -> Result<(), FormatError> {
        let len = into.len() as u64;
        self.need(what, len)?;
        if len >= CHUNK {
            self.source.read(self.at, into)?;
        } else {
            let in_chunk = self.at >= self.chunk_start
                && self.at + len <= self.chunk_start + self.chunk.len() as u64;
            if !in_chunk {
                self.chunk.resize(self.remaining().min(CHUNK) as usize, 0);
                self.chunk_start = self.at;
                self.source.read(self.at, &mut self.chunk)?;
            }
            let start = (self.at - self.chunk_start) as usize;
            into.copy_from_slice(&self.chunk[start..start + into.len()]);
        }
        self.at += len;
        Ok(())
    }

    pub fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FormatError> {
        let mut bytes = [0; N];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    pub fn u32(&mut self, what: &'static str) -> Result<u32, FormatError> {
        self.take(what).map(u32::from_le_bytes)
    }

    pub fn u64(&mut self, what: &'static str) -> Result<u64, FormatError> {
        self.take(what).map(u64::from_le_bytes)
    }

    /// A count of things that take at least `least` bytes each.
    pub fn count(&mut self, what: &'static str, least: u64) -> Result<u64, FormatError> {
        let offset = self.at;
        let count = self.u64(what)?;
        let remaining = self.remaining();
        let most = remaining / least;
        if count > most {
            return Err(self.error(
                offset,
                FormatCause::Count {
                    what,
                    count,
                    remaining,
                    most,
                },
            ));
        }
        Ok(count)
    }

    fn bytes(&mut self, what: &'static str, len: u64) -> Result<Vec<u8>, FormatError> {
        self.need(what, len)?;
        // `need` holds it below `MAX_HEAD`, which any usize can count.
        let mut bytes = vec![0; len as usize];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    /// `count` floats.
    pub fn floats(&mut self, what: &'static str, count: u64) -> Result<Vec<f32>, FormatError> {
        let bytes = self.bytes(what, count.saturating_mul(4))?;
        Ok(bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect())
    }

    /// `len` bytes of text.
    pub fn utf8(&mut self, what: &'static str, len: u64) -> Result<String, FormatError> {
        let offset = self.at;
        let bytes = self.bytes(what, len)?;
        String::from_utf8(bytes).map_err(|_| self.error(offset, FormatCause::Utf8 { what }))
    }

    fn string(&mut self, what: &'static str, most: u64) -> Result<String, FormatError> {
        let len = self.length(what, most)?;
        self.utf8(what, len)
    }

    /// A string's length, at most `most`.
    fn length(&mut self, what: &'static str, most: u64) -> Result<u64, FormatError> {
        let offset = self.at;
        let len = self.u64(what)?;
        let remaining = self.remaining();
        if len > remaining {
            return Err(self.error(
                offset,
                FormatCause::Truncated {
                    what,
                    needed: len,
                    remaining,
                },
            ));
        }
        if len > most {
            return Err(self.error(
                offset,
                FormatCause::TooMuch {
                    what,
                    count: len,
                    most,
                },
            ));
        }
        Ok(len)
    }

    pub fn key(&mut self) -> Result<String, FormatError> {
        self.string("the length of a key", MAX_KEY)
    }

    pub fn tensor_name(&mut self) -> Result<String, FormatError> {
        self.string("the length of a tensor's name", MAX_NAME)
    }

    /// A string's bytes. Whether they are text matters only to those who use the value.
    fn text(&mut self) -> Result<Vec<u8>, FormatError> {
        let len = self.length("a string", MAX_HEAD)?;
        self.bytes("a string", len)
    }

    fn bool(&mut self) -> Result<bool, FormatError> {
        let offset = self.at;
        match self.take::<1>("a bool")?[0] {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.error(offset, FormatCause::Bool(other))),
        }
    }

    /// A type number and the value after it.
    pub fn value(&mut self) -> Result<Value, FormatError> {
        let offset = self.at;
        let what = "a value";
        Ok(match self.u32("a value type")? {
            0 => Value::U8(self.take::<1>(what)?[0]),
            1 => Value::I8(i8::from_le_bytes(self.take(what)?)),
            2 => Value::U16(u16::from_le_bytes(self.take(what)?)),
            3 => Value::I16(i16::from_le_bytes(self.take(what)?)),
            4 => Value::U32(u32::from_le_bytes(self.take(what)?)),
            5 => Value::I32(i32::from_le_bytes(self.take(what)?)),
            6 => Value::F32(f32::from_le_bytes(self.take(what)?)),
            7 => Value::Bool(self.bool()?),
            8 => match String::from_utf8(self.text()?) {
                Ok(text) => Value::String(text),
                Err(error) => Value::Bytes(error.into_bytes()),
            },
            9 => Value::Array(self.array(1)?),
            10 => Value::U64(u64::from_le_bytes(self.take(what)?)),
            11 => Value::I64(i64::from_le_bytes(self.take(what)?)),
            12 => Value::F64(f64::from_le_bytes(self.take(what)?)),
            other => return Err(self.error(offset, FormatCause::ValueType(other))),
        })
    }

    fn array(&mut self, depth: u32) -> Result<Array, FormatError> {
        let offset = self.at;
        if depth > MAX_NESTING {
            return Err(self.error(offset, FormatCause::Nesting(MAX_NESTING)));
        }
        Ok(match self.u32("an array's value type")? {
            0 => {
                let count = self.count("the length of an array", 1)?;
                Array::U8(self.bytes("an array", count)?)
            }
            1 => Array::I8(self.numbers(i8::from_le_bytes)?),
            2 => Array::U16(self.numbers(u16::from_le_bytes)?),
            3 => Array::I16(self.numbers(i16::from_le_bytes)?),
            4 => Array::U32(self.numbers(u32::from_le_bytes)?),
            5 => Array::I32(self.numbers(i32::from_le_bytes)?),
            6 => Array::F32(self.numbers(f32::from_le_bytes)?),
            7 => {
                let count = self.count("the length of an array", 1)?;
                self.need("an array", count)?;
                Array::Bool(self.list(count, Self::bool)?)
            }
            8 => {
                let count = self.count("the length of an array", 8)?;
                let texts = self.list(count, Self::text)?;
                match texts.iter().all(|text| std::str::from_utf8(text).is_ok()) {
                    true => Array::String(texts.into_iter().map(into_text).collect()),
                    false => Array::Bytes(texts),
                }
            }
            9 => {
                let count = self.count("the length of an array", 12)?;
                Array::Nested(self.list(count, |reader| reader.array(depth + 1))?)
            }
            10 => Array::U64(self.numbers(u64::from_le_bytes)?),
            11 => Array::I64(self.numbers(i64::from_le_bytes)?),
            12 => Array::F64(self.numbers(f64::from_le_bytes)?),
            other => return Err(self.error(offset, FormatCause::ValueType(other))),
        })
    }

    fn numbers<T, const N: usize>(
        &mut self,
        from: fn([u8; N]) -> T,
    ) -> Result<Vec<T>, FormatError> {
        let count = self.count("the length of an array", N as u64)?;
        let bytes = self.bytes("an array", count * N as u64)?;
        Ok(bytes
            .as_chunks::<N>()
            .0
            .iter()
            .map(|&chunk| from(chunk))
            .collect())
    }

    /// Things of any size: memory follows what was really read, not the count.
    fn list<T>(
        &mut self,
        count: u64,
        mut read: impl FnMut(&mut Self) -> Result<T, FormatError>,
    ) -> Result<Vec<T>, FormatError> {
        let mut list = Vec::new();
        for at in 0..count {
            if list.len() == list.capacity() {
                // As lists grow by themselves, but never beyond the count.
                let more = list.len().max(FIRST_ROOM) as u64;
                list.reserve_exact(more.min(count - at) as usize);
            }
            list.push(read(self)?);
        }
        Ok(list)
    }
}
