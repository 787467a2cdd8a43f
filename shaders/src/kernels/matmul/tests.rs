use super::{Epilogue, Matmul, Params, Tokens, cut_matmuls, extents};
use crate::buffers::Buffers;
use crate::capabilities::{BINDING_ALIGNMENT, Capabilities, WEBGPU};
use crate::kernel::{Dispatch, Step};
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

/// Parts write each row once, read the weights of their own rows, and compute as the whole does:
/// with the same rows and splits of a workgroup.
#[test]
fn a_cut_matmul_computes_each_row_once_and_in_the_same_way() {
    let (format, width) = (WeightFormat::Q4_K, 512);
    let devices = [
        WEBGPU,
        Capabilities {
            cpu: true,
            ..WEBGPU
        },
    ];
    let epilogues = [Epilogue::Store, Epilogue::Accumulate, Epilogue::SwiGlu];
    for (caps, epilogue) in devices
        .iter()
        .flat_map(|caps| epilogues.map(|it| (caps, it)))
    {
        for (rows, chunk) in [(64, 1), (960, 1), (20_032, 1), (20_032, 4), (49_152, 32)] {
            let mut table = Buffers::default();
            let bytes = u64::from(rows / TILE as u32) * Matrix::tile_bytes(format, width);
            let shard = Shard {
                format,
                buffer: table.declare("weights", bytes),
                first: 0,
                rows,
            };
            let weights = Matrix {
                rows,
                width,
                shards: vec![shard],
            };
            let mut plan = Plan::default();
            Matmul {
                weights: &weights,
                x: table.declare("x", 4 * u64::from(width * 128)),
                out: table.declare("out", 4 * u64::from(rows * 128)),
                tokens: Tokens::Step { chunk },
                class: None,
                epilogue,
            }
            .record(&mut plan, caps);
            let whole = plan.dispatches[0].clone();
            for parts in [1, 2, 3, 7, 1000] {
                let cut = cut_matmuls(plan.clone(), |_| parts);
                assert!(cut.dispatches.len() <= parts as usize);
                let halved = if epilogue == Epilogue::SwiGlu { 2 } else { 1 };
                let (mut next_row, mut next_byte) = (0, shard.buffer.offset);
                for part in &cut.dispatches {
                    let of: Params = part.params();
                    assert_eq!(of.first_row * halved, next_row);
                    assert_eq!(part.buffers[0].offset, next_byte);
                    assert_eq!(part.buffers[0], part.buffers[1]);
                    assert!(next_byte.is_multiple_of(BINDING_ALIGNMENT));
                    next_row += of.rows;
                    next_byte += part.buffers[0].bytes;
                    assert_eq!(part.variant.name, whole.variant.name);
                    assert_eq!(part.workgroups[2], whole.workgroups[2]);
                    let kept = |dispatch: &Dispatch| {
                        let all = dispatch.overrides.clone().into_iter();
                        all.filter(|(name, _)| !["ROWS", "WORKGROUPS_X"].contains(name))
                            .collect::<Vec<_>>()
                    };
                    assert_eq!(kept(part), kept(&whole));
                    for (words, buffer) in extents(part, Step::new(0, chunk))
                        .into_iter()
                        .zip(&part.buffers)
                    {
                        assert!(4 * words <= buffer.bytes);
                    }
                }
                assert_eq!((next_row, next_byte), (rows, shard.buffer.offset + bytes));
            }
        }
    }
}
