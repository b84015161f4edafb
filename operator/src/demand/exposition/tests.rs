use proptest::prelude::*;
use rstest::rstest;

use super::*;

const INFO: &str = "minitower_build_info{version=\"0.1.0\",commit=\"x\"} 1\n";

fn pending(entries: &[(&str, &str, u64)]) -> Pending {
    entries.iter().map(|(team, name, runs)| (((*team).to_owned(), (*name).to_owned()), *runs)).collect()
}

#[test]
fn runs_are_summed_over_apps_and_everything_else_is_left_out() {
    let text = format!(
        "# HELP minitower_build_info Always 1\n# TYPE minitower_build_info gauge\n{INFO}\
         minitower_http_requests_total{{path=\"/x\",team=\"acme\"}} 7\n\
         # TYPE minitower_runs_pending gauge\n\
         minitower_runs_pending{{app=\"a\",environment=\"default\",team=\"acme\"}} 3\n\
         minitower_runs_pending{{team=\"acme\",app=\"b\",environment=\"default\",}} 4 1700000000000\n\
         \t minitower_runs_pending {{ environment = \"gpu\" , team = \"acme\" }}\t5e2\r\n\
         minitower_runs_pending_seconds{{team=\"acme\",environment=\"default\"}} 99\n\
         minitower_runs_active{{team=\"acme\",environment=\"default\"}} 99\n\n"
    );
    assert_eq!(read(&text).unwrap(), pending(&[("acme", "default", 7), ("acme", "gpu", 500)]));
}

#[test]
fn a_whole_answer_without_a_series_is_nothing_pending() {
    assert_eq!(read(INFO).unwrap(), Pending::new());
}

#[rstest]
#[case::nothing("", &ExpositionError::NoBuildInfo)]
#[case::another_program("up 1\n", &ExpositionError::NoBuildInfo)]
#[case::a_page("<html>\n<p>minitower_build_info</p>\n", &ExpositionError::NoBuildInfo)]
#[case::a_longer_name("minitower_build_information 1\n", &ExpositionError::NoBuildInfo)]
#[case::a_comment("# minitower_build_info 1\n", &ExpositionError::NoBuildInfo)]
#[case::cut_in_a_line("minitower_build_info 1\nminitower_runs_pend", &ExpositionError::CutOff)]
#[case::cut_in_another_line("minitower_build_info 1\nup", &ExpositionError::CutOff)]
#[case::cut_before_the_newline("minitower_build_info 1", &ExpositionError::CutOff)]
fn what_is_not_whole_is_no_answer(#[case] text: &str, #[case] expected: &ExpositionError) {
    assert_eq!(read(text).unwrap_err(), *expected);
}

#[rstest]
#[case(r#"{team="a"} 1"#, "names no team or no environment")]
#[case(" 1", "names no team or no environment")]
#[case(r#"{team="a",environment="e"}"#, "value is not a number")]
#[case(r#"{team="a",environment="e"} many"#, "value is not a number")]
#[case(r#"{team="a",environment="e"} -1"#, "not a number of runs")]
#[case(r#"{team="a",environment="e"} 1.5"#, "not a number of runs")]
#[case(r#"{team="a",environment="e"} NaN"#, "not a number of runs")]
#[case(r#"{team="a",environment="e"} +Inf"#, "not a number of runs")]
#[case(r#"{team="a",environment="e"} 1e300"#, "not a number of runs")]
#[case(r#"{team="a",environment="e"} 1 2 3"#, "something follows")]
#[case(r#"{team="a",environment="e"} 1 soon"#, "something follows")]
#[case(r#"{team="a",environment="e" 1"#, "do not end")]
#[case(r#"{team="a",environment="e 1"#, "does not end")]
#[case(r#"{team="a\"#, "unknown escape")]
#[case(r#"{team="\x",environment="e"} 1"#, "unknown escape")]
#[case(r#"{team=a,environment="e"} 1"#, "no quotes")]
#[case(r#"{="a",environment="e"} 1"#, "no name")]
#[case(r#"{te am="a",environment="e"} 1"#, "no name")]
#[case(r#"{team="a",team="b",environment="e"} 1"#, "twice")]
#[case(r"{team", "no value")]
fn a_line_about_demand_that_cannot_be_read_is_no_answer(#[case] rest: &str, #[case] reason: &str) {
    let error = read(&format!("{INFO}minitower_runs_pending{rest}\n")).unwrap_err();
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn a_line_that_is_no_utf8_is_no_answer() {
    let mut reader = Reader::default();
    let error = reader.push(b"minitower_runs_pending{team=\"\xff\"} 1\n").unwrap_err();
    assert_eq!(error, ExpositionError::Line("it is not UTF-8"));
}

#[test]
fn other_series_cost_no_memory_however_many_and_long() {
    let mut reader = Reader::default();
    let long = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        reader.push(&long).unwrap();
    }
    for number in 0..100_000 {
        reader.push(format!("minitower_run_total_seconds_bucket{{le=\"{number}\"}} 1\n").as_bytes()).unwrap();
    }
    assert!(reader.line.capacity() <= 2 * MAX_LINE_BYTES, "{}", reader.line.capacity());
    assert_eq!((reader.kept_bytes, reader.pending.len()), (0, 0));
}

#[test]
fn a_control_plane_cannot_make_the_operator_keep_without_end() {
    let mut reader = Reader::default();
    reader.push(b"minitower_runs_pending{team=\"").unwrap();
    let error = reader.push(&vec![b'x'; 2 * MAX_LINE_BYTES]).unwrap_err();
    assert_eq!(error, ExpositionError::Line("it is too long"));

    let (mut reader, filler) = (Reader::default(), "x".repeat(10_000));
    let many = (0..).find_map(|number| {
        let line = format!("minitower_runs_pending{{team=\"{number}{filler}\",environment=\"e\"}} 1\n");
        reader.push(line.as_bytes()).err()
    });
    assert_eq!(many, Some(ExpositionError::TooMany));
    assert!(reader.pending.len() < 2000);
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

fn blanks() -> impl Strategy<Value = String> {
    "[ \t]{0,2}"
}

prop_compose! {
    /// A series as text, with its labels in any order, and what it says.
    fn series()(
        team in "\\PC{0,8}|[\\\\\"n\n{},= ]{0,6}",
        environment in "[a-c]",
        app in "\\PC{0,8}|[\\\\\"n\n{},= ]{0,6}",
        runs in 0_u64..1_000_000,
        turn in 0_usize..3,
        blank in blanks(),
        trailing_comma in any::<bool>(),
    ) -> (String, (String, String), u64) {
        let mut labels = [("team", &team), ("environment", &environment), ("app", &app)]
            .map(|(name, value)| format!("{blank}{name}{blank}={blank}\"{}\"{blank}", escaped(value)));
        labels.rotate_left(turn);
        let comma = if trailing_comma { "," } else { "" };
        let text = format!("minitower_runs_pending{blank}{{{}{comma}}} {blank}{runs}\n", labels.join(","));
        (text, (team, environment), runs)
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read_however_it_is_cut_into_pieces(
        all in prop::collection::vec(series(), 0..20),
        piece in 1_usize..40,
    ) {
        let mut expected = Pending::new();
        let mut text = INFO.to_owned();
        for (line, key, runs) in all {
            text.push_str(&line);
            text.push_str("minitower_runs_active{team=\"x\"} 1\n");
            *expected.entry(key).or_default() += runs;
        }
        let mut reader = Reader::default();
        for piece in text.as_bytes().chunks(piece) {
            reader.push(piece).unwrap();
        }
        prop_assert_eq!(reader.finish().unwrap(), expected);
    }

    #[test]
    fn a_text_cut_anywhere_but_between_lines_is_no_answer(all in prop::collection::vec(series(), 1..5), at in any::<prop::sample::Index>()) {
        let text = all.into_iter().fold(INFO.to_owned(), |text, (line, ..)| text + &line).into_bytes();
        let cut = at.index(text.len());
        prop_assume!(cut > 0 && text[cut - 1] != b'\n');
        let mut reader = Reader::default();
        let read = reader.push(&text[..cut]).and_then(|()| reader.finish());
        prop_assert_eq!(read.unwrap_err(), ExpositionError::CutOff);
    }

    #[test]
    fn no_text_whatsoever_makes_the_reader_panic(text in prop::collection::vec(any::<u8>(), 0..200), head in prop::bool::ANY) {
        let mut reader = Reader::default();
        let head: &[u8] = if head { b"minitower_runs_pending{" } else { b"" };
        let _whatever_it_says = reader.push(head).and_then(|()| reader.push(&text)).and_then(|()| reader.finish());
    }
}
