//! Integers at the ends of their range.

use super::*;

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
