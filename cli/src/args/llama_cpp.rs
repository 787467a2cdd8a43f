//! What llama.cpp's commands have taught people to type.

use std::ffi::OsString;

use clap::Args;

use crate::output::note;

/// llama.cpp's words of several letters behind one hyphen, which clap would take for several
/// options, and what they are here.
const WORDS: [(&str, &str); 7] = [
    ("-hf", "--hf"),
    ("-hfr", "--hf"),
    ("-ngl", "--n-gpu-layers"),
    ("-fa", "--flash-attn"),
    ("-sys", "--system"),
    ("-cnv", "--conversation"),
    ("-no-cnv", "--no-conversation"),
];

/// The arguments with llama.cpp's words in the form that clap reads. What follows `--` stays.
pub fn translated(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut is_text = false;
    let translate = |arg: OsString| {
        is_text |= arg == "--";
        match WORDS.iter().find(|(word, _)| !is_text && arg == *word) {
            Some((_, option)) => OsString::from(option),
            None => arg,
        }
    };
    args.into_iter().map(translate).collect()
}

/// Options of llama.cpp that have no meaning here.
#[derive(Args, Clone, Debug, Default)]
pub struct IgnoredArgs {
    #[arg(long, aliases = ["gpu-layers", "ngl"], value_name = "N", hide = true)]
    n_gpu_layers: Option<String>,
    #[arg(short, long, value_name = "N", hide = true)]
    threads: Option<String>,
    #[arg(long, value_name = "on|off", num_args = 0..=1, hide = true)]
    flash_attn: Option<Option<String>>,
    #[arg(long, hide = true)]
    conversation: bool,
}

impl IgnoredArgs {
    /// Says of each option that was given that it is ignored, and why.
    pub fn say(&self) {
        let options = [
            (
                self.n_gpu_layers.is_some(),
                "-ngl",
                "all layers are on the GPU",
            ),
            (self.threads.is_some(), "-t", "the GPU computes"),
            (
                self.flash_attn.is_some(),
                "-fa",
                "attention is always computed so",
            ),
            (self.conversation, "-cnv", "`godwit chat` talks"),
        ];
        for (_, option, why) in options.into_iter().filter(|(is_given, ..)| *is_given) {
            note(&format!("({option} is ignored: {why})"));
        }
    }
}

/// A text in which `\n`, `\t`, `\r`, `\"`, `\'` and `\\` stand for what they mean in C, as
/// llama.cpp's `-e` reads a prompt. Any other backslash stays.
pub fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let meant = match (letter, letters.peek()) {
            ('\\', Some('n')) => Some('\n'),
            ('\\', Some('t')) => Some('\t'),
            ('\\', Some('r')) => Some('\r'),
            ('\\', Some(&same @ ('\\' | '"' | '\''))) => Some(same),
            _ => None,
        };
        if meant.is_some() {
            letters.next();
        }
        out.push(meant.unwrap_or(letter));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_behind_one_hyphen_are_options() {
        let args = ["godwit", "run", "-hf", "a/b", "-ngl", "99", "--", "-hf"].map(OsString::from);
        let expected = [
            "godwit",
            "run",
            "--hf",
            "a/b",
            "--n-gpu-layers",
            "99",
            "--",
            "-hf",
        ];
        assert_eq!(translated(args), expected.map(OsString::from));
    }

    #[test]
    fn escapes_are_read_as_in_c() {
        assert_eq!(
            unescaped(r#"a\nb\t\"c\" \\n \d \"#),
            "a\nb\t\"c\" \\n \\d \\"
        );
    }
}
