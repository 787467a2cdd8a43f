//! Numbers of bytes in words.

/// A number of bytes, such as `1.50 GiB`.
pub fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
