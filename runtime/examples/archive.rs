//! A model inside an archive, as games ship theirs: a source of bytes of the program's own.
//!
//! `cargo run --release -p godwit --example archive MODEL.gguf`

use std::error::Error;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use godwit::{
    Engine, EngineOptions, GenerateOptions, Gpu, GpuOptions, Model, Sampling, Source, SourceCause,
    SourceError, unwatched,
};

/// What stands before the model in the archive.
const HEADER: &[u8] = b"an archive of this game\n";

/// One entry of an archive: a range of its bytes.
struct Entry {
    name: String,
    archive: Mutex<File>,
    begin: u64,
    len: u64,
}

impl Source for Entry {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), SourceError> {
        let needed = into.len() as u64;
        let remaining = self.len.saturating_sub(offset);
        if needed > remaining {
            let cause = SourceCause::Truncated { needed, remaining };
            return Err(SourceError::new(&self.name, cause).at(offset));
        }
        let mut archive = self.archive.lock().unwrap_or_else(PoisonError::into_inner);
        archive
            .seek(SeekFrom::Start(self.begin + offset))
            .and_then(|_| archive.read_exact(into))
            .map_err(|error| {
                let (doing, message) = ("read the archive", error.to_string());
                SourceError::new(&self.name, SourceCause::Io { doing, message }).at(offset)
            })
    }
}

/// An archive with one entry, the model.
fn pack(model: &Path) -> std::io::Result<Entry> {
    let mut archive = tempfile::tempfile()?;
    archive.write_all(HEADER)?;
    let len = std::io::copy(&mut File::open(model)?, &mut archive)?;
    Ok(Entry {
        name: "model.gguf".into(),
        archive: Mutex::new(archive),
        begin: HEADER.len() as u64,
        len,
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: archive MODEL.gguf")?;
    let entry = pack(Path::new(&path))?;
    pollster::block_on(async {
        let model = Model::from_sources(vec![Box::new(entry)])?;
        let gpu = Gpu::open(&GpuOptions::default()).await?;
        let engine = Engine::load(gpu, &model, &EngineOptions::default(), &mut unwatched).await?;
        let mut session = engine.session().await?;
        let prompt = "The capital of France is";
        let prompt = model.tokenizer().encode_prompt(prompt)?;
        session.prefill(&prompt, &mut unwatched).await?;
        let options = GenerateOptions::default()
            .sampling(Sampling::greedy())
            .max_tokens(8);
        let mut generation = session.generate(options)?;
        while generation.next().await?.is_some() {}
        println!("{}", generation.text());
        Ok(())
    })
}
