//! `run` in a terminal, at two widths.

use super::*;

const ANSWER: &str = "The capital of France is Paris.";

/// A `run` that is repeatable.
fn run(args: &str) -> String {
    format!("exec $GODWIT run $MODEL --temp 0 --no-cache {args}")
}

/// The lines that a terminal shows, without the codes of colours, and without bars.
pub(super) fn lines(text: &str) -> Vec<String> {
    let bytes: Vec<u8> = text.chars().map(|c| c as u8).collect();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut plain = String::new();
    let mut rest = &*text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        let end = after.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
        if after[..=end].ends_with('K') {
            // The line is erased.
            plain.truncate(plain.rfind('\n').map_or(0, |at| at + 1));
        }
        rest = &after[end + 1..];
    }
    plain.push_str(rest);
    let lines = plain.lines().map(|line| line.trim_matches('\r').to_owned());
    lines.collect()
}

/// The words that a terminal shows.
fn words(texts: &[&str]) -> String {
    let all: Vec<String> = texts.iter().flat_map(|text| lines(text)).collect();
    all.join(" ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn the_prompt_is_an_argument() {
    for columns in WIDTHS {
        let mut terminal = Terminal::open(columns, &run("What is the capital of 'France?'"));
        let shown = terminal.expect("code 0");
        assert!(words(&[&shown]).ends_with(ANSWER), "{shown:?}");
    }
}

/// A flag that names the model leaves all words to the prompt.
#[test]
fn the_prompt_is_an_argument_without_a_model() {
    for columns in WIDTHS {
        for model in ["-m $MODEL", "--model=$MODEL"] {
            let line = format!("exec $GODWIT run {model} --temp 0 --no-cache What is the capital");
            let mut terminal = Terminal::open(columns, &format!("{line} of 'France?'"));
            let shown = terminal.expect("code 0");
            assert!(words(&[&shown]).ends_with(ANSWER), "{shown:?}");
        }
        let line = "exec $GODWIT run --synthetic tiny a b -n 3";
        Terminal::open(columns, line).expect("(stopped after 3 tokens");
    }
}

#[test]
fn run_without_a_prompt_opens_the_chat() {
    for columns in WIDTHS {
        let mut terminal = Terminal::open(columns, &run("-n 8"));
        terminal.expect("SmolLM2-135M-Instruct.Q4_1.gguf on ");
        terminal.expect("lists the commands.");
        terminal.expect_prompt();
        terminal.type_line("What is the capital of France?");
        terminal.expect("The capital");
        terminal.expect_prompt();
        terminal.type_line("/bye");
        terminal.ends(0);
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_is_read() {
    for columns in WIDTHS {
        for (line, code, says) in [
            ("run nowhere.gguf", 3, "nowhere.gguf"),
            ("run lama3.2-1b", 3, "Did you mean llama3.2-1b"),
            ("chat llama3.2:3b", 3, "Did you mean llama3.2-3b"),
            ("run $MODEL -n -2 x", 2, "-1 for no limit"),
            ("run $MODEL --temp -1", 2, "temperature"),
            ("chat $MODEL --top-p -1", 2, "top_p"),
        ] {
            let mut terminal = Terminal::open(columns, &format!("exec $GODWIT {line}"));
            terminal.expect(says);
            terminal.ends(code);
        }
    }
}

#[test]
fn the_flags_of_llama_cpp_are_known() {
    for columns in WIDTHS {
        let line = "exec $GODWIT run -m $MODEL -c 512 -ngl 99 -t 4 --repeat-penalty 1.0 \
                    --temperature 0 -n 8 --no-cache -e 'Say\\nhello.'";
        let mut terminal = Terminal::open(columns, line);
        terminal.expect("(-ngl is ignored: all layers are on the GPU)");
        terminal.expect("(-t is ignored: the GPU computes)");
        terminal.ends(0);
    }
}

/// An answer that is cut says how to get more, and goes on where it was cut.
#[test]
fn a_cut_answer_goes_on() {
    for columns in WIDTHS {
        let question = run("'What is the capital of France?'");
        let line = format!(
            "{} -n 4 --save talk.kv && {} && {} --save talk.kv; echo; exec $GODWIT run $MODEL \
             --resume talk.kv",
            question.replacen("exec ", "", 1),
            "printf 'cut '",
            run("--resume talk.kv").replacen("exec ", "", 1),
        );
        let mut terminal = Terminal::open(columns, &line);
        let begin = terminal.expect("(stopped after 4 tokens; -n N allows more)");
        terminal.expect("cut ");
        let end = terminal.expect("complete");
        let words = words(&[&begin, &end]);
        assert!(words.contains(ANSWER), "{words}");
        terminal.ends(2);
    }
}

/// The driver has no kernel in its cache: what it does for seconds is said.
#[test]
fn a_cold_start_says_what_it_does() {
    for columns in WIDTHS {
        let line = format!(
            "export MESA_SHADER_CACHE_DISABLE=true; {}",
            run("-n 2 'Say hello.'")
        );
        let mut terminal = Terminal::open(columns, &line);
        let before = terminal.expect("compiling kernels for this GPU, once");
        let after = terminal.expect("code 0");
        for text in [&before, &after] {
            assert!(!text.contains("0/0"), "{text:?}");
        }
        let last = lines(&after);
        assert!(
            !last
                .iter()
                .any(|line| line.contains("compiling") || line.contains("left")),
            "{last:?}"
        );
    }
}
