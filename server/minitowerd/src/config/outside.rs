//! Whom the server calls, and whom it believes: certificates that are trusted, and the mail server.

use std::path::Path;

use minitower_kernel::trust::{CA_FILE, Trust};
use minitower_notifications::Smtp;

use super::parse::value;
use super::{Args, ConfigError};

/// Largest file of certificates or of a secret, in bytes.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// The authorities that the configuration names; none: the system's alone.
pub(super) fn trust(args: &Args) -> Result<Trust, ConfigError> {
    Ok(value(CA_FILE, args.ca_file.clone(), certificates)?.unwrap_or_default())
}

/// The certificates in a file.
pub(super) fn certificates(file: &str) -> Result<Trust, String> {
    Trust::parse(&read(Path::new(file))?).map_err(|error| error.to_string())
}

/// A small file.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, String> {
    let size = std::fs::metadata(file).map_err(|error| format!("it cannot be read: {error}"))?.len();
    if size > MOST_BYTES {
        return Err(format!("it has more than {MOST_BYTES} bytes"));
    }
    std::fs::read(file).map_err(|error| format!("it cannot be read: {error}"))
}

/// The mail server; none: none is configured. Its URL is a secret, because a password may be in it.
pub(super) fn smtp(
    url: Option<String>,
    from: Option<String>,
    trust: &Trust,
) -> Result<Option<Smtp>, ConfigError> {
    let given =
        |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    match (given(url), given(from)) {
        (Some(url), from) => {
            let smtp = Smtp::parse(&url, from.as_deref(), trust);
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

    fn authority() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem()
    }

    #[test]
    fn certificates_come_from_a_file_that_holds_some() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let of = |ca_file: &str| trust(&Args { ca_file: Some(ca_file.to_owned()), ..Args::default() });
        let path = file.path().to_str().unwrap();
        assert_eq!(trust(&Args::default()).unwrap(), Trust::default());
        assert_eq!(of("").unwrap(), Trust::default());
        for (holds, says) in [
            (String::new(), "it holds no PEM certificate"),
            ("garbage".to_owned(), "it holds no PEM certificate"),
            (authority()[..100].to_owned(), "it is not PEM: "),
            (authority().replace("MII", "AAA"), "its certificate number 1 cannot be used: "),
        ] {
            std::fs::write(file.path(), &holds).unwrap();
            let message = of(path).unwrap_err().to_string();
            assert!(message.starts_with("MINITOWER_CA_FILE is ") && message.contains(says), "{message}");
            assert_eq!(message.lines().count(), 1);
        }
        for (path, says) in [("/nothing/here", "it cannot be read: "), ("/", "it cannot be read: ")] {
            assert!(of(path).unwrap_err().to_string().contains(says), "{path}");
        }
        std::fs::write(file.path(), authority() + &authority()).unwrap();
        assert_eq!(of(path).unwrap().certificates().count(), 2);
    }

    #[test]
    fn a_mail_server_has_a_sender_and_the_other_way_round() {
        let text = |text: &str| Some(text.to_owned());
        let smtp = |url, from| smtp(url, from, &Trust::default());
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
