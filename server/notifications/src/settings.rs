//! What the configuration decides.

use crate::mail::Smtp;

/// Settings of the subject, checked by whoever reads the configuration.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The mail server; none: no emails.
    pub smtp: Option<Smtp>,
    /// Where people reach this server with a browser, without a slash at the end; none: messages have no links.
    pub public_url: Option<String>,
}
