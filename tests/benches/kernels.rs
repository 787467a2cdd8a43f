//! Times kernels on a GPU: `cargo bench -p godwit-tests --bench kernels -- [PART OF A NAME]…`.
//!
//! First every kernel's own cases, then products in the shapes of an 8B model and attention of a
//! few tokens after many, as the forward pass records them. Prints the microseconds of a dispatch,
//! the best of many, what it does in a second, and how near that is to the bandwidth or the
//! arithmetic measured on the same GPU just before, whichever binds. `GODWIT_ADAPTER` picks an
//! adapter by name.

use std::time::Instant;

use godwit::low_level::gpu::{Gpu, GpuError, GpuMemory, Prepared, Rates};
use godwit_shaders::kernels::attention::{Attention, RowClass, partials_bytes};
use godwit_shaders::kernels::matmul::{Epilogue, Matmul, MatmulClass, Tokens, X_ROW_GROUP};
use godwit_shaders::kv::noise;
use godwit_shaders::testing::Random;
use godwit_shaders::{
    AttentionShape, BufferRef, Buffers, Cost, Dispatch, KERNELS, KvFormat, Matrix, Plan, Segment,
    Shard, Step, WeightFormat,
};
use godwit_tests::model::gpu;
use pollster::block_on;

/// Dispatches of a submission at most, the time it should take, and how often it is repeated; the
/// fastest dispatch counts.
const DISPATCHES: usize = 50;
const SECONDS: f64 = 0.3;
const SUBMITS: usize = 4;
/// Seconds of work after which a GPU that was idle runs at full speed.
const WARM_UP: f64 = 0.3;

/// Formats, and rows and width, of products.
const FORMATS: [WeightFormat; 6] = [
    WeightFormat::Q4_0,
    WeightFormat::Q4_1,
    WeightFormat::Q4_K,
    WeightFormat::Q6_K,
    WeightFormat::Q8_0,
    WeightFormat::F16,
];
const SHAPES: [(u32, u32); 2] = [(4096, 4096), (14_336, 4096)];
const TOKENS: [u32; 2] = [1, 512];
/// Format, rows and width, and tokens of products of few tokens, in the shape of a small model.
const FEW_FORMAT: WeightFormat = WeightFormat::Q4_1;
const FEW_SHAPE: (u32, u32) = (3072, 576);
const FEW_TOKENS: [u32; 7] = [1, 2, 3, 4, 8, 16, 32];
/// Heads, KV heads and length of a head of SmolLM2-135M and of Llama-3-8B.
const HEADS: [(u32, u32, u32); 2] = [(9, 3, 64), (32, 8, 128)];
/// Tokens before those that attend, and how many attend.
const ATTENDED: u32 = 2048;
const ATTENDING: [u32; 4] = [1, 2, 4, 8];

fn main() -> Result<(), GpuError> {
    let (flags, wanted): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|arg| arg.starts_with('-'));
    // `cargo test --all-targets` builds this and runs it without the flag.
    if !flags.iter().any(|flag| flag == "--bench") {
        return Ok(());
    }
    let is_wanted = |name: &str| wanted.iter().all(|part| name.contains(part));
    let gpu = gpu(false);
    let rates = block_on(gpu.measure_rates())?;
    let (read, compute) = (rates.bytes_per_s / 1e9, rates.flops_per_s / 1e9);
    println!(
        "{}: reads {read:.1} GB/s, computes {compute:.1} GFLOP/s",
        gpu.summary()
    );
    println!("{:>10} {:>9} {:>9} {:>6}", "us", "GB/s", "GFLOP/s", "limit");
    for kernel in KERNELS {
        for case in (kernel.cases)() {
            let mut table = Buffers::default();
            let step = table.declare("step", 16);
            let words = &case.fixture.buffers;
            let buffers: Vec<_> = words
                .iter()
                .map(|words| table.declare("", 4 * words.len() as u64))
                .collect();
            let dispatch = case.dispatch(kernel, buffers.clone());
            let name = format!("{} {}", dispatch.label(), case.name);
            if is_wanted(&name) {
                let fill = async |memory: &GpuMemory| {
                    for (buffer, words) in buffers.iter().zip(words) {
                        memory
                            .write(*buffer, 0, bytemuck::cast_slice(words))
                            .await?;
                    }
                    Ok(())
                };
                let seconds = block_on(time(
                    &gpu,
                    &table,
                    fill,
                    std::slice::from_ref(&dispatch),
                    step,
                    case.fixture.step,
                ))?;
                show(&name, seconds, dispatch.cost(case.fixture.step), rates);
            }
        }
    }
    let large = FORMATS.into_iter().flat_map(|format| {
        SHAPES
            .into_iter()
            .flat_map(move |shape| TOKENS.map(|tokens| (format, shape, tokens)))
    });
    let small = FEW_TOKENS.map(|tokens| (FEW_FORMAT, FEW_SHAPE, tokens));
    for (format, (rows, width), tokens) in large.chain(small) {
        for class in [None, Some(MatmulClass::FewRows)] {
            let of_class = class.map_or("", |_| " few rows");
            let name = format!("product {format} {rows}x{width} tokens {tokens}{of_class}");
            if is_wanted(&name) && (tokens <= 64 || class.is_none()) {
                let product = product(&gpu, format, rows, width, tokens, class);
                let (seconds, cost) = block_on(product)?;
                show(&name, seconds, cost, rates);
            }
        }
    }
    for (heads, kv_heads, head_dim) in HEADS {
        let shape = AttentionShape {
            heads,
            kv_heads,
            head_dim,
        };
        for tokens in ATTENDING {
            for class in [None, Some(RowClass::Decode)] {
                let of_class = class.map_or("", |_| " as single tokens");
                let name = format!(
                    "attention {heads}/{kv_heads} heads of {head_dim} after {ATTENDED} tokens \
                     {tokens}{of_class}"
                );
                if is_wanted(&name) {
                    let (seconds, cost) = block_on(attention(&gpu, shape, tokens, class))?;
                    show(&name, seconds, cost, rates);
                }
            }
        }
    }
    Ok(())
}

fn show(name: &str, seconds: f64, cost: Cost, rates: Rates) {
    let (gb, gflop) = (
        cost.bytes as f64 / seconds / 1e9,
        cost.flops as f64 / seconds / 1e9,
    );
    let limit = 100.0 * rates.least_seconds(cost) / seconds;
    println!(
        "{:>10.1} {gb:>9.2} {gflop:>9.2} {limit:>5.0}%  {name}",
        seconds * 1e6
    );
}

/// Seconds of a product, and what it has to do.
async fn product(
    gpu: &Gpu,
    format: WeightFormat,
    rows: u32,
    width: u32,
    tokens: u32,
    class: Option<MatmulClass>,
) -> Result<(f64, Cost), GpuError> {
    let mut table = Buffers::default();
    let step = table.declare("step", 16);
    let tile = Random::new(1).matrix(format, 32, width as usize);
    let shard = |(first, rows): (u32, u32)| {
        let bytes = u64::from(rows.div_ceil(32)) * Matrix::tile_bytes(format, width);
        Shard {
            format,
            buffer: table.declare("weights", bytes),
            first,
            rows,
        }
    };
    let shards: Vec<Shard> = Matrix::shard_rows(format, rows, width, gpu.caps().max_binding)
        .into_iter()
        .map(shard)
        .collect();
    let rows_of_x = tokens.next_multiple_of(X_ROW_GROUP);
    let mut floats = |of: u32| table.declare("", 4 * u64::from(of) * u64::from(rows_of_x));
    let (x, y) = (floats(width), floats(rows));
    let activations = Random::new(2).activations((tokens * width) as usize);
    let weights: Vec<BufferRef> = shards.iter().map(|shard| shard.buffer).collect();
    let fill = async |memory: &GpuMemory| {
        memory
            .write(x, 0, bytemuck::cast_slice(&activations))
            .await?;
        for buffer in &weights {
            for at in (0..buffer.bytes).step_by(4 * tile.len()) {
                memory
                    .write(*buffer, at, bytemuck::cast_slice(&tile))
                    .await?;
            }
        }
        Ok(())
    };
    let mut plan = Plan::default();
    let matrix = Matrix {
        rows,
        width,
        shards,
    };
    Matmul {
        weights: &matrix,
        x,
        out: y,
        tokens: Tokens::Step { chunk: tokens },
        class,
        epilogue: Epilogue::Store,
    }
    .record(&mut plan, gpu.caps());
    let now = Step::new(0, tokens);
    let cost = plan
        .dispatches
        .iter()
        .map(|dispatch| dispatch.cost(now))
        .reduce(|a, b| Cost {
            bytes: a.bytes + b.bytes,
            flops: a.flops + b.flops,
            ..a
        });
    Ok((
        time(gpu, &table, fill, &plan.dispatches, step, now).await?,
        cost.unwrap_or_default(),
    ))
}

/// Layers whose attention is timed, each with a KV cache of its own: together they have more than
/// the caches of a processor hold, as in a model.
const LAYERS: u32 = 24;

/// Seconds of a layer's attention, and what it has to do.
async fn attention(
    gpu: &Gpu,
    shape: AttentionShape,
    tokens: u32,
    class: Option<RowClass>,
) -> Result<(f64, Cost), GpuError> {
    let mut table = Buffers::default();
    let step = table.declare("step", 16);
    let (kv, slots) = (KvFormat::default(), 2 * ATTENDED);
    let [k, v] = kv.bytes(shape).map(|bytes| bytes * u64::from(slots));
    let layers = [(); LAYERS as usize].map(|()| [table.declare("k", k), table.declare("v", v)]);
    let qkv = table.declare("qkv", 4 * u64::from(shape.qkv_width() * tokens));
    let out = table.declare("out", 4 * u64::from(shape.heads * shape.head_dim * tokens));
    let partials = table.declare("partials", partials_bytes(gpu.caps(), shape, tokens));
    let queries = Random::new(3).activations((shape.qkv_width() * tokens) as usize);
    let noise = noise(shape, kv, 1);
    let fill = async |memory: &GpuMemory| {
        memory.write(qkv, 0, bytemuck::cast_slice(&queries)).await?;
        for (buffer, words) in layers.into_iter().flatten().zip(noise.iter().cycle()) {
            for at in (0..buffer.bytes).step_by(4 * words.len()) {
                memory
                    .write(buffer, at, bytemuck::cast_slice(words))
                    .await?;
            }
        }
        Ok(())
    };
    let mut plan = Plan::default();
    for [k, v] in layers {
        let segment = Segment {
            k,
            v,
            first: 0,
            len: slots,
            host: None,
        };
        Attention {
            shape,
            kv,
            qkv,
            segments: &[segment],
            partials,
            out,
            chunk: tokens,
            class,
        }
        .record(&mut plan, gpu.caps());
    }
    let now = Step::new(ATTENDED, tokens);
    let cost = plan.dispatches[0].cost(now);
    let seconds = time(gpu, &table, fill, &plan.dispatches, step, now).await?;
    Ok((seconds / f64::from(LAYERS), cost))
}

/// Seconds that `dispatches` take, one after the other: the best of many. On GPUs without
/// timestamps the mean of one submission's, of the best submission.
async fn time(
    gpu: &Gpu,
    table: &Buffers,
    fill: impl AsyncFn(&GpuMemory) -> Result<(), GpuError>,
    dispatches: &[Dispatch],
    step: BufferRef,
    now: Step,
) -> Result<f64, GpuError> {
    let mut memory = GpuMemory::new(gpu);
    memory.allocate(table).await?;
    fill(&memory).await?;
    let mut best = f64::MAX;
    let mut repeats = 1;
    for submit in 0..=SUBMITS {
        let dispatches = std::iter::repeat_n(dispatches, repeats)
            .flatten()
            .cloned()
            .collect();
        let plan = Plan {
            dispatches,
            ..Plan::default()
        };
        let prepared = Prepared::new(gpu, &memory, &plan, step).await?;
        gpu.finish().await?;
        let warming = Instant::now();
        while submit == 1 && !gpu.caps().cpu && warming.elapsed().as_secs_f64() < WARM_UP {
            prepared.submit(&memory, now).await?;
            gpu.finish().await?;
        }
        gpu.start_profile();
        let begin = Instant::now();
        prepared.submit(&memory, now).await?;
        gpu.finish().await?;
        let elapsed = begin.elapsed().as_secs_f64() / repeats as f64;
        for run in gpu
            .finish_profile()
            .await?
            .chunks(plan.dispatches.len() / repeats)
        {
            let seconds = run
                .iter()
                .map(|dispatched| dispatched.seconds)
                .sum::<Option<f64>>()
                .unwrap_or(elapsed);
            if submit > 0 {
                best = best.min(seconds);
            }
        }
        // The first compiled the kernel and touched the memory.
        repeats = ((SECONDS / elapsed) as usize).clamp(1, DISPATCHES);
    }
    Ok(best)
}
