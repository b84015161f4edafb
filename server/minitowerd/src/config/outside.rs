//! Whom the server calls: networks that are allowed, and the mail server.

use minitower_notifications::Smtp;

use super::ConfigError;

/// The mail server; none: none is configured. Its URL is a secret, because a password may be in it.
pub(super) fn smtp(url: Option<String>, from: Option<String>) -> Result<Option<Smtp>, ConfigError> {
    let given =
        |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    match (given(url), given(from)) {
        (Some(url), from) => {
            let smtp = Smtp::parse(&url, from.as_deref());
            smtp.map(Some).map_err(|error| ConfigError::Mail(error.to_string()))
        }
        (None, Some(_)) => {
            Err(ConfigError::Needed { variable: "MINITOWER_SMTP_URL", by: "MINITOWER_SMTP_FROM" })
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_has_a_sender_and_the_other_way_round() {
        let text = |text: &str| Some(text.to_owned());
        assert!(smtp(None, None).unwrap().is_none());
        assert!(smtp(text(""), text(" ")).unwrap().is_none());
        assert!(smtp(text("smtp://mail.example.com\n"), text("t@example.com")).unwrap().is_some());
        for (url, from, says) in [
            (text("smtp://mail.example.com"), None, "MINITOWER_SMTP_FROM is empty"),
            (None, text("t@example.com"), "MINITOWER_SMTP_URL is not set"),
            (text("http://me:hunter2@x"), text("t@example.com"), "MINITOWER_SMTP_URL is not a URL such as"),
        ] {
            let message = smtp(url, from).unwrap_err().to_string();
            assert!(message.starts_with(says) && !message.contains("hunter2"), "{message}");
            assert_eq!(message.lines().count(), 1);
        }
    }
}
