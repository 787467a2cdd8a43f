//! `godwit perplexity`: how well a model predicts a text, by llama.cpp's definition.
//!
//! The text is cut into chunks; each begins a fresh context, and the second half of it is scored.

use godwit::Progress;
use serde_json::json;

use crate::answer::rate;
use crate::args::PerplexityArgs;
use crate::exit::Interrupted;
use crate::output::Output;
use crate::progress::bar;
use crate::text::Text;

pub fn run(args: &PerplexityArgs) -> anyhow::Result<()> {
    pollster::block_on(measure(args))
}

async fn measure(args: &PerplexityArgs) -> anyhow::Result<()> {
    let text = Text::load(&args.text, &args.common).await?;
    let (size, chunks) = (text.size, text.chunks());
    let count = chunks.len();
    let mut session = text.loaded.engine.session().await?;
    let bar = bar("scoring", "{pos}/{len} chunks");
    bar.show(Progress::new(0, count as u64));
    let begin = std::time::Instant::now();
    let (mut sum, mut squares, mut scored) = (0.0, 0.0, 0_usize);
    for (chunk, read) in chunks {
        if text.stop.requested() {
            bar.finish_and_clear();
            return Err(Interrupted.into());
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
        session.score(&read, each).await?;
        bar.inc(1);
        if scored > 0 {
            bar.set_message(format!("perplexity {:.3}", (sum / scored as f64).exp()));
        }
    }
    bar.finish_and_clear();
    let mean = sum / scored as f64;
    let error = ((squares / scored as f64 - mean * mean) / scored as f64).sqrt();
    let (perplexity, seconds) = (mean.exp(), begin.elapsed().as_secs_f64());
    let tokens = count * size;
    let mut out = Output::new();
    match args.common.json {
        true => out.json(&json!({
            "perplexity": perplexity, "error": perplexity * error, "nll": mean, "scored": scored,
            "chunks": count,
            "context": size, "tokens_per_s": rate(tokens, seconds),
        })),
        false => out.line(&format!(
            "perplexity {perplexity:.4} ± {:.4} over {count} chunks of {size} tokens ({scored} \
             scored)",
            perplexity * error
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
