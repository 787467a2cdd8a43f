//! From a path or a name to a model on the GPU, with a progress bar on a terminal.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use godwit::Access;
use godwit::low_level::checkpoint::{Checkpoint, open_checkpoint_to_inspect, open_checkpoint_with};
use godwit::low_level::io::private::user_cache_folder;
use godwit::quantize::{Quantized, WeightsCache};
use godwit::{
    ContextSize, Engine, EngineOptions, Error, Gpu, GpuError, Model, Progress, Session, Spilling,
};

use crate::args::{Common, ModelArgs, ModelFile, ModelSource, QuantArgs, SpeculationArgs};
use crate::exit::{Unwritable, Usage, stopped};
use crate::locate::locate;
use crate::lossy::{substituted, warn_of_lossy};
use crate::output::{note, warn};
use crate::progress::{self, bar};
use crate::stop::Stop;

/// Hashes a model's weights, unless their hash is known, with a progress bar.
///
/// # Errors
/// A file can't be read, or Ctrl-C was pressed.
pub fn hash_weights(model: &Model, stop: &Stop) -> Result<(), Error> {
    let bar = bar("hashing the weights", "{bytes}/{total_bytes}");
    let mut show = |progress: Progress| {
        bar.show(progress);
        stop.flow()
    };
    let result = model.hash_weights(&mut show);
    drop(bar);
    result
}

/// A model ready to run, and how long that took in seconds.
pub struct Loaded {
    pub model: Model,
    pub engine: Engine,
    pub load_s: f64,
}

/// Opens the model, which is downloaded first if need be, or makes the synthetic one. Says what of
/// its files is ignored.
pub fn open(source: &ModelSource, access: Access, stop: &Stop) -> anyhow::Result<Model> {
    let rope = source.rope.change().unwrap_or_default();
    let model = Model::from_checkpoint_with(checkpoint(&source.file, access, stop)?, &rope)?;
    for note in model.notes() {
        warn(note);
    }
    if let Some(folder) = user_cache_folder() {
        model.keep_hash_in(&folder.join("godwit").join("hashes"));
    }
    Ok(model)
}

/// Opens the files of a model that is only looked at.
pub fn checkpoint_to_inspect(
    source: &ModelFile,
    access: Access,
    stop: &Stop,
) -> anyhow::Result<Arc<dyn Checkpoint>> {
    match &source.model {
        Some(path) if source.synthetic.is_none() => Ok(open_checkpoint_to_inspect(
            &locate(path, source.yes, stop)?,
            access,
        )?),
        _ => checkpoint(source, access, stop),
    }
}

/// Opens the files of a model.
pub fn checkpoint(
    source: &ModelFile,
    access: Access,
    stop: &Stop,
) -> anyhow::Result<Arc<dyn Checkpoint>> {
    match (&source.model, &source.synthetic) {
        (_, Some(shape)) => Ok(shape.model()?.shared_checkpoint()),
        (Some(path), None) => Ok(open_checkpoint_with(
            &locate(path, source.yes, stop)?,
            access,
        )?),
        (None, None) => Err(Usage("no model is given".into()).into()),
    }
}

/// Opens the GPU; measures what suits it where nobody has. What suits CPUs is known.
pub async fn open_gpu(common: &Common, stop: &Stop) -> anyhow::Result<Gpu> {
    let gpu = Gpu::open(&common.gpu()).await?;
    say_passed_over(&gpu, 0);
    tuned_or_next(gpu, common, stop).await
}

/// Says which better adapters are not used, but for the first `said` of them.
fn say_passed_over(gpu: &Gpu, said: usize) {
    for error in &gpu.passed_over()[said..] {
        note(&format!("({error}; {} is used instead)", gpu.summary()));
    }
}

/// The next adapter in the place of one that does not compile a kernel.
async fn next(refused: Gpu, error: GpuError, common: &Common) -> Result<Gpu, GpuError> {
    let next = refused.open_next(&common.gpu(), error).await?;
    say_passed_over(&next, refused.passed_over().len());
    Ok(next)
}

/// Does some work with an adapter; where a kernel does not compile, with the next one.
async fn with_first_that_compiles<A, T>(
    mut adapter: A,
    mut work: impl AsyncFnMut(&mut A) -> anyhow::Result<T>,
    mut next: impl AsyncFnMut(A, GpuError) -> anyhow::Result<A>,
) -> anyhow::Result<(A, T)> {
    loop {
        let error = match work(&mut adapter).await {
            Ok(done) => return Ok((adapter, done)),
            Err(error) => error,
        };
        let kernel = match (error.downcast_ref(), error.downcast_ref()) {
            (Some(Error::Gpu(kernel @ GpuError::Kernel { .. })), _)
            | (_, Some(kernel @ GpuError::Kernel { .. })) => kernel.clone(),
            _ => return Err(error),
        };
        adapter = next(adapter, kernel).await?;
    }
}

async fn tuned_or_next(gpu: Gpu, common: &Common, stop: &Stop) -> anyhow::Result<Gpu> {
    let next = async |gpu, error| Ok(next(gpu, error, common).await?);
    Ok(
        with_first_that_compiles(gpu, async |gpu| tune(gpu, common, stop).await, next)
            .await?
            .0,
    )
}

async fn tune(gpu: &mut Gpu, common: &Common, stop: &Stop) -> anyhow::Result<()> {
    let wanted = !common.no_tune && !gpu.summary().is_cpu();
    if let Some(folder) = user_cache_folder().filter(|_| wanted) {
        let bar = bar("measuring this GPU, once", "{pos}/{len}");
        let mut show = |progress: Progress| {
            bar.show(progress);
            stop.flow()
        };
        let tuned = gpu
            .tune(&folder.join("godwit").join("gpus"), &mut show)
            .await;
        drop(bar);
        tuned.map_err(stopped)?;
    }
    Ok(())
}

/// Loads a model onto the GPU. `hash_weights`: contexts of it are going to be saved or resumed.
pub async fn load(
    args: &ModelArgs,
    common: &Common,
    hash_weights: bool,
    stop: &Stop,
) -> anyhow::Result<Loaded> {
    load_with(args, common, hash_weights, stop, &|_| ()).await
}

/// [`load()`], which calls `opened` with the model before its weights are read.
pub async fn load_with(
    args: &ModelArgs,
    common: &Common,
    hash_weights: bool,
    stop: &Stop,
    opened: &dyn Fn(&Model),
) -> anyhow::Result<Loaded> {
    let begin = Instant::now();
    if let Some(folder) = &args.spill_dir {
        check_spill_folder(folder)?;
    }
    let model = open(&args.source, common.access(), stop)?;
    opened(&model);
    let model = quantized(model, &args.quant, common.access(), stop).await?;
    let gpu = open_gpu(common, stop).await?;
    gpu.on_compile(progress::compiling);
    let work = async |gpu: &mut Gpu| load_onto(gpu, &model, args, hash_weights, stop).await;
    let next =
        async |gpu, error| tuned_or_next(next(gpu, error, common).await?, common, stop).await;
    let (_, engine) = with_first_that_compiles(gpu, work, next).await?;
    Ok(Loaded {
        model,
        engine,
        load_s: begin.elapsed().as_secs_f64(),
    })
}

/// Loads a model anew onto its GPU, with other arguments.
pub async fn reload(engine: &Engine, args: &ModelArgs, stop: &Stop) -> anyhow::Result<Engine> {
    load_onto(engine.gpu(), engine.model(), args, false, stop).await
}

/// A session of the model that guesses tokens for another, on the same GPU; none where there is
/// none.
pub async fn draft(
    speculation: &SpeculationArgs,
    of: &ModelArgs,
    engine: &Engine,
    stop: &Stop,
) -> anyhow::Result<Option<Session>> {
    match draft_engine(speculation, of, engine, stop).await? {
        Some(engine) => Ok(Some(engine.session().await?)),
        None => Ok(None),
    }
}

/// The model that guesses tokens for another, on the same GPU; none where there is none.
pub async fn draft_engine(
    speculation: &SpeculationArgs,
    of: &ModelArgs,
    engine: &Engine,
    stop: &Stop,
) -> anyhow::Result<Option<Engine>> {
    let Some(path) = &speculation.draft else {
        return Ok(None);
    };
    let source = ModelSource {
        file: ModelFile {
            model: Some(path.clone()),
            named: None,
            hf: None,
            synthetic: None,
            yes: of.source.file.yes,
        },
        rope: of.source.rope,
    };
    let model = open(&source, Access::default(), stop)?;
    let differs = engine
        .model()
        .tokenizer()
        .first_difference(model.tokenizer());
    if let Some(id) = differs {
        return Err(Error::DraftVocabulary { id }.into());
    }
    let context = engine.context().min(model.config().context);
    let options = EngineOptions::default()
        .context(ContextSize::Tokens(context))
        .kv(of.kv.format());
    let mut watch = |_| stop.flow();
    let engine = Engine::load(engine.gpu().clone(), &model, &options, &mut watch).await;
    Ok(Some(engine.map_err(stopped)?))
}

/// Makes the folder that a KV cache may spill to, and a file in it: a wrong one is an error now,
/// not hours later when the GPU is full.
fn check_spill_folder(folder: &Path) -> anyhow::Result<()> {
    let made = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    match made {
        Ok(_) => Ok(()),
        Err(error) => {
            let cause = format!(
                "no file can be written there: {error}; name another folder, or leave the option \
                 out"
            );
            Err(Unwritable {
                file: format!("--spill-dir {}", folder.display()),
                cause,
            }
            .into())
        }
    }
}

async fn load_onto(
    gpu: &Gpu,
    model: &Model,
    args: &ModelArgs,
    hash_weights: bool,
    stop: &Stop,
) -> anyhow::Result<Engine> {
    if gpu.summary().is_cpu() {
        tracing::info!("{} computes on the CPU", gpu.summary());
    }
    let spill = if args.no_spill {
        Spilling::Never
    } else {
        Spilling::Host {
            memory: args.spill_memory,
        }
    };
    let spill_folder = args.spill_dir.clone();
    let context = args.context.unwrap_or_default();
    let kv = args.kv.format();
    let options = EngineOptions::default()
        .context(context)
        .kv(kv)
        .spill(spill)
        .spill_folder(spill_folder)
        .hash_weights(hash_weights);
    let bar = bar("loading", "{bytes}/{total_bytes}");
    let mut show = |progress: Progress| {
        bar.show(progress);
        stop.flow()
    };
    let engine = Engine::load(gpu.clone(), model, &options, &mut show).await;
    drop(bar);
    let engine = engine.map_err(stopped)?;
    if gpu.is_replaceable() {
        match engine.compile().await {
            // Missing memory is reported when a session is created.
            Err(Error::Gpu(error)) if error.is_out_of_memory() => {}
            compiled => compiled?,
        }
    }
    Ok(engine)
}

/// The model with the weights that the arguments ask for, from the disk where they are there from
/// an earlier time.
pub async fn quantized(
    model: Model,
    args: &QuantArgs,
    access: Access,
    stop: &Stop,
) -> anyhow::Result<Model> {
    let Some(mix) = args.quant else {
        return Ok(model);
    };
    let folder = args
        .quant_dir
        .clone()
        .or_else(|| Some(user_cache_folder()?.join("godwit").join("weights")));
    let folder = folder
        .ok_or_else(|| Usage("there is no cache folder; name one with --quant-dir".into()))?;
    let cache = WeightsCache::new(folder, args.quant_cache_size).with_access(access);
    let view = Quantized::new(model.shared_checkpoint(), &mix.into());
    warn_of_lossy(&view, mix);
    for sentence in substituted(&view) {
        tracing::info!("{sentence}");
    }
    hash_weights(&model, stop).map_err(stopped)?;
    let bar = bar("quantising", "{bytes}/{total_bytes}");
    let mut show = |progress: Progress| {
        bar.show(progress);
        stop.flow()
    };
    let result = model.quantized(&mix.into(), cache, &mut show).await;
    drop(bar);
    result.map_err(stopped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_compile_is_tried_on_the_next_adapter() {
        let refusal = |adapter: u32| GpuError::Kernel {
            kernel: format!("kernel of {adapter}"),
            cause: "no".into(),
        };
        let next = async |adapter, error: GpuError| {
            if adapter < 3 {
                Ok(adapter + 1)
            } else {
                Err(error.into())
            }
        };
        let from_2 = async |adapter: &mut u32| match *adapter {
            0 => Err(refusal(0).into()),
            1 => Err(Error::Gpu(refusal(1)).into()),
            other => Ok(other * 10),
        };
        assert_eq!(
            pollster::block_on(with_first_that_compiles(0, from_2, next)).ok(),
            Some((2, 20))
        );
        let never = async |adapter: &mut u32| Err::<(), _>(refusal(*adapter).into());
        let error = pollster::block_on(with_first_that_compiles(0, never, next))
            .expect_err("none compiles");
        assert!(error.to_string().contains("kernel of 3"), "{error}");
        // Only errors of kernels are tried on another adapter.
        let lost = async |_: &mut u32| {
            Err::<(), _>(
                Error::Gpu(GpuError::Lost {
                    cause: "gone".into(),
                })
                .into(),
            )
        };
        let error = pollster::block_on(with_first_that_compiles(0, lost, async |_, _| {
            unreachable!("no other")
        }));
        assert!(error.is_err_and(|error| error.to_string().contains("gone")));
    }
}
