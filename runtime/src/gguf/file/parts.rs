//! Models in several files: whether they are all parts of one model, in order.

use super::head::Head;
use crate::gguf::error::{FormatCause, FormatError};

const ARCHITECTURE: &str = "general.architecture";
const SPLIT_COUNT: &str = "split.count";
const SPLIT_NO: &str = "split.no";
const SPLIT_TENSORS: &str = "split.tensors.count";

/// Checks that the files are all parts of one model, in order.
pub(super) fn check_parts(heads: &[Head]) -> Result<(), FormatError> {
    let Some(first) = heads.first() else {
        return Ok(());
    };
    let parts = heads.len() as u64;
    for (at, head) in heads.iter().enumerate() {
        let meta = &head.metadata;
        let count = meta.u64(SPLIT_COUNT)?;
        if parts == 1 && count.unwrap_or(1) <= 1 && meta.u64(SPLIT_NO)?.unwrap_or(0) == 0 {
            continue;
        }
        if parts == 1
            && let Some(count) = count.filter(|&count| count > 1)
        {
            let part = meta.u64(SPLIT_NO)?.map_or_else(
                || "one part".into(),
                |part| format!("part {}", part.saturating_add(1)),
            );
            return Err(FormatError::file(
                meta.file(),
                FormatCause::Kind {
                    what: format!("{part} of a model that is split into {count} files"),
                    instead: format!(
                        "put all of them into one folder by the names they were made with, \
                         NAME-00001-of-{count:05}.gguf \
                         and so on, and give any of them"
                    ),
                },
            ));
        }
        let mismatch =
            |key: &str, detail: String| Err(meta.cause(key, FormatCause::PartMismatch { detail }));
        match count {
            Some(count) if count == parts => {}
            Some(count) => {
                return mismatch(
                    SPLIT_COUNT,
                    format!("it says {count} parts, but {parts} are here"),
                );
            }
            None => {
                return mismatch(
                    SPLIT_COUNT,
                    format!("the key is missing, but {parts} parts are here"),
                );
            }
        }
        match meta.u64(SPLIT_NO)? {
            Some(number) if number == at as u64 => {}
            Some(number) => {
                return mismatch(SPLIT_NO, format!("it says {number}, but its place is {at}"));
            }
            None => return mismatch(SPLIT_NO, "the key is missing".into()),
        }
        if let (Some(own), Some(wanted)) = (
            meta.string(ARCHITECTURE)?,
            first.metadata.string(ARCHITECTURE)?,
        ) && own != wanted
        {
            return mismatch(
                ARCHITECTURE,
                format!("it is `{own}`, but `{wanted}` in the first part"),
            );
        }
    }
    let found: u64 = heads.iter().map(|head| head.tensors.len() as u64).sum();
    for head in heads {
        if let Some(count) = head
            .metadata
            .u64(SPLIT_TENSORS)?
            .filter(|&count| count != found)
        {
            let detail = format!("it says {count} tensors, but the parts here have {found}");
            return Err(head
                .metadata
                .cause(SPLIT_TENSORS, FormatCause::PartMismatch { detail }));
        }
    }
    Ok(())
}
