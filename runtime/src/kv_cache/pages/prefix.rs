//! What a page holds, as a hash of all tokens up to its end.

/// The hash of a sequence's tokens up to the end of a page, by BLAKE3: two pages with the same hash
/// hold the same keys and values.
///
/// Each hash is over the one of the page before and the page's own tokens. The first is over a
/// salt: sequences with other salts share nothing, so that one user can't learn from the time of an
/// answer what others asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PrefixHash([u8; 32]);

impl PrefixHash {
    /// Before any token.
    pub fn root(salt: &[u8]) -> Self {
        Self(*blake3::hash(salt).as_bytes())
    }

    /// After the tokens of one page more.
    pub fn after(&self, tokens: &[u32]) -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(&self.0);
        for token in tokens {
            hash.update(&token.to_le_bytes());
        }
        Self(*hash.finalize().as_bytes())
    }
}
