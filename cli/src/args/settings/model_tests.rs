//! Flags, settings and arguments that name the model of `run`, and the words of its prompt.

use std::collections::HashMap;

use super::tests::{Given, variables};
use super::*;

/// The model and the words of a prompt of `run`, or the error.
fn model_and_words(given: &Given<'_>, line: &[&str]) -> Result<(Option<String>, String), String> {
    let variables = given.variables.iter();
    let environment: HashMap<_, _> = variables.map(|(name, value)| (&**name, value)).collect();
    let args: Vec<OsString> = ["godwit", "run"]
        .iter()
        .chain(line)
        .map(OsString::from)
        .collect();
    let cli = parse(&args, &|name| environment.get(name).map(OsString::from));
    match cli.map(|cli| cli.command) {
        Ok(crate::args::Command::Run(args)) => {
            let model = args.model.source.file.model.as_ref();
            let model = model.map(|model| model.display().to_string());
            Ok((model, args.typed_prompt().unwrap_or_default()))
        }
        Ok(other) => Err(format!("{other:?}")),
        Err(Refusal::Clap(error)) => Err(error.render().to_string()),
        Err(Refusal::Setting(error)) => Err(error.to_string()),
    }
}

#[test]
fn a_flag_that_names_the_model_leaves_the_words_to_the_prompt() {
    let none = Given::default();
    let ok = |given: &Given<'_>, line: &[&str], model: Option<&str>, prompt: &str| {
        let wanted = (model.map(str::to_owned), prompt.to_owned());
        assert_eq!(model_and_words(given, line), Ok(wanted), "{line:?}");
    };
    ok(&none, &["m", "a", "b"], Some("m"), "a b");
    ok(&none, &["-m", "m", "a", "b"], Some("m"), "a b");
    ok(&none, &["-hf", "o/r", "a"], Some("hf.co/o/r"), "a");
    ok(&none, &["--synthetic", "tiny", "a", "b"], None, "a b");
    ok(&none, &["--synthetic", "tiny", "-p", "a"], None, "a");
    for line in [
        ["-m", "m", "a", "-p", "b"],
        ["--synthetic", "tiny", "a", "--parallel", "b"],
    ] {
        let error = model_and_words(&none, &line).expect_err("two prompts");
        assert!(
            error.contains("`a` and --p") && error.contains("two prompts"),
            "{error}"
        );
    }
    // As a setting, it is for a line without MODEL.
    for (name, value, model) in [
        ("GODWIT_MODEL", "m", Some("m")),
        ("GODWIT_HF", "o/r", Some("hf.co/o/r")),
        ("GODWIT_SYNTHETIC", "tiny", None),
    ] {
        let given = variables(&[(name, value)]);
        ok(&given, &["-p", "a"], model, "a");
        ok(&given, &["x", "-p", "a"], Some("x"), "a");
        ok(&given, &["x", "a", "b"], Some("x"), "a b");
        ok(&given, &["-m", "x", "a"], Some("x"), "a");
    }
    // The prompt of a setting gives way to words.
    let given = variables(&[("GODWIT_PROMPT", "p")]);
    ok(&given, &["x"], Some("x"), "p");
    ok(&given, &["x", "a"], Some("x"), "a");
    ok(&given, &["-m", "x", "a"], Some("x"), "a");
}
