//! What a load needs on the server before it begins: a team, an app with one version, runners.

use std::net::SocketAddr;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::Header;

use crate::BenchError;
use crate::http::{Client, request};
use crate::server::OPERATOR_TOKEN;

/// The code of loads that run none.
pub(crate) const NO_CODE: &str = "print('hello')\n";
/// With this variable a server believes whoever is on this machine where a request comes from.
pub const TRUSTING: (&str, &str) = ("MINITOWER_TRUSTED_PROXIES", "127.0.0.0/8");
/// The app that all loads run.
pub const APP: &str = "bench-app";
/// What is measured is the server and not the limits of a team.
const UNLIMITED: &[u8] =
    br#"{"requests_per_second":1000000,"runs_per_day":1000000000,"queued_runs":1000000000,
    "active_runs":1000000000,"storage_bytes":1000000000000000,"long_polls":1000000000,
    "streams":1000000000}"#;
const BOUNDARY: &str = "minitower-bench-boundary-51f0";

/// A server with a team and an app.
#[derive(Debug)]
pub struct Place {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The team's token.
    pub token: String,
    registration: String,
    client: Client,
}

impl Place {
    /// Bootstraps the team of the benchmark, and makes its app with one version of the given Python code.
    pub fn prepare(
        address: SocketAddr,
        bootstrap: &str,
        registration: &str,
        code: &str,
    ) -> Result<Self, BenchError> {
        let mut client = Client::new(address)?;
        let team = br#"{"slug":"bench-team","name":"Bench"}"#;
        let team = client.call("POST", "/api/v1/bootstrap/team", bootstrap, team, &[200, 201])?;
        Self::with_app(client, address, "bench-team", team.text("token")?, registration, code)
    }

    fn with_app(
        mut client: Client,
        address: SocketAddr,
        slug: &str,
        token: String,
        registration: &str,
        code: &str,
    ) -> Result<Self, BenchError> {
        // 404, 401: an older server has no such limits, and a server of somebody else's has another operator.
        let path = format!("/api/v1/admin/teams/{slug}/limits");
        client.call("PUT", &path, OPERATOR_TOKEN, UNLIMITED, &[200, 401, 404])?;
        let mut place = Self { address, token, registration: registration.to_owned(), client };
        let body = format!(r#"{{"slug":"{APP}"}}"#);
        // 409: a former load has made it.
        place.post("/api/v1/apps", body.as_bytes(), &[201, 409])?;
        place.upload(&archive("main.py", code.as_bytes(), Compression::fast())?, "main.py")?;
        Ok(place)
    }

    /// Signs up the team of that number, with the app and the same version; its token. The server has to trust proxies on this machine
    /// ([`TRUSTING`]): few teams may come from one address at once.
    pub fn another_team(&self, number: u64) -> Result<String, BenchError> {
        let mut client = Client::new(self.address)?;
        let slug = format!("bench-team-{number}");
        let body = format!(r#"{{"slug":"{slug}","name":"Bench","password":"as long as it has to be"}}"#);
        let address = format!("10.0.{}.{}", number / 256, number % 256);
        let request = format!(
            "POST /api/v1/teams/signup HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: {address}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let reply = client.send(request.as_bytes())?;
        if reply.status != 201 {
            let body = String::from_utf8_lossy(&reply.body).into_owned();
            return Err(BenchError::Answer { call: "the sign-up".to_owned(), status: reply.status, body });
        }
        let token = reply.text("token")?;
        Ok(Self::with_app(client, self.address, &slug, token, &self.registration, NO_CODE)?.token)
    }

    /// The client.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// A `POST` by the team.
    pub fn post(
        &mut self,
        path: &str,
        body: &[u8],
        expected: &[u16],
    ) -> Result<crate::http::Reply, BenchError> {
        self.client.call("POST", path, &self.token, body, expected)
    }

    /// A `GET` by the team.
    pub fn get(&mut self, path: &str) -> Result<crate::http::Reply, BenchError> {
        self.client.call("GET", path, &self.token, b"", &[200])
    }

    /// Makes another app, whose runs get so many secrets.
    pub fn app_with_secrets(&mut self, slug: &str, count: usize) -> Result<(), BenchError> {
        let names = (0..count).map(|number| format!("BENCH_SECRET_{number}")).collect::<Vec<_>>();
        for name in &names {
            let path = format!("/api/v1/environments/default/secrets/{name}");
            let body = format!(r#"{{"value":"the value of {name}, as long as keys are"}}"#);
            self.client.call("PUT", &path, &self.token, body.as_bytes(), &[204])?;
        }
        self.post("/api/v1/apps", format!(r#"{{"slug":"{slug}"}}"#).as_bytes(), &[201, 409])?;
        let towerfile =
            format!("[app]\nname = \"{slug}\"\nscript = \"main.py\"\n[app.secrets]\nnames = {names:?}\n");
        let files = [("Towerfile", towerfile.as_bytes()), ("main.py", NO_CODE.as_bytes())];
        let archive = archive_of(files, Compression::fast())?;
        self.upload_to(&format!("/api/v1/apps/{slug}/versions"), &archive, multipart_alone())
    }

    /// Uploads an archive as the app's newest version.
    pub fn upload(&mut self, archive: &[u8], entrypoint: &str) -> Result<(), BenchError> {
        self.upload_to(&versions_path(), archive, multipart(entrypoint))
    }

    fn upload_to(
        &mut self,
        path: &str,
        archive: &[u8],
        (open, close): (Vec<u8>, Vec<u8>),
    ) -> Result<(), BenchError> {
        let body = [open.as_slice(), archive, close.as_slice()].concat();
        let request = request::with_type("POST", path, &self.token, &content_type(), &body);
        let reply = self.client.send(&request)?;
        if reply.status == 201 {
            return Ok(());
        }
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        Err(BenchError::Answer { call: "the upload".to_owned(), status: reply.status, body })
    }

    /// Registers so many runners and yields their tokens.
    pub fn runners(&mut self, count: usize) -> Result<Vec<String>, BenchError> {
        (0..count)
            .map(|number| {
                let body = format!(r#"{{"name":"bench-runner-{number}"}}"#);
                let path = "/api/v1/runners/register";
                let registration = &self.registration;
                let reply = self.client.call("POST", path, registration, body.as_bytes(), &[200, 201])?;
                reply.text("token")
            })
            .collect()
    }

    /// A whole-numbered metric: its value, or the sum over all of its labels; 0 where nothing is counted yet.
    pub fn metric(&mut self, name: &str) -> Result<u64, BenchError> {
        let text = String::from_utf8_lossy(&self.get("/metrics")?.body).into_owned();
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
            rest.rsplit_once(' ')?.1.parse::<u64>().ok()
        });
        Ok(values.sum())
    }

    /// How many runs there are, and how many of them have ended, as the server counts.
    pub fn summary(&mut self) -> Result<Summary, BenchError> {
        let reply = self.get("/api/v1/runs/summary")?;
        Ok(Summary {
            total: reply.number("total_runs")?,
            queued: reply.number("queued_runs")?,
            ended: reply.number("terminal_runs")?,
        })
    }
}

/// Counts of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// All runs.
    pub total: u64,
    /// Those that wait.
    pub queued: u64,
    /// Those that have ended.
    pub ended: u64,
}

impl Summary {
    /// Fails unless the server has counted what was counted here.
    pub fn check(what: &'static str, here: u64, there: u64) -> Result<(), BenchError> {
        if here == there { Ok(()) } else { Err(BenchError::Miscounted { what, here, there }) }
    }
}

/// Where versions are uploaded.
pub fn versions_path() -> String {
    format!("/api/v1/apps/{APP}/versions")
}

/// The content type of an upload.
pub fn content_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

/// What stands before and behind the archive in an upload.
pub fn multipart(entrypoint: &str) -> (Vec<u8>, Vec<u8>) {
    let open = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"artifact\"; filename=\"job.tar.gz\"\r\n\
         Content-Type: application/gzip\r\n\r\n"
    );
    let close = format!(
        "\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"entrypoint\"\r\n\r\n{entrypoint}\r\n\
         --{BOUNDARY}--\r\n"
    );
    (open.into_bytes(), close.into_bytes())
}

/// The same for an archive with a Towerfile.
fn multipart_alone() -> (Vec<u8>, Vec<u8>) {
    (multipart("").0, format!("\r\n--{BOUNDARY}--\r\n").into_bytes())
}

/// The gzipped archive of one file.
pub fn archive(name: &str, content: &[u8], compression: Compression) -> Result<Vec<u8>, BenchError> {
    archive_of([(name, content)], compression)
}

/// The gzipped archive of some files, each with its name.
pub fn archive_of<'f>(
    files: impl IntoIterator<Item = (&'f str, &'f [u8])>,
    compression: Compression,
) -> Result<Vec<u8>, BenchError> {
    let failed = "cannot make an archive";
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), compression));
    for (name, content) in files {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content).map_err(BenchError::io(failed))?;
    }
    let gzip = tar.into_inner().map_err(BenchError::io(failed))?;
    gzip.finish().map_err(BenchError::io(failed))
}
