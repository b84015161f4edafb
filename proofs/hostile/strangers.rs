//! Many strangers at once: connections that ask for nothing, or for ever; then wrong passwords. Everyone else is answered meanwhile, and what
//! the strangers took is given back.
//!
//! With `MINITOWER_BIN_DIR` set to a release build it is as much as the server promises to bear, else what fits into a test.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use minitower_tests::process::{Memory, memory_mib};
use minitower_tests::strangers::raise_file_limit;
use minitower_tests::{Server, Strangers, wait};
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
    raise_file_limit();
    let mut server = Server::builder().env("MINITOWER_TRUSTED_PROXIES", "127.0.0.0/8").start();
    let pid = server.program().pid();
    let resident = || memory_mib(pid, Memory::Resident);
    println!("{} MiB at first", resident());
    let stop = AtomicBool::new(false);
    let longest = thread::scope(|scope| {
        let health = scope.spawn(|| health(&server, &stop));
        let strangers = Strangers::come(server.port(), measure.connections);
        println!("{} connections: {} MiB", strangers.count(), resident());
        let statuses = guess(&server, measure.logins);
        println!("{} logins: {statuses:?}, {} MiB", measure.logins, resident());
        assert!(statuses.keys().all(|status| [401, 429].contains(status)), "{statuses:?}");
        assert!(statuses[&401] >= measure.logins / 4, "{statuses:?}");
        drop(strangers);
        stop.store(true, Ordering::Relaxed);
        health.join().unwrap()
    });
    let peak = memory_mib(pid, Memory::Peak);
    println!("peak {peak} MiB, longest answer of /health {longest:.1?}");
    assert!(peak <= measure.peak_mib, "{peak} MiB at the peak");
    assert!(longest <= measure.health, "/health took {longest:?}");
    let small = || (resident() <= measure.rest_mib).then_some(());
    wait::until("the memory is given back", Duration::from_secs(60), small);
    println!("{} MiB at the end", resident());
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
