//! Ids of the things the server keeps: integers, each with its own type so that they cannot be mixed up.

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

id! {
    /// A team.
    TeamId,
    /// A team token.
    TokenId,
    /// A team's registration token.
    RegistrationTokenId,
    /// A pool's registration token.
    PoolTokenId,
    /// An environment of a team.
    EnvironmentId,
    /// An app.
    AppId,
    /// A version of an app.
    VersionId,
    /// An event of the audit log.
    AuditEventId,
    /// A run.
    RunId,
    /// An attempt at a run.
    AttemptId,
    /// A runner.
    RunnerId,
    /// A notification of a team.
    NotificationId,
    /// A message to the target of a notification.
    DeliveryId,
}
