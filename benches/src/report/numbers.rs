//! Numbers as people read them.

/// With commas between thousands.
pub(super) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// With about three digits that mean something.
pub(super) fn figure(number: f64) -> String {
    match number.abs() {
        size if size >= 1000.0 => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "rounded, and measured figures are small"
            )]
            let rounded = size.round() as u64;
            let sign = if number < 0.0 { "-" } else { "" };
            format!("{sign}{}", whole(rounded))
        }
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// As it is written down: a round number stays round.
pub(super) fn bare(number: f64) -> String {
    if number >= 1000.0 { figure(number) } else { number.to_string() }
}

/// A count as a float.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// KiB in MiB.
pub(super) fn mib(kib: u64) -> f64 {
    float(kib) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([whole(0), whole(999), whole(1000), whole(1_000_000)], ["0", "999", "1,000", "1,000,000"]);
        assert_eq!(
            [figure(0.1234), figure(12.34), figure(123.4), figure(12_345.6), figure(-1000.0)],
            ["0.12", "12.3", "123", "12,346", "-1,000"]
        );
        assert!((mib(1536) - 1.5).abs() < 1e-9);
    }
}
