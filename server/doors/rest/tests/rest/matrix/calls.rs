//! A good call of each route, and what comes of it for whom.

use axum::body::Body;
use http::Request;
use http::header::CONTENT_TYPE;
use minitower_rest::{Access, Route};
use serde_json::{Value, json};

use super::bed::{ARTIFACT, BOUNDARY, INSTANCE, PASSWORD, Things, upload};
use super::callers::{Caller, Door, Kind, door};

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Nothing of a team's, or the caller's own things.
    Own,
    /// A thing of acme's that the path names: to the other team it is not there.
    Acme,
    /// An attempt of acme's: gone for everybody but the runner that holds it.
    Lease,
    /// The next run.
    Poll,
}

/// A good call of a route.
pub(crate) struct Call {
    pub(crate) about: About,
    /// The status of its success.
    success: u16,
    body: Body,
    form: bool,
    /// What follows the path.
    query: &'static str,
    /// The runner it names.
    name: &'static str,
}

impl Call {
    fn own(success: u16) -> Self {
        Self { about: About::Own, success, body: Body::empty(), form: false, query: "", name: "acme-runner" }
    }

    fn acme(success: u16) -> Self {
        Self { about: About::Acme, ..Self::own(success) }
    }

    fn lease() -> Self {
        Self { about: About::Lease, ..Self::own(200) }
    }

    fn with(self, body: &Value) -> Self {
        Self { body: body.to_string().into(), ..self }
    }

    /// How a route is called well. A new route has to be added here.
    #[allow(clippy::match_same_arms, clippy::too_many_lines, reason = "a table reads by its subjects")]
    pub(crate) fn of(route: &Route) -> Self {
        match (route.method.as_str(), route.path) {
            ("GET", "/health" | "/ready" | "/metrics" | "/version") => Self::own(200),
            ("GET", "/api/openapi.json" | "/api/docs") => Self::own(200),
            (
                "GET",
                "/api/v1/auth/options" | "/api/v1/me" | "/api/v1/tokens" | "/api/v1/registration-tokens",
            ) => Self::own(200),
            ("GET", "/api/v1/environments" | "/api/v1/apps" | "/api/v1/runs" | "/api/v1/runs/summary") => {
                Self::own(200)
            }
            ("GET", "/api/v1/admin/runners" | "/api/v1/admin/demand") => Self::own(200),
            ("GET", "/api/v1/audit" | "/api/v1/admin/audit") => Self::own(200),
            ("GET", "/api/v1/limits" | "/api/v1/runs/events") => Self::own(200),
            ("GET", "/api/v1/retention") => Self::own(200),
            ("PUT", "/api/v1/retention") => Self::own(200).with(&json!({"keep_last": 77})),
            ("PUT", "/api/v1/limits") => Self::own(200).with(&json!({"queued_runs": 77})),
            ("GET", "/api/v1/admin/pools") => Self::own(200),
            ("PUT", "/api/v1/admin/pools/{namespace}/{pool}") => Self::acme(204).with(&json!({
                "state": "ready", "min": 0, "max": 1, "desired": 0, "ready": 0, "message": "acme-secret"
            })),
            ("DELETE", "/api/v1/admin/pools/{namespace}/{pool}") => Self::acme(204),
            ("POST", "/api/v1/admin/pools/{namespace}/{pool}/token") => Self::acme(201),
            ("DELETE", "/api/v1/admin/pools/{namespace}/{pool}/token") => Self::acme(204),
            ("GET", "/api/v1/admin/teams/{slug}/limits") => Self::acme(200),
            ("PUT", "/api/v1/admin/teams/{slug}/limits") => Self::acme(200).with(&json!({"queued_runs": 78})),
            // The server of these tests has no identity provider, and these routes are not there. tests/tests/contract/sign_in.rs has one.
            ("GET", "/api/v1/auth/oidc/start" | "/api/v1/auth/oidc/callback") => Self::own(404),
            ("POST", "/api/v1/auth/oidc/device") => Self::own(404),
            ("POST", "/api/v1/auth/oidc/confirm") => {
                Self { body: "ticket=x&decision=allow".into(), ..Self::own(404) }
            }
            ("POST", "/api/v1/auth/oidc/token") => Self::own(404).with(&json!({"code": "mtd_x"})),
            ("POST", "/api/v1/bootstrap/team") => {
                Self::own(200).with(&json!({"slug": "acme", "name": "acme"}))
            }
            ("POST", "/api/v1/teams/signup") => {
                Self::own(201).with(&json!({"slug": "newcomer", "name": "n", "password": PASSWORD}))
            }
            ("POST", "/api/v1/teams/login") => {
                Self::own(201).with(&json!({"slug": "umbrella", "password": PASSWORD}))
            }
            ("POST", "/api/v1/tokens" | "/api/v1/registration-tokens") => Self::own(201),
            ("GET", "/api/v1/environments/{env}/secrets") => Self::own(200),
            ("PUT", "/api/v1/environments/{env}/secrets/{secret}") => {
                Self::own(204).with(&json!({"value": "acme-secret"}))
            }
            ("DELETE", "/api/v1/environments/{env}/secrets/{secret}") => Self::acme(204),
            ("POST", "/api/v1/environments") => Self::own(201).with(&json!({"name": "fresh"})),
            ("POST", "/api/v1/apps") => Self::own(201).with(&json!({"slug": "fresh-app"})),
            ("POST", "/api/v1/runners/register") => Self::own(201).with(&json!({"name": "fresh-runner"})),
            ("POST", "/api/v1/runners/sign-off") => Self::own(200),
            ("POST", "/api/v1/runs/lease") => Self { about: About::Poll, ..Self::own(200) },

            ("DELETE", "/api/v1/tokens/{id}" | "/api/v1/registration-tokens/{id}") => Self::acme(204),
            ("GET", "/api/v1/apps/{app}" | "/api/v1/apps/{app}/versions") => Self::acme(200),
            ("GET", "/api/v1/apps/{app}/versions/{no}" | "/api/v1/apps/{app}/runs") => Self::acme(200),
            ("DELETE", "/api/v1/apps/{app}" | "/api/v1/apps/{app}/versions/{no}" | "/api/v1/runs/{run}") => {
                Self { query: "?force=true", ..Self::acme(204) }
            }
            ("POST", "/api/v1/apps/{app}/versions") => {
                Self { body: upload().into(), form: true, ..Self::acme(201) }
            }
            ("POST", "/api/v1/apps/{app}/runs") => Self::acme(201),
            ("PATCH", "/api/v1/apps/{app}") => Self::acme(200).with(&json!({"description": "Changed"})),
            ("GET", "/api/v1/runs/{run}/explain") => Self::acme(200),
            ("GET", "/api/v1/runs/{run}" | "/api/v1/runs/{run}/attempts" | "/api/v1/runs/{run}/logs") => {
                Self::acme(200)
            }
            ("GET", "/api/v1/runs/{run}/artifacts" | "/api/v1/runs/{run}/artifacts/{*path}") => {
                Self::acme(200)
            }
            ("DELETE", "/api/v1/runs/{run}/artifacts/{*path}") => Self::acme(204),
            ("POST", "/api/v1/runs/{run}/cancel") => Self::acme(200),
            ("POST", "/api/v1/runs/cancel" | "/api/v1/runs/retry") => {
                Self::own(200).with(&json!({"label": "no=such"}))
            }
            // It has not ended.
            ("POST", "/api/v1/runs/{run}/retry") => Self::acme(409),
            ("POST" | "DELETE", "/api/v1/admin/runners/{name}/drain") => Self::acme(200),
            ("POST", "/api/v1/admin/runners/{name}/ended") => {
                Self { name: "acme-holder", ..Self::acme(200) }.with(&json!({"instance_id": INSTANCE}))
            }
            ("DELETE", "/api/v1/admin/runners/{name}") => Self::acme(204),

            ("GET", "/api/v1/notifications") => Self::own(200),
            ("POST", "/api/v1/notifications") => {
                let target = json!({"kind": "webhook", "url": "https://1.1.1.1/"});
                Self::own(201).with(&json!({"name": "fresh", "on": ["failed"], "target": target}))
            }
            ("GET", "/api/v1/notifications/{id}" | "/api/v1/notifications/{id}/deliveries") => {
                Self::acme(200)
            }
            ("PATCH", "/api/v1/notifications/{id}") => Self::acme(200).with(&json!({"enabled": false})),
            ("DELETE", "/api/v1/notifications/{id}") => Self::acme(204),
            ("POST", "/api/v1/notifications/{id}/test") => Self::acme(202),
            ("POST", "/api/v1/notifications/{id}/deliveries/{delivery}/retry") => Self::acme(202),

            ("POST", "/api/v1/runs/{run}/start" | "/api/v1/runs/{run}/heartbeat") => Self::lease(),
            ("POST", "/api/v1/runs/{run}/release") => Self::lease(),
            ("GET", "/api/v1/runs/{run}/artifact") => Self::lease(),
            ("PUT", "/api/v1/runs/{run}/artifacts/{*path}") => Self { body: "other".into(), ..Self::lease() },
            ("POST", "/api/v1/runs/{run}/logs") => {
                let line =
                    json!({"seq": 9, "stream": "stdout", "line": "x", "logged_at": "2026-01-02T03:04:05Z"});
                Self::lease().with(&json!({"logs": [line]}))
            }
            ("POST", "/api/v1/runs/{run}/result") => Self::lease().with(&json!({"status": "completed"})),
            (method, path) => {
                panic!("{method} {path} is new: say here how it is called, and what it is about")
            }
        }
    }

    /// What the caller gets: the status, and whether something may have changed after it.
    pub(crate) fn expected(&self, route: &Route, kind: Kind) -> (u16, bool) {
        let changes = route.method != "GET";
        match door(route.access, kind) {
            Door::Unauthorized => return (401, false),
            Door::Forbidden => return (403, false),
            Door::Open => {}
        }
        let acmes = matches!(kind, Kind::AcmeAdmin | Kind::AcmeMember | Kind::AcmeAttempt | Kind::Operator);
        match (self.about, kind) {
            (About::Own, _) | (About::Lease, Kind::Holder) => (self.success, changes),
            (About::Acme, _) if acmes => (self.success, changes),
            (About::Acme, _) => (404, false),
            (About::Lease, _) => (410, false),
            // Acme's run waits: for acme's runners and the platform's.
            (About::Poll, Kind::OtherRunner) => (204, false),
            (About::Poll, Kind::Holder) => (409, false),
            (About::Poll, _) => (200, true),
        }
    }

    /// The request, about acme's things.
    pub(crate) fn request(self, route: &Route, things: &Things, caller: &Caller) -> Request<Body> {
        let names = Names {
            app: "acme-app",
            slug: "acme",
            run: things.run.to_string(),
            id: (if route.path.contains("/registration-tokens/") {
                things.registration_id
            } else if route.path.contains("/notifications/") {
                things.notification_id
            } else {
                things.token_id
            })
            .to_string(),
            delivery: things.delivery_id.to_string(),
            name: self.name,
            secret: "ACME_KEY",
        };
        self.named(route, &names, caller)
    }

    /// The request, about things that there are not.
    pub(crate) fn about_nothing(self, route: &Route, caller: &Caller) -> Request<Body> {
        self.named(route, &Names::nothing(), caller)
    }

    fn named(self, route: &Route, names: &Names, caller: &Caller) -> Request<Body> {
        let mut request = Request::builder()
            .method(&route.method)
            .uri(names.fill(route.path) + self.query)
            .body(self.body)
            .unwrap();
        if self.form {
            let kind = format!("multipart/form-data; boundary={BOUNDARY}");
            request.headers_mut().insert(CONTENT_TYPE, kind.parse().unwrap());
        }
        caller.sign(&mut request);
        request
    }
}

/// What stands for the parameters of paths.
pub(crate) struct Names {
    app: &'static str,
    slug: &'static str,
    run: String,
    id: String,
    delivery: String,
    name: &'static str,
    secret: &'static str,
}

impl Names {
    /// Those of nothing.
    pub(crate) fn nothing() -> Self {
        Self {
            app: "no-such-app",
            slug: "no-such-team",
            run: "7999999".to_owned(),
            id: "7999999".to_owned(),
            delivery: "7999999".to_owned(),
            name: "no-such-runner",
            secret: "NO_SUCH_SECRET",
        }
    }

    fn fill(&self, path: &str) -> String {
        let parts = path.split('/').map(|part| match part {
            "{app}" => self.app,
            "{slug}" | "{namespace}" => self.slug,
            "{run}" => &self.run,
            "{id}" => &self.id,
            "{delivery}" => &self.delivery,
            "{no}" => "1",
            "{name}" => self.name,
            "{pool}" => "acme-pool",
            "{env}" => "acme-zone",
            "{secret}" => self.secret,
            "{*path}" => ARTIFACT,
            part => {
                assert!(!part.starts_with('{'), "{part} in {path} is new: say here what may stand for it");
                part
            }
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

/// Whether a route's path names a thing. Each team has its own environments: what is set there, and listed, is the caller's own.
pub(crate) fn names_a_thing(route: &Route) -> bool {
    let of_environment = route.path.contains("/{env}/") && route.method != "DELETE";
    route.path.contains('{') && !of_environment
}

/// The same text, whichever thing it speaks of.
pub(crate) fn nameless(text: &str, things: &Things) -> String {
    let mut text = text.to_owned();
    for name in [
        "acme-app",
        "ACME_KEY",
        "NO_SUCH_SECRET",
        "acme-zone",
        "acme-holder",
        "acme-runner",
        "no-such-app",
        "no-such-runner",
        "7999999",
    ] {
        text = text.replace(name, "*");
    }
    let ids =
        [things.run, things.token_id, things.registration_id, things.notification_id, things.delivery_id];
    ids.iter().fold(text, |text, id| text.replace(&id.to_string(), "*"))
}

/// Whether a route is for those who hold a lease.
pub(crate) fn is_under_a_lease(route: &Route) -> bool {
    route.access == Access::Lease
}
