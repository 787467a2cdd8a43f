//! GPUs with an instruction for packed dot products (dp4a).

/// Whether GPUs of this vendor and architecture, by Dawn's names, have the instruction.
pub fn has_packed_dot(vendor: &str, architecture: &str) -> bool {
    match vendor {
        "nvidia" => !["fermi", "kepler", "maxwell"].contains(&architecture),
        "amd" => architecture.starts_with("rdna-") && architecture != "rdna-1",
        "intel" => architecture.starts_with("gen-12") || architecture.starts_with("xe"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_known_by_vendor_and_architecture() {
        for (vendor, architecture) in [
            ("nvidia", "pascal"),
            ("nvidia", "lovelace"),
            ("amd", "rdna-3"),
            ("intel", "gen-12lp"),
            ("intel", "xe-2lpg"),
        ] {
            assert!(
                has_packed_dot(vendor, architecture),
                "{vendor} {architecture}"
            );
        }
        for (vendor, architecture) in [
            ("nvidia", "maxwell"),
            ("amd", "gcn-5"),
            ("amd", "rdna-1"),
            ("intel", "gen-11"),
            ("apple", "metal-3"),
            ("", ""),
        ] {
            assert!(
                !has_packed_dot(vendor, architecture),
                "{vendor} {architecture}"
            );
        }
    }
}
