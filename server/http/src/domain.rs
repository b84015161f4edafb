//! The types that use cases take and give, under one name.

pub(crate) use minitower_app::LogLine as StoredLine;
pub(crate) use minitower_app::domain::*;
