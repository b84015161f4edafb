//! The types that use cases take and give, under one name.

pub(crate) use minitower_domain::*;
pub(crate) use minitower_store::logs::LogLine as StoredLine;
