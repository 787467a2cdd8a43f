//! Two characters who talk in a landscape while it is drawn: the model computes on the renderer's
//! own device, in slices of each frame. `--measure` says what that does to the frames.

mod characters;
mod host;
mod landscape;
mod measure;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use godwit::scheduler::{Scheduler, SchedulerOptions};
use godwit::{ContextSize, Engine, EngineOptions, Gpu, GpuOptions, Model, unwatched};

use characters::Characters;
use host::Host;
use measure::{Part, Rhythm};

/// Draws a landscape while two characters of a language model talk, and measures the frames.
#[derive(Debug, Parser)]
struct Args {
    /// A GGUF file, or the folder of a repository
    model: PathBuf,
    /// Seconds to measure each part of the pattern for, without a window
    #[arg(long, value_name = "SECONDS")]
    measure: f64,
    /// Parts to measure in turn: off (the landscape alone), on (a slice in each frame), free (whole
    /// steps)
    #[arg(long, value_delimiter = ',', default_value = "off,on,free")]
    pattern: Vec<Part>,
    /// Milliseconds of GPU time that the model may take of a frame
    #[arg(long, value_name = "MS", default_value_t = 6.0)]
    budget: f64,
    /// Frames a second
    #[arg(long, default_value_t = 60.0)]
    rate: f64,
    /// Width and height of the image
    #[arg(long, num_args = 2, value_names = ["W", "H"], default_values_t = [480, 270])]
    size: Vec<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Positions of a character's sequence.
const CONTEXT: u32 = 1024;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let [width, height] = args.size[..] else {
        anyhow::bail!("--size needs a width and a height");
    };
    let is_positive = |number: f64| number.is_finite() && number > 0.0;
    anyhow::ensure!(
        is_positive(args.measure) && is_positive(args.budget) && is_positive(args.rate),
        "--measure, --budget and --rate need numbers above 0"
    );
    let host = Host::open().context("no GPU to draw with")?;
    let mut landscape = landscape::Landscape::new(&host.device, [width, height]);
    let gpu = Gpu::share(
        &host.adapter,
        host.device.clone(),
        host.queue.clone(),
        &GpuOptions::default(),
    )?;
    let of_callback = gpu.clone();
    host.device
        .set_device_lost_callback(move |_, message| of_callback.notify_lost(&message));
    let budget = Duration::from_secs_f64(args.budget * 1e-3);
    let rhythm = Rhythm {
        period: Duration::from_secs_f64(1.0 / args.rate),
        budget,
    };
    let model = Model::open(&args.model)?;
    // What takes long happens on a thread of its own, while the landscape is drawn.
    let loader = std::thread::spawn(move || load(gpu, &model, budget));
    let loading = measure::until(&host, &mut landscape, rhythm, || loader.is_finished());
    let loaded = loader.join();
    let mut characters = loaded.map_err(|_| anyhow::anyhow!("loading panicked"))??;
    let mut reports = vec![loading];
    let seconds = Duration::from_secs_f64(args.measure);
    for part in args.pattern {
        let report = measure::part(
            &host,
            &mut landscape,
            rhythm,
            &mut characters,
            part,
            seconds,
        )?;
        reports.push(report);
    }
    let made = characters.made_since_ready();
    if args.json {
        let parts: Vec<_> = reports.iter().map(measure::Report::to_json).collect();
        let all = serde_json::json!({
            "adapter": host.adapter.get_info().name,
            "budget_ms": args.budget,
            "pipelines_and_buffers_since_ready": made,
            "parts": parts,
        });
        println!("{all:#}");
    } else {
        println!("{}", measure::Report::HEAD);
        reports.iter().for_each(|report| println!("{report}"));
        println!("pipelines and buffers made since ready: {made:?}");
    }
    Ok(())
}

/// Loads the model on the renderer's device, and prepares all that frames need.
fn load(gpu: Gpu, model: &Model, budget: Duration) -> anyhow::Result<Characters> {
    let options = EngineOptions::default().context(ContextSize::Tokens(CONTEXT));
    let engine = pollster::block_on(Engine::load(gpu, model, &options, &mut unwatched))?;
    let options = SchedulerOptions::default()
        .max_running(2)
        .kv_memory(Some(3 * u64::from(CONTEXT) * engine.kv_bytes_per_token()))
        .frame_budget(Some(budget));
    let mut scheduler = pollster::block_on(Scheduler::new(&engine, &options))?;
    pollster::block_on(scheduler.warm_up())?;
    Characters::new(scheduler)
}
