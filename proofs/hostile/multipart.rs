//! Forms that carry uploads.

use minitower_tests::{Artifact, Server};

use crate::bed::{APP, Bed, clear};

const KIND: &str = "multipart/form-data; boundary=XX";

/// A part of a form.
fn part(head: &str, content: &[u8]) -> Vec<u8> {
    [b"--XX\r\n", head.as_bytes(), b"\r\n\r\n", content, b"\r\n"].concat()
}

fn artifact(content: &[u8]) -> Vec<u8> {
    part("Content-Disposition: form-data; name=\"artifact\"; filename=\"a\"", content)
}

#[allow(clippy::too_many_lines, reason = "a table")]
#[test]
fn forms_that_are_no_upload_are_refused() {
    let server = Server::builder().env("MINITOWER_MAX_ARTIFACT_SIZE", "4000000").start();
    let mut bed = Bed::on(server);
    let good = Artifact::python("print('from a form')");
    let entrypoint = part("Content-Disposition: form-data; name=\"entrypoint\"", b"main.py");
    let end = b"--XX--\r\n".to_vec();
    let whole = [artifact(&good), entrypoint.clone(), end.clone()].concat();
    let noise: Vec<u8> =
        (0..5_000_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    for (what, kind, body, status, code) in [
        ("no kind", "", whole.clone(), 400, "invalid_request"),
        ("JSON", "application/json", whole.clone(), 400, "invalid_request"),
        ("no boundary", "multipart/form-data", whole.clone(), 400, "invalid_request"),
        ("an empty boundary", "multipart/form-data; boundary=", whole.clone(), 400, "invalid_request"),
        ("another boundary", "multipart/form-data; boundary=YY", whole.clone(), 400, "invalid_request"),
        ("nothing", KIND, Vec::new(), 400, "invalid_request"),
        ("only its end", KIND, end.clone(), 400, "invalid_request"),
        ("no end", KIND, whole[..whole.len() - 8].to_vec(), 400, "invalid_request"),
        ("no archive", KIND, [entrypoint.clone(), end.clone()].concat(), 400, "invalid_request"),
        (
            "two archives",
            KIND,
            [artifact(&good), artifact(&good), end.clone()].concat(),
            400,
            "invalid_request",
        ),
        (
            "a part without a name",
            KIND,
            [part("Content-Disposition: form-data", &good), end.clone()].concat(),
            400,
            "invalid_request",
        ),
        ("a part without a head", KIND, [part("", &good), end.clone()].concat(), 400, "invalid_request"),
        (
            "a head that never ends",
            KIND,
            [&b"--XX\r\nx: "[..], &vec![b'y'; 3 << 20]].concat(),
            400,
            "invalid_request",
        ),
        (
            "a million lines of head",
            KIND,
            [&b"--XX\r\n"[..], &b"x: y\r\n".repeat(700_000)].concat(),
            400,
            "invalid_request",
        ),
        (
            "a huge file name",
            KIND,
            [
                part(
                    &format!(
                        "Content-Disposition: form-data; name=\"artifact\"; filename=\"{}\"",
                        "n".repeat(3 << 20)
                    ),
                    &good,
                ),
                end.clone(),
            ]
            .concat(),
            400,
            "invalid_request",
        ),
        ("33 parts", KIND, [entrypoint.repeat(33), end.clone()].concat(), 400, "invalid_request"),
        (
            "a hundred thousand parts",
            KIND,
            [b"--XX\r\n\r\n\r\n".repeat(100_000), end.clone()].concat(),
            400,
            "invalid_request",
        ),
        (
            "a field of 3 MiB",
            KIND,
            [
                part("Content-Disposition: form-data; name=\"params_schema_json\"", &vec![b' '; 3 << 20]),
                end.clone(),
            ]
            .concat(),
            413,
            "payload_too_large",
        ),
        (
            "a field that is not UTF-8",
            KIND,
            [
                artifact(&good),
                part("Content-Disposition: form-data; name=\"entrypoint\"", b"\xff"),
                end.clone(),
            ]
            .concat(),
            400,
            "invalid_request",
        ),
        (
            "an archive over the limit",
            KIND,
            [artifact(&noise[..4_500_000]), end.clone()].concat(),
            413,
            "payload_too_large",
        ),
        (
            "a body over the limit",
            KIND,
            [artifact(&noise), noise.clone(), end.clone()].concat(),
            413,
            "payload_too_large",
        ),
    ] {
        let answer = bed.within(what, 32, |bed| {
            let request = bed.team.post(&format!("/apps/{APP}/versions")).body(body);
            if kind.is_empty() { request.send() } else { request.header("Content-Type", kind).send() }
        });
        clear(what, answer, status, code);
    }
    bed.end();
}

#[test]
fn a_form_that_never_ends_is_cut_at_the_limit() {
    let server = Server::builder().env("MINITOWER_MAX_ARTIFACT_SIZE", "4000000").start();
    let mut bed = Bed::on(server);
    let head = format!(
        "POST /api/v1/apps/{APP}/versions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
         Content-Type: {KIND}\r\nTransfer-Encoding: chunked\r\n\r\n",
        bed.team.token
    );
    let begun = [&artifact(b"")[..], b""].concat();
    let chunk = [b"100000\r\n", &vec![7; 1 << 20][..], b"\r\n"].concat();
    for (what, first) in [
        ("an archive that never ends", begun[..begun.len() - 2].to_vec()),
        (
            "an unknown part that never ends",
            b"--XX\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n".to_vec(),
        ),
    ] {
        let first = [format!("{:x}\r\n", first.len()).as_bytes(), &first, b"\r\n"].concat();
        let request = [head.as_bytes(), &first, &chunk.repeat(64)].concat();
        let answer = bed.raw(what, &request);
        assert_eq!(answer.statuses, [413], "{what}: {answer:?}");
    }
    bed.end();
}
