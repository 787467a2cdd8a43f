//! `strftime_now`: some templates tell the model the date.

use chrono::{Datelike, NaiveDateTime, Timelike};

/// The widest field that a template may ask for.
const MAX_WIDTH: usize = 60;

/// The local time.
pub(super) fn now() -> NaiveDateTime {
    chrono::Local::now().naive_local()
}

/// Formats a time as C's `strftime` does in the locale "C", with glibc's flags and widths.
///
/// Python's `datetime.now()` knows no time zone: `%z` and `%Z` are empty. `%f` are microseconds.
pub(super) fn format(format: &str, time: NaiveDateTime) -> String {
    let mut out = String::new();
    let mut rest = format.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut directive = String::from("%");
        let mut pad = None;
        let mut case = None;
        while let Some(flag) = rest.next_if(|c| matches!(c, '-' | '_' | '0' | '^' | '#')) {
            directive.push(flag);
            match flag {
                '^' | '#' => case = Some(flag),
                _ => pad = Some(flag),
            }
        }
        let mut width = 0;
        while let Some(digit) = rest.next_if(char::is_ascii_digit) {
            directive.push(digit);
            width = (width * 10 + digit.to_digit(10).unwrap_or(0) as usize).min(MAX_WIDTH);
        }
        directive.extend(rest.next_if(|c| matches!(c, 'E' | 'O')));
        let Some(letter) = rest.next() else {
            out.push_str(&directive);
            break;
        };
        directive.push(letter);
        match field(letter, time) {
            Some(Field::Number(number, digits, default)) => {
                let (fill, digits) = match pad {
                    Some('-') => ('0', 0),
                    Some('_') => (' ', digits),
                    Some(_) => ('0', digits),
                    None => (default, digits),
                };
                let text = number.to_string();
                let missing = digits.max(width).saturating_sub(text.len());
                out.extend(std::iter::repeat_n(fill, missing));
                out.push_str(&text);
            }
            Some(Field::Text(text)) => {
                let text = match (case, letter) {
                    (Some('^'), _) => text.to_uppercase(),
                    (Some(_), 'p') => text.to_lowercase(),
                    (Some(_), _) => text.to_uppercase(),
                    _ => text,
                };
                let fill = if pad == Some('0') { '0' } else { ' ' };
                out.extend(std::iter::repeat_n(fill, width.saturating_sub(text.len())));
                out.push_str(&text);
            }
            None => out.push_str(&directive),
        }
    }
    out
}

enum Field {
    /// A number, its least digits, and what fills it up.
    Number(i64, usize, char),
    Text(String),
}

fn field(letter: char, time: NaiveDateTime) -> Option<Field> {
    let number = |number: u32, digits: usize| Some(Field::Number(number.into(), digits, '0'));
    let spaced = |number: u32| Some(Field::Number(number.into(), 2, ' '));
    let text = |text: &str| Some(Field::Text(text.into()));
    let nested = |pattern: &str| Some(Field::Text(format(pattern, time)));
    let year = i64::from(time.year());
    let week = time.iso_week();
    let from_monday = time.weekday().num_days_from_monday();
    let from_sunday = time.weekday().num_days_from_sunday();
    let hour12 = time.hour12().1;
    let half = if time.hour() < 12 { "AM" } else { "PM" };
    match letter {
        'a' => text(&DAYS[from_sunday as usize][..3]),
        'A' => text(DAYS[from_sunday as usize]),
        'b' | 'h' => text(&MONTHS[time.month0() as usize][..3]),
        'B' => text(MONTHS[time.month0() as usize]),
        'c' => nested("%a %b %e %H:%M:%S %Y"),
        'C' => Some(Field::Number(year.div_euclid(100), 2, '0')),
        'd' => number(time.day(), 2),
        'D' | 'x' => nested("%m/%d/%y"),
        'e' => spaced(time.day()),
        'f' => number(time.nanosecond() / 1000 % 1_000_000, 6),
        'F' => nested("%Y-%m-%d"),
        'g' => Some(Field::Number(
            i64::from(week.year()).rem_euclid(100),
            2,
            '0',
        )),
        'G' => Some(Field::Number(week.year().into(), 1, '0')),
        'H' => number(time.hour(), 2),
        'I' => number(hour12, 2),
        'j' => number(time.ordinal(), 3),
        'k' => spaced(time.hour()),
        'l' => spaced(hour12),
        'm' => number(time.month(), 2),
        'M' => number(time.minute(), 2),
        'n' => text("\n"),
        'p' => text(half),
        'P' => text(&half.to_lowercase()),
        'r' => nested("%I:%M:%S %p"),
        'R' => nested("%H:%M"),
        's' => Some(Field::Number(time.and_utc().timestamp(), 1, '0')),
        'S' => number(time.second(), 2),
        't' => text("\t"),
        'T' | 'X' => nested("%H:%M:%S"),
        'u' => number(from_monday + 1, 1),
        'U' => number((time.ordinal() + 6 - from_sunday) / 7, 2),
        'V' => number(week.week(), 2),
        'w' => number(from_sunday, 1),
        'W' => number((time.ordinal() + 6 - from_monday) / 7, 2),
        'y' => Some(Field::Number(year.rem_euclid(100), 2, '0')),
        'Y' => Some(Field::Number(year, 1, '0')),
        'z' | 'Z' => text(""),
        '%' => text("%"),
        _ => None,
    }
}

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn at(seconds: i64, pattern: &str) -> String {
        format(
            pattern,
            DateTime::from_timestamp(seconds, 0)
                .expect("a time")
                .naive_utc(),
        )
    }

    #[test]
    fn known_dates() {
        assert_eq!(at(0, "%d %b %Y %A"), "01 Jan 1970 Thursday");
        assert_eq!(
            at(951_827_696, "%Y-%m-%d %H:%M:%S %a"),
            "2000-02-29 12:34:56 Tue"
        );
        assert_eq!(at(1_798_675_200, "%B %y %% %q"), "December 26 % %q");
    }

    /// The right sides are what Python 3 prints with glibc, for 2026-03-05 09:08:07.
    #[test]
    fn all_directives() {
        let expected = [
            (
                "%-d %-m %_d %-I %-H %-j %3d %05d",
                "5 3  5 9 9 64 005 00005",
            ),
            ("%I:%M %p %P %^a %#p %^B", "09:08 AM am THU am MARCH"),
            ("%j %U %W %V %G %g %u %w", "064 09 09 10 2026 26 4 4"),
            (
                "%c|%x|%X|%D|%F|%T|%R|%r",
                "Thu Mar  5 09:08:07 2026|03/05/26|09:08:07|\
                 03/05/26|2026-03-05|09:08:07|09:08|09:08:07 AM",
            ),
            (
                "%e %k %l %C %h %f [%z%Z] %n%t%Ey %Od",
                " 5  9  9 20 Mar 000000 [] \n\t26 05",
            ),
        ];
        for (pattern, text) in expected {
            assert_eq!(at(1_772_701_687, pattern), text, "{pattern}");
        }
        assert!(at(0, &"%999d".repeat(3)).len() <= 3 * MAX_WIDTH);
    }
}
