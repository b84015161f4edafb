//! One scrape per control plane and tick, shared by all its pools.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use super::control_plane::{ControlPlane, ControlPlaneConfig};
use super::error::ControlPlaneError;
use super::judgement::{Demand, judge};
use super::snapshot::Snapshot;

/// A control plane that no pool has asked about for this long is forgotten, with its connections.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// The share of `max_age` for which a reading is used again. Pools tick by timers that wake a little early or late, and one that is early
/// must not get the reading of the tick before.
const SERVES: f64 = 0.8;

/// The control planes of all pools. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Hub {
    planes: Arc<Mutex<HashMap<ControlPlaneConfig, Plane>>>,
}

/// What the last scrapes of a control plane returned.
#[derive(Debug, Clone)]
pub struct Reading {
    /// When the latest scrape began.
    pub started_at: Instant,
    /// What it returned.
    pub latest: Result<Arc<Snapshot>, ControlPlaneError>,
    /// The last good answer. It may be the latest one.
    pub last_good: Option<Arc<Snapshot>>,
}

impl Reading {
    /// What is known of demand at `now`.
    pub fn demand(&self, now: Instant) -> Demand<'_> {
        let last_good = self.last_good.as_deref();
        judge(
            last_good.map(|snapshot| (snapshot, now.saturating_duration_since(snapshot.taken_at))),
            self.latest.as_deref(),
        )
    }
}

/// A control plane and what is remembered of it.
#[derive(Debug)]
struct Plane {
    client: ControlPlane,
    asked_at: Instant,
    reading: Option<Arc<Reading>>,
    /// The scrape in progress, which everybody who asks meanwhile waits for. If the one who runs it is cancelled, the next one takes over.
    flight: Option<Arc<OnceCell<Arc<Reading>>>>,
}

/// How a pool gets its reading.
enum Way {
    Fresh(Arc<Reading>),
    Flight(ControlPlane, Arc<OnceCell<Arc<Reading>>>),
}

impl Hub {
    /// No control plane yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The calls of a control plane, over connections it shares with its scrapes. An error says that the configuration is wrong.
    pub fn control_plane(&self, config: &ControlPlaneConfig) -> Result<ControlPlane, ControlPlaneError> {
        let mut planes = self.lock();
        Ok(plane(&mut planes, config, Instant::now())?.client.clone())
    }

    /// The latest reading, at most `max_age` old; a new one is taken when there is none, which takes five seconds at the most. All who
    /// ask at the same time wait for the same scrape, and who asks every `max_age` gets a new one each time. A scrape that failed is a
    /// reading too: it is tried again at the next tick.
    pub async fn demand(&self, config: &ControlPlaneConfig, max_age: Duration) -> Arc<Reading> {
        let now = Instant::now();
        let (control_plane, flight) = match self.way(config, max_age, now) {
            Ok(Way::Fresh(reading)) => return reading,
            Ok(Way::Flight(control_plane, flight)) => (control_plane, flight),
            Err(error) => {
                return Arc::new(Reading { started_at: now, latest: Err(error), last_good: None });
            }
        };
        let reading = flight.get_or_init(|| async {
            let started_at = Instant::now();
            let latest = control_plane.scrape().await.map(Arc::new);
            self.landed(config, &flight, started_at, latest)
        });
        Arc::clone(reading.await)
    }

    /// How many control planes are remembered.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn way(
        &self,
        config: &ControlPlaneConfig,
        max_age: Duration,
        now: Instant,
    ) -> Result<Way, ControlPlaneError> {
        let mut planes = self.lock();
        let plane = plane(&mut planes, config, now)?;
        if let Some(flight) = &plane.flight {
            return Ok(Way::Flight(plane.client.clone(), Arc::clone(flight)));
        }
        if let Some(reading) = &plane.reading
            && now.saturating_duration_since(reading.started_at) < max_age.mul_f64(SERVES)
        {
            return Ok(Way::Fresh(Arc::clone(reading)));
        }
        let flight = plane.flight.insert(Arc::default());
        Ok(Way::Flight(plane.client.clone(), Arc::clone(flight)))
    }

    /// Keeps what a scrape returned. The plane may have been forgotten and added again meanwhile.
    fn landed(
        &self,
        config: &ControlPlaneConfig,
        flight: &Arc<OnceCell<Arc<Reading>>>,
        started_at: Instant,
        latest: Result<Arc<Snapshot>, ControlPlaneError>,
    ) -> Arc<Reading> {
        let mut planes = self.lock();
        let plane = planes
            .get_mut(config)
            .filter(|plane| plane.flight.as_ref().is_some_and(|current| Arc::ptr_eq(current, flight)));
        let former = plane.as_ref().and_then(|plane| plane.reading.as_ref()?.last_good.clone());
        let last_good = latest.as_ref().ok().cloned().or(former);
        let reading = Arc::new(Reading { started_at, latest, last_good });
        if let Some(plane) = plane {
            plane.flight = None;
            plane.reading = Some(Arc::clone(&reading));
        }
        reading
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ControlPlaneConfig, Plane>> {
        self.planes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The plane of that configuration, new if need be. Planes that nobody asks about any more are dropped.
fn plane<'p>(
    planes: &'p mut HashMap<ControlPlaneConfig, Plane>,
    config: &ControlPlaneConfig,
    now: Instant,
) -> Result<&'p mut Plane, ControlPlaneError> {
    planes.retain(|known, plane| {
        known == config || now.saturating_duration_since(plane.asked_at) < FORGOTTEN_AFTER
    });
    let plane = match planes.entry(config.clone()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            let client = ControlPlane::new(config.clone())?;
            new.insert(Plane { client, asked_at: now, reading: None, flight: None })
        }
    };
    plane.asked_at = now;
    Ok(plane)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::error::Cause;

    fn failure() -> ControlPlaneError {
        ControlPlaneError::new("http://x", Cause::Deadline(Duration::from_secs(5)))
    }

    fn config(name: &str) -> ControlPlaneConfig {
        ControlPlaneConfig { url: format!("http://{name}:8080"), token: "t".to_owned(), ca_file: None }
    }

    #[test]
    fn a_control_plane_nobody_asks_about_is_forgotten() {
        let (mut planes, start) = (HashMap::new(), Instant::now());
        plane(&mut planes, &config("left"), start).unwrap();
        plane(&mut planes, &config("kept"), start).unwrap();
        plane(&mut planes, &config("kept"), start + FORGOTTEN_AFTER / 2).unwrap();
        plane(&mut planes, &config("new"), start + FORGOTTEN_AFTER).unwrap();
        let mut urls: Vec<_> = planes.keys().map(|known| known.url.as_str()).collect();
        urls.sort_unstable();
        assert_eq!(urls, ["http://kept:8080", "http://new:8080"]);
    }

    #[test]
    fn another_token_is_another_control_plane() {
        let mut planes = HashMap::new();
        let other = ControlPlaneConfig { token: "u".to_owned(), ..config("x") };
        plane(&mut planes, &config("x"), Instant::now()).unwrap();
        plane(&mut planes, &other, Instant::now()).unwrap();
        assert_eq!(planes.len(), 2);
    }

    #[test]
    fn a_reading_serves_until_the_next_tick_even_one_that_comes_early() {
        let (hub, config, start) = (Hub::new(), config("x"), Instant::now());
        let tick = Duration::from_secs(1);
        let way = |after| hub.way(&config, tick, start + Duration::from_millis(after)).unwrap();
        let Way::Flight(_, flight) = way(0) else { panic!("there was nothing to read") };
        assert!(matches!(way(100), Way::Flight(_, other) if Arc::ptr_eq(&other, &flight)));
        hub.landed(&config, &flight, start, Err(failure()));
        assert!(matches!(way(700), Way::Fresh(_)));
        assert!(matches!(way(950), Way::Flight(..)));
    }

    #[test]
    fn the_last_good_answer_outlives_failures() {
        let (hub, config, now) = (Hub::new(), config("x"), Instant::now());
        let land = |latest| {
            let Ok(Way::Flight(_, flight)) = hub.way(&config, Duration::ZERO, now) else { panic!() };
            hub.landed(&config, &flight, now, latest)
        };
        let good = Arc::new(Snapshot { taken_at: now, pending: HashMap::default(), runners: Vec::default() });
        assert_eq!(land(Ok(Arc::clone(&good))).demand(now).as_str(), "Known");
        land(Err(failure()));
        let reading = land(Err(failure()));
        assert_eq!(reading.demand(now + Duration::from_secs(59)).as_str(), "Stale");
        assert_eq!(reading.demand(now + Duration::from_secs(60)).as_str(), "Unknown");
    }
}
