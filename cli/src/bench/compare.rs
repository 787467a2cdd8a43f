//! `godwit bench --compare`: two reports side by side.

use std::path::Path;

use serde::Serialize;

use super::report::Report;
use crate::exit::BadInput;
use crate::output::{Output, note, shown};

/// How one thing changed: above 1 is faster.
#[derive(Serialize)]
struct Change {
    what: String,
    before: f64,
    after: f64,
    ratio: f64,
}

pub fn run(before: &Path, after: &Path, json: bool) -> anyhow::Result<()> {
    let (before, after) = (read(before)?, read(after)?);
    let (tests, kernels) = changes(&before, &after);
    let mut out = Output::new();
    if json {
        return out.json(&serde_json::json!({"tokens_per_s": tests, "kernel_seconds": kernels}));
    }
    for (name, report) in [("before", &before), ("after", &after)] {
        out.line(&format!(
            "{name}: {} on {}",
            shown(&report.model),
            shown(&report.adapter)
        ))?;
    }
    if kernels.is_empty() {
        note("(kernels are compared where both reports were made with `bench --profile`)");
    }
    for (unit, factor, changes) in [("tokens/s", 1.0, tests), ("kernel ms", 1e3, kernels)] {
        if !changes.is_empty() {
            out.line(&format!(
                "\n{:>12} {:>12} {:>8}  {unit}",
                "before", "after", "speed"
            ))?;
        }
        for Change {
            what,
            before,
            after,
            ratio,
        } in changes
        {
            let (before, after) = (before * factor, after * factor);
            out.line(&format!(
                "{before:>12.3} {after:>12.3} {ratio:>7.2}x  {}",
                shown(&what)
            ))?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Report, BadInput> {
    let bad = |cause: String| BadInput {
        file: path.display().to_string(),
        cause,
    };
    let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| bad(format!("no report of `godwit bench --json`: {e}")))
}

/// The entries of both reports: speeds of tests, and times of kernels in them.
fn changes(before: &Report, after: &Report) -> (Vec<Change>, Vec<Change>) {
    let (mut tests, mut kernels) = (Vec::new(), Vec::new());
    for b in &after.results {
        let Some(a) = before
            .results
            .iter()
            .find(|a| (&a.test, a.depth) == (&b.test, b.depth))
        else {
            continue;
        };
        let what = format!("{} after {}", b.test, b.depth);
        let (old, new) = (a.tokens_per_s, b.tokens_per_s);
        tests.push(Change {
            what: what.clone(),
            before: old,
            after: new,
            ratio: new / old,
        });
        for row in &b.kernels {
            let same = a
                .kernels
                .iter()
                .find(|old| (&old.kernel, &old.shape) == (&row.kernel, &row.shape));
            if let Some((old, new)) = same.and_then(|same| same.seconds).zip(row.seconds) {
                let what = format!("{what}: {} {}", row.kernel, row.shape);
                kernels.push(Change {
                    what,
                    before: old,
                    after: new,
                    ratio: old / new,
                });
            }
        }
    }
    (tests, kernels)
}
