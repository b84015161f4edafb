//! Model checking of the lease protocol: every interleaving of a small system, over the rules that the server itself uses.
//!
//! `state` is what a system consists of, `server` carries out what `the domain` decides, `runner` is the other side, `steps` are
//! those that may be taken, `checker` takes them, `promises` says what must hold, `canon` keeps the space small, `config` bounds it,
//! `systems` are those that are checked. `outage` is a world of its own, `heal` looks for runs that are stuck. No rule of the protocol may
//! live here. `waiting` is a model of its own, of runs that are not ready yet.
//!
//! What the model takes for granted, because other tests are about it: a transaction is carried out whole and is durable before it is
//! answered; log lines and archives are only asked for, never stored; a poll that waits is one that the network delays; a supervisor
//! kills at its deadline to the tick; an agent sends no heartbeat any more once its job has ended, but late ones still arrive.
#![allow(clippy::expect_used, reason = "a model whose numbers do not fit fails by panicking")]

mod canon;
mod checker;
mod config;
mod heal;
mod names;
mod outage;
mod promises;
mod report;
mod runner;
mod server;
mod state;
mod steps;
mod systems;
mod waiting;
