//! Where a notification is to be sent, checked.

use minitower_kernel::outbound::{self, SigningKey};
use minitower_vocabulary::wire::notifications::TargetKind;

use crate::domain::notification::{Sealed, Target};
use crate::mail::check_address;
use crate::{Error, Notifications, seal};

/// A target as a caller asks for it.
#[derive(Clone, Default)]
pub struct WantedTarget {
    /// The word for how.
    pub kind: String,
    /// A URL.
    pub url: Option<String>,
    /// An address.
    pub to: Option<String>,
    /// A key for signatures.
    pub secret: Option<String>,
}

impl std::fmt::Debug for WantedTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WantedTarget").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A target that can be taken, and the secret that was set with it.
pub(crate) struct Checked {
    pub(crate) target: Target,
    /// Set for the first time, or changed: it is shown once.
    pub(crate) secret: Option<String>,
}

const URL: &str = "target.url";
const TO: &str = "target.to";
const SECRET: &str = "target.secret";

impl Notifications {
    /// Checks a target. A webhook that names no secret keeps that of the `former` one.
    pub(crate) async fn check_target(
        &self,
        wanted: WantedTarget,
        former: Option<&Target>,
    ) -> Result<Checked, Error> {
        let WantedTarget { kind, url, to, secret } = wanted;
        let kind = TargetKind::parse(&kind)
            .ok_or_else(|| Error::field("target.kind", "must be webhook, slack or email"))?;
        let absent = |name: &'static str, field: &Option<String>| match field {
            None => Ok(()),
            Some(_) => Err(Error::field(name, format!("is not for the kind {}", kind.as_str()))),
        };
        match kind {
            TargetKind::Webhook => {
                absent(TO, &to)?;
                let url = self.check_url(url).await?;
                let kept =
                    former.filter(|former| former.kind == kind).and_then(|former| former.secret.clone());
                let (sealed, secret) = match (secret, kept) {
                    (Some(text), _) => {
                        let key = SigningKey::parse(&text).map_err(|error| Error::field(SECRET, error))?;
                        sealed(&key)
                    }
                    (None, Some(kept)) => (kept, None),
                    (None, None) => sealed(&SigningKey::generate().map_err(Error::Random)?),
                };
                let target = Target { kind, shown: url.as_str().to_owned(), secret: Some(sealed) };
                Ok(Checked { target, secret })
            }
            TargetKind::Slack => {
                absent(TO, &to)?;
                absent(SECRET, &secret)?;
                let url = self.check_url(url).await?;
                let secret = Some(seal::seal(url.as_str()));
                Ok(Checked { target: Target { kind, shown: url.origin(), secret }, secret: None })
            }
            TargetKind::Email => {
                absent(URL, &url)?;
                absent(SECRET, &secret)?;
                let to = to.ok_or_else(|| Error::field(TO, "is missing"))?;
                check_address(&to).map_err(|problem| Error::field(TO, problem))?;
                if self.0.mailer.is_none() {
                    let problem = "cannot be email: this server sends none. Its administrator can set MINITOWER_SMTP_URL";
                    return Err(Error::field("target.kind", problem));
                }
                Ok(Checked { target: Target { kind, shown: to, secret: None }, secret: None })
            }
        }
    }

    async fn check_url(&self, url: Option<String>) -> Result<outbound::Target, Error> {
        let url = url.ok_or_else(|| Error::field(URL, "is missing"))?;
        let target = outbound::Target::parse(&url).map_err(|error| Error::field(URL, error))?;
        self.0
            .outbound
            .check(&target)
            .await
            .map_err(|failure| Error::field(URL, format!("is refused: {failure}")))?;
        Ok(target)
    }
}

fn sealed(key: &SigningKey) -> (Sealed, Option<String>) {
    let text = key.reveal();
    (seal::seal(&text), Some(text))
}
