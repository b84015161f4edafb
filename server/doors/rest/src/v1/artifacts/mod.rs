//! What jobs left behind, as their team sees it. Runners store it: see `lease::put_artifact`.

pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod show;
