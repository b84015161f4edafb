//! Creates alone: each client sends its next one as soon as the former is answered (a closed loop).

use std::time::{Duration, Instant};

use super::measure::{Costs, Meter, Phase, Window};
use crate::http::request::Numbered;
use crate::http::{Engine, request, scan};
use crate::place::{APP, Summary};
use crate::stats::Samples;
use crate::{BenchError, Place};

/// How long the last answers may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How long making a given number of runs may take.
const MAKING: Duration = Duration::from_secs(1800);
/// The body of each create.
pub(super) const BODY: &[u8] = br#"{"input":{"name":"world","count":3}}"#;

/// What came out of it.
#[derive(Debug)]
pub struct Creates {
    /// Runs made within the window.
    pub measured: u64,
    /// All runs made.
    pub total: u64,
    /// From each request to its answer, within the window.
    pub create: Samples,
    /// What the window cost.
    pub costs: Costs,
}

/// Lets that many clients create runs for a time.
pub fn creates(
    place: &mut Place,
    server: Option<u32>,
    clients: usize,
    window: Window,
) -> Result<Creates, BenchError> {
    let requests = Requests::of(&[&place.token]);
    for_a_time(place, server, clients, window, requests)
}

/// The same, each create with an `Idempotency-Key` of its own.
pub fn creates_with_keys(
    place: &mut Place,
    server: Option<u32>,
    clients: usize,
    window: Window,
) -> Result<Creates, BenchError> {
    let requests = Requests::Keyed(Numbered::with_key("POST", &path(), &place.token, BODY));
    for_a_time(place, server, clients, window, requests)
}

fn for_a_time(
    place: &mut Place,
    server: Option<u32>,
    clients: usize,
    window: Window,
    requests: Requests,
) -> Result<Creates, BenchError> {
    let limit = window.warm_up + window.length + LIMIT;
    let before = place.summary()?.total;
    let found = run(place, requests, Meter::start(window, server), clients, u64::MAX, limit)?;
    Summary::check("runs made", found.total, place.summary()?.total - before)?;
    Ok(found)
}

/// Lets that many clients create so many runs, as fast as they can.
pub fn make(place: &mut Place, clients: usize, count: u64) -> Result<(), BenchError> {
    let before = place.summary()?.total;
    make_for(place, &[&place.token], clients, count)?;
    Summary::check("runs made", count, place.summary()?.total - before)
}

/// Makes so many teams, and lets them create so many runs in turn. The caller counts the runs.
pub fn make_of_teams(place: &Place, teams: u64, clients: usize, count: u64) -> Result<(), BenchError> {
    let tokens = (0..teams).map(|number| place.another_team(number));
    let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
    let tokens = tokens.iter().map(String::as_str).collect::<Vec<_>>();
    make_for(place, &tokens, clients, count)
}

fn make_for(place: &Place, tokens: &[&str], clients: usize, count: u64) -> Result<(), BenchError> {
    let window = Window { warm_up: MAKING, length: Duration::ZERO };
    let clients = clients.min(usize::try_from(count).unwrap_or(usize::MAX));
    run(place, Requests::of(tokens), Meter::start(window, None), clients, count, MAKING).map(drop)
}

fn path() -> String {
    format!("/api/v1/apps/{APP}/runs")
}

/// The creates that are sent, one after the other.
enum Requests {
    /// Those of several teams in turn, and the number of the next.
    InTurn(Vec<Vec<u8>>, usize),
    /// Those with a key each.
    Keyed(Numbered),
}

impl Requests {
    fn of(tokens: &[&str]) -> Self {
        Self::InTurn(tokens.iter().map(|token| request::json("POST", &path(), token, BODY)).collect(), 0)
    }

    fn next(&mut self) -> Result<&[u8], BenchError> {
        match self {
            Self::Keyed(numbered) => Ok(numbered.write_next()),
            Self::InTurn(requests, next) => {
                let turn = *next;
                *next = (turn + 1) % requests.len().max(1);
                let request = requests.get(turn).ok_or_else(|| BenchError::Usage("no team".to_owned()))?;
                Ok(request)
            }
        }
    }
}

fn run(
    place: &Place,
    mut requests: Requests,
    mut meter: Meter,
    clients: usize,
    most: u64,
    limit: Duration,
) -> Result<Creates, BenchError> {
    let mut engine = Engine::new(place.address)?;
    let (mut measured, mut total, mut create) = (0, 0, Samples::default());
    for _ in 0..clients {
        let key = engine.connect()?;
        engine.send(key, requests.next()?)?;
    }
    let (mut sent, mut open) = (clients as u64, clients);
    let mut ready = Vec::new();
    let deadline = Instant::now() + limit;
    while open > 0 {
        if Instant::now() > deadline {
            return Err(BenchError::Late { what: "the last create".to_owned(), seconds: limit.as_secs() });
        }
        let phase = meter.phase(engine.requests())?;
        engine.wait(meter.next_change().min(deadline), &mut ready)?;
        for key in ready.iter().copied() {
            let Some(answer) = engine.answer(key)? else { continue };
            answer.expect("a create", 201)?;
            if scan::digits(answer.body, "run_id").is_none() {
                return Err(answer.unexpected("a create"));
            }
            total += 1;
            if phase == Phase::Measured {
                measured += 1;
                create.push(answer.took);
            }
            if phase == Phase::Over || sent == most {
                open -= 1;
            } else {
                engine.send(key, requests.next()?)?;
                sent += 1;
            }
        }
    }
    Ok(Creates { measured, total, create, costs: meter.costs() })
}
