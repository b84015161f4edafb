//! Runners and the demand for them, as administrators see them.

pub(crate) mod demand;
pub(crate) mod drain;
pub(crate) mod ended;
pub(crate) mod forget;
pub(crate) mod list;
pub(crate) mod undrain;
