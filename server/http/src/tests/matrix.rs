//! Every route with every credential, generated from the table: a new row is tested by being there.

use axum::Router;
use http::header::AUTHORIZATION;
use serde_json::json;
use tempfile::TempDir;

use super::{BOOTSTRAP_TOKEN, OPERATOR_TOKEN, REGISTRATION_TOKEN, app, json, request, send};
use crate::{Access, HttpConfig, HttpMetrics, HttpState, Route, router, table};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credential {
    None,
    Unknown,
    Bootstrap,
    PlatformRegistration,
    TeamRegistration,
    Member,
    Admin,
    Operator,
    Runner,
}

const CREDENTIALS: [Credential; 9] = [
    Credential::None,
    Credential::Unknown,
    Credential::Bootstrap,
    Credential::PlatformRegistration,
    Credential::TeamRegistration,
    Credential::Member,
    Credential::Admin,
    Credential::Operator,
    Credential::Runner,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    Unauthorized,
    Forbidden,
}

/// The contract's table of credentials, once more and by other words than the guard's.
fn door(access: Access, credential: Credential) -> Door {
    let opens: &[Credential] = match access {
        Access::Public => return Door::Open,
        Access::Bootstrap => &[Credential::Bootstrap],
        Access::Registration => &[Credential::PlatformRegistration, Credential::TeamRegistration],
        Access::Team => &[Credential::Member, Credential::Admin],
        Access::TeamAdmin => &[Credential::Admin],
        Access::Admin => &[Credential::Admin, Credential::Operator],
        Access::Runner | Access::Lease => &[Credential::Runner],
    };
    if opens.contains(&credential) {
        Door::Open
    } else if credential == Credential::Member && matches!(access, Access::TeamAdmin | Access::Admin) {
        Door::Forbidden
    } else {
        Door::Unauthorized
    }
}

struct Bed {
    service: Router,
    admin: String,
    member: String,
    team_registration: String,
    runner: String,
    _folder: TempDir,
}

impl Bed {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path(), Some(BOOTSTRAP_TOKEN)).await;
        let service = router(HttpState::new(app, HttpConfig::default(), HttpMetrics::new("test").unwrap()));
        let made =
            ask(&service, "/api/v1/bootstrap/team", BOOTSTRAP_TOKEN, json!({"slug": "acme", "name": "Acme"}));
        let made = made.await;
        let text = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap().to_owned();
        let (admin, team_registration) = (text(&made, "token"), text(&made, "registration_token"));
        let member = ask(&service, "/api/v1/tokens", &admin, json!({"role": "member"})).await;
        let runner =
            ask(&service, "/api/v1/runners/register", REGISTRATION_TOKEN, json!({"name": "r1"})).await;
        let (member, runner) = (text(&member, "token"), text(&runner, "token"));
        Self { service, admin, member, team_registration, runner, _folder: folder }
    }

    fn token(&self, credential: Credential) -> Option<&str> {
        match credential {
            Credential::None => None,
            Credential::Unknown => Some("mtk_unknown"),
            Credential::Bootstrap => Some(BOOTSTRAP_TOKEN),
            Credential::PlatformRegistration => Some(REGISTRATION_TOKEN),
            Credential::TeamRegistration => Some(&self.team_registration),
            Credential::Member => Some(&self.member),
            Credential::Admin => Some(&self.admin),
            Credential::Operator => Some(OPERATOR_TOKEN),
            Credential::Runner => Some(&self.runner),
        }
    }
}

async fn ask(service: &Router, path: &str, token: &str, body: serde_json::Value) -> serde_json::Value {
    let mut request = request(http::Method::POST, path, body.to_string());
    request.headers_mut().insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    json(send(service, request).await).await
}

/// With ids that are no ids, a body that is no body and no lease token: whoever is let in is told so, and nobody else.
#[tokio::test]
async fn each_route_opens_to_its_credentials_only_and_asks_for_them_first() {
    let bed = Bed::start().await;
    let mut asked = 0;
    for Route { method, path, access, .. } in table() {
        let concrete = path.replace("{run}", "x").replace("{id}", "x").replace("{no}", "x");
        let concrete = concrete.replace("{app}", "no-such-app").replace("{name}", "%FF");
        for credential in CREDENTIALS {
            let mut request = request(method.clone(), &concrete, "{ no json");
            if let Some(token) = bed.token(credential) {
                request.headers_mut().insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            }
            let answer = send(&bed.service, request).await;
            let found = match answer.status().as_u16() {
                401 => Door::Unauthorized,
                403 => Door::Forbidden,
                status => {
                    assert!(status < 500, "{method} {path} answers {status} to {credential:?}");
                    Door::Open
                }
            };
            assert_eq!(found, door(access, credential), "{method} {path} with {credential:?}");
            if access == Access::Lease && found == Door::Open {
                assert_eq!(answer.status(), 400, "{method} {path} without a lease token");
            }
            asked += 1;
        }
    }
    assert_eq!(asked, table().len() * CREDENTIALS.len());
}

#[test]
fn no_row_stands_in_the_table_twice() {
    let mut rows: Vec<_> = table().into_iter().map(|row| (row.path, row.method.to_string())).collect();
    let all = rows.len();
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), all);
}
