//! Where a notification is to be sent, checked.

use minitower_kernel::Tx;
use minitower_kernel::outbound::{self, SigningKey};
use minitower_teams::{Sealer, SecretValue};
use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::wire::notifications::TargetKind;

use crate::domain::notification::{Sealed, Target};
use crate::mail::check_address;
use crate::{Error, Notifications, seal};

/// What answers show in place of the URL of Slack that begins like this.
pub fn masked(origin: &str) -> String {
    format!("{origin}/…")
}

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

/// A target that can be taken.
pub(crate) struct Checked {
    kind: TargetKind,
    shown: String,
    secret: Secret,
}

/// What nobody is shown of a target.
enum Secret {
    /// It has none.
    None,
    /// The one that it has already.
    Kept(Sealed),
    /// Another one.
    Set(SecretValue, Sealer),
}

impl Checked {
    /// The target as the database keeps it, and the key of its signatures if that was set with it: it is shown once.
    pub(crate) fn seal(self, tx: &Tx<'_>, team: TeamId) -> Result<(Target, Option<String>), Error> {
        let Self { kind, shown, secret } = self;
        let (secret, told) = match secret {
            Secret::None => (None, None),
            Secret::Kept(sealed) => (Some(sealed), None),
            Secret::Set(value, sealer) => {
                let told = (kind == TargetKind::Webhook).then(|| value.reveal().to_owned());
                (Some(seal::seal(tx, &sealer, (team, kind), &value)?), told)
            }
        };
        Ok((Target { kind, shown, secret }, told))
    }
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
                let secret = match (secret, kept) {
                    (Some(text), _) => {
                        let key = SigningKey::parse(&text).map_err(|error| Error::field(SECRET, error))?;
                        self.set(key.reveal()).await?
                    }
                    (None, Some(kept)) => Secret::Kept(kept),
                    (None, None) => {
                        let key = SigningKey::generate().map_err(Error::Random)?;
                        self.set(key.reveal()).await?
                    }
                };
                Ok(Checked { kind, shown: url.as_str().to_owned(), secret })
            }
            TargetKind::Slack => {
                absent(TO, &to)?;
                absent(SECRET, &secret)?;
                // Who sends back what an answer showed means the one that is there.
                let former =
                    former.filter(|former| former.kind == kind && url == Some(masked(&former.shown)));
                if let Some(Target { shown, secret: Some(secret), .. }) = former.cloned() {
                    return Ok(Checked { kind, shown, secret: Secret::Kept(secret) });
                }
                if url.as_ref().is_some_and(|url| url.ends_with(&masked(""))) {
                    return Err(Error::field(
                        URL,
                        "is what answers show in place of the URL: give all of it",
                    ));
                }
                let url = self.check_url(url).await?;
                let secret = self.set(url.as_str().to_owned()).await?;
                Ok(Checked { kind, shown: url.origin(), secret })
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
                Ok(Checked { kind, shown: to, secret: Secret::None })
            }
        }
    }

    async fn set(&self, secret: String) -> Result<Secret, Error> {
        Ok(Secret::Set(SecretValue::new(secret), self.0.teams.sealer().await?))
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
