//! Small differences between Jinja engines, each with what jinja2 gives.
//!
//! `tests/golden/probes.json` has a thousand more.

use std::time::Duration;

use chrono::DateTime;
use serde_json::{Map, json};

use super::{Error, Kind, Limits, Template};

fn render(source: &str) -> Result<String, Error> {
    let variables = json!({
        "d": {"b": 1, "a": [1, 2.0, null, true], "items": "an item"},
        "xs": [3, 1, 2],
        "nothing": null,
    });
    let none = Map::new();
    let limits = Limits {
        fuel: 5_000_000,
        output: 1 << 20,
        time: Duration::from_secs(30),
    };
    let now = || {
        DateTime::from_timestamp(1_772_701_687, 0)
            .unwrap_or_default()
            .naive_utc()
    };
    Template::new(source)?.render(variables.as_object().unwrap_or(&none), limits, &now)
}

fn check(cases: &[(&str, &str)]) {
    for (source, expected) in cases {
        assert_eq!(render(source).as_deref(), Ok(*expected), "{source}");
    }
}

fn refuses(sources: &[&str]) {
    for source in sources {
        let rendered = render(source);
        assert!(rendered.is_err(), "{source} is {rendered:?}");
    }
}

#[test]
fn values_are_written_as_in_python() {
    check(&[
        (
            "{{ none }}{{ true }}{{ nope }}|{{ 1.0 }}|{{ 1e16 }}|{{ 1/3 }}",
            "NoneTrue|1.0|1e+16|0.3333333333333333",
        ),
        (
            "{{ d }}",
            "{'b': 1, 'a': [1, 2.0, None, True], 'items': 'an item'}",
        ),
        (
            "{{ (1,) }}{{ \"it's\" | list | first }}{{ ['it\\'s', nope] }}",
            "(1,)i[\"it's\", Undefined]",
        ),
        (
            "{{ 7 // 2 }}{{ -7 // 2 }}{{ -7 % 3 }}{{ 2 ** -1 }}{{ 6 / 2 }}",
            "3-420.53.0",
        ),
        (
            "{{ range(1, 7, 2) }}{{ range(3)[1:]|list }}",
            "range(1, 7, 2)[1, 2]",
        ),
    ]);
}

#[test]
fn what_python_refuses_is_refused() {
    refuses(&[
        "{{ 'a' + 1 }}",
        "{{ nothing + 'a' }}",
        "{{ 1 < 'a' }}",
        "{{ nope < 1 }}",
        "{{ nope + 'a' }}",
        "{{ nope.x }}",
        "{{ nothing[1:] }}",
        "{{ 'a' in nothing }}",
        "{% for x in nothing %}{% endfor %}",
        "{{ xs | map('string') | length }}",
        "{{ nope | tojson }}",
        "{{ xs.append(1) }}",
        "{{ d.update({}) }}",
        "{% set d.b = 2 %}",
        "{{ [1, 'a'] | sort }}",
        "{{ {[1]: 2} }}",
        "{{ '%d' % 'a' }}",
        "{{ '{:d}'.format('a') }}",
        "{{ 'a'.index('b') }}",
        "{{ xs | nope }}",
        "{% if false %}{% for x in xs %}{{ x | nope }}{% endfor %}{% endif %}",
        "{% break %}",
        "{% for x in xs %}{% generation %}{% nope %}{% endfor %}",
        "{% for x in xs %}{% block b %}{% nope %}{% endfor %}",
        "{{ 1 is defined if 1 else 2 }}",
        "{{ ''.__class__.__mro__ }}",
    ]);
    check(&[
        ("{% if false %}{{ 1 | nope }}{% endif %}ok", "ok"),
        ("{{ nope[0] if nope else 'no' }}", "no"),
    ]);
}

#[test]
fn undefined_and_none_are_two_things() {
    check(&[
        (
            "{{ nope is none }}{{ nothing is none }}{{ nope is defined }}{{ nothing is defined }}",
            "FalseTrueFalseTrue",
        ),
        (
            "{{ nope | default('x') }}{{ nothing | default('x') }}{{ nothing | default('x', true) \
             }}",
            "xNonex",
        ),
        (
            "{{ nope is sequence }}{{ nope is iterable }}{{ nothing is iterable }}",
            "TrueTrueFalse",
        ),
        (
            "{{ nope == other }}{{ nope == nothing }}{{ 'a' ~ nope ~ nothing }}",
            "TrueFalseaNone",
        ),
        (
            "{{ (d.z.y is defined) if d.z else 'no' }}{{ nothing.x is defined }}{{ nope | length \
             }}",
            "noFalse0",
        ),
        (
            "{{ d is sequence }}{{ 'a' is sequence }}{{ d is mapping }}{{ true is number }}",
            "TrueTrueTrueTrue",
        ),
    ]);
}

#[test]
fn methods_come_before_items_and_items_before_methods() {
    check(&[
        (
            "{{ d['items'] }}|{{ d.items is callable }}|{{ d.items() | list | length }}",
            "an item|True|3",
        ),
        (
            "{{ d.get('b') }}{{ d.get('z') }}{{ d.get('z', 7) }}{{ d.z is defined }}",
            "1None7False",
        ),
        (
            "{% for k, v in d.items() %}{{ k }};{% endfor %}{{ d | dictsort | map('first') | list \
             }}",
            "b;a;items;['a', 'b', 'items']",
        ),
        (
            "{{ xs[-1] }}{{ xs[1:] }}{{ xs[::-1] }}{{ xs[9] is defined }}{{ 'héy'[1] }}",
            "2[1, 2][2, 1, 3]Falseé",
        ),
    ]);
}

#[test]
fn strings_have_the_methods_of_python() {
    check(&[
        (
            "{{ 'a,b,c'.rsplit(',', 1) }}{{ ' a  b '.split() }}{{ ' a b c '.split(none, 1) }}",
            "['a,b', 'c']['a', 'b']['a', 'b c ']",
        ),
        (
            "{{ 'xxaxx'.strip('x') }}{{ 'abc'.startswith(('z', 'a')) }}{{ 'aaa'.replace('a', 'b', \
             2) }}",
            "aTruebba",
        ),
        (
            "{{ \"it's a dog\".title() }}|{{ \"it's a-dog\" | title }}|{{ 'ÉA'.capitalize() }}",
            "It'S A Dog|It's A-Dog|Éa",
        ),
        (
            "{{ '%s %05.1f %-3d| %(a)s' % (1, 2.25, 3) if false }}{{ '%s %05.1f %-3d|' % (none, \
             2.25, 3) }}",
            "None 002.2 3  |",
        ),
        (
            "{{ '%(a)s%%' % {'a': [1]} }}{{ '{:>4}|{:+d}|{:,}|{x[0]}'.format('a', 5, 1234567, \
             x=[9]) }}",
            "[1]%   a|+5|1,234,567|9",
        ),
        (
            "{{ 'a' 'b' }}{{ 'a\\u00e9\\x41\\d' }}{{ 'ab' * 2 }}",
            "abaéA\\dabab",
        ),
    ]);
}

#[test]
fn json_is_that_of_transformers() {
    check(&[
        (
            "{{ '<é&>\\n\\u2028' | tojson }}{{ 'é🐦' | tojson(ensure_ascii=true) }}",
            "\"<é&>\\n\u{2028}\"\"\\u00e9\\ud83d\\udc26\"",
        ),
        (
            "{{ d | tojson }}",
            r#"{"b": 1, "a": [1, 2.0, null, true], "items": "an item"}"#,
        ),
        (
            "{{ {'b': [1], 'a': {}} | tojson(indent=1, sort_keys=true) }}",
            "{\n \"a\": {},\n \"b\": [\n  1\n ]\n}",
        ),
        (
            "{{ {1: none, none: 2} | tojson(separators=(',', ':')) }}",
            r#"{"1":null,"null":2}"#,
        ),
    ]);
}

#[test]
fn loops_are_lazy() {
    check(&[
        (
            "{% for x in xs if x > 1 %}{{ loop.index }}/{{ loop.length }}{{ loop.last }} \
             {% endfor %}",
            "1/2False 2/2True ",
        ),
        (
            "{% set ns = namespace(n=0) %}{% for x in xs if x > ns.n %}{% set ns.n = 2 %}{{ x \
             }}{% endfor %}",
            "3",
        ),
        (
            "{% for x in xs %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
            "<3>1 3<1>2 1<2> ",
        ),
        (
            "{% set x = 0 %}{% for y in xs %}{% set x = x + y %}{{ x }}{% endfor %}{{ x }}",
            "3120",
        ),
        (
            "{% for x in xs %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
            "32",
        ),
        (
            "{% set g = xs | map('string') %}{{ g | list }}{{ g | list }}",
            "['3', '1', '2'][]",
        ),
        (
            "{% for x in [1, [2]] recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}",
            "12",
        ),
    ]);
}

#[test]
fn lines_and_spaces_are_trimmed_as_in_transformers() {
    check(&[
        ("{% if 1 %}\na\n  {% endif %}\nb\n", "a\nb"),
        ("{% if 1 %}\r\na\r{% endif %}\r\nb", "a\nb"),
        (" {{ 1 }}\n {#- x #}\n  y", " 1  y"),
        (
            "{% raw %}\n{{ x }}{% endraw %}\n{{ '}}' }}{{ {'a': {}} }}",
            "\n{{ x }}}}{'a': {}}",
        ),
        ("{%- generation -%}  a  {%- endgeneration %}\nb", "ab"),
        (
            "{% generation %}{% set q = 1 %}{{ q }}{% endgeneration %}{{ q }}",
            "1",
        ),
    ]);
}

#[test]
fn functions_and_macros() {
    check(&[
        (
            "{{ strftime_now('%d %B %Y %-I %p') }}",
            "05 March 2026 9 AM",
        ),
        (
            "{% macro f(a, b=a) %}{{ a }}{{ b }}{{ kwargs }}{{ varargs }}{% endmacro %}{{ f(1, \
             z=2) }}",
            "11{'z': 2}()",
        ),
        (
            "{% macro f() %}<{{ caller(1) }}>{% endmacro %}{% call(x) f() %}{{ x }}{% endcall %}",
            "<1>",
        ),
        (
            "{{ '<a>' | safe ~ '<b>' }}{{ ('<a>' | safe) + '<b>' }}",
            "<a><b><a>&lt;b&gt;",
        ),
    ]);
    let refused = render("\n{{ raise_exception('roles must alternate') }}");
    let refused = refused.expect_err("it raises");
    assert_eq!(
        (refused.message.as_str(), refused.line, refused.kind),
        ("roles must alternate", 2, Kind::Failed)
    );
}
