//! Templates from attackers: each must end soon, within the memory that its steps pay for.

mod charges;
mod integers;

use std::time::{Duration, Instant};

use chrono::DateTime;
use serde_json::Map;

use super::{Error, Kind, Limits, Template};

/// The time that a budget of steps may take in a test build on a busy machine.
const SOON: Duration = Duration::from_secs(20);

fn render_within(source: &str, time: Duration) -> Result<String, Error> {
    let limits = Limits {
        fuel: 5_000_000,
        output: 1 << 20,
        time,
    };
    let now = || {
        DateTime::from_timestamp(1_772_701_687, 0)
            .unwrap_or_default()
            .naive_utc()
    };
    Template::new(source)?.render(&Map::new(), limits, &now)
}

/// Renders without the time limit, which would hide what costs more than its steps.
fn render(source: &str) -> Result<String, Error> {
    let started = Instant::now();
    let rendered = render_within(source, 100 * SOON);
    let elapsed = started.elapsed();
    let head: String = source.chars().take(120).collect();
    assert!(elapsed < SOON, "{head} took {elapsed:?}");
    rendered
}

fn fails_soon(source: &str) -> Error {
    let rendered = render(source);
    let head: String = source.chars().take(120).collect();
    let error = rendered.expect_err(&head);
    assert!(
        error.message.len() < 5000,
        "{head}: a message of {} bytes",
        error.message.len()
    );
    assert!(
        !error.message.contains("panicked"),
        "{head}: {}",
        error.message
    );
    error
}

/// A loop of the longest range that runs a statement.
fn repeat(before: &str, statement: &str) -> String {
    format!(
        "{before}{{% for i in range(100000) %}}{{% for j in range(1000) %}}{statement}{{% endfor \
         %}}{{% endfor %}}"
    )
}

/// Each of these took gigabytes, hours or the process elsewhere.
#[test]
fn hostile_templates_end_soon() {
    let deep = |open: &str, inside: &str, close: &str| {
        format!("{}{inside}{}", open.repeat(90), close.repeat(90))
    };
    let grow = |start: &str, step: &str, end: &str| {
        format!(
            "{{% set ns = namespace(x={start}) \
             %}}{{% for i in range(100000) %}}{{% set ns.x = {step} %}}{{% endfor %}}{end}"
        )
    };
    let programs = [
        "{{ '{:>20000000000}'.format(1) }}".to_owned(),
        "{{ '%2000000000d' % 1 }}".into(),
        "{{ '%.4000000000d' % 1 }}".into(),
        "{{ '%*d' % (2000000000, 1) }}".into(),
        "{{ '{:.4000000000f}'.format(1.5) }}".into(),
        "{{ '{:02000000000,}'.format(1) }}".into(),
        "{{ 'a'.center(2000000000) }}{{ 'a'.zfill(2000000000) }}".into(),
        "{{ 'a\nb' | indent(2000000000) }}".into(),
        "{{ [1] | tojson(indent=2000000000) }}".into(),
        "{{ [1] | batch(2000000000, 1) | list }}".into(),
        "{{ 'a' * 2000000000 }}".into(),
        "{{ [1] * 2000000000 }}".into(),
        "{{ 2 ** 2000000000 }}".into(),
        "{{ range(2000000000) }}".into(),
        grow("[]", "[ns.x]", ""),
        grow("'x'", "ns.x ~ ns.x", ""),
        grow("[1]", "[ns.x, ns.x]", "{{ ns.x }}"),
        grow("(1,)", "(ns.x, ns.x)", "{{ ns.x == ns.x }}{{ {ns.x: 1} }}"),
        grow("[1]", "ns.x | map('string')", "{{ ns.x | list }}"),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into(),
        format!(
            "{{% macro m() %}}{}{{% endmacro %}}{{{{ m() }}}}",
            deep("{% if 1 %}", "{{ m() }}", "{% endif %}")
        ),
        "{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}".into(),
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}".into(),
        "{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}".into(),
        format!("{{{{ {}1", "(".repeat(100_000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(100_000)),
        format!("{{{{ {}1 }}}}", "1 if ".repeat(100_000)),
        "{% if 1 %}".repeat(100_000),
    ];
    for program in programs {
        fails_soon(&program);
    }
    // Long chains are no deep trees.
    for chain in [" + 1", " | abs", " and 1", " ~ ''", " < 2"] {
        let rendered = render(&format!("{{{{ 1{} }}}}", chain.repeat(50_000)));
        assert!(rendered.is_ok(), "{chain}: {rendered:?}");
    }
    // A namespace that holds itself and a macro of its scope.
    let itself = "{% set ns = namespace() %}{% macro m() %}{{ ns }}{% endmacro %}{% set ns.m = m %}\
        {% set ns.ns = ns %}{{ [ns] == [ns] }}";
    assert_eq!(render(itself).as_deref(), Ok("True"));
}
/// Chains of values that hold each other are refused, or dropped one by one.
#[test]
fn chains_are_no_deep_recursion() {
    let chain = |start: &str, step: &str| {
        format!(
            "{{% set ns = namespace(x={start}) \
             %}}{{% for i in range(100000) %}}{step}{{% endfor %}}"
        )
    };
    for step in [
        "{% set ns.x = [1]|map('default', ns.x) %}",
        "{% set ns.x = [1]|map('default', default_value=ns.x) %}",
        "{% set ns.x = [1]|map(attribute=1, default=ns.x) %}",
        "{% set ns.x = [1]|select('in', ns.x) %}",
        "{% set ns.x = cycler(ns.x) %}",
        "{% set ns.x = joiner(ns.x) %}",
    ] {
        fails_soon(&chain("[1]", step));
    }
    for step in [
        "{% set ns.x = namespace(x=ns.x) %}",
        "{% for j in [ns.x] %}{% set ns.x = loop %}{% endfor %}",
        "{% set x = ns.x %}{% for j in [1] %}{% set ns.x = loop %}{% endfor %}",
        "{% set x = ns.x %}{% macro m() %}{{ x }}{% endmacro %}{% set ns.x = m %}",
    ] {
        assert_eq!(
            render(&chain("[1]", step)).map(|text| text.len()),
            Ok(0),
            "{step}"
        );
    }
}

#[test]
fn a_panic_is_an_error_of_the_template() {
    let limits = Limits {
        fuel: 1000,
        output: 1000,
        time: SOON,
    };
    let broken =
        || -> chrono::NaiveDateTime { std::panic::resume_unwind(Box::new("a broken clock")) };
    let template = Template::new("{{ strftime_now('%Y') }}").expect("a template");
    let error = template
        .render(&Map::new(), limits, &broken)
        .expect_err("a panic");
    assert!(
        error.message.contains("the interpreter panicked"),
        "{}",
        error.message
    );
}

#[test]
fn the_clock_is_the_last_limit() {
    let endless = repeat("", "{% set x = 1 %}");
    let stopped = render_within(&endless, Duration::ZERO).expect_err("no time is left");
    assert_eq!(stopped.kind, Kind::Time);
    assert!(
        stopped.message.contains("took more than 0 seconds"),
        "{}",
        stopped.message
    );
}
