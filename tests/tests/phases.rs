//! Rotary phases on the GPU against f64: for every plane, the bases of both 1048k models, and positions around each power of
//! two up to 2^22, the cosine of the phase difference of any two positions.

use godwit::gpu::{GpuMemory, Prepared};
use godwit_shaders::rope_append::{Rope, RopeTables, rope_append};
use godwit_shaders::{Buffers, Heads, KvFormat, Plan, Segment, Step};
use godwit_tests::model::gpu;
use pollster::block_on;

const HEAD: u32 = 128;
const WINDOW: u32 = 1 << 22;

fn positions() -> Vec<u32> {
    let mut positions: Vec<u32> = (1..=22).flat_map(|k| [(1 << k) - 1, 1 << k, (1 << k) + 1]).collect();
    positions.retain(|&position| position < WINDOW);
    positions.dedup();
    positions
}

/// Cosine and sine of each plane's phase at each position, as the kernel rotates (1, 0).
fn rotations(theta: f64, positions: &[u32]) -> Vec<Vec<[f64; 2]>> {
    let gpu = gpu(true);
    let frequencies: Vec<f64> = (0..HEAD / 2).map(|i| theta.powf(-2.0 * f64::from(i) / f64::from(HEAD))).collect();
    let tables = RopeTables::new(&frequencies, 1.0, WINDOW);
    let heads = Heads { heads: 1, kv_heads: 1, head_dim: HEAD };
    let kv = KvFormat::default();
    let mut table = Buffers::default();
    let step = table.declare("step", 16);
    let cos = table.declare("tables", 4 * tables.floats.len() as u64);
    let [q, k, v] = ["q", "k", "v"].map(|name| table.declare(name, 4 * u64::from(HEAD)));
    let [keys, values] = kv.bytes(heads).map(|bytes| table.declare("cache", 32 * bytes));
    let segment = Segment { k: keys, v: values, first: 0, len: 32, host: None };
    let mut plan = Plan::default();
    let rope = Rope { tables: cos, rotary_dim: HEAD };
    rope_append(&mut plan, heads, kv, &rope, [q, k, v], &segment, 1);
    block_on(async {
        let mut memory = GpuMemory::new(&gpu);
        memory.allocate(&table).await?;
        memory.write(cos, 0, bytemuck::cast_slice(&tables.floats));
        let prepared = Prepared::new(&gpu, &memory, &plan, step).await?;
        let ones: Vec<f32> = [1.0, 0.0].repeat(HEAD as usize / 2);
        let mut all = Vec::new();
        for &position in positions {
            memory.write(q, 0, bytemuck::cast_slice(&ones));
            prepared.submit(&memory, Step::new(position, 1));
            let floats: Vec<f32> = bytemuck::pod_collect_to_vec(&memory.read(q).await?);
            all.push(floats.chunks_exact(2).map(|pair| [pair[0].into(), pair[1].into()]).collect());
        }
        Ok::<_, godwit::GpuError>(all)
    })
    .expect("the kernel runs")
}

fn check(theta: f64) {
    let positions = positions();
    let rotations = rotations(theta, &positions);
    let mut worst = 0.0_f64;
    for (a, p) in rotations.iter().zip(&positions) {
        for (b, r) in rotations.iter().zip(&positions) {
            for (plane, (x, y)) in a.iter().zip(b).enumerate() {
                let frequency = theta.powf(-2.0 * plane as f64 / f64::from(HEAD));
                let expected = ((f64::from(*p) - f64::from(*r)) * frequency).cos();
                let found = x[0] * y[0] + x[1] * y[1];
                let error = (found - expected).abs();
                assert!(error < 1e-6, "plane {plane}, positions {p} and {r}: {found}, but {expected}");
                worst = worst.max(error);
            }
        }
    }
    println!("theta {theta}: largest error {worst:.2e}");
}

#[test]
fn phases_of_the_first_1048k_model() {
    check(2_804_339_835.0);
}

#[test]
fn phases_of_the_later_1048k_model() {
    check(3_580_165_449.0);
}
