//! Writes a safetensors repository of noise, as large as a real one: `repository FOLDER
//! [SHAPE[:FORMAT][,KEY=N…] [SHARDS]]`.
//!
//! Without a shape, Llama-3-8B in BF16 in 4 shards: 16 GB.

use std::path::Path;

use godwit::low_level::Synthetic;
use godwit_tests::repository::export;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(args.first().ok_or("give the folder to write")?);
    let shape: Synthetic = args
        .get(1)
        .map_or("llama3-8b:bf16", String::as_str)
        .parse()?;
    let shards = args.get(2).map_or(Ok(4), |shards| shards.parse())?;
    std::fs::create_dir_all(folder)?;
    export(&shape.model()?, folder, shape.format(), shards);
    Ok(())
}
