//! Kernels at the ends of what a device can address: buffers that begin either side of 2^31 and
//! 2^32 bytes, and the last words of the largest binding. Which of these a device has is printed
//! (`--nocapture`); its first limit is always tried.

use godwit::low_level::gpu::{Gpu, GpuMemory, Prepared};
use godwit_shaders::kernels::embed::Embed;
use godwit_shaders::weights::pack_tile;
use godwit_shaders::{BufferRef, Buffers, Matrix, Plan, Shard, Step, WeightFormat};
use godwit_tests::model::gpu;
use pollster::block_on;

const WIDTH: u32 = 64;

/// Looks up rows of a matrix that lies at `weights`, whose last tile alone was written, and writes
/// them at `out`.
fn look_up(
    gpu: &Gpu,
    table: &Buffers,
    weights: BufferRef,
    out: BufferRef,
    step: BufferRef,
    tokens: BufferRef,
) {
    let tile_bytes = Matrix::tile_bytes(WeightFormat::F16, WIDTH);
    let rows = (weights.bytes / tile_bytes * 32) as u32;
    let stored: Vec<u8> = (0..32 * WIDTH)
        .flat_map(|i| half::f16::from_f32(i as f32).to_le_bytes())
        .collect();
    let mut tile = vec![0; tile_bytes as usize / 4];
    pack_tile(WeightFormat::F16, WIDTH as usize, &stored, &mut tile);
    let matrix = Matrix {
        rows,
        width: WIDTH,
        shards: vec![Shard {
            format: WeightFormat::F16,
            buffer: weights,
            first: 0,
            rows,
        }],
    };
    let ids = [rows - 1, 0, rows - 32];
    let found = block_on(async {
        let mut memory = GpuMemory::new(gpu);
        memory.allocate(table).await?;
        memory
            .write(
                weights,
                u64::from(rows / 32 - 1) * tile_bytes,
                bytemuck::cast_slice(&tile),
            )
            .await?;
        memory.write(tokens, 0, bytemuck::cast_slice(&ids)).await?;
        let mut plan = Plan::default();
        Embed {
            table: &matrix,
            tokens,
            chosen: tokens,
            x: out,
            chunk: 3,
        }
        .record(&mut plan);
        Prepared::new(gpu, &memory, &plan, step)
            .await?
            .submit(&memory, Step::new(0, 3))
            .await?;
        memory.read(out).await
    });
    let found: Vec<f32> = bytemuck::pod_collect_to_vec(&found.expect("the device works"));
    let row = |tile_row: u32| (0..WIDTH).map(move |i| (tile_row * WIDTH + i) as f32);
    let first = if rows > 32 {
        vec![0.0; WIDTH as usize]
    } else {
        row(0).collect()
    };
    let expected: Vec<f32> = row(31)
        .chain(first)
        .chain(row(0))
        .map(|x| half::f16::from_f32(x).to_f32())
        .collect();
    assert!(found.starts_with(&expected), "{weights:?} {out:?}");
}

/// Declares the small buffers, and one of `bytes`.
fn declare(bytes: u64) -> (Buffers, [BufferRef; 3]) {
    let mut table = Buffers::default();
    let large = table.declare("large", bytes);
    let step = table.declare("step", 16);
    let tokens = table.declare("tokens", 16);
    (table, [large, step, tokens])
}

#[test]
fn bindings_begin_anywhere_in_the_largest_buffer() {
    let gpu = gpu(false);
    let most = gpu.caps().max_buffer / 256 * 256;
    let (weight_bytes, out_bytes) = (
        2 * Matrix::tile_bytes(WeightFormat::F16, WIDTH),
        4 * u64::from(3 * WIDTH),
    );
    let tail = weight_bytes + out_bytes.next_multiple_of(256);
    // Half of what is looked up lies before the edge, what is written after it.
    let edges = [1 << 31, 1 << 32].map(|edge: u64| edge - weight_bytes);
    let mut tried = Vec::new();
    for offset in edges
        .into_iter()
        .chain([most.min(9 << 29) - tail])
        .filter(|offset| offset + tail <= most)
    {
        let (table, [large, step, tokens]) = declare(offset + tail);
        let weights = BufferRef {
            offset,
            bytes: weight_bytes,
            ..large
        };
        let out = BufferRef {
            offset: offset + weight_bytes,
            bytes: out_bytes,
            ..large
        };
        // A buffer is either read or written in a dispatch: what is written goes to another of the
        // same size.
        let mut table = table;
        let other = table.declare("written", large.bytes);
        look_up(
            &gpu,
            &table,
            weights,
            BufferRef {
                id: other.id,
                ..out
            },
            step,
            tokens,
        );
        tried.push(offset);
    }
    println!(
        "{}: buffers of {most} bytes at most, looked up at {tried:?}",
        gpu.summary()
    );
    assert!(!tried.is_empty());
}

#[test]
fn the_last_words_of_the_largest_binding_are_found() {
    let gpu = gpu(false);
    let tile_bytes = Matrix::tile_bytes(WeightFormat::F16, WIDTH);
    let bytes = gpu.caps().max_binding.min(gpu.caps().max_buffer) / tile_bytes * tile_bytes;
    let (mut table, [large, step, tokens]) = declare(bytes);
    let out = table.declare("out", 4 * u64::from(3 * WIDTH));
    println!(
        "{}: a binding of {bytes} bytes, {} words",
        gpu.summary(),
        bytes / 4
    );
    look_up(&gpu, &table, large, out, step, tokens);
}
