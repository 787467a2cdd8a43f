//! A model, and a text that it reads in chunks.

use godwit::ContextSize;
use godwit::tokenizer::Special;

use crate::args::{Common, ModelArgs, TextArgs};
use crate::exit::{BadInput, Usage};
use crate::input;
use crate::load::{self, Loaded};
use crate::stop::Stop;

/// A loaded model, and the ids of a text.
pub struct Text {
    pub loaded: Loaded,
    pub stop: Stop,
    ids: Vec<u32>,
    /// Tokens of a chunk.
    pub size: usize,
    most: usize,
}

impl Text {
    /// Loads the model, and reads the text: one chunk at least.
    pub async fn load(args: &TextArgs, common: &Common) -> anyhow::Result<Self> {
        if args.context < 4 {
            return Err(Usage("a chunk needs 4 tokens at least".into()).into());
        }
        let text = input::file(&args.file)?;
        // Not before: until stdin ends, signals end the program as usual.
        let stop = Stop::listen()?;
        let model = ModelArgs {
            source: args.source.clone(),
            quant: args.quant.clone(),
            context: Some(ContextSize::Tokens(args.context)),
            kv: args.kv,
            spill_memory: 0,
            spill_dir: None,
            no_spill: true,
        };
        let loaded = load::load(&model, common, false, &stop).await?;
        let ids = loaded.model.tokenizer().encode(&text, Special::Text)?;
        let size = args.context as usize;
        if ids.len() < size || args.chunks == Some(0) {
            let cause = format!(
                "{} tokens are less than one chunk of {size}; give a longer text, or a smaller \
                 --context",
                ids.len()
            );
            return Err(BadInput {
                file: args.file.display().to_string(),
                cause,
            }
            .into());
        }
        Ok(Self {
            loaded,
            stop,
            ids,
            size,
            most: args.chunks.unwrap_or(usize::MAX),
        })
    }

    /// The chunks as they are, and as the model reads them: its beginning of a text in the place of
    /// the first token.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = (&[u32], Vec<u32>)> {
        let tokenizer = self.loaded.model.tokenizer();
        let begin = tokenizer.bos().filter(|_| tokenizer.adds_bos());
        self.ids
            .chunks_exact(self.size)
            .take(self.most)
            .map(move |chunk| {
                let mut read = chunk.to_vec();
                if let Some(bos) = begin {
                    read[0] = bos;
                }
                (chunk, read)
            })
    }
}
