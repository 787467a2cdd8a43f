//! How fast a GPU reads memory and computes: the floors of decode and prefill.

use godwit_shaders::kernels::fma_rate::{self, fma_rate};
use godwit_shaders::kernels::read_rate::{self, read_rate};
use godwit_shaders::{BufferRef, Buffers, Cost, Plan, Step};
use web_time::{Duration, Instant};

use super::{Gpu, GpuError, GpuMemory, Prepared};

/// Bytes that are read, where there is room: beyond any cache on a GPU, a moment's work on a CPU.
const BYTES: [u64; 4] = [1 << 30, 512 << 20, 256 << 20, 128 << 20];
const BYTES_CPU: [u64; 1] = [128 << 20];
/// Times that each is done in one submission, and submissions; the best counts.
const RUNS: usize = 8;
const SUBMITS: usize = 3;

/// A GPU's measured peak rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Bytes that a kernel reads from storage buffers.
    pub bytes_per_s: f64,
    /// 32-bit floating-point operations; a multiply-add is two.
    pub flops_per_s: f64,
}

impl Rates {
    /// Seconds that cost takes at least: for its bytes or its arithmetic, whichever takes longer.
    pub fn least_seconds(&self, cost: Cost) -> f64 {
        (cost.bytes as f64 / self.bytes_per_s).max(cost.flops as f64 / self.flops_per_s)
    }
}

/// For how long a GPU works before anything is measured.
const WARM_UP: Duration = Duration::from_millis(300);

impl Gpu {
    /// Measures both rates, by kernels that do nothing else.
    ///
    /// # Errors
    /// The device fails, or has no memory for it.
    pub async fn measure_rates(&self) -> Result<Rates, GpuError> {
        Ok(Rates {
            bytes_per_s: self.measure_reading().await?,
            flops_per_s: self.measure_arithmetic().await?,
        })
    }

    async fn measure_reading(&self) -> Result<f64, GpuError> {
        let sizes = if self.caps().cpu {
            &BYTES_CPU[..]
        } else {
            &BYTES[..]
        };
        let most = self.caps().max_binding.min(self.caps().max_buffer);
        let mut result = Ok(0.0);
        for &total in sizes {
            let mut table = Buffers::default();
            let step = table.declare("step", 16);
            let sums = table.declare("sums", 4 * u64::from(read_rate::invocations(self.caps())));
            let parts = total.div_ceil(most);
            let data: Vec<_> = (0..parts)
                .map(|_| table.declare("data", total / parts))
                .collect();
            let mut memory = GpuMemory::new(self);
            result = memory.allocate(&table).await.map(|()| 0.0);
            match &result {
                // A smaller buffer may fit.
                Err(error) if error.is_out_of_memory() => continue,
                _ => result.clone()?,
            };
            // Memory that was never written may have no pages behind it, and reads far too fast.
            let noise: Vec<u32> = (0_u32..2 << 20)
                .map(|i| i.wrapping_mul(0x9e37_79b9) ^ (i >> 7))
                .collect();
            let noise: &[u8] = bytemuck::cast_slice(&noise);
            for part in &data {
                for at in (0..part.bytes).step_by(noise.len()) {
                    memory
                        .write(
                            *part,
                            at,
                            &noise[..noise.len().min((part.bytes - at) as usize)],
                        )
                        .await?;
                    self.finish().await?;
                }
            }
            let mut plan = Plan::default();
            data.iter()
                .for_each(|part| read_rate(&mut plan, self.caps(), *part, sums));
            return self
                .time(&memory, &plan, step, Step::default(), |cost| cost.bytes)
                .await;
        }
        result
    }

    async fn measure_arithmetic(&self) -> Result<f64, GpuError> {
        let mut table = Buffers::default();
        let step = table.declare("step", 16);
        let y = table.declare("y", 4 * u64::from(fma_rate::invocations(self.caps())));
        let mut memory = GpuMemory::new(self);
        memory.allocate(&table).await?;
        let mut plan = Plan::default();
        fma_rate(&mut plan, self.caps(), y);
        self.time(&memory, &plan, step, Step::default(), |cost| cost.flops)
            .await
    }

    /// Units of cost a second: the best of several runs in several submissions, the time on the GPU
    /// where it tells, else the submission's.
    pub(super) async fn time(
        &self,
        memory: &GpuMemory,
        plan: &Plan,
        buffer: BufferRef,
        step: Step,
        units: impl Fn(&Cost) -> u64,
    ) -> Result<f64, GpuError> {
        let once = plan.dispatches.len();
        let dispatches = std::iter::repeat_n(&plan.dispatches, RUNS)
            .flatten()
            .cloned()
            .collect();
        let prepared = Prepared::new(
            self,
            memory,
            &Plan {
                dispatches,
                ..Plan::default()
            },
            buffer,
        )
        .await?;
        let mut best = 0.0_f64;
        // A GPU that was idle takes its time to run at full speed.
        let warming = Instant::now();
        while !self.caps().cpu && warming.elapsed() < WARM_UP {
            prepared.submit(memory, step).await?;
            self.finish().await?;
        }
        for _ in 0..=SUBMITS {
            self.finish().await?;
            self.start_profile();
            let begin = Instant::now();
            prepared.submit(memory, step).await?;
            self.finish().await?;
            let elapsed = begin.elapsed().as_secs_f64() / RUNS as f64;
            for run in self.finish_profile().await?.chunks(once) {
                let seconds = run
                    .iter()
                    .map(|timed| timed.seconds)
                    .sum::<Option<f64>>()
                    .unwrap_or(elapsed);
                let done: u64 = run.iter().map(|timed| units(&timed.cost)).sum();
                best = best.max(done as f64 / seconds);
            }
        }
        Ok(best)
    }
}
