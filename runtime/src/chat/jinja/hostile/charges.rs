//! What is charged for: text that is kept, and time in proportion to it.

use super::*;

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
