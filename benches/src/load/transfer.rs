//! A large archive up and down, and how the server's memory grows meanwhile.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use flate2::Compression;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::http::request;
use crate::place::{APP, archive, content_type, multipart, versions_path};
use crate::{BenchError, Place, process};

/// How long one direction may take.
const LIMIT: Duration = Duration::from_secs(120);

/// One direction.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    /// How long it took.
    pub took: Duration,
    /// The server's peak during it beyond what was resident before, in KiB.
    pub grown: u64,
}

/// An archive of that many bytes that no compression makes smaller; the same each time.
pub fn large_archive(bytes: usize) -> Result<Vec<u8>, BenchError> {
    let mut noise = vec![0; bytes];
    SmallRng::seed_from_u64(1).fill_bytes(&mut noise);
    archive("noise.py", &noise, Compression::none())
}

/// Uploads an archive as the newest version of the app.
pub fn upload(place: &Place, server: u32, archive: &[u8]) -> Result<Transfer, BenchError> {
    let (open, close) = multipart("noise.py");
    let length = (open.len() + archive.len() + close.len()) as u64;
    let head = request::head("POST", &versions_path(), &place.token, &content_type(), length);
    let failed = "the upload was cut off";
    observed(server, || {
        let mut stream = connect(place)?;
        for part in [&head, &open, archive, &close] {
            stream.write_all(part).map_err(BenchError::io(failed))?;
        }
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        // A head and one JSON object: the connection stays open behind it.
        while !(answer.ends_with(b"}") && answer.windows(4).any(|four| four == b"\r\n\r\n")) {
            match stream.read(&mut chunk).map_err(BenchError::io(failed))? {
                0 => return Err(BenchError::Http(String::from_utf8_lossy(&answer).into_owned())),
                read => answer.extend_from_slice(&chunk[..read]),
            }
        }
        if answer.starts_with(b"HTTP/1.1 201 ") {
            Ok(())
        } else {
            Err(BenchError::Http(String::from_utf8_lossy(&answer).into_owned()))
        }
    })
}

/// Leases a run of the app's newest version and downloads its archive, which has to be that long.
pub fn download(place: &mut Place, server: u32, bytes: u64) -> Result<Transfer, BenchError> {
    place.post(&format!("/api/v1/apps/{APP}/runs"), b"{}", &[201])?;
    let token = place.runners(1)?.remove(0);
    let lease = place.client().call("POST", "/api/v1/runs/lease?wait=5", &token, b"", &[200])?;
    let (run, lease_token) = (lease.number("run_id")?, lease.text("lease_token")?);
    let head = format!(
        "GET /api/v1/runs/{run}/artifact HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\
         X-Lease-Token: {lease_token}\r\nConnection: close\r\n\r\n"
    );
    let failed = "the download was cut off";
    observed(server, || {
        let mut stream = connect(place)?;
        stream.write_all(head.as_bytes()).map_err(BenchError::io(failed))?;
        let mut chunk = vec![0; 256 * 1024];
        let mut first = Vec::new();
        let mut total = 0;
        loop {
            let read = stream.read(&mut chunk).map_err(BenchError::io(failed))?;
            if read == 0 {
                break;
            }
            if first.len() < 4096 {
                first.extend_from_slice(&chunk[..read]);
            }
            total += read as u64;
        }
        let head = first.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at as u64 + 4);
        if first.starts_with(b"HTTP/1.1 200 ") && total == head + bytes {
            Ok(())
        } else {
            Err(BenchError::Http(format!("{total} bytes instead of {bytes} and a head")))
        }
    })
}

fn connect(place: &Place) -> Result<TcpStream, BenchError> {
    let connect = || {
        let stream = TcpStream::connect(place.address)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(stream)
    };
    connect().map_err(BenchError::io("cannot connect"))
}

fn observed(server: u32, work: impl FnOnce() -> Result<(), BenchError>) -> Result<Transfer, BenchError> {
    process::forget_peak(server)?;
    let before = process::memory(server)?.resident;
    let began = Instant::now();
    work()?;
    let took = began.elapsed();
    Ok(Transfer { took, grown: process::memory(server)?.peak.saturating_sub(before) })
}
