//! One pool under one operator, in a world that does what each test needs.

mod cluster;
mod crashes;
mod endings;
mod grants;
mod leaders;
mod leases;
mod leaving;
mod refusals;
mod registrations;
mod rollouts;
mod shields;
mod shrinking;
mod silence;
mod sizes;
mod standings;
mod sweeps;
mod tokens;
