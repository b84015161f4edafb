//! Who is connected: how many at a time, of whom, and who makes room for others.
//!
//! A connection belongs to its address until a request on it shows a good token; from then on it belongs to the token. Strangers share a
//! part of all connections, each address a part of that, and each token has a bound of its own. Where a bound is reached, the connection
//! that has waited longest for its next request makes room: whoever connects and asks at once is always served, however many others
//! connect and do not. A request that is being answered is never cut, unless a stranger does not take the answer.
//!
//! Loopback and trusted proxies have no bound of their own: behind them stand many.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::AbortHandle;

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Connections that have shown no good token.
    pub(super) strangers: usize,
    /// Those of one address.
    pub(super) per_address: usize,
    /// Connections of one token.
    pub(super) per_token: usize,
}

/// Whom a connection belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Owner {
    /// This machine, or a trusted proxy.
    Near,
    Address(IpAddr),
    Token(u64),
}

impl Owner {
    fn is_stranger(self) -> bool {
        !matches!(self, Self::Token(_))
    }
}

/// Everyone who is connected. A cheap clone.
#[derive(Debug, Clone)]
pub(super) struct Crowd(Arc<(Bounds, Mutex<State>)>);

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    next_turn: u64,
    members: HashMap<u64, Member>,
    owned: HashMap<Owner, usize>,
    strangers: usize,
    /// Those that may be cut: strangers before others, and among them who has waited for longest.
    waiting: BTreeMap<(bool, u64), u64>,
}

#[derive(Debug)]
struct Member {
    owner: Owner,
    /// Its place in `waiting`.
    turn: Option<u64>,
    task: Option<AbortHandle>,
}

/// A connection's place in the crowd; given up when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Crowd,
    id: u64,
}

impl Crowd {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self(Arc::new((bounds, Mutex::default())))
    }

    /// A seat for a new connection; none when there is no room and nobody can make any. `near`: it comes from this machine or a trusted proxy.
    pub(super) fn enter(&self, address: IpAddr, near: bool) -> Option<Seat> {
        let owner = if near { Owner::Near } else { Owner::Address(network(address)) };
        let bounds = self.0.0;
        let mut state = self.lock();
        if !near && state.owned(owner) >= bounds.per_address && !state.cut_one(Some(owner), None) {
            return None;
        }
        if state.strangers >= bounds.strangers && !state.cut_stranger() {
            return None;
        }
        let id = state.next_id;
        state.next_id += 1;
        state.members.insert(id, Member { owner, turn: None, task: None });
        state.count(owner);
        Some(Seat { crowd: self.clone(), id })
    }

    /// Cuts the connection that has waited for longest, if any waits.
    pub(super) fn make_room(&self) {
        self.lock().cut_one(None, None);
    }

    /// Cuts all that belong to no token, whatever they are about.
    pub(super) fn cut_strangers(&self) {
        let mut state = self.lock();
        let strangers: Vec<u64> = state
            .members
            .iter()
            .filter(|(_, member)| member.owner.is_stranger())
            .map(|(id, _)| *id)
            .collect();
        for id in strangers {
            state.cut(id);
        }
    }

    /// What is to be ended for a connection to make room. From now on it waits for its first request.
    /// False when it has made room already.
    pub(super) fn served_by(&self, id: u64, task: AbortHandle) -> bool {
        let mut state = self.lock();
        let Some(member) = state.members.get_mut(&id) else { return false };
        member.task = Some(task);
        state.wait(id);
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// A request is being answered: it is not cut.
    pub(super) fn busy(&self) {
        self.crowd.lock().unwait(self.id);
    }

    /// It waits for its next request, from now on.
    pub(super) fn waits(&self) {
        self.crowd.lock().wait(self.id);
    }

    /// Its client does not take its answer: a stranger's may be cut.
    pub(super) fn stalls(&self) {
        let mut state = self.crowd.lock();
        let stranger = |member: &Member| member.owner.is_stranger() && member.turn.is_none();
        if state.members.get(&self.id).is_some_and(stranger) {
            state.wait(self.id);
        }
    }

    /// It belongs to a token from now on; false when the token has as many connections as it may have, all of them busy.
    pub(super) fn belongs_to(&self, token: u64) -> bool {
        let owner = Owner::Token(token);
        let most = self.crowd.0.0.per_token;
        let mut state = self.crowd.lock();
        let Some(former) = state.members.get(&self.id).map(|member| member.owner) else { return true };
        if former == owner {
            return true;
        }
        if state.owned(owner) >= most && !state.cut_one(Some(owner), Some(self.id)) {
            return false;
        }
        let waited = state.unwait(self.id);
        state.discount(former);
        state.count(owner);
        if let Some(member) = state.members.get_mut(&self.id) {
            member.owner = owner;
        }
        if waited {
            state.wait(self.id);
        }
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.lock().leave(self.id);
    }
}

impl State {
    fn owned(&self, owner: Owner) -> usize {
        self.owned.get(&owner).copied().unwrap_or(0)
    }

    fn count(&mut self, owner: Owner) {
        *self.owned.entry(owner).or_insert(0) += 1;
        self.strangers += usize::from(owner.is_stranger());
    }

    fn discount(&mut self, owner: Owner) {
        if let Some(count) = self.owned.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.owned.remove(&owner);
            }
        }
        self.strangers -= usize::from(owner.is_stranger());
    }

    fn wait(&mut self, id: u64) {
        self.unwait(id);
        let turn = self.next_turn;
        if let Some(member) = self.members.get_mut(&id) {
            self.next_turn += 1;
            member.turn = Some(turn);
            self.waiting.insert((!member.owner.is_stranger(), turn), id);
        }
    }

    fn unwait(&mut self, id: u64) -> bool {
        let Some(member) = self.members.get_mut(&id) else { return false };
        let Some(turn) = member.turn.take() else { return false };
        self.waiting.remove(&(!member.owner.is_stranger(), turn)).is_some()
    }

    fn leave(&mut self, id: u64) {
        self.unwait(id);
        if let Some(member) = self.members.remove(&id) {
            self.discount(member.owner);
        }
    }

    /// Cuts the first that waits, of this owner or of any, but not `spared`; false when there is none.
    fn cut_one(&mut self, owner: Option<Owner>, spared: Option<u64>) -> bool {
        let fits = |id: &u64| {
            Some(*id) != spared
                && owner.is_none_or(|owner| self.members.get(id).is_some_and(|member| member.owner == owner))
        };
        let Some(id) = self.waiting.values().copied().find(fits) else { return false };
        self.cut(id);
        true
    }

    fn cut_stranger(&mut self) -> bool {
        let first = self.waiting.first_key_value().filter(|((known, _), _)| !known).map(|(_, id)| *id);
        first.inspect(|id| self.cut(*id)).is_some()
    }

    fn cut(&mut self, id: u64) {
        if let Some(task) = self.members.get_mut(&id).and_then(|member| member.task.take()) {
            task.abort();
        }
        // Counted out at once; the task's own end finds nothing left.
        self.leave(id);
    }
}

/// What counts as one address: with IPv6 a network of 64 bits, which is what one subscriber has at least.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { strangers: 4, per_address: 2, per_token: 2 };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    fn enter(crowd: &Crowd, address: IpAddr, near: bool) -> Option<Seat> {
        crowd.enter(address, near).inspect(Seat::waits)
    }

    fn there(crowd: &Crowd, seat: &Seat) -> bool {
        crowd.lock().members.contains_key(&seat.id)
    }

    #[test]
    fn of_one_address_the_one_that_has_waited_for_longest_makes_room() {
        let crowd = Crowd::new(BOUNDS);
        let [first, second, third] = [1, 1, 1].map(|last| enter(&crowd, address(last), false).unwrap());
        assert_eq!([&first, &second, &third].map(|seat| there(&crowd, seat)), [false, true, true]);
        second.busy();
        let fourth = enter(&crowd, address(1), false).unwrap();
        assert_eq!([&second, &third, &fourth].map(|seat| there(&crowd, seat)), [true, false, true]);
        fourth.busy();
        assert!(enter(&crowd, address(1), false).is_none(), "a request that is being answered was cut");
        assert!(enter(&crowd, address(2), false).is_some(), "one address locks another out");
    }

    #[test]
    fn strangers_make_room_for_strangers_and_never_take_it_from_those_who_are_known() {
        let crowd = Crowd::new(BOUNDS);
        let known = enter(&crowd, address(1), false).unwrap();
        assert!(known.belongs_to(7));
        known.waits();
        let strangers: Vec<Seat> =
            (10..20).map(|last| enter(&crowd, address(last), false).unwrap()).collect();
        assert!(there(&crowd, &known));
        assert_eq!(strangers.iter().filter(|seat| there(&crowd, seat)).count(), BOUNDS.strangers);
        crowd.make_room();
        assert!(there(&crowd, &known), "a stranger waits, and somebody who is known was cut");
        drop(strangers);
        crowd.make_room();
        assert!(!there(&crowd, &known), "nobody else waits");
        assert_eq!(crowd.lock().owned.len(), 0);
    }

    #[test]
    fn a_token_has_a_bound_of_its_own_and_its_idle_connections_make_room() {
        let crowd = Crowd::new(BOUNDS);
        let near: Vec<Seat> = (0..4).map(|_| enter(&crowd, address(1), true).unwrap()).collect();
        for seat in &near {
            seat.busy();
        }
        assert!(near[0].belongs_to(7) && near[1].belongs_to(7) && near[1].belongs_to(7));
        assert!(!near[2].belongs_to(7), "three busy connections of one token");
        assert!(near[2].belongs_to(8), "one token locks another out");
        near[0].waits();
        assert!(near[3].belongs_to(7) && !there(&crowd, &near[0]));
        drop(near);
        let state = crowd.lock();
        assert!(state.members.is_empty() && state.waiting.is_empty() && state.owned.is_empty());
        assert_eq!(state.strangers, 0);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let crowd = Crowd::new(BOUNDS);
        let seats: Vec<Seat> = (1..4_u16)
            .map(|last| enter(&crowd, IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]), false).unwrap())
            .collect();
        assert_eq!(seats.iter().filter(|seat| there(&crowd, seat)).count(), BOUNDS.per_address);
    }
}
