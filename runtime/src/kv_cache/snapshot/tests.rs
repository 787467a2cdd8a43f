//! Tests of snapshots with damaged headers.

use super::*;

fn peek(mut input: &[u8]) -> Result<SnapshotHeader, SnapshotError> {
    read_header(&mut Hashed::new(&mut input))
}

#[test]
fn damaged_headers_are_refused() {
    let mut good = MAGIC.to_vec();
    let header = SnapshotHeader {
        fingerprint: "f".into(),
        model: "m".into(),
        kv: "f16".into(),
        first: 32,
        count: 5,
        note: serde_json::Value::Null,
    };
    let json = serde_json::to_vec(&header).expect("JSON");
    good.extend(VERSION.to_le_bytes());
    good.extend((json.len() as u32).to_le_bytes());
    good.extend(&json);
    assert_eq!(peek(&good), Ok(header));
    for len in 0..good.len() {
        let error = peek(&good[..len]).expect_err("cut short");
        assert!(
            matches!(error, SnapshotError::Magic | SnapshotError::Truncated),
            "{len}: {error}"
        );
    }
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        peek(&bad).expect_err("changed")
    };
    assert_eq!(with(0, b'g'), SnapshotError::Magic);
    assert_eq!(with(8, 9), SnapshotError::Version(9));
    assert_eq!(
        with(15, 255),
        SnapshotError::Damaged("its header is too long")
    );
    assert!(matches!(with(16, b'x'), SnapshotError::Damaged(_)));
}
