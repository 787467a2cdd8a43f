//! Tests of patterns against a backtracking search, and of their budget.

use proptest::prelude::*;

use super::*;

fn all(pattern: &str, text: &str) -> Result<Vec<Match>, TokenizerError> {
    let mut found = Vec::new();
    let mut steps = Steps::of(text.len());
    Scanner::new(pattern, &[pattern])?.each(text, &mut steps, |m, _| {
        found.push(m);
        let character = text[m.end..].chars().next();
        Ok(character.map(|c| {
            if m.start == m.end {
                m.end + c.len_utf8()
            } else {
                m.end
            }
        }))
    })?;
    Ok(found)
}

fn expected(pattern: &str, text: &str) -> Vec<Match> {
    let regex = meta::Regex::new(pattern).expect("a pattern");
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(m) = regex.find(Input::new(text).range(from..)) {
        found.push(Match {
            pattern: 0,
            start: m.start(),
            end: m.end(),
        });
        let Some(character) = text[m.end()..].chars().next() else {
            break;
        };
        from = if m.is_empty() {
            m.end() + character.len_utf8()
        } else {
            m.end()
        };
    }
    found
}

const PATTERNS: [&str; 14] = [
    r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+",
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\s*[\r\n]+|\s+",
    r"(?i:'s|'t)|a*?b",
    "x*",
    r"\b",
    r"\B",
    r"\b\w+\b",
    r"(?-u:\B)",
    "^a|b$",
    "(?m)^.|.$",
    "a|ab|abc",
    ".*[^A-Z]|[A-Z]",
    "",
    "\u{e9}|\u{1F426}+",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn matches_are_those_of_the_library(text in "[abxAB1 '\n\u{e9}\u{1F426}\u{301}]{0,30}") {
        for pattern in PATTERNS {
            prop_assert_eq!(all(pattern, &text), Ok(expected(pattern, &text)), "{} on \
                {:?}", pattern, text);
        }
    }
}

/// Each of these read all of the text for each of its letters.
#[test]
fn patterns_that_read_on_and_on_are_refused() {
    let text = "A".repeat(200_000);
    for (pattern, text) in [
        (".*[^A-Z]|[A-Z]", text.as_str()),
        ("(?s).*z|.", &text),
        ("A+B|A", &text),
        (r"\s*[\r\n]+|\s{1,2}", &" ".repeat(200_000)),
        (r"\b\w|.", &"\u{e9} ".repeat(200_000)),
    ] {
        let started = std::time::Instant::now();
        let error = all(pattern, text).expect_err(pattern);
        assert!(
            matches!(&error, TokenizerError::Steps { pattern: named, .. } if named == pattern),
            "{error}"
        );
        assert!(
            started.elapsed().as_secs() < 20,
            "{pattern}: {:?}",
            started.elapsed()
        );
    }
    // A pattern that reads no further than it matches is fast on any text.
    assert_eq!(all(".*A|[A-Z]", &text).map(|found| found.len()), Ok(1));
    assert_eq!(all("[A-Z]", &text).map(|found| found.len()), Ok(200_000));
}

#[test]
fn large_patterns_are_refused() {
    for pattern in [r"(\p{L}{100}){100}", r"\w{5000}"] {
        assert!(Scanner::new(pattern, &[pattern]).is_err(), "{pattern}");
    }
}
