//! Every flag of every command: a flag that is added later is covered.

use std::collections::HashMap;

use super::foreign::Foreign;
use super::line::default_file;
use super::*;

/// A file, and variables.
#[derive(Default)]
pub(super) struct Given<'a> {
    file: Option<&'a str>,
    pub(super) variables: Vec<(String, String)>,
}

impl Given<'_> {
    /// The result of parsing a command line, and the file's folder.
    fn parse(&self, line: &[&str]) -> (Result<(Command, ArgMatches), String>, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        let mut variables: HashMap<String, OsString> = self
            .variables
            .iter()
            .map(|(name, value)| (name.clone(), value.into()))
            .collect();
        if let Some(text) = self.file {
            std::fs::write(&path, text).expect("a file");
            variables.insert("GODWIT_CONFIG".into(), path.into());
        }
        let args: Vec<OsString> = ["godwit"].iter().chain(line).map(OsString::from).collect();
        let result = matched(&args, &|name| variables.get(name).cloned());
        let result = result.map_err(|refusal| match refusal {
            Refusal::Clap(error) => error.render().to_string(),
            Refusal::Setting(error) => error.to_string(),
        });
        (result, folder)
    }

    #[track_caller]
    fn matches(&self, line: &[&str]) -> ArgMatches {
        self.parse(line).0.expect("a command line").1
    }

    #[track_caller]
    fn error(&self, line: &[&str]) -> String {
        let (result, _folder) = self.parse(line);
        result.expect_err("an error")
    }
}

fn file(text: &str) -> Given<'_> {
    Given {
        file: Some(text),
        variables: Vec::new(),
    }
}

pub(super) fn variables(all: &[(&str, &str)]) -> Given<'static> {
    let all = all.iter();
    Given {
        file: None,
        variables: all
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
    }
}

/// The texts of a flag's values.
fn values(matches: &ArgMatches, command: &str, id: &str) -> Vec<String> {
    let matches = matches.subcommand_matches(command).expect("the command");
    let raw = matches.get_raw(id).into_iter().flatten();
    raw.map(|value| value.to_string_lossy().into_owned())
        .collect()
}

/// Values that a flag takes, other than its default.
fn example(arg: &Arg) -> Vec<&'static str> {
    const CANDIDATES: [&str; 21] = [
        "7",
        "0.25",
        "q8_0",
        "q4_k",
        "vulkan",
        "auto",
        "off",
        "tiny:q4_0",
        "yarn:4",
        "3k",
        "13=-1.5",
        "attn_v=q8_0",
        "weights",
        "bash",
        "1G",
        "f32",
        "x",
        "17",
        "4",
        "64",
        "2",
    ];
    let flag = arg.get_long().expect("a flag");
    match arg.get_action() {
        ArgAction::SetTrue => return vec!["true"],
        ArgAction::Count => return vec!["2"],
        _ => {}
    }
    let wanted = arg
        .get_num_args()
        .map_or(1, |range| range.min_values().max(1));
    let default: Vec<_> = arg.get_default_values().to_vec();
    let takes = |value: &&&str| {
        let values = vec![OsString::from(**value); wanted];
        default.iter().all(|default| *default != ***value) && checked(arg, flag, values).is_ok()
    };
    let found = CANDIDATES.iter().find(takes);
    vec![found.unwrap_or_else(|| unreachable!("no value for --{flag}; add one")); wanted]
}

/// What a command line needs beside the flag that is tried.
fn needed(command: &Command, tried: &Arg) -> Vec<String> {
    let mut line = vec![command.get_name().to_owned()];
    for arg in command.get_arguments() {
        let id = arg.get_id();
        if id == tried.get_id() {
            continue;
        }
        if arg.is_positional() {
            let tried = tried.get_id().as_str();
            let instead = ["synthetic", "named", "hf", "wgsl", "compare", "dir"].contains(&tried);
            if !instead && (arg.is_required_set() || id == "model") {
                let value = match command.get_name() {
                    "completions" => "bash",
                    _ => "x",
                };
                line.push(value.into());
            }
        } else if arg.is_required_set() {
            line.push(format!(
                "--{}={}",
                arg.get_long().expect("a flag"),
                example(arg)[0]
            ));
        }
    }
    line
}

#[test]
fn every_flag_has_variables_and_keys() {
    let root = Cli::tolerant();
    let mut count = 0;
    for command in root.get_subcommands() {
        assert!(!command.has_subcommands(), "names have one level");
        let name = command.get_name();
        for (flag, arg) in flags(command) {
            let (id, wanted) = (arg.get_id().as_str(), example(arg));
            let line = needed(command, arg);
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            let check = |given: &Given<'_>, of: &str| {
                let (result, _folder) = given.parse(&line);
                let (_, matches) = result.unwrap_or_else(|error| unreachable!("{of}: {error}"));
                assert_eq!(values(&matches, name, id), wanted, "{of} of {name}");
            };
            let text = match wanted[..] {
                [one] => format!("{one:?}"),
                _ => format!("{wanted:?}"),
            };
            let lines = wanted.join("\n");
            let own = variable(&[name, flag]);
            check(&variables(&[(&own, &lines)]), &own);
            check(&file(&format!("[{name}]\n{flag} = {text}")), flag);
            if is_shared(&root, flag, arg) {
                let shared = variable(&[flag]);
                check(&variables(&[(&shared, &lines)]), &shared);
                check(&file(&format!("{flag} = {text}")), flag);
            }
            count += 1;
        }
    }
    assert!(count > 150, "{count}");
}

#[test]
fn the_command_line_comes_first_then_variables_then_the_file() {
    let text = "temp = 0.1\ntop-k = 1\n[run]\ntemp = 0.2\nmin-p = 0.5\n[chat]\nmin-p = 0.6";
    let mut given = file(text);
    let of = |given: &Given<'_>, line: &[&str], id: &str| values(&given.matches(line), line[0], id);
    let run = ["run", "x"];
    assert_eq!(of(&given, &run, "temp"), ["0.2"]);
    assert_eq!(of(&given, &["chat", "x"], "temp"), ["0.1"]);
    assert_eq!(of(&given, &run, "top_k"), ["1"]);
    assert_eq!(of(&given, &run, "min_p"), ["0.5"]);
    given.variables.push(("GODWIT_TEMP".into(), "0.3".into()));
    assert_eq!(of(&given, &run, "temp"), ["0.3"]);
    given
        .variables
        .push(("GODWIT_RUN_TEMP".into(), "0.4".into()));
    assert_eq!(of(&given, &run, "temp"), ["0.4"]);
    assert_eq!(of(&given, &["chat", "x"], "temp"), ["0.3"]);
    assert_eq!(of(&given, &["run", "x", "--temp", "0.5"], "temp"), ["0.5"]);
    // An empty variable counts as none, and a switch can be off.
    assert_eq!(
        of(&variables(&[("GODWIT_TEMP", "")]), &run, "temp"),
        [""; 0]
    );
    let mut given = file("json = true");
    assert_eq!(of(&given, &run, "json"), ["true"]);
    given.variables.push(("GODWIT_JSON".into(), "no".into()));
    assert_eq!(of(&given, &run, "json"), ["false"]);
}

#[test]
fn settings_are_no_flags_where_flags_contradict_each_other() {
    // A folder for a cache does not forbid --no-cache, nor a size the lack of a type.
    let given = file("cache-dir = \"/c\"\nquant-dir = \"/q\"\noutput = \"/o\"\nforce = true");
    let matches = given.matches(&["run", "x", "--no-cache"]);
    assert_eq!(values(&matches, "run", "no_cache"), ["true"]);
    // What is typed wins over a setting that contradicts it.
    let given = variables(&[("GODWIT_SYNTHETIC", "tiny"), ("GODWIT_QUANT", "q4_k")]);
    let matches = given.matches(&["bench", "x"]);
    assert_eq!(values(&matches, "bench", "synthetic"), [""; 0]);
    assert_eq!(values(&matches, "bench", "model"), ["x"]);
    let matches = given.matches(&["bench", "--synthetic", "tiny:q4_0"]);
    assert_eq!(values(&matches, "bench", "quant"), [""; 0]);
    // A setting is as good as a flag where one is missing.
    let matches = variables(&[("GODWIT_SYNTHETIC", "tiny")]).matches(&["bench"]);
    assert_eq!(values(&matches, "bench", "synthetic"), ["tiny"]);
    let matches = file("quant = 'q4_k'").matches(&["run", "x", "--quant-dir", "/q"]);
    assert_eq!(values(&matches, "run", "quant"), ["q4_k"]);
    let matches = file("[quantize]\ntype = 'q4_k'").matches(&["quantize", "x", "y"]);
    assert_eq!(values(&matches, "quantize", "mix"), ["q4_k"]);
    assert!(Given::default().error(&["bench"]).contains("<MODEL"));
}

#[test]
fn errors_name_the_line_or_the_variable() {
    let list = ["list"];
    for (text, line, says) in [
        (
            "\n\ncontxt = 1",
            3,
            "no command has a flag `contxt`; did you mean `context`?",
        ),
        (
            "temperature = 1",
            1,
            "no command has a flag `temperature`; did you mean `temp`?",
        ),
        (
            "kv = \"f32\"\nbackend = \"glide\"",
            2,
            "`glide` is no backend",
        ),
        (
            "[run]\ntemp = \"hot\"",
            2,
            "invalid value 'hot' for '--temp",
        ),
        ("[run]\nrows = 1", 2, "`godwit run` has no flag `rows`"),
        (
            "[rum]\ntemp = 1",
            1,
            "there is no command `rum`; did you mean `run`?",
        ),
        (
            "json = \"perhaps\"",
            1,
            "`perhaps` is neither true nor false",
        ),
        ("temp = [1, 2]", 1, "--temp takes one value, and not 2"),
        ("temp = []", 1, "--temp needs a value"),
        ("temp = 1979-05-27", 1, "write a text, a number"),
        ("temp = 1\ntemp = 2", 2, "it is no TOML: duplicate key"),
        ("temp = 1\n?", 2, "it is no TOML"),
        ("config = \"x\"", 1, "no command has a flag `config`"),
        (
            "[bench]\ncompare = \"x\"",
            2,
            "--compare takes 2 values, and not 1",
        ),
    ] {
        let error = file(text).error(&list);
        let place = format!("config.toml, line {line}: ");
        assert!(
            error.contains(&place) && error.contains(says),
            "{text:?}: {error}"
        );
    }
    let error = variables(&[("GODWIT_KV", "f99")]).error(&["run", "x"]);
    assert!(
        error.starts_with("the variable GODWIT_KV: invalid value 'f99'"),
        "{error}"
    );
    // Of commands that have no such flag, a variable is not looked at.
    variables(&[("GODWIT_KV", "f99")]).matches(&list);
    let error = variables(&[("GODWIT_CONFIG", "/none/x.toml")]).error(&list);
    assert!(
        error.contains("/none/x.toml: can't read the configuration"),
        "{error}"
    );
    variables(&[("GODWIT_CONFIG", "")]).matches(&list);
    // What is no command, and help, are clap's.
    assert!(
        Given::default()
            .error(&["frobnicate"])
            .contains("'frobnicate'")
    );
    assert!(
        Given::default()
            .error(&["help", "run"])
            .contains("Usage: godwit run")
    );
    // Help is for those whose file is wrong.
    let (result, _folder) = file("?").parse(&["run", "--help"]);
    assert!(result.is_err_and(|error| error.contains("Usage: godwit run")));
}

#[test]
fn variables_that_no_flag_reads_are_found() {
    let found = |name: &str| foreign(std::iter::once(name.into()));
    for (name, nearest) in [
        ("GODWIT_CONTXT", Some("GODWIT_CONTEXT")),
        ("GODWIT_TEMPERATURE", Some("GODWIT_TEMP")),
        ("GODWIT_RUN_CTX_SIZE", Some("GODWIT_RUN_CONTEXT")),
        (
            "GODWIT_CHAT_REPEAT_PENALTY",
            Some("GODWIT_CHAT_REPETITION_PENALTY"),
        ),
        ("GODWIT_ZZYZX", None),
        ("GODWIT_TEST_HISTORY", None),
    ] {
        let wanted = Foreign {
            name: name.into(),
            nearest: nearest.map(str::to_owned),
        };
        assert_eq!(found(name), [wanted]);
    }
    // Those of other commands, of the file, and of other programs.
    for name in [
        "GODWIT_KV",
        "GODWIT_BENCH_ROWS",
        "GODWIT_CONFIG",
        "OLLAMA_KV",
    ] {
        assert_eq!(found(name), []);
    }
}

#[test]
fn other_meanings_of_a_name_share_no_variable() {
    let given = variables(&[("GODWIT_PROMPT", "Why?"), ("GODWIT_CONTEXT", "8k")]);
    let matches = given.matches(&["run", "x"]);
    assert_eq!(values(&matches, "run", "prompt"), ["Why?"]);
    assert_eq!(
        values(&given.matches(&["bench", "x"]), "bench", "prompt"),
        ["512"]
    );
    let matches = given.matches(&["perplexity", "x", "-f", "y"]);
    assert_eq!(values(&matches, "perplexity", "context"), ["512"]);
}

#[test]
fn the_file_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().display().to_string();
    let environment = |name: &str| (name == "HOME").then(|| home.clone().into());
    let path = default_file(&environment).expect("a path");
    assert!(path.ends_with("godwit/config.toml"), "{}", path.display());
    if cfg!(target_os = "linux") {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, "known = true").expect("a file");
        let args = ["godwit", "list"].map(OsString::from);
        let (_, matches) = matched(&args, &environment).expect("it parses");
        assert_eq!(values(&matches, "list", "known"), ["true"]);
        let args = ["godwit", "list", "--config", ""].map(OsString::from);
        let (_, matches) = matched(&args, &environment).expect("it parses");
        assert_eq!(values(&matches, "list", "known"), ["false"]);
    }
}
