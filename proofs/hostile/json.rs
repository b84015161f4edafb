//! JSON bodies.

use serde_json::json;

use crate::bed::{APP, Bed, clear};

/// Calls that take a body, each of another shape.
fn calls() -> [(String, u16); 4] {
    [
        ("/apps".to_owned(), 400),
        (format!("/apps/{APP}/runs"), 400),
        ("/teams/login".to_owned(), 400),
        ("/tokens".to_owned(), 400),
    ]
}

#[test]
fn bodies_that_are_no_json_are_refused_by_every_call() {
    let mut bed = Bed::start();
    let bodies: [(&str, Vec<u8>); 21] = [
        ("lists, 10,000 deep", vec![b'['; 10_000]),
        ("objects, 10,000 deep", br#"{"a":"#.repeat(10_000)),
        ("a field, 10,000 deep", [br#"{"input":"#, &vec![b'['; 10_000][..]].concat()),
        ("a number of 10,000 digits and a letter", [br#"{"slug":"#, &vec![b'9'; 10_000][..], b"x}"].concat()),
        ("nothing but an open text", b"\"".to_vec()),
        ("text that is not UTF-8", b"{\"slug\":\"\xff\xfe\"}".to_vec()),
        ("text that is not UTF-8, in a field that nobody knows", b"{\"x\":\"\xc3\x28\"}".to_vec()),
        ("UTF-8 in more bytes than needed", b"{\"x\":\"\xc0\xaf\"}".to_vec()),
        ("half a surrogate pair as UTF-8", b"{\"x\":\"\xed\xa0\x80\"}".to_vec()),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec()),
        ("something behind it", b"{} x".to_vec()),
        ("two of them", b"{}{}".to_vec()),
        ("not a number", br#"{"x":NaN}"#.to_vec()),
        ("infinity", br#"{"x":-Infinity}"#.to_vec()),
        ("a number with a zero before it", br#"{"x":01}"#.to_vec()),
        ("a control character in a text", b"{\"x\":\"\n\"}".to_vec()),
        ("a comment", b"{/**/}".to_vec()),
        ("a comma too many", b"{\"x\":1,}".to_vec()),
        ("a form", b"slug=a&name=b".to_vec()),
        ("a list", b"[{}]".to_vec()),
    ];
    for (what, body) in bodies {
        for (path, status) in calls() {
            let what = format!("{what} to {path}");
            let answer = bed.within(&what, 32, |bed| bed.team.post(&path).body(body.clone()).send());
            clear(&what, answer, status, "invalid_request");
        }
    }
    bed.end();
}

#[test]
fn bodies_of_the_wrong_things_are_refused() {
    let mut bed = Bed::start();
    let runs = format!("/apps/{APP}/runs");
    let digits = "9".repeat(1_000_000);
    for (what, path, body) in [
        ("the same field twice", "/apps", r#"{"slug":"abc","slug":"abd"}"#.to_owned()),
        ("half a surrogate pair", "/apps", r#"{"slug":"\ud800"}"#.to_owned()),
        ("a number beyond all numbers", runs.as_str(), r#"{"input":{"a":1e400}}"#.to_owned()),
        ("a number of a million digits", &runs, format!("{{\"input\":{{\"a\":{digits}}}}}")),
        ("a million digits for a whole number", &runs, format!("{{\"priority\":{digits}}}")),
        ("a fraction of a whole number", &runs, r#"{"priority":1.5}"#.to_owned()),
        ("a number beyond 64 bits", &runs, r#"{"priority":9223372036854775808}"#.to_owned()),
        ("text for a number", &runs, r#"{"max_retries":"1"}"#.to_owned()),
        ("a list for an object", &runs, r#"{"input":[1]}"#.to_owned()),
        (
            "an input, 200 deep",
            &runs,
            format!("{{\"input\":{{\"a\":{}{}}}}}", "[".repeat(200), "]".repeat(200)),
        ),
        ("millions of numbers", &runs, format!("{{\"input\":{{\"a\":[{}0]}}}}", "0,".repeat(4_000_000))),
        ("a million objects", &runs, format!("{{\"input\":{{\"a\":[{}0]}}}}", "{\"\":0},".repeat(1_000_000))),
        ("a million fields", &runs, {
            let fields = (0..600_000).map(|number| format!("\"{number}\":0,")).collect::<Vec<_>>().concat();
            format!("{{\"input\":{{{fields}\"x\":0}}}}")
        }),
        ("a name that reads backwards", "/environments", json!({"name": "\u{202e}abc"}).to_string()),
        ("a slug in another alphabet", "/apps", json!({"slug": "\u{430}\u{440}\u{440}"}).to_string()),
    ] {
        let answer = bed.within(what, 64, |bed| bed.team.post(path).body(body).send());
        let code = if path == "/apps" && what != "the same field twice" && !what.starts_with("half") {
            "invalid_slug"
        } else {
            "invalid_request"
        };
        clear(what, answer, 400, code);
    }
    let input = json!({"input": {"a": "x".repeat(9 << 20)}}).to_string();
    let answer = bed.within("an input of 9 MiB", 64, |bed| bed.team.post(&runs).body(input).send());
    assert_eq!(answer.status, 201, "{}", answer.text());
    let large = vec![b' '; 11 << 20];
    let answer = bed.within("11 MiB of nothing", 32, |bed| bed.team.post("/apps").body(large).send());
    clear("11 MiB of nothing", answer, 413, "payload_too_large");
    let slug = json!({"slug": "x".repeat(9 << 20)}).to_string();
    let answer = bed.within("a slug of 9 MiB", 64, |bed| bed.team.post("/apps").body(slug).send());
    clear("a slug of 9 MiB", answer, 400, "invalid_slug");
    bed.end();
}

#[test]
fn odd_but_valid_bodies_are_taken_as_what_they_are() {
    let mut bed = Bed::start();
    let input = json!({"\u{202e}key": "\u{0}\u{7f}\u{feff}\u{10ffff}", "": {"": [null, -0.0, 1e308]}});
    let run = bed.within("odd texts and numbers", 32, |bed| bed.team.run(APP, json!({"input": input})));
    assert_eq!(bed.team.read(run["run_id"].as_i64().unwrap())["input"], input);
    bed.end();
}
