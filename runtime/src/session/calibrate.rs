//! Measuring what a model's matrices are multiplied with, for importance matrices.

use godwit_shaders::{BufferRef, Buffers};

use super::Session;
use crate::error::Error;
use crate::executor::{Work, inputs};
use crate::quantize::InputSquares;

impl Session {
    /// Begins a new context with `tokens`, and adds the squares of what each matrix is multiplied
    /// with to `squares`.
    ///
    /// # Errors
    /// As [`Session::prefill`], or a matrix's inputs are not finite; then nothing is added. Where
    /// the tokens do not fit, or the sums, the context stays.
    pub async fn calibrate(
        &mut self,
        tokens: &[u32],
        squares: &mut InputSquares,
    ) -> Result<(), Error> {
        self.check_prompt(tokens)?;
        if self.executor.calibrated.is_empty() {
            let llama = &self.executor.engine.inner.llama;
            let declare = |table: &mut Buffers| {
                let (inputs, bytes) = inputs(llama, table.len() as u32);
                table.declare("input squares", bytes);
                inputs
            };
            self.executor.calibrated = self.executor.buffers.allocate(declare).await?;
        }
        self.truncate(0);
        let Some(last) = self.executor.calibrated.last() else {
            return Ok(());
        };
        let all = BufferRef {
            offset: 0,
            bytes: last.sums.offset + last.sums.bytes,
            ..last.sums
        };
        self.executor
            .buffers
            .memory()
            .write(all, 0, &vec![0; all.bytes as usize])
            .await?;
        let mut done = 0;
        while done < tokens.len() {
            done += self.pass(&tokens[done..], true, Work::Calibrate).await?;
        }
        let found = self.executor.buffers.memory().read(all).await?;
        // All are checked before any is added.
        let mut sums_of_inputs: Vec<Vec<f32>> = Vec::new();
        for input in &self.executor.calibrated {
            let from = input.sums.offset as usize;
            let sums: Vec<f32> =
                bytemuck::pod_collect_to_vec(&found[from..][..input.sums.bytes as usize]);
            if let Some(tensor) = input
                .names
                .first()
                .filter(|_| !sums.iter().all(|sum| sum.is_finite()))
            {
                return Err(Error::InputsNotFinite {
                    tensor: tensor.clone(),
                });
            }
            sums_of_inputs.push(sums);
        }
        for (input, sums) in self.executor.calibrated.iter().zip(sums_of_inputs) {
            for name in &input.names {
                squares.add(name.clone(), &sums);
            }
        }
        squares.add_tokens(tokens.len());
        Ok(())
    }
}
