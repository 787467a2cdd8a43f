//! Checks that no kernel of any plan can form an address that its bindings don't have.
//!
//! Kernels run unchecked on GPUs. What a dispatch may read or write, used or not, its kernel
//! declares ([`Kernel::extents`]; the test `extents` measures that on every case). Here it is held
//! against the bindings of every plan that a session or a scheduler records: for all shapes of
//! heads, types of KV caches, variants and tunings, and for Llama-3-8B at 1,048,576 tokens.
//!
//! [`Kernel::extents`]: godwit_shaders::Kernel::extents

mod configs;
mod declared;
mod works;

use godwit_shaders::capabilities::{BINDING_ALIGNMENT, Tuning, WEBGPU};
use godwit_shaders::kernels::attention::RowClass;
use godwit_shaders::kernels::matmul::cut_matmuls;
use godwit_shaders::kernels::rms_norm::Norm;
use godwit_shaders::kernels::rope_append::{Rope, RopeTables};
use godwit_shaders::kernels::rope_attention::MAX_SINGLE_PASS_TOKENS;
use godwit_shaders::kernels::swiglu::GateBiases;
use godwit_shaders::{
    Buffers, Capabilities, Dispatch, KvFormat, KvType, MatmulClass, MatmulMethod, Matrix, Shard,
    Step, WeightFormat,
};

use crate::engine::{MemoryUse, heads};
use crate::executor::choose::RowChoice;
use crate::executor::{CHOOSE, Recorder, Work, inputs};
use crate::kv_cache::KvSegments;
use crate::model::{
    BatchPass, Biases, Config, HEAD_DIMS, Layer, Llama, Pass, SCORED, Scratch, ScratchSize,
    Synthetic, pass_chunks, prefill_chunk,
};
use crate::scheduler::scratch_size;

use configs::{config, devices, suiting};
use declared::{Kind, declared};
use works::{works_of_batches, works_of_sequence};

const WINDOW: u32 = 1 << 20;

/// Bindings of almost 2^32 bytes, buffers far beyond.
const LARGE: Capabilities = Capabilities {
    max_binding: (1 << 32) - BINDING_ALIGNMENT,
    max_buffer: 1 << 40,
    ..WEBGPU
};

fn check_dispatch(
    table: &Buffers,
    caps: &Capabilities,
    dispatch: &Dispatch,
    steps: &[Step],
    what: &str,
) {
    let what = || format!("{} of {what}", dispatch.label());
    assert!(dispatch.variant.runs_on(caps), "{}", what());
    for buffer in &dispatch.buffers {
        let (_, bytes) = table.get(buffer.id).expect("it is declared");
        assert!(
            buffer.offset + buffer.bytes <= bytes && bytes <= caps.max_buffer,
            "{}",
            what()
        );
        assert!(
            buffer.offset.is_multiple_of(BINDING_ALIGNMENT),
            "{}",
            what()
        );
        assert!(
            buffer.bytes <= caps.max_binding && buffer.bytes < 1 << 32,
            "{}",
            what()
        );
    }
    assert!(
        dispatch
            .workgroups
            .iter()
            .all(|&n| n > 0 && n <= caps.max_workgroups),
        "{}",
        what()
    );
    for &step in steps {
        let extents = (dispatch.kernel.extents)(dispatch, step);
        assert_eq!(extents.len(), dispatch.buffers.len(), "{}", what());
        for ((words, buffer), binding) in extents
            .iter()
            .zip(&dispatch.buffers)
            .zip(dispatch.kernel.bindings)
        {
            let has = buffer.bytes / 4;
            let name = binding.name;
            assert!(
                *words <= has,
                "{}, {step:?}: {words} words of `{name}`, which has {has}",
                what()
            );
        }
    }
}

/// Checks all plans of a model on a device, with these segments of a KV cache. Returns how many
/// dispatches they are.
fn check_plans(
    config: &Config,
    kind: Kind,
    caps: &Capabilities,
    lay_out: impl Fn(&mut KvSegments, &mut Buffers),
) -> usize {
    let mut table = Buffers::default();
    let llama = declared(&mut table, config, kind, caps);
    let chunk = prefill_chunk(config, heads(config), kind.kv, caps, kind.has_biases);
    let declare = |table: &mut Buffers, size| {
        Scratch::declare(
            table,
            config,
            heads(config),
            kind.kv,
            caps,
            size,
            kind.has_biases,
        )
    };
    let scratch = declare(&mut table, ScratchSize::of_sequence(config, chunk));
    let mut kv = KvSegments::new(
        heads(config),
        kind.kv,
        config.layers,
        config.context,
        None,
        caps,
    );
    while kv.capacity() < config.context {
        kv.grow(&mut table, None);
    }
    lay_out(&mut kv, &mut table);
    let (calibrated, bytes) = inputs(&llama, table.len() as u32);
    table.declare("input squares", bytes);
    let mut recorder = Recorder {
        llama: &llama,
        caps,
        kv: &kv,
        scratch: &scratch,
        calibrated: &calibrated,
        chunk,
    };
    let mut dispatches = 0;
    let mut check = |recorder: &Recorder<'_>, table: &Buffers, work, steps: &[Step]| {
        let plan = recorder.record(work);
        let what = format!("{work:?}: {kind:?}, {:?}, {:?}", heads(config), caps.tuning);
        for dispatch in &plan.dispatches {
            check_dispatch(table, caps, dispatch, steps, &what);
        }
        // As a scheduler for frames has them.
        if matches!(work, Work::Batch(_) | Work::BatchLogits { .. }) {
            for dispatch in &cut_matmuls(plan.clone(), |_| 3).dispatches {
                check_dispatch(table, caps, dispatch, steps, &what);
            }
        }
        for upload in &plan.uploads {
            assert!(
                upload
                    .to
                    .iter()
                    .all(|to| to.offset + to.bytes <= table.get(to.id).expect("declared").1),
                "{what}"
            );
        }
        dispatches += plan.dispatches.len();
    };
    for (work, steps) in works_of_sequence(&kv, chunk, config.context) {
        check(&recorder, &table, work, &steps);
    }
    // A scheduler has no f16 tail, and none of its pages is on the host.
    let is_on_host = (0..kv.segments_to(u32::MAX)).any(|number| kv.is_on_host(number));
    if !kind.kv.has_f16_tail() && !is_on_host {
        let size = scratch_size(config, caps, 16, chunk, chunk, config.context);
        let [_, v_block] = kind.kv.blocks(config.head_dim);
        let can_be_direct = caps.cpu && v_block == 1;
        let scratch = declare(&mut table, size);
        (recorder.scratch, recorder.chunk) = (&scratch, size.chunk);
        for (work, steps) in works_of_batches(can_be_direct, &kv, size) {
            check(&recorder, &table, work, &steps);
        }
    }
    dispatches
}

#[test]
fn no_address_of_a_million_tokens_leaves_its_binding() {
    let model = "llama3-8b:q4_k"
        .parse::<Synthetic>()
        .expect("a shape")
        .model()
        .expect("a model");
    let config = Config {
        context: WINDOW,
        ..model.config().clone()
    };
    for caps in [WEBGPU, LARGE] {
        for kv in KvType::ALL {
            let kv = KvFormat {
                k: kv,
                v: kv,
                hadamard: true,
            };
            let kind = Kind {
                format: WeightFormat::Q4_K,
                kv,
                has_biases: false,
                is_gated: false,
            };
            check_plans(&config, kind, &caps, |_, table| {
                // The sum exceeds 2^32 by far, so it is a u64.
                assert!(table.bytes() > 8 << 32);
                assert_eq!(
                    table.bytes(),
                    MemoryUse::estimate(&model, WINDOW, kv, &caps).total(),
                    "{kv}"
                );
            });
        }
    }
}

#[test]
fn no_address_of_any_plan_leaves_its_binding() {
    let small = config("llama3-8b:q4_k");
    // Heads of all lengths, alone and in groups of up to eight; widths that are whole blocks of no
    // format but the smallest, vocabularies and networks that end within a tile.
    let shapes = HEAD_DIMS.into_iter().enumerate().map(|(i, head_dim)| {
        let (kv_heads, ratio) = ([1, 2, 3][i % 3], [1, 4, 8, 3][i % 4]);
        let heads = kv_heads * ratio;
        let [width, ffn] = if i % 2 == 0 { [256, 512] } else { [96, 160] };
        let rotary_dim = if i % 3 == 0 { head_dim / 2 } else { head_dim };
        Config {
            layers: 2,
            width,
            heads,
            kv_heads,
            head_dim,
            rotary_dim,
            ffn,
            vocab: 1001,
            context: 5000,
            ..small.clone()
        }
    });
    let numbers = [1, 2, 3, 7, 8, 9, 37, 63, 64, 100, 512, 4096];
    let workgroups = [1, 3, 128, 4096, 7];
    let formats = WeightFormat::ALL.into_iter().cycle();
    let mut all = 0;
    for config in shapes {
        for device in devices() {
            let pairs = KvType::ALL
                .into_iter()
                .flat_map(|k| KvType::ALL.map(|v| (k, v)));
            for (i, ((k, v), format)) in pairs.zip(formats.clone()).enumerate() {
                let kv = KvFormat {
                    k,
                    v,
                    hadamard: i % 4 != 3,
                };
                let kind = Kind {
                    format,
                    kv,
                    has_biases: i % 3 == 1,
                    is_gated: i % 3 == 2,
                };
                for turn in 0..3 {
                    let at = 3 * i + turn + all;
                    let tuning = Tuning {
                        prefill_chunk: numbers[at % numbers.len()],
                        workgroups: workgroups[at % workgroups.len()],
                        gemv: suiting(&device, MatmulClass::Gemv, turn, at),
                        few_rows: suiting(&device, MatmulClass::FewRows, turn, at),
                        few_rows_up_to: [8, 1, 3, 64, 16][at % 5],
                        gemm: suiting(&device, MatmulClass::Gemm, turn, at),
                        ..device.tuning
                    };
                    assert_eq!(tuning.validate(), Ok(()));
                    let caps = Capabilities { tuning, ..device };
                    all += check_plans(&config, kind, &caps, |kv, table| match turn {
                        0 => {}
                        // Segments that lie in one buffer, behind each other.
                        1 => drop(kv.split(0, 64)),
                        // A segment on the host.
                        _ => {
                            kv.split(0, 64);
                            let staging = kv.declare_staging(table, 64);
                            kv.set_staging(staging);
                            (0..kv.layers()).for_each(|layer| kv.set_spilled(0, layer, 0));
                        }
                    });
                }
            }
        }
    }
    assert!(all > 100_000, "{all} dispatches");
}
