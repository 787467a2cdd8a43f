//! Tests of the cuts of known and of given patterns.

use super::*;

fn pieces(pre: &str, text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let splitter = Splitter::named(pre).expect("known").expect("compiles");
    splitter
        .each(text, true, &mut Steps::of(text.len()), &mut |p| {
            out.push(p.chars().filter_map(bytes::byte).collect::<Vec<_>>());
            Ok(())
        })
        .expect("infallible");
    assert_eq!(out.concat(), text.as_bytes());
    out.into_iter()
        .map(|bytes| String::from_utf8(bytes).expect("whole characters"))
        .collect()
}

fn cut(pattern: &str, behavior: Behavior, invert: bool, text: &str) -> Vec<String> {
    let mut out = Vec::new();
    Splitter::cut(pattern, behavior, invert)
        .and_then(|step| Splitter::new(vec![step]))
        .expect("compiles")
        .each(text, true, &mut Steps::of(text.len()), &mut |p| {
            out.push(p.to_owned());
            Ok(())
        })
        .expect("infallible");
    out
}

#[test]
fn a_run_of_white_space_gives_its_last_to_the_word() {
    assert_eq!(pieces("gpt-2", "a   b"), ["a", "  ", " b"]);
    assert_eq!(pieces("gpt-2", "a\n\nb  "), ["a", "\n", "\n", "b", "  "]);
    assert_eq!(pieces("llama-bpe", "a\n \n  b"), ["a", "\n \n", " ", " b"]);
    assert_eq!(
        pieces("llama-bpe", "a\t\tb\u{a0}"),
        ["a", "\t", "\tb", "\u{a0}"]
    );
}

#[test]
fn numbers_and_contractions() {
    assert_eq!(
        pieces("llama-bpe", "I'M 12345"),
        ["I", "'M", " ", "123", "45"]
    );
    assert_eq!(pieces("smollm", "I'm 123"), ["I", "'m", " ", "1", "2", "3"]);
    assert_eq!(pieces("qwen2", "x12"), ["x", "1", "2"]);
    assert_eq!(pieces("default", "a12345.6"), ["a", "123", "45", ".", "6"]);
}

#[test]
fn a_pattern_may_match_nothing() {
    assert_eq!(
        cut("x*", Behavior::Isolated, false, "axxäx").concat(),
        "axxäx"
    );
}

/// The examples of `tokenizers`' own documentation of `SplitDelimiterBehavior`.
#[test]
fn what_becomes_of_matches() {
    let cut = |behavior, invert| cut("-", behavior, invert, "the-final--countdown").join(" ");
    assert_eq!(cut(Behavior::Removed, false), "the final countdown");
    assert_eq!(cut(Behavior::Isolated, false), "the - final - - countdown");
    assert_eq!(
        cut(Behavior::MergedWithPrevious, false),
        "the- final- - countdown"
    );
    assert_eq!(
        cut(Behavior::MergedWithNext, false),
        "the -final - -countdown"
    );
    assert_eq!(cut(Behavior::Contiguous, false), "the - final -- countdown");
    assert_eq!(cut(Behavior::Removed, true), "- - -");
    assert_eq!(cut(Behavior::Isolated, true), "the - final - - countdown");
}

#[test]
fn spaces_in_front() {
    let pieces = |steps: Vec<Step>, first| {
        let mut out = Vec::new();
        let splitter = Splitter::new(steps).expect("few steps");
        splitter
            .each("a b", first, &mut Steps::of(3), &mut |p| {
                out.push(p.to_owned());
                Ok(())
            })
            .expect("infallible");
        out.join("|")
    };
    let low_lines = |prefix| vec![Step::LowLines(prefix)];
    assert_eq!(
        pieces(low_lines(SpacePrefix::First), true),
        "\u{2581}a\u{2581}b"
    );
    assert_eq!(pieces(low_lines(SpacePrefix::First), false), "a\u{2581}b");
    assert_eq!(
        pieces(low_lines(SpacePrefix::Always), false),
        "\u{2581}a\u{2581}b"
    );
    let next = Splitter::cut("\u{2581}", Behavior::MergedWithNext, false).expect("compiles");
    assert_eq!(
        pieces(vec![Step::LowLines(SpacePrefix::Always), next], true),
        "\u{2581}a|\u{2581}b"
    );
    assert_eq!(
        pieces(vec![Step::Space, Step::Letters], false),
        "Ġaġb".replace('ġ', "Ġ")
    );
}

#[test]
fn patterns_that_need_backtracking_are_refused() {
    let error = Splitter::cut(r"(?<=a)b", Behavior::Isolated, false).expect_err("look-behind");
    assert!(
        error
            .to_string()
            .starts_with(r#"the splitting pattern "(?<=a)b" can't be used: "#),
        "{error}"
    );
}

/// The longest patterns of models, on a long text of several scripts: a few steps a byte.
#[test]
fn patterns_of_known_models_fit() {
    let upper = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]";
    let lower = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]";
    let tail = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
    let rest = r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let first = r"[^\r\n\p{L}\p{N}]?";
    let cases = format!("{first}{upper}*{lower}+{tail}|{first}{upper}+{lower}*{tail}|{rest}");
    let marks = concat!(
        r"[!-/:-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
        r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    );
    let text = "The QUICK brown f\u{f6}x, \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} \
        \u{4f60}\u{597d}! \u{3053}\u{3093}\u{306b} it's 12345 <br/>\n\n    x = \
        y[1];\t\u{1F426}\r\n";
    let text = text.repeat(5000);
    // Each character of many once, and words of random Hangul: they need the most states.
    let scripts: String = (' '..'\u{30000}').step_by(37).collect();
    let mut seed = 1_u32;
    let mut random = |most: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % most
    };
    let hangul: String = (0..60_000)
        .map(|_| match random(4) {
            0 => ' ',
            _ => char::from_u32(0xac00 + random(11_172)).unwrap_or(' '),
        })
        .collect();
    let texts = [&text, &scripts, &hangul];
    for (pattern, text) in [cases.as_str(), marks, GPT2, LLAMA3, QWEN2]
        .iter()
        .flat_map(|p| texts.map(|t| (p, t)))
    {
        let step = Splitter::cut(pattern, Behavior::Isolated, false)
            .expect("an automaton that is small enough");
        let mut steps = Steps::of(text.len());
        let mut bytes = 0;
        let each = Splitter::new(vec![step]).expect("one step").each(
            text,
            true,
            &mut steps,
            &mut |piece| {
                bytes += piece.len();
                Ok(())
            },
        );
        assert_eq!((each, bytes), (Ok(()), text.len()), "{pattern}");
        let most = if text == &hangul { 600 } else { 8 };
        assert!(
            steps.used() < (most * text.len() + (12 << 20)) as u64,
            "{pattern}: {} steps",
            steps.used()
        );
    }
}
