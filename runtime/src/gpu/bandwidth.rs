//! How fast a GPU reads its memory: the floor of decode.

use godwit_shaders::matmul::{Put, Tokens, matmul};
use godwit_shaders::{Buffers, Format, Matrix, Plan, Shard, Step};
use web_time::Instant;

use super::{Gpu, GpuError, GpuMemory, Prepared};

/// Bytes of the matrix: beyond any cache on a GPU, a moment's work on a CPU.
const BYTES: u64 = 128 << 20;
const RUNS: u32 = 4;

impl Gpu {
    /// Bytes a second, measured on a product with a Q8_0 matrix of 128 MiB: the best of a few runs.
    ///
    /// # Errors
    /// The device fails, or has no memory for it.
    pub async fn measure_bandwidth(&self) -> Result<f64, GpuError> {
        let width = 4096;
        let tile = Matrix::tile_bytes(Format::Q8_0, width);
        let rows = (BYTES.min(self.caps().max_binding) / tile * 32) as u32;
        let bytes = u64::from(rows) / 32 * tile;
        let mut table = Buffers::default();
        let step = table.declare("step", 16);
        let weights = table.declare("weights", bytes);
        let (x, y) = (table.declare("x", 4 * u64::from(width)), table.declare("y", 4 * u64::from(rows)));
        let shard = Shard { format: Format::Q8_0, buffer: weights, first: 0, rows };
        let matrix = Matrix { rows, width, shards: vec![shard] };
        let mut plan = Plan::default();
        matmul(&mut plan, self.caps(), &matrix, x, y, Tokens::Rows { first: 0, count: 1 }, Put::Store);
        let mut memory = GpuMemory::new(self);
        memory.allocate(&table).await?;
        // Memory that was never written may have no pages behind it, and reads far too fast.
        let ones = vec![1_u8; 8 << 20];
        for at in (0..bytes).step_by(ones.len()) {
            memory.write(weights, at, &ones[..ones.len().min((bytes - at) as usize)]);
        }
        let prepared = Prepared::new(self, &memory, &plan, step).await?;
        let mut best = 0.0_f64;
        for _ in 0..RUNS {
            self.finish().await?;
            let begin = Instant::now();
            prepared.submit(&memory, Step::new(0, 1));
            self.finish().await?;
            best = best.max(bytes as f64 / begin.elapsed().as_secs_f64());
        }
        Ok(best)
    }
}
