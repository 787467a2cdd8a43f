//! Chat templates as transformers renders them: those of published packages
//! (`target/golden/templates.json`, which `tests/fetch.sh --tests` makes), and small ones
//! (`tests/golden/probes.json`).

use std::collections::BTreeMap;

use godwit::ChatTemplate;
use godwit_tests::model::fixture;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Corpus {
    now: i64,
    packages: BTreeMap<String, usize>,
    cases: Vec<Case>,
    templates: Vec<Template>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    variables: Map<String, Value>,
}

#[derive(Deserialize)]
struct Template {
    name: String,
    source: String,
    results: Vec<Expected>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expected {
    Text(String),
    Error(String),
}

#[derive(Deserialize)]
struct Probes {
    now: i64,
    variables: Map<String, Value>,
    probes: Vec<(String, Option<String>)>,
}

fn read<T: for<'a> Deserialize<'a>>(path: &str) -> T {
    let text =
        std::fs::read_to_string(fixture(path)).expect("a file that tests/fetch.sh --tests makes");
    serde_json::from_str(&text).expect("valid JSON")
}

/// Where two texts part, with what is around.
fn difference(expected: &str, found: &str) -> String {
    let same = expected
        .chars()
        .zip(found.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let around = |text: &str| {
        text.chars()
            .skip(same.saturating_sub(30))
            .take(80)
            .collect::<String>()
    };
    format!(
        "at {same}: {:?}\n      is not {:?}",
        around(found),
        around(expected)
    )
}

#[test]
fn templates_of_packages_render_as_in_transformers() {
    let corpus: Corpus = read("target/golden/templates.json");
    let (mut equal, mut refused, mut different) = (0, 0, Vec::new());
    for template in &corpus.templates {
        let compiled =
            ChatTemplate::new(&template.source, "", "").map(|compiled| compiled.at(corpus.now));
        for (case, expected) in corpus.cases.iter().zip(&template.results) {
            let found = compiled.as_ref().map_err(ToString::to_string);
            let found = found.and_then(|compiled| {
                compiled
                    .render_with(&case.variables)
                    .map_err(|e| e.to_string())
            });
            let what = match (expected, &found) {
                (Expected::Text(expected), Ok(found)) if expected == found => {
                    equal += 1;
                    continue;
                }
                (Expected::Error(_), Err(_)) => {
                    refused += 1;
                    continue;
                }
                (Expected::Text(expected), Ok(found)) => difference(expected, found),
                (Expected::Text(_), Err(error)) => format!("refused: {error}"),
                (Expected::Error(error), Ok(_)) => {
                    format!("rendered, but transformers refuses: {error}")
                }
            };
            different.push(format!("{}: {}: {what}", template.name, case.name));
        }
    }
    let (templates, cases) = (corpus.templates.len(), corpus.cases.len());
    eprintln!(
        "{templates} templates of {} packages, {cases} conversations each: \
         {equal} rendered equal, {refused} refused alike, {} different",
        corpus.packages.len(),
        different.len()
    );
    let shown = different
        .iter()
        .take(40)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    assert!(
        different.is_empty(),
        "{} different:\n{shown}",
        different.len()
    );
    assert!(
        templates >= 60 && cases >= 40 && equal > refused,
        "the corpus is too small"
    );
}

#[test]
fn small_templates_render_as_in_jinja2() {
    let probes: Probes = read("tests/golden/probes.json");
    let mut different = Vec::new();
    for (source, expected) in &probes.probes {
        let compiled = ChatTemplate::new(source, "", "").map(|compiled| compiled.at(probes.now));
        let found = compiled.and_then(|compiled| compiled.render_with(&probes.variables));
        let fits = match (expected, &found) {
            (Some(expected), Ok(found)) => expected == found,
            (None, Err(_)) => true,
            _ => false,
        };
        if !fits {
            different.push(format!("{source}\n    {found:?}\n    is not {expected:?}"));
        }
    }
    assert!(
        probes.probes.len() >= 400,
        "only {} probes",
        probes.probes.len()
    );
    assert!(
        different.is_empty(),
        "{} of {} differ:\n{}",
        different.len(),
        probes.probes.len(),
        different.join("\n")
    );
}
