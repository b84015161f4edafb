//! Every route with every credential, generated from the router's own table: a new route is tested by being there, and a test fails until
//! `calls` says how it is called.
//!
//! `bed` holds two teams and their things, `callers` everyone who may come along, `calls` a good call of each route. `doors` asks who is let
//! in, `tenants` what those who are let in can reach of others, `described` whether `openapi.json` says the same,
//! `audited` whether whatever changes something is recorded,
//! `revoked` what becomes of a call whose credential ends before its body has come.

mod audited;
pub(crate) mod bed;
pub(crate) mod callers;
pub(crate) mod calls;
mod described;
mod doors;
mod revoked;
mod tenants;
