//! Durations as Go writes them: `1m30s`, `250ms`, `1.5h`.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration; write it like 30s, 1m30s or 250ms")]
pub struct InvalidDuration {
    text: String,
}

/// Parses a duration in the form of Go's `time.ParseDuration`, without sign: numbers, each with a unit of `ns`,
/// `us` (or `µs`), `ms`, `s`, `m`, `h`. A bare `0` needs no unit.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration { text: text.to_owned() };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanoseconds: f64 = 0.0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let factor = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(invalid()),
        };
        nanoseconds += number.parse::<f64>().map_err(|_| invalid())? * factor;
        rest = tail;
    }
    if text.is_empty() {
        return Err(invalid());
    }
    Duration::try_from_secs_f64(nanoseconds / 1e9).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("30s", 30_000)]
    #[case("1m30s", 90_000)]
    #[case("250ms", 250)]
    #[case("1h", 3_600_000)]
    #[case("1.5h", 5_400_000)]
    #[case("1h0m0.5s", 3_600_500)]
    #[case("0", 0)]
    #[case("0s", 0)]
    #[case("2000us", 2)]
    fn go_durations_are_read(#[case] text: &str, #[case] milliseconds: u64) {
        assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)));
    }

    #[rstest]
    #[case("")]
    #[case("30")]
    #[case("s")]
    #[case("-1s")]
    #[case("1d")]
    #[case("1 s")]
    #[case("1.2.3s")]
    #[case(".s")]
    #[case("1s2")]
    #[case("1e3s")]
    #[case("99999999999999999999999h")]
    fn anything_else_is_refused_with_its_text(#[case] text: &str) {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(&format!("`{text}`")), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _any = parse(&text);
        }

        #[test]
        fn milliseconds_survive(milliseconds in 0_u64..100_000_000) {
            proptest::prop_assert_eq!(parse(&format!("{milliseconds}ms")), Ok(Duration::from_millis(milliseconds)));
        }
    }
}
