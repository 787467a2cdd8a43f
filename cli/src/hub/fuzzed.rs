//! What a fuzzer throws at the hub's parsers; `tests/fuzz` has the target.

use super::choose::{candidates, choose};
use super::listing::Listing;
use super::name::{Name, is_hex, is_safe};

/// Reads the first line as a name, and the rest as the hub's list of files.
///
/// # Panics
/// Something unsafe came through.
pub fn hub(data: &[u8]) {
    let at = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let name = std::str::from_utf8(&data[..at]).ok().and_then(|text| Name::parse(text).ok());
    if let Some(name) = &name {
        assert!(is_safe(&name.repo) && is_safe(name.revision()) && name.quant.as_deref().is_none_or(is_safe));
    }
    let Ok(listing) = Listing::parse("a/b", data.get(at + 1..).unwrap_or_default()) else { return };
    assert!(is_hex(&listing.commit, 40));
    for (file, digest) in &listing.files {
        assert!(is_safe(&file.path) && (is_hex(digest.hex(), 40) || is_hex(digest.hex(), 64)));
    }
    let all = candidates(&listing.names());
    let quant = name.as_ref().and_then(|name| name.quant.as_deref());
    if let Ok(model) = choose("a/b", quant, &all) {
        assert!(model.files.iter().all(|part| listing.files.iter().any(|(file, _)| file == part)));
    }
}
