//! Importance matrices: how large the inputs of each matrix are, column by column, as llama.cpp's
//! `llama-imatrix` measures it.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use godwit_shaders::WeightFormat;

use crate::error::Error;
use crate::gguf::{Array, FormatCause, FormatError, Gguf, GgufWriter, Reader, Tensor, Value};
use crate::io::Source;

/// What ends the names of an importance file's tensors: sums of squares, and how many inputs they
/// are of.
const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// How much the error of each column of a matrix counts: the mean square of its input.
#[derive(Clone, Debug, Default)]
pub struct Importance {
    columns: HashMap<String, Vec<f32>>,
    key: String,
}

impl Importance {
    /// Reads an importance matrix in llama.cpp's GGUF format (`general.type` is `imatrix`), or in
    /// its older one (`imatrix.dat`).
    ///
    /// # Errors
    /// The file is another kind of file, or one of its numbers makes no sense.
    pub fn read(file: Box<dyn Source>) -> Result<Self, FormatError> {
        let mut magic = [0; 4];
        let measured =
            match file.len() >= 4 && file.read(0, &mut magic).is_ok() && &magic != b"GGUF" {
                true => older(&*file)?,
                false => newer(Gguf::read(vec![file])?)?,
            };
        let mut hash = blake3::Hasher::new();
        for (name, means) in &measured {
            hash.update(name.as_bytes());
            hash.update(bytemuck::cast_slice(means));
        }
        Ok(Self {
            columns: measured.into_iter().collect(),
            key: hash.finalize().to_hex().to_string(),
        })
    }

    /// A text that two matrices share only if they are the same.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The columns of a matrix, where they were measured and fit rows of this length.
    pub(super) fn of(&self, tensor: &Tensor) -> Option<&[f32]> {
        let width = *tensor.shape.first()?;
        self.columns
            .get(&tensor.name)
            .map(Vec::as_slice)
            .filter(|columns| columns.len() as u64 == width)
    }
}

/// Mean squares of the columns, by the matrix's name.
type Means = BTreeMap<String, Vec<f32>>;

fn newer(gguf: Gguf) -> Result<Means, FormatError> {
    let kind = gguf.metadata().string("general.type")?.unwrap_or("model");
    if kind != "imatrix" {
        let (expected, found) = ("`imatrix`", format!("`{}`", kind.escape_debug()));
        return Err(gguf
            .metadata()
            .cause("general.type", FormatCause::ValueKind { expected, found }));
    }
    let mut all = Means::new();
    for tensor in gguf.tensors() {
        let Some(name) = tensor.name.strip_suffix(SUMS) else {
            continue;
        };
        let cause = |cause| FormatError::tensor(gguf.metadata().file(), &tensor.name, cause);
        let counts = gguf
            .tensor(&format!("{name}{COUNTS}"))
            .ok_or_else(|| cause(FormatCause::KeyMissing))?;
        // A matrix that no input ever met says nothing.
        let Some(count) = floats(&gguf, counts)?
            .first()
            .copied()
            .filter(|&count| count != 0.0)
        else {
            continue;
        };
        if !(count.is_finite() && count > 0.0) {
            let cause = FormatCause::Importance {
                index: 0,
                value: count,
            };
            return Err(FormatError::tensor(
                gguf.metadata().file(),
                &counts.name,
                cause,
            ));
        }
        let means = floats(&gguf, tensor)?
            .into_iter()
            .map(|sum| sum / count)
            .collect();
        all.insert(name.to_owned(), checked(means).map_err(cause)?);
    }
    Ok(all)
}

/// The older format, all numbers 32 bits: how many matrices, and of each the length of its name,
/// the name, a count, how many columns, and their means times that count.
fn older(file: &dyn Source) -> Result<Means, FormatError> {
    let mut reader = Reader::new(file);
    let mut all = Means::new();
    for _ in 0..reader.u32("the number of matrices")? {
        let len = reader.u32("the length of a name")?;
        let name = reader.utf8("a matrix's name", len.into())?;
        let (count, at) = (reader.u32("a count")?, reader.offset());
        let columns = reader.u32("the number of columns")?;
        let means: Vec<f32> = reader.floats("the columns", columns.into())?;
        let means = means.into_iter().map(|sum| sum / count as f32).collect();
        all.insert(
            name,
            checked(means).map_err(|cause| reader.error(at, cause))?,
        );
    }
    Ok(all)
}

fn checked(means: Vec<f32>) -> Result<Vec<f32>, FormatCause> {
    match means
        .iter()
        .enumerate()
        .find(|(_, mean)| !mean.is_finite() || **mean < 0.0)
    {
        Some((index, &value)) => Err(FormatCause::Importance {
            index: index as u64,
            value,
        }),
        None => Ok(means),
    }
}

fn floats(gguf: &Gguf, tensor: &Tensor) -> Result<Vec<f32>, FormatError> {
    if tensor.format != WeightFormat::F32 {
        let cause = FormatCause::Dtype(tensor.format.name().into());
        return Err(FormatError::tensor(
            gguf.metadata().file(),
            &tensor.name,
            cause,
        ));
    }
    let bytes = gguf.data(tensor, 0..tensor.bytes)?;
    Ok(bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect())
}

/// An importance matrix in the making: what [`Session::calibrate`](crate::Session::calibrate) adds
/// to.
#[derive(Clone, Debug, Default)]
pub struct InputSquares {
    /// Sums of squares of the columns of a matrix's inputs, by its name.
    sums: BTreeMap<String, Vec<f64>>,
    /// Inputs in the sums.
    tokens: u64,
}

impl InputSquares {
    /// How many tokens were measured.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The sums of squares of the columns of each matrix's inputs, in the order of names.
    pub fn sums(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.sums
            .iter()
            .map(|(name, sums)| (name.as_str(), sums.as_slice()))
    }

    pub(crate) fn add_tokens(&mut self, tokens: usize) {
        self.tokens += tokens as u64;
    }

    /// Adds sums of squares to those of a matrix.
    pub(crate) fn add(&mut self, name: String, squares: &[f32]) {
        let sums = self.sums.entry(name).or_default();
        sums.resize(squares.len(), 0.0);
        sums.iter_mut()
            .zip(squares)
            .for_each(|(sum, &squares)| *sum += f64::from(squares));
    }

    /// Writes an importance matrix in llama.cpp's GGUF format; `texts` are the names of what was
    /// read, in chunks of `chunk_tokens`.
    ///
    /// # Errors
    /// Writing fails.
    pub fn write(
        &self,
        texts: Vec<String>,
        chunk_tokens: u32,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        let chunks = self.tokens / u64::from(chunk_tokens.max(1));
        let mut writer = GgufWriter::default();
        for (key, value) in [
            ("general.type", Value::String("imatrix".into())),
            ("imatrix.datasets", Value::Array(Array::String(texts))),
            (
                "imatrix.chunk_count",
                Value::U32(u32::try_from(chunks).unwrap_or(u32::MAX)),
            ),
            ("imatrix.chunk_size", Value::U32(chunk_tokens)),
        ] {
            writer.key(key, value);
        }
        let (mut data, count) = (Vec::new(), (self.tokens as f32).to_le_bytes());
        for (name, sums) in &self.sums {
            data.resize(
                writer.tensor(
                    format!("{name}{SUMS}"),
                    WeightFormat::F32,
                    &[sums.len() as u64],
                ) as usize,
                0,
            );
            data.extend(sums.iter().flat_map(|&sum| (sum as f32).to_le_bytes()));
            data.resize(
                writer.tensor(format!("{name}{COUNTS}"), WeightFormat::F32, &[1]) as usize,
                0,
            );
            data.extend(count);
        }
        data.resize(writer.data_bytes() as usize, 0);
        let io = |error: io::Error| Error::unwritten(&error);
        out.write_all(&writer.header())
            .and_then(|()| out.write_all(&data))
            .map_err(io)
    }
}
