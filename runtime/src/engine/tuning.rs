//! How work is cut up for an adapter, on disk: measured once.

use std::path::Path;

use godwit_shaders::capabilities::{self, Tuning};
use godwit_shaders::{Capabilities, MatmulClass, MatmulMethod};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::gpu::{AdapterSummary, Gpu, candidates};
use crate::io::warn::warn_of;
use crate::io::{FileError, read_checked, write_checked};
use crate::progress::OnProgress;

/// A kept tuning: the adapter, and the values found for it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    adapter: String,
    prefill_chunk: u32,
    workgroups: u32,
    gemv: Option<String>,
    few_rows: Option<String>,
    few_rows_up_to: u32,
    gemm: Option<String>,
}

/// The adapter with all that may change what suits it.
fn identity(summary: &AdapterSummary, caps: &Capabilities) -> String {
    let caps = Capabilities {
        tuning: capabilities::GPU,
        ..*caps
    };
    format!(
        "{summary}, {}, {caps:?}, godwit {}",
        summary.driver,
        env!("CARGO_PKG_VERSION")
    )
}

impl Kept {
    fn new(adapter: String, tuning: Tuning) -> Self {
        let name = |method: Option<MatmulMethod>| method.map(|method| method.name().to_owned());
        let Tuning {
            prefill_chunk,
            workgroups,
            gemv,
            few_rows,
            few_rows_up_to,
            gemm,
            ..
        } = tuning;
        Self {
            adapter,
            prefill_chunk,
            workgroups,
            gemv: name(gemv),
            few_rows: name(few_rows),
            few_rows_up_to,
            gemm: name(gemm),
        }
    }

    /// The tuning, where it is this adapter's and makes sense.
    fn tuning(&self, adapter: &str, caps: &Capabilities) -> Option<Tuning> {
        let method = |name: &Option<String>, class| match name {
            None => Some(None),
            Some(name) => {
                let known = MatmulMethod::all_of(class)
                    .find(|method| method.name() == name && method.suits(caps, class));
                known.map(Some)
            }
        };
        let gemv = method(&self.gemv, MatmulClass::Gemv)?;
        let few_rows = method(&self.few_rows, MatmulClass::FewRows)?;
        let gemm = method(&self.gemm, MatmulClass::Gemm)?;
        let candidates = candidates(caps);
        let fine = self.adapter == adapter
            && candidates.passes.contains(&self.prefill_chunk)
            && candidates.workgroups.contains(&self.workgroups)
            && candidates.few_rows_up_to.contains(&self.few_rows_up_to);
        fine.then_some(Tuning {
            prefill_chunk: self.prefill_chunk,
            workgroups: self.workgroups,
            gemv,
            few_rows,
            few_rows_up_to: self.few_rows_up_to,
            gemm,
            ..caps.tuning
        })
    }
}

impl Gpu {
    /// Tunes a GPU that nobody else has yet: some ways to cut work up are timed, for a second or a
    /// few, and what is fastest is kept in the folder `cache` for the next time. `progress` hears
    /// how many are timed, of how many. A file that can't be read or written costs time only; where
    /// somebody else has the GPU, it stays as it is.
    ///
    /// # Errors
    /// The device fails, or `progress` says stop.
    pub async fn tune(&mut self, cache: &Path, progress: &mut OnProgress<'_>) -> Result<(), Error> {
        let adapter = identity(self.summary(), self.caps());
        let file = cache.join(format!(
            "{}.json",
            &blake3::hash(adapter.as_bytes()).to_hex()[..16]
        ));
        let (kept, writable) = match read_checked::<Kept>(&file) {
            Ok(kept) => (kept, true),
            Err(error @ FileError::Damaged { .. }) => {
                warn_of(&error, "the GPU is measured again");
                (None, true)
            }
            Err(error) => {
                let then = "the GPU is measured at each start, and the file stays as it is: \
                            delete it, or leave measuring out with --no-tune";
                warn_of(&error, then);
                (None, false)
            }
        };
        let tuning = match kept.and_then(|kept| kept.tuning(&adapter, self.caps())) {
            Some(tuning) => tuning,
            None => match self.measure_tuning(progress).await {
                Ok(None) => return Err(Error::Stopped),
                Ok(Some(tuning)) => {
                    let kept = Kept::new(adapter, tuning);
                    if let Err(error) = if writable {
                        write_checked(&file, kept)
                    } else {
                        Ok(())
                    } {
                        let then = "what was measured of the GPU is not kept: XDG_CACHE_HOME \
                                    names another cache folder, --no-tune leaves measuring out";
                        warn_of(&error, then);
                    }
                    tuning
                }
                // The model may still fit.
                Err(error) if error.is_out_of_memory() => return Ok(()),
                Err(error) => return Err(error.into()),
            },
        };
        tracing::debug!(?tuning, "tuned");
        self.set_tuning(tuning);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use godwit_shaders::capabilities::WEBGPU;

    use super::*;

    #[test]
    fn what_is_kept_counts_only_where_it_makes_sense() {
        let tuning = Tuning {
            prefill_chunk: 256,
            workgroups: 128,
            gemv: Some(MatmulMethod::CpuGemv),
            gemm: None,
            ..WEBGPU.tuning
        };
        let kept = || Kept::new("this one".into(), tuning);
        assert_eq!(kept().tuning("this one", &WEBGPU), Some(tuning));
        assert_eq!(kept().tuning("another", &WEBGPU), None);
        // Not among the candidates, not for one token, not there on this device, unknown.
        for bad in [
            Kept {
                prefill_chunk: 0,
                ..kept()
            },
            Kept {
                workgroups: u32::MAX,
                ..kept()
            },
            Kept {
                few_rows_up_to: 7,
                ..kept()
            },
            Kept {
                few_rows: Some("gemv".into()),
                ..kept()
            },
            Kept {
                gemv: Some("gemm".into()),
                ..kept()
            },
            Kept {
                gemm: Some("gemm_coop".into()),
                ..kept()
            },
            Kept {
                gemm: Some("magic".into()),
                ..kept()
            },
        ] {
            assert_eq!(bad.tuning("this one", &WEBGPU), None, "{bad:?}");
        }
    }
}
