//! Durations as Go writes them: `1m30s`, `250ms`, `1.5h`, `0`.

use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// Digits of a fraction that count: finer than a nanosecond even of an hour.
const FRACTION_DIGITS: usize = 15;

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration; write it like 30s, 1m30s or 250ms")]
pub struct InvalidDuration {
    text: String,
}

/// Parses a duration in the form of Go's [`time.ParseDuration`](https://pkg.go.dev/time#ParseDuration), without a sign: numbers, each
/// with a unit of `ns`, `us` (or `µs`), `ms`, `s`, `m`, `h`. A bare `0` needs no unit. Exact to the nanosecond; what is finer is cut off.
///
/// Fails for anything else, and for more than 2⁶⁴ seconds.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    read(text).ok_or_else(|| InvalidDuration { text: text.to_owned() })
}

fn read(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let number = split(&mut rest, |byte| byte.is_ascii_digit() || byte == b'.');
        let unit = split(&mut rest, |byte| !(byte.is_ascii_digit() || byte == b'.'));
        total = total.checked_add(nanoseconds(number, unit_nanoseconds(unit)?)?)?;
    }
    let seconds = u64::try_from(total / NANOS_PER_SECOND).ok()?;
    Some(Duration::new(seconds, u32::try_from(total % NANOS_PER_SECOND).ok()?))
}

fn split<'a>(rest: &mut &'a str, belongs: impl Fn(u8) -> bool) -> &'a str {
    let end = rest.bytes().position(|byte| !belongs(byte)).unwrap_or(rest.len());
    let (head, tail) = rest.split_at(end);
    *rest = tail;
    head
}

fn unit_nanoseconds(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        // Both the micro sign and the Greek letter are written.
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3_600 * NANOS_PER_SECOND,
        _ => return None,
    })
}

fn nanoseconds(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS)];
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    digits(whole)?.checked_mul(unit)?.checked_add(digits(fraction)?.checked_mul(unit)? / scale)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("60s", 60_000_000_000)]
    #[case("1m30s", 90_000_000_000)]
    #[case("250ms", 250_000_000)]
    #[case("1h", 3_600_000_000_000)]
    #[case("1.5h", 5_400_000_000_000)]
    #[case("1h0m0.5s", 3_600_500_000_000)]
    #[case(".5s", 500_000_000)]
    #[case("1.s", 1_000_000_000)]
    #[case("2h45m30.5s", 9_930_500_000_000)]
    #[case("0.12345678901234567890s", 123_456_789)]
    #[case("2000us", 2_000_000)]
    #[case("100µs", 100_000)]
    #[case("7ns", 7)]
    #[case("0", 0)]
    #[case("0s", 0)]
    fn what_go_writes_is_read(#[case] text: &str, #[case] nanos: u64) {
        assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)));
    }

    #[rstest]
    #[case("")]
    #[case("60")]
    #[case("s")]
    #[case(".s")]
    #[case("1 s")]
    #[case("-1s")]
    #[case("1d")]
    #[case("1.2.3s")]
    #[case("1s30")]
    #[case("1e3s")]
    #[case("sixty")]
    #[case("99999999999999999999999h")]
    #[case("99999999999999999999999999999999999999999h")]
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
        fn nanoseconds_survive(nanos in 0_u64..u64::MAX) {
            proptest::prop_assert_eq!(parse(&format!("{nanos}ns")), Ok(Duration::from_nanos(nanos)));
        }
    }
}
