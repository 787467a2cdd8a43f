//! Rotary phases: the kernel rotates (1, 0) in every plane at positions around each power of two,
//! and the cosine of the phase difference of any two of them is compared with f64.

use godwit_shaders::capabilities::WEBGPU;
use godwit_shaders::kernels::rope_append::{ROPE_APPEND, Rope, RopeAppend, RopeTables};
use godwit_shaders::testing::words;
use godwit_shaders::{
    AttentionShape, Buffers, Capabilities, Case, DispatchFixture, F16Tail, KvFormat, Plan, Segment,
    Step,
};

use crate::cases::GUARD;

/// The bases of both 1048k models.
pub const THETAS: [f64; 2] = [2_804_339_835.0, 3_580_165_449.0];
const HEAD: u32 = 128;
/// Where the queries are among the kernel's buffers.
const QKV: usize = 1;

/// For each power of two up to `2^bits`, a case of the positions just below it, at it, and just
/// above it; on GPUs' variant and on CPUs'.
///
/// # Panics
/// The dispatch is none of the kernel's variants.
pub fn cases(theta: f64, bits: u32) -> Vec<Case> {
    [false, true]
        .into_iter()
        .flat_map(|cpu| cases_for(&Capabilities { cpu, ..WEBGPU }, theta, bits))
        .collect()
}

fn cases_for(caps: &Capabilities, theta: f64, bits: u32) -> Vec<Case> {
    let frequencies: Vec<f64> = (0..HEAD / 2)
        .map(|i| theta.powf(-2.0 * f64::from(i) / f64::from(HEAD)))
        .collect();
    let tables = RopeTables::new(&frequencies, 1.0, (1 << bits) + 2);
    let shape = AttentionShape {
        heads: 1,
        kv_heads: 1,
        head_dim: HEAD,
    };
    let kv = KvFormat::default();
    let mut table = Buffers::default();
    let rope = Rope {
        tables: table.declare("tables", 4 * tables.floats.len() as u64),
        rotary_dim: HEAD,
    };
    // Of each token a query, a key and a value.
    let qkv = table.declare("qkv", 36 * u64::from(HEAD));
    let cache = kv.bytes(shape).map(|bytes| 32 * bytes);
    let [keys, values] = cache.map(|bytes| table.declare("cache", bytes));
    // No position lies in it.
    let segment = Segment {
        k: keys,
        v: values,
        first: u32::MAX - 32,
        len: 32,
        host: None,
    };
    let tail = F16Tail {
        buffer: table.declare("f16_tail", 16),
        len: 0,
    };
    let mut plan = Plan::default();
    RopeAppend {
        shape,
        kv,
        rope,
        qkv,
        segment,
        tail,
        chunk: 3,
    }
    .record(&mut plan, caps);
    let dispatch = &plan.dispatches[0];
    let variant = ROPE_APPEND
        .variants
        .iter()
        .position(|variant| variant.name == dispatch.variant.name);
    let variant = variant.expect("a variant of the kernel");
    let (ones, zeros) = (
        [1.0, 0.0].repeat(HEAD as usize / 2),
        vec![0.0; 2 * HEAD as usize],
    );
    let empty = cache.map(|bytes| vec![0; bytes as usize / 4]);
    let case = |bit: u32| Case {
        name: format!("phases at 2^{bit}, theta {theta}"),
        variant,
        overrides: dispatch.overrides.clone(),
        fixture: DispatchFixture {
            params: dispatch.params.clone(),
            step: Step::new((1 << bit) - 1, 3),
            format: None,
            buffers: vec![
                words(&tables.floats),
                words(&[ones.clone(), zeros.clone()].concat().repeat(3)),
                empty[0].clone(),
                empty[1].clone(),
                vec![0; 4],
            ],
            workgroups: dispatch.workgroups,
        },
        nmse: 1e-13,
    };
    (0..=bits).map(case).collect()
}

/// The largest error of all phase differences between the positions of `cases`, whose buffers are
/// `outcomes`.
pub fn worst(theta: f64, cases: &[Case], outcomes: &[Vec<Vec<u32>>]) -> f64 {
    let mut points: Vec<(f64, Vec<[f64; 2]>)> = Vec::new();
    for (case, outcome) in cases.iter().zip(outcomes) {
        let floats = &outcome[QKV][GUARD..][..9 * HEAD as usize];
        let floats: Vec<f64> = floats.iter().map(|&w| f32::from_bits(w).into()).collect();
        for (i, vector) in floats.chunks_exact(HEAD as usize).step_by(3).enumerate() {
            let position = f64::from(case.fixture.step.position) + i as f64;
            points.push((
                position,
                vector
                    .chunks_exact(2)
                    .map(|pair| [pair[0], pair[1]])
                    .collect(),
            ));
        }
    }
    let mut worst = 0.0_f64;
    for (p, a) in &points {
        for (r, b) in &points {
            for (plane, (x, y)) in a.iter().zip(b).enumerate() {
                let frequency = theta.powf(-2.0 * plane as f64 / f64::from(HEAD));
                let error = x[0] * y[0] + x[1] * y[1] - ((p - r) * frequency).cos();
                // A NaN is the worst of all.
                worst = if error.is_nan() {
                    f64::INFINITY
                } else {
                    worst.max(error.abs())
                };
            }
        }
    }
    worst
}
