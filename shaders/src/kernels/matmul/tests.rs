use super::{Epilogue, Matmul, Tokens};
use crate::buffers::Buffers;
use crate::capabilities::{Capabilities, WEBGPU};
use crate::plan::Plan;
use crate::weights::{Matrix, Shard, TILE, WeightFormat};

/// Llama-3-8B's output head has 282 MiB, and more rows than a dispatch has workgroups in one
/// dimension.
#[test]
fn the_largest_head_fits_the_smallest_device() {
    let format = WeightFormat::Q4_K;
    let rows = 128_256;
    let width = 4096;
    let mut table = Buffers::default();
    let shard = |(first, rows): (u32, u32)| {
        let bytes = u64::from(rows.div_ceil(TILE as u32)) * Matrix::tile_bytes(format, width);
        Shard {
            format,
            buffer: table.declare("shard", bytes),
            first,
            rows,
        }
    };
    let ranges = Matrix::shard_rows(format, rows, width, WEBGPU.max_binding);
    let shards: Vec<Shard> = ranges.into_iter().map(shard).collect();
    assert_eq!(shards.len(), 3);
    assert_eq!(shards.iter().map(|s| s.rows).sum::<u32>(), rows);
    for (shard, next) in shards.iter().zip(&shards[1..]) {
        assert_eq!(shard.first + shard.rows, next.first);
    }
    assert!(shards.iter().all(|s| s.buffer.bytes <= WEBGPU.max_binding));
    assert!(shards.iter().all(|s| s.first.is_multiple_of(TILE as u32)));

    let head = Matrix {
        rows,
        width,
        shards,
    };
    let mut plan = Plan::default();
    // A device whose dispatches have at most 100 workgroups in a dimension.
    let caps = Capabilities {
        max_workgroups: 100,
        ..WEBGPU
    };
    Matmul {
        weights: &head,
        x: table.declare("x", 4 * u64::from(width)),
        out: table.declare("logits", 4 * u64::from(rows)),
        tokens: Tokens::Rows { first: 0, count: 1 },
        class: None,
        epilogue: Epilogue::Store,
    }
    .record(&mut plan, &caps);
    for dispatch in &plan.dispatches {
        assert!(
            dispatch.workgroups.iter().all(|&n| n <= 100),
            "{:?}",
            dispatch.workgroups
        );
    }
}
