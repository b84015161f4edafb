//! Whatever a job writes, its log stays readable, ordered and bounded.

use minitower_tests::{JobBed, shape};

/// The most bytes of one line.
const LINE_BYTES: usize = 8 * 1024;

/// Runs a job to its good end and yields its lines on standard output.
fn lines_of(code: &str) -> Vec<String> {
    let bed = JobBed::start();
    let run = bed.python("writes", code);
    let ended = bed.team.wait_end(run);
    assert_eq!(ended["status"], "completed", "{ended}");
    let all = bed.team.logs(run);
    for (index, line) in all.iter().enumerate() {
        assert_eq!(shape::int(line, "seq"), i64::try_from(index).unwrap() + 1);
        assert!(shape::text(line, "line").len() <= LINE_BYTES);
    }
    bed.team.stream(run, "stdout")
}

#[test]
fn many_lines_arrive_complete_and_in_order() {
    let lines = lines_of("for number in range(20000):\n    print('line', number)");
    let expected: Vec<String> = (0..20_000).map(|number| format!("line {number}")).collect();
    assert_eq!(lines.len(), expected.len());
    assert!(lines == expected, "lines are out of order");
}

#[test]
fn a_hundred_megabytes_of_long_lines_are_cut_and_survived() {
    let lines = lines_of("for number in range(100):\n    print('x' * 1_000_000)");
    assert_eq!(lines.len(), 100);
    assert!(lines.iter().all(|line| line.starts_with("xxxx")));
}

#[test]
fn a_hundred_megabytes_without_a_newline_are_survived() {
    let code = "import sys\nfor number in range(100):\n    sys.stdout.write('y' * 1_000_000)";
    let lines = lines_of(code);
    assert!(!lines.is_empty() && lines[0].starts_with("yyyy"));
}

#[test]
fn a_last_line_without_a_newline_is_kept() {
    assert_eq!(lines_of("print('first')\nprint('last', end='')"), ["first", "last"]);
}

#[test]
fn every_byte_value_is_survived_and_invalid_text_is_replaced() {
    let code = r#"
import sys
sys.stdout.buffer.write(bytes(byte for byte in range(256) if byte not in (10, 13)) + b"\n")
sys.stdout.buffer.write("gültig\n".encode())
sys.stdout.buffer.write(b"\xc3\n")
"#;
    let lines = lines_of(code);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("ABC") && lines[0].contains('\u{fffd}'));
    assert_eq!(lines[1], "gültig");
    assert_eq!(lines[2], "\u{fffd}");
}

#[test]
fn a_long_line_is_cut_on_a_character_boundary() {
    let lines = lines_of("print('a' + 'ü' * 10_000)");
    assert_eq!(lines.len(), 1);
    assert!(!lines[0].contains('\u{fffd}'), "no character is cut in half");
    assert!(lines[0].len() > LINE_BYTES - 200, "{} bytes", lines[0].len());
}

#[test]
fn empty_lines_are_kept() {
    assert_eq!(lines_of("print()\nprint('x')\nprint()"), ["", "x", ""]);
}

#[test]
fn lines_are_there_while_the_job_runs() {
    let bed = JobBed::start();
    let run = bed.python("live", "import time\nprint('first', flush=True)\ntime.sleep(600)");
    bed.team.wait_line(run, "first");
    assert_eq!(bed.team.status(run), "running");
    bed.team.cancel(run);
    bed.team.wait_end(run);
}
