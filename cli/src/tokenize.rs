//! `godwit tokenize`: the tokens of a text.

use godwit::Error;
use godwit::tokenizer::Special;
use serde_json::json;

use crate::args::TokenizeArgs;
use crate::output::{Output, note, shown};
use crate::stop::Stop;
use crate::{input, load};

pub fn run(args: &TokenizeArgs) -> anyhow::Result<()> {
    let text = input::text(args.prompt.as_deref(), args.file.as_deref())?;
    // A vocabulary without weights is enough.
    let tokenizer =
        load::checkpoint_to_inspect(&args.source, args.files.access(), &Stop::default())?
            .tokenizer()
            .map_err(Error::from)?;
    let ids = tokenizer.encode(
        &text,
        if args.special {
            Special::Parse
        } else {
            Special::Text
        },
    )?;
    let mut out = Output::new();
    if args.plain.json {
        let tokens: Vec<_> = ids.iter().map(|&id| tokenizer.token(id)).collect();
        return out.json(&json!({ "ids": ids, "tokens": tokens, "count": ids.len() }));
    }
    for id in &ids {
        let shown = match tokenizer.is_control(*id) {
            true => shown(tokenizer.token(*id).unwrap_or_default()),
            false => format!("{:?}", String::from_utf8_lossy(&tokenizer.token_bytes(*id))),
        };
        out.line(&format!("{id:>7}  {shown}"))?;
    }
    note(&format!("{} tokens", ids.len()));
    Ok(())
}
