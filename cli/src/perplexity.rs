//! `godwit perplexity`: how well a model predicts a text, by llama.cpp's definition.
//!
//! The text is cut into chunks; each begins a fresh context, and the second half of it is scored.

use godwit::ContextSize;
use godwit::tokenizer::Special;
use serde_json::json;

use crate::args::{ModelArgs, PerplexityArgs};
use crate::exit::{BadInput, Interrupted, Usage};
use crate::load::{self, Loaded};
use crate::output::Output;
use crate::stop::Stop;
use crate::{input, run::rate};

pub fn run(args: &PerplexityArgs) -> anyhow::Result<()> {
    pollster::block_on(measure(args))
}

async fn measure(args: &PerplexityArgs) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    if args.model.context < 4 {
        return Err(Usage("a chunk needs 4 tokens at least".into()).into());
    }
    let text = input::text(None, Some(&args.model.file))?;
    let model_args = ModelArgs {
        source: args.model.source.clone(),
        quant: args.model.quant.clone(),
        context: Some(ContextSize::Tokens(args.model.context)),
        kv: args.model.kv,
        spill_memory: 0,
        no_spill: true,
    };
    let Loaded { model, engine, .. } = load::load(&model_args, &args.common, &stop).await?;
    let tokenizer = model.tokenizer();
    let ids = tokenizer.encode(&text, Special::Text)?;
    let size = args.model.context as usize;
    let chunks: Vec<&[u32]> = ids.chunks_exact(size).take(args.model.chunks.unwrap_or(usize::MAX)).collect();
    if chunks.is_empty() {
        let fault = format!(
            "{} tokens are less than one chunk of {size}; give a longer text, or a smaller --context",
            ids.len()
        );
        return Err(BadInput { file: args.model.file.display().to_string(), fault }.into());
    }
    let mut session = engine.session().await?;
    let bar = load::bar("scoring", "{pos}/{len} chunks");
    bar.set_length(chunks.len() as u64);
    let begin = std::time::Instant::now();
    let (mut sum, mut squares, mut scored) = (0.0, 0.0, 0_usize);
    for chunk in &chunks {
        if stop.pressed() {
            bar.finish_and_clear();
            return Err(Interrupted.into());
        }
        let mut context = chunk.to_vec();
        if let (true, Some(bos)) = (tokenizer.adds_bos(), tokenizer.bos()) {
            context[0] = bos;
        }
        session.truncate(0);
        let each = &mut |position: usize, logits: &[f32]| {
            if position >= size / 2 && position + 1 < size {
                let loss = surprise(logits, chunk[position + 1]);
                sum += loss;
                squares += loss * loss;
                scored += 1;
            }
        };
        session.score(&context, each).await?;
        bar.inc(1);
        if scored > 0 {
            bar.set_message(format!("perplexity {:.3}", (sum / scored as f64).exp()));
        }
    }
    bar.finish_and_clear();
    let mean = sum / scored as f64;
    let error = ((squares / scored as f64 - mean * mean) / scored as f64).sqrt();
    let (perplexity, seconds) = (mean.exp(), begin.elapsed().as_secs_f64());
    let tokens = chunks.len() * size;
    let mut out = Output::new();
    match args.common.json {
        true => out.json(&json!({
            "perplexity": perplexity, "error": perplexity * error, "nll": mean, "scored": scored, "chunks": chunks.len(),
            "context": size, "tokens_per_s": rate(tokens, seconds),
        })),
        false => out.line(&format!(
            "perplexity {perplexity:.4} ± {:.4} over {} chunks of {size} tokens ({scored} scored)",
            perplexity * error,
            chunks.len()
        )),
    }
}

/// Minus the logarithm of a token's probability.
fn surprise(logits: &[f32], token: u32) -> f64 {
    let peak = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|&l| f64::from(l - peak).exp()).sum();
    sum.ln() - f64::from(logits[token as usize] - peak)
}

#[cfg(test)]
mod tests {
    use super::surprise;

    #[test]
    fn surprise_is_minus_log_probability() {
        assert!((surprise(&[0.0, 0.0], 1) - 2_f64.ln()).abs() < 1e-12);
        assert!((surprise(&[1000.0, 0.0], 0)).abs() < 1e-12);
    }
}
