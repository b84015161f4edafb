//! From a name to addresses that may be called.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::Failure;
use super::nets::{AllowedNets, RefusedAddress};

/// Longest look-up of a name.
const LONGEST: Duration = Duration::from_secs(5);
/// Look-ups at the same time. Each has a thread, until the system gives it up.
const AT_ONCE: usize = 32;

/// Looks names up, and answers only addresses that may be called. A connection is made to one of these and to no other: nobody looks
/// the name up a second time.
#[derive(Debug, Clone)]
pub(super) struct Guarded {
    nets: Arc<AllowedNets>,
    places: Arc<Semaphore>,
}

/// A name was not answered with addresses that may be called.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Unresolved {
    #[error(transparent)]
    Refused(#[from] RefusedAddress),
    #[error("{0}")]
    Unknown(String),
}

impl Guarded {
    pub(super) fn new(nets: AllowedNets) -> Self {
        Self { nets: Arc::new(nets), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// An address that stands in a URL: nobody looks it up, so it is checked here.
    pub(super) fn literal(url: &Url) -> Option<IpAddr> {
        let host = url.host_str()?;
        host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// Checks an address that stands in a URL.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), RefusedAddress> {
        self.nets.check(address)
    }

    /// The addresses of a name. One that may not be called refuses the name: who answers both means no good.
    pub(super) async fn look_up(&self, host: &str) -> Result<Vec<SocketAddr>, Unresolved> {
        let looked_up = async {
            let _place = self.places.acquire().await;
            tokio::net::lookup_host((host, 0)).await
        };
        let found = match tokio::time::timeout(LONGEST, looked_up).await {
            Ok(Ok(found)) => found.collect::<Vec<_>>(),
            Ok(Err(_)) => Vec::new(),
            Err(_) => return Err(Unresolved::Unknown(format!("no answer in {} s", LONGEST.as_secs()))),
        };
        if found.is_empty() {
            return Err(Unresolved::Unknown("there is no such name".to_owned()));
        }
        for address in &found {
            self.nets.check(address.ip())?;
        }
        Ok(found)
    }

    /// Whether a URL leads to where it may. It may lead elsewhere later, so every request asks again.
    pub(super) async fn check_url(&self, url: &Url) -> Result<(), Failure> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let checked = match Self::literal(url) {
            Some(address) => self.check(address).map_err(Unresolved::from),
            None => self.look_up(&host).await.map(|_| ()),
        };
        checked.map_err(|error| Failure::of_name(&host, error))
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guarded = self.clone();
        Box::pin(async move {
            let found = guarded.look_up(name.as_str()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
