//! Who calls: the credential each route asks for, checked before anything else of the request is looked at.

mod access;
mod bearer;
mod caller;

pub use access::Access;
pub(crate) use access::{Post, RunnerProtocol, guard};
pub(crate) use caller::{Caller, LeaseHolder};
