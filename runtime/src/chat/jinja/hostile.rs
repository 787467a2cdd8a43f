//! Templates from attackers: each must end soon, within the memory that its steps pay for.

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

/// Text that an undefined value, a generator or a message keeps is paid for.
#[test]
fn kept_text_is_charged() {
    let keep = |text: &str, value: &str| {
        format!(
            "{{% set s = {text} %}}{{% set ns = namespace(l=[]) %}}{{% for i in range(600) %}}\
             {{% set ns.l = ns.l + [{value}] %}}{{% endfor %}}"
        )
    };
    // The names are cut: what is kept is small, and the program may end.
    for (text, value) in [
        ("'a' * 8000000", "{}|attr(s)"),
        ("'a' * 8000000", "1|attr(s)"),
        ("'a' * 8000000", "{}[s]"),
        ("'a' * 8000000", "[1]|map(s)"),
        ("'a' * 8000000", "[1]|select(s)"),
        ("'a' * 8000000", "[1]|map(attribute=s)"),
        ("'a' * 8000000", "[{}]|selectattr(s)|list"),
        ("'a' * 8000000", "[{}]|groupby(s)|list"),
        ("'a' * 8000000", "namespace()[s]"),
        ("'__' ~ 'a' * 8000000 ~ '__'", "[1][s]"),
        ("'__' ~ 'a' * 8000000 ~ '__'", "[1]|attr(s)"),
    ] {
        let rendered = render(&keep(text, value));
        assert!(
            !matches!(&rendered, Err(e) if e.message.contains("panicked")),
            "{value}: {rendered:?}"
        );
        // Where one costs its length, not many fit.
        fails_soon(&repeat(
            &format!("{{% set s = {text} %}}"),
            &format!("{{% set x = {value} %}}"),
        ));
    }
    let long = "a".repeat(500_000);
    fails_soon(&repeat(
        "{% set ns = namespace(l=[]) %}",
        &format!("{{% set ns.l = ns.l + [{long}] %}}"),
    ));
    fails_soon(&repeat("", &format!("{{% set x = {{}}.{long} %}}")));
    fails_soon(&repeat(
        &format!("{{% macro {long}() %}}{{% endmacro %}}"),
        &format!("{{% set x = [{long}]|string %}}"),
    ));
    for message in [
        "{{ raise_exception('a' * 8000000) }}",
        "{{ dict(**{'a' * 8000000: 1})|tojson(**{'a' * 8000000: 1}) }}",
        "{% macro m() %}{% endmacro %}{{ m(**{'a' * 8000000: 1}) }}",
        "{{ namespace(**{'_' * 8000000: 1}) }}",
        "{{ '%(' ~ 'a' * 8000000 ~ ')s' % {} }}",
        "{{ ('{' ~ 'a' * 8000000 ~ '}').format() }}",
        "{{ ('{:' ~ 'a' * 8000000 ~ '}').format(1) }}",
        "{{ [1]|map('a' * 8000000)|list }}",
        "{{ [1]|select('a' * 8000000)|list }}",
        "{{ ({}|attr('a' * 8000000)).x }}",
        "{{ [1]|map(**{'a' * 8000000: 1, 'attribute': 1}) }}",
    ] {
        fails_soon(message);
    }
}

/// Each of these cost more time than it was charged for.
#[test]
fn time_is_charged_in_proportion() {
    let text = "{% set s = 'a' * 8000000 %}{% set b = 'b' * 8000000 %}";
    let half = "{% set s = 'a' * 4000000 %}{% set b = 'b' * 4000000 ~ 'a' %}";
    for (before, statement) in [
        (half, "{% set x = s.strip(b) %}"),
        (half, "{% set x = s.lstrip(b) %}"),
        (half, "{% set x = s.rstrip(b) %}"),
        (half, "{% set x = s|trim(b) %}"),
        (text, "{% set x = 'a'.strip(s) %}"),
        (text, "{% set x = 'a'.replace(s, '') %}"),
        (text, "{% set x = 'a'.replace('b', s) %}"),
        (text, "{% set x = 'a'|replace(s, '') %}"),
        (text, "{% set x = 'a'.find(s) %}"),
        (text, "{% set x = 'a'.count(s) %}"),
        (text, "{% set x = 'a'.split(s) %}"),
        (text, "{% set x = 'a'.rsplit(s) %}"),
        (text, "{% set x = 'a'.partition(s) %}"),
        (text, "{% set x = s in 'a' %}"),
        (text, "{% set x = s is lower %}"),
        (text, "{% set x = s == s ~ '' %}"),
        (text, "{% set x = {}[s] %}"),
        (text, "{% set x = {1: 1, 2: 2}[s] %}"),
        (text, "{% set x = {1: 1, 2: 2}|attr(s) %}"),
        (text, "{% set x = {s: 1, 2: 2} == {1: 1, 2: 2} %}"),
        (text, "{% set x = []|tojson(separators=(s, s)) %}"),
        (text, "{% set x = []|tojson(indent=s) %}"),
        (text, "{% set x = 'a'|indent(s) %}"),
        (text, "{% set x = 'a'|truncate(9000000, end=s) %}"),
        (text, "{% set x = namespace(**{s: 1}) %}"),
        (
            "{% set s = 'a' * 8000000 %}{% set t = (s ~ 'b',) * 200000 %}",
            "{% set x = s.startswith(t) %}",
        ),
        (
            "{% set s = 'a' * 8000000 %}{% set t = (s ~ 'b',) * 200000 %}",
            "{% set x = s.endswith(t) %}",
        ),
        ("", "{% set x = 1.1e-300|round(300) %}"),
        ("", "{% set x = '%.1100f' % 1.1e-300 %}"),
        ("", "{% set x = '{:01100,}'.format(1) %}"),
        ("{% set s = '\x00' * 1000000 %}", "{% set x = [s]|string %}"),
        ("{% set s = '\u{301}' * 500000 %}", "{% set x = '%a' % s %}"),
        (
            "{% set s = '{a}' * 900000 %}",
            "{% set x = s.format(**dict(range(90000)|map('string')|batch(2), a=1)) %}",
        ),
        (
            "{% macro m() %}{{ kwargs }}{% endmacro %}{% set d = \
             dict(range(90000)|map('string')|batch(2)) %}",
            "{% set x = m(**d) %}",
        ),
        (
            "{% set l = ['nan'|float] * 500000 %}",
            "{% set x = l|unique|list %}",
        ),
        (
            "",
            "{% set x = range(2 ** 100, 2 ** 100 + 90000)|unique|list %}",
        ),
        (
            "",
            "{% set x = range(90000)|map('string')|map(attribute='upper')|unique|list %}",
        ),
        (
            "{% set d = dict(range(90000)|batch(2)) %}{% set e = dict(range(90000)|batch(2)) %}",
            "{% set x = d.items() == e.items() %}",
        ),
        (
            "{% set d = dict(range(90000)|batch(2)) %}{% set e = dict(range(90000)|batch(2)) %}",
            "{% set x = [d.items()] == [e.items()] %}",
        ),
        (
            "{% set s = '.' * 8000000 %}",
            "{% set x = [1]|map(attribute=s)|list %}",
        ),
        (
            "{% set s = ',' * 8000000 %}",
            "{% set x = [1]|sort(attribute=s) %}",
        ),
        (
            "{% set l = range(90000)|list %}",
            "{% set x = '%d'|format(*l) if false else [1]|map('default', *l) %}",
        ),
    ] {
        let error = fails_soon(&repeat(before, statement));
        assert_eq!(error.kind, Kind::Fuel, "{statement}: {}", error.message);
    }
    let many: String = (0..40_000).map(|n| format!("{{% set a{n}=1 %}}")).collect();
    assert_eq!(fails_soon(&repeat(&many, "{{ a }}")).kind, Kind::Fuel);
    let parameters: Vec<String> = (0..60_000).map(|n| format!("a{n}")).collect();
    let declared = format!("{{% macro m({}) %}}{{% endmacro %}}", parameters.join(","));
    assert_eq!(fails_soon(&repeat(&declared, "{{ m() }}")).kind, Kind::Fuel);
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
fn integers_do_not_overflow() {
    let most = i128::MAX;
    let least = "(-(2 ** 126) * 2)";
    for expression in [
        "160000000000000000000000000000000000000|round(-38)".to_owned(),
        format!("[1]|batch({least}, 0)|list"),
        format!("{most} + 1"),
        format!("{least} - 1"),
        format!("-{least}"),
        format!("{least}|abs"),
        format!("{least} // -1"),
        format!("{most} * 2"),
        "2 ** 127".into(),
        format!("[{most}, 1]|sum"),
    ] {
        let error = fails_soon(&format!("{{{{ {expression} }}}}"));
        assert!(
            error.message.contains("an integer has more than 127 bits"),
            "{expression}: {}",
            error.message
        );
    }
    for (expression, expected) in [
        (
            "99999999999999999999999999999999999999|round(-38)",
            "100000000000000000000000000000000000000",
        ),
        (
            "59999999999999999999999999999999999999|round(-37)",
            "60000000000000000000000000000000000000",
        ),
        (
            "[25|round(-1), 35|round(-1), 26|round(-1), (-25)|round(-1)]",
            "[20, 40, 30, -20]",
        ),
        (&format!("{least} % -1"), "0"),
        (&format!("{least} in range(5)"), "False"),
        (&format!("{most} in range(-5, 0)"), "False"),
        (
            &format!("range(0, {most}, {most} // 2 + 1)|list|length"),
            "2",
        ),
        (
            &format!("range(0, {most}, {most} // 2 + 1)|string|length > 0"),
            "True",
        ),
        (&format!("range(3)[{least}:{most}:{most}]|list"), "[0]"),
        (&format!("'abc'[{least}:{most}]"), "abc"),
        (&format!("'a b'.split(' ', {})", u64::MAX), "['a', 'b']"),
        (&format!("'a b'.split(none, {})", u64::MAX), "['a', 'b']"),
        (&format!("'abc'.find('c', {least}, {most})"), "2"),
        (
            "'{:012,}|{:013,}'.format(1234, 1234)",
            "0,000,001,234|0,000,001,234",
        ),
        (
            "[1.0, 1, true, 2 ** 100, 2.0 ** 100]|unique|list",
            "[1.0, 1267650600228229401496703205376]",
        ),
        ("['nan'|float, 'nan'|float]|unique|list", "[nan]"),
        ("{1: 'a'}[1.0] ~ {(1, 2.0): 'b'}[(true, 2)]", "ab"),
    ] {
        assert_eq!(
            render(&format!("{{{{ {expression} }}}}")).as_deref(),
            Ok(expected),
            "{expression}"
        );
    }
    for expression in [
        format!("range(0, {most}, {most} // 2 + 1)[2:]"),
        format!("range({least}, {most})"),
        format!("'%*d' % ({least}, 1)"),
        format!("'%.*d' % ({most}, 1)"),
        format!("'a'.expandtabs({most}) ~ '\t'.expandtabs({most})"),
    ] {
        fails_soon(&format!("{{{{ {expression} }}}}"));
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
