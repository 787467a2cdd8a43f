//! The table of tensors: each row checked, and that no two tensors share bytes.

use godwit_shaders::WeightFormat;

use crate::gguf::error::{FormatCause, FormatError, Subject};
use crate::gguf::reader::Reader;
use crate::gguf::tensor::{ForeignTensor, Tensor};
use crate::io::Source;

/// A row of the tensor table. Its offset is still within the data.
pub(super) enum Row {
    /// Of a type that kernels compute with.
    Tensor(Tensor),
    /// Of another type, where those are taken.
    Foreign(ForeignTensor),
}

/// Reads one row of the tensor table. `takes_foreign`: types without code are no error.
pub(super) fn read_row(
    reader: &mut Reader<'_>,
    part: usize,
    alignment: u64,
    takes_foreign: bool,
) -> Result<Row, FormatError> {
    let name = reader.tensor_name()?;
    reader.subject = Subject::Tensor(name.clone());
    let at = reader.offset();
    let dimensions = reader.u32("the number of dimensions")?;
    if !(1..=4).contains(&dimensions) {
        return Err(reader.error(at, FormatCause::Dimensions(dimensions)));
    }
    let shape = (0..dimensions)
        .map(|_| reader.u64("a dimension"))
        .collect::<Result<Vec<u64>, _>>()?;
    let type_at = reader.offset();
    let number = reader.u32("a tensor type")?;
    let Some(format) = WeightFormat::from_gguf_type(number) else {
        let known = WeightFormat::ALL.map(WeightFormat::name).join(", ");
        let format = other_type(number);
        let cause = reader.error(
            type_at,
            FormatCause::TensorType {
                number,
                name: format,
                known,
            },
        );
        if !takes_foreign {
            return Err(cause);
        }
        reader.u64("a tensor's offset")?;
        return Ok(Row::Foreign(ForeignTensor {
            name,
            format,
            shape,
            part,
            cause,
        }));
    };
    if shape.contains(&0) {
        return Err(reader.error(at, FormatCause::ZeroDimension(shape)));
    }
    let row = shape.first().copied().unwrap_or(0);
    let block = format.block_len() as u64;
    if !row.is_multiple_of(block) {
        return Err(reader.error(
            at,
            FormatCause::Row {
                row,
                block,
                format: format.name(),
            },
        ));
    }
    // Weights are counted in i64 by other tools: more can't be meant.
    let weights = shape
        .iter()
        .try_fold(1u64, |product, &dimension| product.checked_mul(dimension));
    let bytes = weights
        .filter(|&weights| weights <= i64::MAX as u64)
        .and_then(|weights| format.bytes(weights));
    let Some(bytes) = bytes else {
        return Err(reader.error(at, FormatCause::SizeOverflow(shape)));
    };
    let offset_at = reader.offset();
    let offset = reader.u64("a tensor's offset")?;
    if !offset.is_multiple_of(alignment) {
        return Err(reader.error(offset_at, FormatCause::Misaligned { offset, alignment }));
    }
    Ok(Row::Tensor(Tensor {
        name,
        format,
        shape,
        part,
        offset,
        bytes,
    }))
}

/// Turns offsets within the data into offsets in the file, and checks that no two tensors share
/// bytes.
pub(super) fn place(
    source: &dyn Source,
    mut rows: Vec<Tensor>,
    head: u64,
    alignment: u64,
) -> Result<Vec<Tensor>, FormatError> {
    // Nothing overflows: the head is below `MAX_HEAD`, the alignment below `MAX_ALIGNMENT`.
    let start = head.next_multiple_of(alignment);
    let available = source.len().saturating_sub(start);
    for tensor in &mut rows {
        let Tensor { offset, bytes, .. } = *tensor;
        if offset.checked_add(bytes).is_none_or(|end| end > available) {
            let cause = FormatCause::Extent {
                offset,
                bytes,
                available,
            };
            return Err(FormatError::tensor(source.name(), &tensor.name, cause)
                .at(start.saturating_add(offset)));
        }
        tensor.offset = start + offset;
    }
    let mut order: Vec<&Tensor> = rows.iter().collect();
    order.sort_by_key(|tensor| tensor.offset);
    for pair in order.windows(2) {
        if let [first, second] = pair
            && first.offset + first.bytes > second.offset
        {
            let cause = FormatCause::Overlap(first.name.clone());
            return Err(FormatError::tensor(source.name(), &second.name, cause).at(second.offset));
        }
    }
    Ok(rows)
}

/// The name of a tensor type that Godwit has no code for.
fn other_type(number: u32) -> &'static str {
    match number {
        4 => "Q4_2",
        5 => "Q4_3",
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        21 => "IQ3_S",
        22 => "IQ2_S",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        31..=33 => "Q4_0 repacked",
        34 => "TQ1_0",
        35 => "TQ2_0",
        36..=38 => "IQ4_NL repacked",
        39 => "MXFP4",
        40 => "NVFP4",
        _ => "unknown",
    }
}
