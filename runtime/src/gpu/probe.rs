//! Whether an adapter computes at all: some open, and then compile nothing or answer nothing.

use godwit_shaders::kernels::argmax::Argmax;
use godwit_shaders::kernels::sample::Choice;
use godwit_shaders::{Buffers, Plan, Step};

use super::{Gpu, GpuError, GpuMemory, Prepared};

/// How many numbers are searched, and where the largest is.
const COUNT: u32 = 300;
const LARGEST: u32 = 277;

impl Gpu {
    /// Has the GPU find the largest of some numbers.
    ///
    /// # Errors
    /// [`GpuError::Unusable`]: the kernel does not compile or run, or the answer is wrong.
    pub(super) async fn check_computes(&self) -> Result<(), GpuError> {
        let unusable = |cause: String| GpuError::Unusable {
            adapter: self.summary().to_string(),
            cause,
        };
        match self.largest().await {
            Ok(LARGEST) => Ok(()),
            Ok(other) => Err(unusable(format!(
                "a test kernel answers {other} instead of {LARGEST}"
            ))),
            Err(error) => Err(unusable(error.to_string())),
        }
    }

    async fn largest(&self) -> Result<u32, GpuError> {
        let mut table = Buffers::default();
        let step = table.declare("step", 16);
        let numbers = table.declare("numbers", 4 * u64::from(COUNT));
        let choices = table.declare("choices", size_of::<Choice>() as u64);
        let found = table.declare("found", 4);
        let mut memory = GpuMemory::new(self);
        memory.allocate(&table).await?;
        let values: Vec<f32> = (0..COUNT)
            .map(|i| {
                if i == LARGEST {
                    2.0
                } else {
                    1.0 / (1.0 + i as f32)
                }
            })
            .collect();
        memory
            .write(numbers, 0, bytemuck::cast_slice(&values))
            .await?;
        memory
            .write(choices, 0, bytemuck::bytes_of(&Choice::default()))
            .await?;
        let mut plan = Plan::default();
        Argmax {
            choices,
            logits: numbers,
            chosen: found,
            vocab: COUNT,
            rows: 1,
        }
        .record(&mut plan);
        let one_row = Step {
            outputs: 1,
            ..Step::default()
        };
        Prepared::new(self, &memory, &plan, step)
            .await?
            .submit(&memory, one_row)
            .await?;
        Ok(bytemuck::pod_read_unaligned(
            &memory.read(found).await?[..4],
        ))
    }
}
