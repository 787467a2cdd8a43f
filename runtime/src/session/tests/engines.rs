//! The engines of the tests: those that are tested, and those of the fresh sessions.

use super::*;

/// How a session's engine differs from that of the fresh ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) kv: &'static str,
    pub(super) steps_in_flight: u32,
    /// Positions in a segment of the KV cache.
    pub(super) segment: Option<u32>,
    /// Positions of the KV cache that the GPU has room for; the others are spilled.
    pub(super) resident: Option<u64>,
}

pub(super) const SETUPS: [Setup; 5] = [
    Setup {
        kv: "f16",
        steps_in_flight: 1,
        segment: None,
        resident: None,
    },
    Setup {
        kv: "f16",
        steps_in_flight: 8,
        segment: Some(64),
        resident: None,
    },
    Setup {
        kv: "q4_0",
        steps_in_flight: 8,
        segment: None,
        resident: None,
    },
    Setup {
        kv: "q4_0",
        steps_in_flight: 1,
        segment: Some(128),
        resident: None,
    },
    Setup {
        kv: "q4_0",
        steps_in_flight: 8,
        segment: Some(64),
        resident: Some(224),
    },
];

/// An engine for the sessions under test, and one for fresh sessions.
pub(super) struct Engines {
    pub(super) tested: Engine,
    pub(super) fresh: Engine,
    /// Whether the first has less memory than it may ask for.
    pub(super) is_small: bool,
}

impl Engines {
    pub(super) fn new(setup: Setup) -> Self {
        let model = "tiny:q8_0,vocab=512"
            .parse::<Synthetic>()
            .expect("a shape")
            .model()
            .expect("a model");
        let kv = setup.kv.parse().expect("a type");
        let options = EngineOptions {
            context: ContextSize::Tokens(CONTEXT),
            kv,
            ..EngineOptions::default()
        };
        let fresh = load(&model, 1, None, &options);
        let session = block_on(fresh.session()).expect("a session");
        let memory = setup.resident.map(|positions| {
            let fixed = session.memory();
            fixed.weights + fixed.scratch + positions * session.kv_bytes_per_token()
        });
        let options = EngineOptions {
            segment_tokens: setup.segment,
            ..options
        };
        Self {
            tested: load(&model, setup.steps_in_flight, memory, &options),
            fresh,
            is_small: memory.is_some(),
        }
    }
}

pub(super) fn load(
    model: &Model,
    steps_in_flight: u32,
    memory: Option<u64>,
    options: &EngineOptions,
) -> Engine {
    let gpu = GpuOptions {
        adapter: std::env::var("GODWIT_ADAPTER").ok(),
        memory,
        tuning: Some(Tuning {
            prefill_chunk: 48,
            workgroups: 1,
            steps_in_flight,
            gemv: None,
            few_rows: None,
            few_rows_up_to: 8,
            gemm: None,
        }),
        // A slow driver is to have as many steps in flight as a fast one.
        in_flight_budget: Some(std::time::Duration::from_secs(60)),
        ..GpuOptions::default()
    };
    let gpu = block_on(Gpu::open(&gpu))
        .expect("a GPU, or the software driver that tests/fetch.sh installs");
    block_on(Engine::load(gpu, model, options, &mut crate::unwatched)).expect("it loads")
}
