//! What the scenarios share: the installed product ([`Bed`]), a namespace with pools in it ([`Scene`]), a live view of the cluster
//! ([`View`]), an independent record of the jobs ([`Witness`]) and what they are judged by ([`verdict`]).

mod bed;
mod forward;
pub(crate) mod kubectl;
mod load;
pub(crate) mod report;
mod scene;
mod settings;
pub(crate) mod verdict;
mod view;
mod witness;

pub(crate) use bed::{Bed, LEADER, SYSTEM, bed};
pub(crate) use kubectl::forget_instance;
pub(crate) use load::{Shape, storm};
pub(crate) use scene::{Scene, secret};
pub(crate) use settings::{folder, short};
pub(crate) use view::{Kind, State, View};
pub(crate) use witness::{Note, Witness};
