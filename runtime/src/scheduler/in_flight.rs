//! Passes whose tokens are on their way to the host.

use super::request::RequestId;
use crate::error::Error;
use crate::gpu::Readback;

/// The output rows of a request in a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputRows {
    pub request: RequestId,
    pub count: usize,
    /// As [`Request::log_probs`](super::Request::log_probs).
    pub log_probs: Option<u32>,
}

/// A pass whose tokens are on their way to the host.
pub(super) struct InFlight {
    pub rows: Vec<OutputRows>,
    chosen: Arriving,
    log_probs: Option<Arriving>,
}

/// Bytes on their way, or here. A future that waits for them may be dropped, and another one wait.
enum Arriving {
    Coming(Readback),
    Here(Vec<u8>),
}

impl Arriving {
    fn has_arrived(&mut self) -> bool {
        match self {
            Self::Coming(readback) => readback.has_arrived(),
            Self::Here(_) => true,
        }
    }

    async fn wait(&mut self) -> Result<&[u8], Error> {
        if let Self::Coming(readback) = self {
            let bytes = readback.finish().await?;
            *self = Self::Here(bytes);
        }
        match self {
            Self::Here(bytes) => Ok(bytes),
            Self::Coming(_) => Ok(&[]),
        }
    }
}

impl InFlight {
    pub fn new(rows: Vec<OutputRows>, chosen: Readback, log_probs: Option<Readback>) -> Self {
        Self {
            rows,
            chosen: Arriving::Coming(chosen),
            log_probs: log_probs.map(Arriving::Coming),
        }
    }

    /// Whether [`InFlight::wait`] would not wait.
    pub fn has_arrived(&mut self) -> bool {
        let log_probs = &mut self.log_probs;
        self.chosen.has_arrived() && log_probs.as_mut().is_none_or(Arriving::has_arrived)
    }

    /// Waits for the chosen tokens and the log-probabilities.
    ///
    /// # Errors
    /// The device failed.
    pub async fn wait(&mut self) -> Result<(&[u8], &[u8]), Error> {
        let chosen = self.chosen.wait().await?;
        let log_probs = match &mut self.log_probs {
            Some(log_probs) => log_probs.wait().await?,
            None => &[],
        };
        Ok((chosen, log_probs))
    }
}
