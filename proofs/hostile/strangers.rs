//! Many strangers at once: connections that ask for nothing, or for ever; then wrong passwords. Everyone else is answered meanwhile, and what
//! the strangers took is given back.
//!
//! With `MINITOWER_BIN_DIR` set to a release build it is as much as the server promises to bear, else what fits into a test.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use minitower_tests::{Server, wait};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;

/// How much comes, and what the server may need.
struct Measure {
    connections: usize,
    logins: usize,
    /// Longest answer of `/health`.
    health: Duration,
    peak_mib: u64,
    /// A minute later.
    rest_mib: u64,
}

impl Measure {
    fn of_this_build() -> Self {
        if std::env::var_os("MINITOWER_BIN_DIR").is_some() {
            let health = Duration::from_millis(100);
            Self { connections: 10_000, logins: 400, health, peak_mib: 150, rest_mib: 40 }
        } else {
            // A debug build on a busy machine, twice as large as a release build.
            let health = Duration::from_secs(2);
            Self { connections: 1_500, logins: 100, health, peak_mib: 150, rest_mib: 60 }
        }
    }
}

/// What a stranger sends, and nothing after it.
fn opening(number: usize) -> Vec<u8> {
    let head = "POST /api/v1/teams/login HTTP/1.1\r\nHost: a\r\n";
    match number % 5 {
        0 => Vec::new(),
        1 => head.into(),
        2 => format!("{head}x: {}", "y".repeat(15_000)).into(),
        3 => format!("{head}Content-Length: 65000\r\n\r\n{}", "y".repeat(60_000)).into(),
        // Answered, and never read.
        _ => "GET /api/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50).into(),
    }
}

fn memory_mib(pid: i32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Asks for `/health` over and over on new connections, until it is told to stop; the longest answer.
fn health(server: &Server, stop: &AtomicBool) -> Duration {
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        server.http().get("/health").send().expect(200);
        longest = longest.max(begun.elapsed());
        wait::pass(Duration::from_millis(20));
    }
    longest
}

/// Connections that are kept, all of which have been answered a little or cut.
fn connect(server: &Server, count: usize) -> Vec<TcpStream> {
    let connect = |number| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).ok()?;
        stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        // It may have made room for another already.
        let _ = stream.write_all(&opening(number));
        Some(stream)
    };
    (0..count).filter_map(connect).collect()
}

/// Wrong logins from eight addresses, 32 at a time; how often each status came.
fn guess(server: &Server, count: usize) -> BTreeMap<u16, usize> {
    let statuses = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for worker in 0..32 {
            let statuses = &statuses;
            scope.spawn(move || {
                for number in (worker..count).step_by(32) {
                    let login = server.http().post("/api/v1/teams/login");
                    let login = login.header("X-Forwarded-For", &format!("203.0.113.{}", number % 8));
                    let body = json!({"slug": format!("team-{number}"), "password": "a wrong password"});
                    *statuses.lock().unwrap().entry(login.json(body).send().status).or_insert(0) += 1;
                }
            });
        }
    });
    statuses.into_inner().unwrap()
}

#[test]
fn crowds_of_strangers_keep_nobody_from_being_served_and_what_they_took_is_given_back() {
    let measure = Measure::of_this_build();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let mut server = Server::builder().env("MINITOWER_TRUSTED_PROXIES", "127.0.0.0/8").start();
    let pid = server.program().pid().as_raw();
    println!("{} MiB at first", memory_mib(pid, "VmRSS:"));
    let stop = AtomicBool::new(false);
    let longest = thread::scope(|scope| {
        let health = scope.spawn(|| health(&server, &stop));
        let strangers = connect(&server, measure.connections);
        println!("{} connections: {} MiB", strangers.len(), memory_mib(pid, "VmRSS:"));
        let statuses = guess(&server, measure.logins);
        println!("{} logins: {statuses:?}, {} MiB", measure.logins, memory_mib(pid, "VmRSS:"));
        assert!(statuses.keys().all(|status| [401, 429].contains(status)), "{statuses:?}");
        assert!(statuses[&401] >= measure.logins / 4, "{statuses:?}");
        drop(strangers);
        stop.store(true, Ordering::Relaxed);
        health.join().unwrap()
    });
    let peak = memory_mib(pid, "VmHWM:");
    println!("peak {peak} MiB, longest answer of /health {longest:.1?}");
    assert!(peak <= measure.peak_mib, "{peak} MiB at the peak");
    assert!(longest <= measure.health, "/health took {longest:?}");
    let small = || (memory_mib(pid, "VmRSS:") <= measure.rest_mib).then_some(());
    wait::until("the memory is given back", Duration::from_secs(60), small);
    println!("{} MiB at the end", memory_mib(pid, "VmRSS:"));
}

#[test]
fn who_guesses_a_password_locks_nobody_out() {
    let server = Server::builder().env("MINITOWER_TRUSTED_PROXIES", "127.0.0.0/8").start();
    let (slug, password) = ("acme", "correct horse battery");
    let team = json!({"slug": slug, "name": slug, "password": password});
    server.http().post("/api/v1/teams/signup").json(team).send().expect(201);
    let login = |address: &str, slug: &str, password: &str| {
        let login = server.http().post("/api/v1/teams/login").header("X-Forwarded-For", address);
        login.json(json!({"slug": slug, "password": password})).send()
    };
    // From elsewhere, at this team.
    for _ in 0..20 {
        login("203.0.113.1", slug, "a wrong password").expect(401);
    }
    login("203.0.113.1", slug, password).expect_error(429, "rate_limited");
    login("203.0.113.2", slug, password).expect(201);
    // From an address that many share, at others.
    for number in 0..101 {
        login("203.0.113.3", &format!("team-{number}"), "a wrong password").expect(401);
    }
    login("203.0.113.3", "team-7", "a wrong password").expect_error(429, "rate_limited");
    login("203.0.113.3", slug, password).expect(201);
    // What a client claims of itself is not believed beyond the last proxy.
    login("198.51.100.1, 203.0.113.1", slug, password).expect_error(429, "rate_limited");
}
