//! Everyone who may come along, and whom a route lets in.

use axum::body::Body;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use minitower_rest::Access;

use super::bed::{BOOTSTRAP, OPERATOR, REGISTRATION, Things};

/// What a caller's credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// None, or one that nobody made, or that is void.
    Nobody,
    Bootstrap,
    PlatformRegistration,
    AcmeRegistration,
    OtherRegistration,
    AcmeAdmin,
    AcmeMember,
    /// The API token of the attempt at acme's run.
    AcmeAttempt,
    OtherAdmin,
    OtherMember,
    Operator,
    PlatformRunner,
    /// A runner of acme's: the one that holds acme's run.
    Holder,
    /// Another runner of acme's.
    AcmeRunner,
    OtherRunner,
}

impl Kind {
    /// Of the other team, to whom nothing of acme's may be known.
    pub(crate) const fn is_foreign(self) -> bool {
        matches!(
            self,
            Self::Nobody | Self::OtherRegistration | Self::OtherAdmin | Self::OtherMember | Self::OtherRunner
        )
    }
}

/// One caller.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) kind: Kind,
    /// For messages.
    pub(crate) what: String,
    /// The values of its `Authorization` headers.
    authorization: Vec<String>,
    pub(crate) lease_token: String,
}

impl Caller {
    /// Whoever shows that token, and the lease token of acme's run beside it.
    pub(crate) fn of(kind: Kind, token: &str, things: &Things) -> Self {
        Self {
            kind,
            what: format!("{kind:?}"),
            authorization: vec![format!("Bearer {token}")],
            lease_token: things.lease_token.clone(),
        }
    }

    /// Puts the credential into a request.
    pub(crate) fn sign(&self, request: &mut Request<Body>) {
        for value in &self.authorization {
            request.headers_mut().append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        request.headers_mut().insert("x-lease-token", HeaderValue::from_str(&self.lease_token).unwrap());
    }
}

/// Whether a route lets a caller in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    Unauthorized,
    Forbidden,
}

/// The contract's table of credentials, once more and by other words than the guard's.
pub(crate) fn door(access: Access, kind: Kind) -> Door {
    use Kind::{
        AcmeAdmin, AcmeAttempt, AcmeMember, AcmeRegistration, AcmeRunner, Bootstrap, Holder, Operator,
        OtherAdmin, OtherMember, OtherRegistration, OtherRunner, PlatformRegistration, PlatformRunner,
    };
    let opens: &[Kind] = match access {
        Access::Public => return Door::Open,
        Access::Bootstrap => &[Bootstrap],
        Access::Registration => &[PlatformRegistration, AcmeRegistration, OtherRegistration],
        Access::Team => &[AcmeAdmin, AcmeMember, OtherAdmin, OtherMember],
        Access::Runs => &[AcmeAdmin, AcmeMember, AcmeAttempt, OtherAdmin, OtherMember],
        // The calls of the matrix are about tokens of none of its callers.
        Access::TeamAdmin | Access::OwnToken => &[AcmeAdmin, OtherAdmin],
        Access::Admin => &[AcmeAdmin, OtherAdmin, Operator],
        Access::Operator => &[Operator],
        Access::Runner | Access::Lease => &[PlatformRunner, Holder, AcmeRunner, OtherRunner],
    };
    let members = [AcmeMember, OtherMember, AcmeAttempt];
    if opens.contains(&kind) {
        Door::Open
    } else if members.contains(&kind)
        && matches!(access, Access::TeamAdmin | Access::OwnToken | Access::Admin)
        || kind == AcmeAttempt && access == Access::Team
    {
        Door::Forbidden
    } else {
        Door::Unauthorized
    }
}

/// Those with a good credential of some kind. All of them show the lease token of acme's run, as if it had been stolen.
pub(crate) fn known(things: &Things) -> Vec<Caller> {
    let one = |kind: Kind, token: &str| Caller::of(kind, token, things);
    vec![
        one(Kind::Bootstrap, BOOTSTRAP),
        one(Kind::PlatformRegistration, REGISTRATION),
        one(Kind::AcmeRegistration, &things.acme_registration),
        one(Kind::OtherRegistration, &things.other_registration),
        one(Kind::AcmeAdmin, &things.acme_admin),
        one(Kind::AcmeMember, &things.acme_member),
        one(Kind::AcmeAttempt, &things.acme_attempt),
        one(Kind::OtherAdmin, &things.other_admin),
        one(Kind::OtherMember, &things.other_member),
        one(Kind::Operator, OPERATOR),
        one(Kind::PlatformRunner, &things.platform_runner),
        one(Kind::Holder, &things.holder),
        one(Kind::AcmeRunner, &things.acme_runner),
        one(Kind::OtherRunner, &things.other_runner),
    ]
}

/// Those with none, with one that nobody made, and with good ones that are shown wrongly.
pub(crate) fn nobodies(things: &Things) -> Vec<Caller> {
    let mut nobodies = Vec::new();
    let mut add = |what: String, authorization: &[String]| {
        nobodies.push(Caller {
            kind: Kind::Nobody,
            what,
            authorization: authorization.to_vec(),
            lease_token: things.lease_token.clone(),
        });
    };
    add("no credential".to_owned(), &[]);
    for header in ["", "Bearer", "Bearer ", "Basic YWNtZTphY21l", "Bearer \u{e9}", "Bearer , ,"] {
        add(format!("{header:?}"), &[header.to_owned()]);
    }
    for prefix in ["mtk", "mtr", "mtg", "mtl", "mta", ""] {
        let unknown = format!("Bearer {prefix}_{}", "A".repeat(43));
        add(format!("an unknown {prefix} token"), &[unknown]);
    }
    for (what, token) in [
        ("a lease token", things.lease_token.as_str()),
        ("a runner's former token", &things.void_runner),
        ("a former registration token", &things.void_registration),
        ("the API token of an attempt that has ended", &things.void_attempt),
    ] {
        add(what.to_owned(), &[format!("Bearer {token}")]);
    }
    for token in [
        &things.acme_admin,
        &things.acme_attempt,
        &things.holder,
        OPERATOR,
        &things.acme_registration,
        BOOTSTRAP,
    ] {
        let good = format!("Bearer {token}");
        add("one without a scheme".to_owned(), &[token.to_owned()]);
        add("one of another scheme".to_owned(), &[format!("Token {token}")]);
        add("one without its last character".to_owned(), &[good[..good.len() - 1].to_owned()]);
        add("the first half of one".to_owned(), &[good[..good.len() - token.len() / 2].to_owned()]);
        add("one with more behind it".to_owned(), &[format!("{good}A")]);
        add("one with a word behind it".to_owned(), &[format!("{good} A")]);
        add("one in other letters".to_owned(), &[format!("Bearer {}", token.to_uppercase())]);
        add("one in quotes".to_owned(), &[format!("Bearer \"{token}\"")]);
        add("one twice".to_owned(), &[good.clone(), good.clone()]);
        add("one behind another's".to_owned(), &["Bearer x".to_owned(), good.clone()]);
        add("two in one header".to_owned(), &[format!("{good}, {good}")]);
    }
    nobodies
}
