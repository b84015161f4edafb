//! Requests as bytes.

use std::io::Write as _;

/// A JSON request with a bearer token; an empty token sends none.
pub fn json(method: &str, path: &str, token: &str, body: &[u8]) -> Vec<u8> {
    with_type(method, path, token, "application/json", body)
}

/// A request with a body of any type.
pub fn with_type(method: &str, path: &str, token: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut request = head(method, path, token, content_type, body.len() as u64);
    request.extend_from_slice(body);
    request
}

/// The head of a request, whose body of that many bytes is to follow.
pub fn head(method: &str, path: &str, token: &str, content_type: &str, length: u64) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n").into_bytes();
    if !token.is_empty() {
        push(&mut head, &["Authorization: Bearer ", token, "\r\n"]);
    }
    if length > 0 {
        push(&mut head, &["Content-Type: ", content_type, "\r\n"]);
    }
    // Writing into memory does not fail.
    let _ = write!(head, "Content-Length: {length}\r\n\r\n");
    head
}

fn push(to: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        to.extend_from_slice(part.as_bytes());
    }
}

/// A call under a lease, prepared for one runner: only the run and the lease token change.
#[derive(Debug)]
pub struct AttemptCall {
    /// From behind the run's id to the lease token.
    middle: Vec<u8>,
    /// From behind the lease token to the end.
    end: Vec<u8>,
}

impl AttemptCall {
    /// The call of that name, by the runner with that token, with a JSON body or an empty one.
    pub fn new(call: &str, runner_token: &str, body: &[u8]) -> Self {
        let middle = format!(
            "/{call} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {runner_token}\r\nX-Lease-Token: "
        );
        let kind = if body.is_empty() { "" } else { "\r\nContent-Type: application/json" };
        let mut end = format!("{kind}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        end.extend_from_slice(body);
        Self { middle: middle.into_bytes(), end }
    }

    /// Writes the request into `out`.
    pub fn write(&self, run: &[u8], lease_token: &[u8], out: &mut Vec<u8>) {
        out.clear();
        for part in [b"POST /api/v1/runs/", run, &self.middle, lease_token, &self.end] {
            out.extend_from_slice(part);
        }
    }
}

/// A request with a number in it: only that changes from one to the next, in place.
#[derive(Debug)]
pub struct Numbered {
    request: Vec<u8>,
    digits: std::ops::Range<usize>,
    number: u64,
}

/// Digits of the number within a request.
const DIGITS: usize = 20;
/// Where the number goes.
const PLACE: &str = "00000000000000000000";

impl Numbered {
    /// A request with a [`PLACE`] in it.
    fn new(request: Vec<u8>) -> Self {
        let place = PLACE.as_bytes();
        let begin = request.windows(DIGITS).position(|window| window == place).unwrap_or_default();
        Self { request, digits: begin..begin + DIGITS, number: 0 }
    }

    /// A JSON request with an `Idempotency-Key` that no other has.
    pub fn with_key(method: &str, path: &str, token: &str, body: &[u8]) -> Self {
        let mut request = json(method, path, token, body);
        let end_of_line = request.windows(2).position(|two| two == b"\r\n").map_or(0, |at| at + 2);
        let header = format!("Idempotency-Key: bench-{PLACE}\r\n");
        request.splice(end_of_line..end_of_line, header.into_bytes());
        Self::new(request)
    }

    /// The next request.
    pub fn write_next(&mut self) -> &[u8] {
        self.number += 1;
        let mut rest = self.number;
        for digit in self.request[self.digits.clone()].iter_mut().rev() {
            // One digit fits.
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        &self.request
    }
}

/// The poll of one runner: only the number within its request id changes.
#[derive(Debug)]
pub struct Poll(Numbered);

impl Poll {
    /// A poll that waits for so many seconds.
    pub fn new(runner: usize, runner_token: &str, wait: u32) -> Self {
        // As long as a UUID each, which is what runners send.
        let body = format!(
            r#"{{"request_id":"{runner:08}-poll-no-{PLACE}","instance_id":"{runner:08}-0000-4000-8000-000000000000","start":true}}"#
        );
        let path = format!("/api/v1/runs/lease?wait={wait}");
        Self(Numbered::new(json("POST", &path, runner_token, body.as_bytes())))
    }

    /// The next poll.
    pub fn write_next(&mut self) -> &[u8] {
        self.0.write_next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_changes_only_its_number() {
        let mut poll = Poll::new(7, "mtr_x", 30);
        let first = String::from_utf8(poll.write_next().to_vec()).unwrap();
        assert!(first.contains(r#""request_id":"00000007-poll-no-00000000000000000001""#), "{first}");
        for _ in 0..10 {
            poll.write_next();
        }
        let twelfth = String::from_utf8(poll.write_next().to_vec()).unwrap();
        assert_eq!(twelfth, first.replace("00000001\"", "00000012\""));
    }

    #[test]
    fn each_key_is_another() {
        let mut create = Numbered::with_key("POST", "/x", "mtk_x", b"{}");
        let first = String::from_utf8(create.write_next().to_vec()).unwrap();
        assert!(
            first.starts_with("POST /x HTTP/1.1\r\nIdempotency-Key: bench-00000000000000000001\r\nHost:"),
            "{first}"
        );
        assert_ne!(create.write_next(), first.as_bytes());
    }

    #[test]
    fn a_call_under_a_lease_names_run_and_tokens() {
        let mut out = Vec::new();
        AttemptCall::new("result", "mtr_x", b"{}").write(b"12", b"lease", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "POST /api/v1/runs/12/result HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer mtr_x\r\n\
             X-Lease-Token: lease\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        );
    }
}
