//! The real operator with no more rights than it is installed with, against a real API server and its controllers without nodes, and a real
//! control plane. The tests themselves do what a kubelet and a runner would do.
//!
//! One test at a time, and no test of `crd` meanwhile: there is one Lease, and some tests stop the API server. It is always the tests' own,
//! because another operator may live on any other.

pub(crate) mod bed;
mod grants;
mod guard;
mod leadership;
mod leaving;
mod meddling;
mod outages;
mod queue;
mod registration;
mod removal;
mod rights;
