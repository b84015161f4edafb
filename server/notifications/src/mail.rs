//! Emails, through the mail server of the configuration.

use std::fmt;
use std::time::Duration;

use lettre::address::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, SUBMISSION_PORT, SUBMISSIONS_PORT};
use lettre::{AsyncTransport as _, Tokio1Executor};
use minitower_kernel::trust::{self, Trust};
use url::Url;

/// Longest that each step of talking to the mail server takes.
const STEP: Duration = Duration::from_secs(10);

/// A mail server, and whom its emails are from.
#[derive(Clone)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    host: String,
    from: Mailbox,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A password is part of the transport.
        f.debug_struct("Smtp").field("host", &self.host).field("from", &self.from).finish_non_exhaustive()
    }
}

/// A configuration of a mail server that cannot be used. It quotes no URL: a password may be in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSmtp {
    /// The URL has another form.
    #[error(
        "MINITOWER_SMTP_URL is not a URL such as smtps://user:password@mail.example.com or smtp://mail.example.com:587?tls=required: {0}"
    )]
    Url(String),
    /// Nothing is trusted.
    #[error("MINITOWER_SMTP_URL asks for TLS, but {0}")]
    Trust(String),
    /// There is no sender.
    #[error(
        "MINITOWER_SMTP_FROM is empty: it is required with MINITOWER_SMTP_URL, because emails need a sender"
    )]
    NoSender,
    /// The sender is not an address.
    #[error(
        "MINITOWER_SMTP_FROM is {0:?}: it must be an address such as minitower@example.com or MiniTower <minitower@example.com>"
    )]
    Sender(String),
}

impl Smtp {
    /// Checks a configuration. The mail server may show a certificate of these authorities, or of the system's.
    pub fn parse(url: &str, from: Option<&str>, trust: &Trust) -> Result<Self, BadSmtp> {
        let from = from.filter(|from| !from.is_empty()).ok_or(BadSmtp::NoSender)?;
        let bad = || BadSmtp::Sender(from.chars().take(64).collect());
        let from = from.parse().map_err(|_| bad())?;
        let url = Url::parse(url).map_err(|error| BadSmtp::Url(error.to_string()))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| BadSmtp::Url("it names no host".to_owned()))?.to_owned();
        let shown = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        Ok(Self { transport: transport(url, host, trust)?, host: shown, from })
    }
}

/// When TLS begins, and whether it has to.
type Mode = fn(TlsParameters) -> Tls;

/// What talks to the mail server. The library reads the URL but for the part about TLS: it would trust the system's authorities alone.
fn transport(
    mut url: Url,
    host: String,
    trust: &Trust,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, BadSmtp> {
    minitower_kernel::outbound::install_crypto_provider();
    let asked = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value.into_owned());
    let (usual_port, mode): (_, Option<Mode>) = match (url.scheme(), asked.as_deref()) {
        ("smtps", _) => (SUBMISSIONS_PORT, Some(Tls::Wrapper)),
        ("smtp", Some("required")) => (SUBMISSION_PORT, Some(Tls::Required)),
        ("smtp", Some("opportunistic")) => (SUBMISSION_PORT, Some(Tls::Opportunistic)),
        _ => (0, None),
    };
    if mode.is_some() {
        url.set_query(None);
        let port = url.port().unwrap_or(usual_port);
        let changed = url.set_scheme("smtp").and_then(|()| url.set_port(Some(port)));
        changed.map_err(|()| BadSmtp::Url("it names no host".to_owned()))?;
    }
    let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str())
        .map_err(|error| BadSmtp::Url(error.to_string()))?;
    let builder = match mode {
        Some(mode) => {
            let parameters =
                tls_to(host, trust).map_err(|error| BadSmtp::Trust(trust::cannot_load(&error)))?;
            builder.tls(mode(parameters))
        }
        None => builder,
    };
    Ok(builder.timeout(Some(STEP)).build())
}

fn tls_to(host: String, trust: &Trust) -> Result<TlsParameters, lettre::transport::smtp::Error> {
    let mut parameters = TlsParameters::builder(host);
    for certificate in trust.certificates() {
        parameters = parameters.add_root_certificate(Certificate::from_der(certificate.to_vec())?);
    }
    parameters.build()
}

/// What sends emails.
#[derive(Clone)]
pub(crate) struct Mailer {
    smtp: Smtp,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mailer").field(&self.smtp).finish()
    }
}

/// An email was not taken.
#[derive(Debug)]
pub(crate) struct NotSent {
    /// The code of the mail server, if it answered.
    pub(crate) code: Option<i64>,
    /// Why.
    pub(crate) reason: String,
}

impl Mailer {
    pub(crate) fn new(smtp: Smtp) -> Self {
        Self { smtp }
    }

    /// The mail server.
    pub(crate) fn host(&self) -> &str {
        &self.smtp.host
    }

    /// Sends one; answers the mail server's code.
    pub(crate) async fn send(
        &self,
        (to, id): (&str, &str),
        (subject, text): (String, String),
        timeout: Duration,
    ) -> Result<i64, NotSent> {
        let message = self.message(to, id, subject, text).map_err(|reason| NotSent { code: None, reason })?;
        match tokio::time::timeout(timeout, self.smtp.transport.send(message)).await {
            Ok(Ok(answer)) => Ok(i64::from(u16::from(answer.code()))),
            Ok(Err(error)) => {
                let code = error.status().map(|code| i64::from(u16::from(code)));
                let reason = trust::of_tls(&error).unwrap_or_else(|| minitower_kernel::chain(&error));
                Err(NotSent { code, reason: format!("the mail server did not take it: {reason}") })
            }
            Err(_) => Err(NotSent {
                code: None,
                reason: format!("the mail server did not answer within {} s", timeout.as_secs()),
            }),
        }
    }

    fn message(&self, to: &str, id: &str, subject: String, text: String) -> Result<Message, String> {
        let to: Address = to.parse().map_err(|error| format!("{to:?} is not an address: {error}"))?;
        let of_machine =
            HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        Message::builder()
            .from(self.smtp.from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .message_id(Some(format!("<{id}@{}>", self.smtp.from.email.domain())))
            .raw_header(of_machine)
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(|error| error.to_string())
    }
}

/// Most bytes of an address (RFC 5321, 4.5.3.1.3, without the brackets).
const ADDRESS_BYTES: usize = 254;

/// Checks an address that emails go to.
pub(crate) fn check_address(text: &str) -> Result<(), &'static str> {
    let plain = text.len() <= ADDRESS_BYTES
        && text.chars().all(|c| c.is_ascii_graphic() && !"<>,;:\"()[]\\".contains(c));
    if plain && text.parse::<Address>().is_ok() {
        return Ok(());
    }
    Err("must be one address such as team@example.com, without a name")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("smtp://mail.example.com", "mail.example.com")]
    #[case("smtps://me:p%40ss@mail.example.com:465", "mail.example.com:465")]
    #[case("smtp://me:pass@mail.example.com:587?tls=required", "mail.example.com:587")]
    #[case("smtp://127.0.0.1:1025", "127.0.0.1:1025")]
    fn a_mail_server_is_a_url_with_a_sender(#[case] url: &str, #[case] host: &str) {
        let smtp = Smtp::parse(url, Some("MiniTower <t@example.com>"), &Trust::default()).unwrap();
        assert_eq!(smtp.host, host);
        assert!(!format!("{smtp:?}").contains("p%40ss"), "{smtp:?}");
    }

    #[rstest]
    #[case("http://mail.example.com", Some("t@example.com"), "MINITOWER_SMTP_URL")]
    #[case("mail.example.com", Some("t@example.com"), "MINITOWER_SMTP_URL")]
    #[case("smtp://", Some("t@example.com"), "MINITOWER_SMTP_URL")]
    #[case("smtp://me:hunter2@mail.example.com?tls=maybe", Some("t@example.com"), "MINITOWER_SMTP_URL")]
    #[case("smtp://mail.example.com", None, "MINITOWER_SMTP_FROM")]
    #[case("smtp://mail.example.com", Some("nobody"), "MINITOWER_SMTP_FROM")]
    fn a_bad_one_is_named_without_its_password(
        #[case] url: &str,
        #[case] from: Option<&str>,
        #[case] names: &str,
    ) {
        let error = Smtp::parse(url, from, &Trust::default()).unwrap_err().to_string();
        assert!(error.contains(names) && !error.contains("hunter2"), "{error}");
    }

    #[rstest]
    #[case("team@example.com", true)]
    #[case("a.b+c@sub.example.com", true)]
    #[case("", false)]
    #[case("nobody", false)]
    #[case("@example.com", false)]
    #[case("a@b@c", false)]
    #[case("Team <team@example.com>", false)]
    #[case("a@example.com,b@example.com", false)]
    #[case("a@example.com\r\nBcc: b@example.com", false)]
    #[case("a b@example.com", false)]
    #[case("\"a b\"@example.com", false)]
    fn an_address_is_one_and_nothing_else(#[case] text: &str, #[case] good: bool) {
        assert_eq!(check_address(text).is_ok(), good);
    }

    #[test]
    fn nothing_that_is_told_becomes_a_header() {
        let smtp = Smtp::parse("smtp://mail.example.com", Some("t@example.com"), &Trust::default()).unwrap();
        let mailer = Mailer::new(smtp);
        let subject = "run failed\r\nBcc: x@example.com\r\n\r\nbody".to_owned();
        let sent = mailer.message("to@example.com", "msg_1", subject, "text\n.\ntext".to_owned()).unwrap();
        let sent = String::from_utf8(sent.formatted()).unwrap();
        let (head, _) = sent.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.to_lowercase().starts_with("bcc:")), "{head}");
        assert!(
            head.contains("Message-ID: <msg_1@example.com>")
                && head.contains("Auto-Submitted: auto-generated")
        );
    }
}
