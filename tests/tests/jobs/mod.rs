//! Real jobs on a real runner under a real control plane.

mod cancel;
mod confinement;
mod environment;
mod faults;
mod logs;
mod nasty;
mod ordinary;
mod shutdown;
