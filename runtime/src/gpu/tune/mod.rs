//! Finds out how work is best cut up for an adapter.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use godwit_shaders::capabilities::Tuning;
use godwit_shaders::kernels::attention::{Attention, partials_bytes};
use godwit_shaders::kernels::matmul::{Epilogue, FEW_X_ROWS, Matmul, Tokens, X_ROW_GROUP};
use godwit_shaders::{
    AttentionShape, Buffers, Capabilities, Cost, KvFormat, MatmulClass, MatmulMethod, Matrix, Plan,
    Segment, Shard, Step, WeightFormat,
};

use super::{Gpu, GpuError, GpuMemory};
use crate::progress::{OnProgress, Progress};

/// Methods that are tried. On a CPU those for GPUs, with their workgroup memory and barriers, take
/// too long even to be tried.
const METHODS: [MatmulMethod; 8] = [
    MatmulMethod::Gemv,
    MatmulMethod::GemvDp4a,
    MatmulMethod::CpuGemv,
    MatmulMethod::FewRows,
    MatmulMethod::Gemm,
    MatmulMethod::GemmF16,
    MatmulMethod::GemmCoop,
    MatmulMethod::CpuGemm,
];
const METHODS_CPU: [MatmulMethod; 6] = [
    MatmulMethod::CpuGemv,
    MatmulMethod::CpuGemvSubgroup,
    MatmulMethod::CpuFewRows,
    MatmulMethod::CpuFewRowsSubgroup,
    MatmulMethod::CpuGemm,
    MatmulMethod::CpuGemmSubgroup,
];
/// The most tokens that the methods for few rows may be found to be faster for, and the tokens
/// that are tried.
const FEW_ROWS_UP_TO: [u32; 6] = [1, 2, 4, 8, 16, 32];
/// Tokens of a pass that are tried.
const PASSES: [u32; 3] = [128, 256, 512];
const PASSES_CPU: [u32; 2] = [64, 128];
/// Workgroups of attention that are tried.
const WORKGROUPS: [u32; 4] = [64, 128, 256, 512];
const WORKGROUPS_CPU: [u32; 3] = [1, 8, 32];
/// Another choice than the built-in one has to be faster by this factor.
const CLEARLY: f64 = 1.05;

/// The numbers that are tried.
pub(crate) struct Candidates {
    /// Tokens of a pass.
    pub passes: &'static [u32],
    /// Workgroups of attention.
    pub workgroups: &'static [u32],
    /// [`Tuning::few_rows_up_to`].
    pub few_rows_up_to: &'static [u32],
}

/// The numbers that are tried on a device.
pub(crate) fn candidates(caps: &Capabilities) -> Candidates {
    Candidates {
        passes: if caps.cpu { &PASSES_CPU } else { &PASSES },
        workgroups: if caps.cpu {
            &WORKGROUPS_CPU
        } else {
            &WORKGROUPS
        },
        few_rows_up_to: &FEW_ROWS_UP_TO,
    }
}

impl Gpu {
    /// Has plans from now on recorded with this tuning, unless somebody else has the GPU too: then
    /// it stays as it is.
    pub(crate) fn set_tuning(&mut self, tuning: Tuning) {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.caps.tuning = tuning;
        }
    }

    /// Times the candidates; none where `progress` says stop. It hears how many are timed, of how
    /// many.
    ///
    /// # Errors
    /// The device fails, or lacks memory.
    pub(crate) async fn measure_tuning(
        &self,
        progress: &mut OnProgress<'_>,
    ) -> Result<Option<Tuning>, GpuError> {
        let Candidates {
            passes,
            workgroups,
            few_rows_up_to,
        } = candidates(self.caps());
        let methods = if self.caps().cpu {
            &METHODS_CPU[..]
        } else {
            &METHODS
        };
        let of = |class| {
            methods
                .iter()
                .copied()
                .filter(move |method| method.suits(self.caps(), class))
        };
        let crossovers = || few_rows_up_to.iter().copied().filter(|&rows| rows > 1);
        let total = of(MatmulClass::Gemv).count()
            + of(MatmulClass::FewRows).count()
            + of(MatmulClass::Gemm).count()
            + crossovers().count()
            + passes.len()
            + workgroups.len();
        let mut done = 0;
        let mut is_stopped = || {
            done += 1;
            progress(Progress::of(done - 1, total)).is_break()
        };
        let mut caps = *self.caps();

        let mut found = Vec::new();
        for method in of(MatmulClass::Gemv) {
            if is_stopped() {
                return Ok(None);
            }
            caps.tuning = Tuning {
                gemv: Some(method),
                ..self.caps().tuning
            };
            found.push((method, or_nothing(self.time_matmul(&caps, 1).await)?));
        }
        let gemv = fastest(&found, MatmulMethod::built_in(&caps, MatmulClass::Gemv));
        found.clear();
        for method in of(MatmulClass::FewRows) {
            if is_stopped() {
                return Ok(None);
            }
            caps.tuning = Tuning {
                few_rows: Some(method),
                ..self.caps().tuning
            };
            let speed = self.time_few_rows(&caps, FEW_X_ROWS).await;
            found.push((method, or_nothing(speed)?));
        }
        let few_rows = fastest(&found, MatmulMethod::built_in(&caps, MatmulClass::FewRows));
        found.clear();
        for method in of(MatmulClass::Gemm) {
            if is_stopped() {
                return Ok(None);
            }
            caps.tuning = Tuning {
                gemm: Some(method),
                ..self.caps().tuning
            };
            found.push((
                method,
                or_nothing(self.time_matmul(&caps, caps.tuning.prefill_chunk).await)?,
            ));
        }
        let gemm = fastest(&found, MatmulMethod::built_in(&caps, MatmulClass::Gemm));
        caps.tuning = Tuning {
            gemv: Some(gemv),
            few_rows: Some(few_rows),
            gemm: Some(gemm),
            ..caps.tuning
        };

        let mut up_to = 1;
        let mut is_few = true;
        for rows in crossovers() {
            if is_stopped() {
                return Ok(None);
            }
            // With more rows GEMMs only become better.
            if is_few {
                let few = or_nothing(self.time_few_rows(&caps, rows).await)?;
                is_few = few >= self.time_matmul(&caps.without_few_rows(), rows).await?;
                up_to = if is_few { rows } else { up_to };
            }
        }
        caps.tuning.few_rows_up_to = up_to;

        let mut speeds = Vec::new();
        for &pass in passes {
            if is_stopped() {
                return Ok(None);
            }
            speeds.push((pass, self.time_matmul(&caps, pass).await?));
        }
        let prefill_chunk = fastest(&speeds, self.caps().tuning.prefill_chunk);

        speeds.clear();
        for &workgroups in workgroups {
            if is_stopped() {
                return Ok(None);
            }
            caps.tuning.workgroups = workgroups;
            speeds.push((workgroups, self.time_attention(&caps).await?));
        }
        let workgroups = fastest(&speeds, self.caps().tuning.workgroups);
        if is_stopped() {
            return Ok(None);
        }
        Ok(Some(Tuning {
            prefill_chunk,
            workgroups,
            gemv: Some(gemv),
            few_rows: Some(few_rows),
            few_rows_up_to: up_to,
            gemm: Some(gemm),
            ..self.caps().tuning
        }))
    }

    /// Floating-point operations a second of a matmul with this many tokens.
    async fn time_matmul(&self, caps: &Capabilities, tokens: u32) -> Result<f64, GpuError> {
        self.time_matmul_of(caps, tokens, None).await
    }

    /// The same by the method for few rows.
    async fn time_few_rows(&self, caps: &Capabilities, tokens: u32) -> Result<f64, GpuError> {
        self.time_matmul_of(caps, tokens, Some(MatmulClass::FewRows))
            .await
    }

    async fn time_matmul_of(
        &self,
        caps: &Capabilities,
        tokens: u32,
        class: Option<MatmulClass>,
    ) -> Result<f64, GpuError> {
        let (rows, width) = if caps.cpu { (1024, 1024) } else { (8192, 4096) };
        let mut table = Buffers::default();
        let step = table.declare("step", 16);
        let bytes = u64::from(rows) / 32 * Matrix::tile_bytes(WeightFormat::Q4_K, width);
        let shard = Shard {
            format: WeightFormat::Q4_K,
            buffer: table.declare("weights", bytes),
            first: 0,
            rows,
        };
        let matrix = Matrix {
            rows,
            width,
            shards: vec![shard],
        };
        let x = table.declare(
            "x",
            4 * u64::from(width) * u64::from(tokens.next_multiple_of(X_ROW_GROUP)),
        );
        let y = table.declare("y", 4 * u64::from(rows) * u64::from(tokens));
        let mut memory = GpuMemory::new(self);
        memory.allocate(&table).await?;
        let mut plan = Plan::default();
        let tokens = Tokens::Rows {
            first: 0,
            count: tokens,
        };
        Matmul {
            weights: &matrix,
            x,
            out: y,
            tokens,
            class,
            epilogue: Epilogue::Store,
        }
        .record(&mut plan, caps);
        self.time(&memory, &plan, step, Step::default(), |work| work.flops)
            .await
    }

    /// Bytes of keys and values a second that a decode step's attention reads.
    async fn time_attention(&self, caps: &Capabilities) -> Result<f64, GpuError> {
        let positions: u32 = if caps.cpu { 2048 } else { 16_384 };
        let shape = AttentionShape {
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
        };
        let kv = KvFormat::default();
        let mut table = Buffers::default();
        let step = table.declare("step", 16);
        let [k, v] = kv
            .bytes(shape)
            .map(|bytes| table.declare("kv", u64::from(positions) * bytes));
        let segment = Segment {
            k,
            v,
            first: 0,
            len: positions,
            host: None,
        };
        let qkv = table.declare("qkv", 4 * u64::from(shape.qkv_width()));
        let partials = table.declare("partials", partials_bytes(caps, shape, 1));
        let out = table.declare("out", 4 * u64::from(shape.heads * shape.head_dim));
        let mut memory = GpuMemory::new(self);
        memory.allocate(&table).await?;
        let mut plan = Plan::default();
        let segments = &[segment];
        Attention {
            shape,
            kv,
            qkv,
            segments,
            partials,
            out,
            chunk: 1,
            class: None,
        }
        .record(&mut plan, caps);
        self.time(
            &memory,
            &plan,
            step,
            Step::new(positions - 1, 1),
            |cost: &Cost| cost.bytes,
        )
        .await
    }
}

/// A speed; none at all of what the driver doesn't compile.
fn or_nothing(speed: Result<f64, GpuError>) -> Result<f64, GpuError> {
    match speed {
        Err(cause @ GpuError::Kernel { .. }) => {
            tracing::warn!(%cause, "left out");
            Ok(0.0)
        }
        speed => speed,
    }
}

/// The fastest; the built-in one unless another is clearly faster.
fn fastest<T: Copy + PartialEq>(found: &[(T, f64)], built_in: T) -> T {
    let base = found
        .iter()
        .find(|(choice, _)| *choice == built_in)
        .map_or(0.0, |(_, speed)| *speed);
    let best = found.iter().max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.filter(|(_, speed)| *speed > base * CLEARLY)
        .map_or(built_in, |(choice, _)| *choice)
}
