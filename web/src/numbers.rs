//! Numbers from JavaScript, which has but one kind of them.

/// The whole number that a parameter is.
///
/// # Errors
/// The number is none, or is not between `least` and `most`: names the parameter, its value and the
/// range.
pub fn whole(name: &str, value: f64, least: u64, most: u64) -> Result<u64, String> {
    if value.fract() == 0.0 && value >= least as f64 && value <= most as f64 {
        return Ok(value as u64);
    }
    let range = match (least, most) {
        (least, most) if least == most => format!("must be {least}"),
        (least, MOST) => format!("must be a whole number of at least {least}"),
        (least, most) => format!("must be a whole number from {least} to {most}"),
    };
    Err(format!("{name} is {value}, but it {range}"))
}

/// The largest whole number that JavaScript's numbers hold exactly.
pub const MOST: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_in_range_are_taken_and_others_named() {
        assert_eq!(whole("top_k", 0.0, 0, MOST), Ok(0));
        assert_eq!(whole("seed", MOST as f64, 0, MOST), Ok(MOST));
        for value in [-1.0, 0.5, 1e300, f64::NAN, f64::INFINITY] {
            let range = "must be a whole number of at least 1";
            let refused = Err(format!("max_tokens is {value}, but it {range}"));
            assert_eq!(whole("max_tokens", value, 1, MOST), refused);
        }
        assert_eq!(
            whole("n", 2.0, 1, 1),
            Err("n is 2, but it must be 1".into())
        );
        let refused = "ids[1] is -1, but it must be a whole number from 0 to 9";
        assert_eq!(whole("ids[1]", -1.0, 0, 9), Err(refused.into()));
    }
}
