//! What those who are let in can reach of others: nothing. What is refused changes nothing and says nothing of what is there.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::{Method, Request};
use minitower_rest::{Route, table};
use serde_json::{Value, json};

use super::bed::{Answer, Bed, Template, Things};
use super::callers::{Caller, Kind, known, nobodies};
use super::calls::{About, Call, nameless, names_a_thing};

/// An answer without what differs from one request to the next.
fn comparable(answer: Answer, things: &Things) -> (u16, Vec<(String, String)>, String) {
    let Answer { status, headers, body } = answer;
    let mut lines: Vec<(String, String)> = headers_of(&headers);
    lines.sort();
    (status.as_u16(), lines, nameless(&body, things))
}

fn headers_of(headers: &HeaderMap) -> Vec<(String, String)> {
    let kept = headers.iter().filter(|(name, _)| *name != "x-request-id" && *name != "date");
    // A length tells no more than the text it belongs to.
    let kept = kept.filter(|(name, _)| *name != "content-length");
    kept.map(|(name, value)| (name.to_string(), format!("{value:?}"))).collect()
}

/// One cell that succeeds, or that changes nothing and tells nothing.
async fn cell(bed: &Bed, route: &Route, things: &Things, caller: &Caller) {
    let what = format!("{} {} with {}", route.method, route.path, caller.what);
    let (status, changes) = Call::of(route).expected(route, caller.kind);
    let before = bed.content();
    let answer = bed.send(Call::of(route).request(route, things, caller)).await;
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    super::described::knows(route, &answer);
    if changes {
        return;
    }
    assert_eq!(bed.content(), before, "{what} changed something");
    // Metrics carry the names of teams and apps, for whoever runs the platform.
    if caller.kind.is_foreign() && route.path != "/metrics" {
        let told = nameless(&answer.body, things);
        assert!(!told.contains("acme"), "{what} is told of acme: {told}");
    }
    // What is not for this caller looks like what is not there. What is, does not.
    if names_a_thing(route) && status >= 400 {
        let nothing = bed.send(Call::of(route).about_nothing(route, caller)).await;
        assert_eq!(bed.content(), before, "{what} changed something, about nothing");
        assert_eq!(comparable(answer, things), comparable(nothing, things), "{what} tells that it is there");
    }
}

/// Everything but successes, on a service that has just started, and once more after acme has done the same: what the service remembers of
/// acme's calls opens nothing to others.
#[tokio::test]
async fn what_is_not_ones_own_is_not_there_and_a_refused_call_changes_and_tells_nothing() {
    let template = Template::make().await;
    let things = &template.things;
    let callers = [nobodies(things), known(things)].concat();
    let (mut refused, mut done) = (0, 0);
    for route in table() {
        let bed = template.copy().await;
        for warm in [false, true] {
            for caller in &callers {
                let (_, changes) = Call::of(&route).expected(&route, caller.kind);
                // The holder's own lease may have ended by what acme has done, and with it the attempt's token.
                let ended = warm && matches!(caller.kind, Kind::Holder | Kind::AcmeAttempt);
                if !changes && !ended {
                    cell(&bed, &route, things, caller).await;
                    refused += 1;
                }
            }
            if !warm {
                done += warm_up(&bed, &route, things).await;
            }
        }
    }
    assert!(refused > table().len() * nobodies(things).len() && done > 0, "{refused} refused, {done} done");
}

/// One of acme's own, or whoever may, does what the route is for.
async fn warm_up(bed: &Bed, route: &Route, things: &Things) -> usize {
    let of_acme = [Kind::AcmeAdmin, Kind::Holder, Kind::AcmeRunner, Kind::AcmeRegistration, Kind::Bootstrap];
    let mut callers = known(things).into_iter().filter(|caller| of_acme.contains(&caller.kind));
    let Some(caller) =
        callers.find(|caller| matches!(Call::of(route).expected(route, caller.kind), (200..=204, true)))
    else {
        return 0;
    };
    cell(bed, route, things, &caller).await;
    1
}

#[tokio::test]
async fn whoever_is_let_in_succeeds_with_what_is_theirs() {
    let template = Template::make().await;
    let things = &template.things;
    let mut done = 0;
    for route in table() {
        for caller in known(things) {
            if let (200..=204, true) = Call::of(&route).expected(&route, caller.kind) {
                cell(&template.copy().await, &route, things, &caller).await;
                done += 1;
            }
        }
    }
    assert!(done > 40, "{done}");
}

/// The runners of the platform are shown to teams, and are not theirs to change.
#[tokio::test]
async fn a_team_changes_no_runner_of_the_platform_and_learns_nothing_by_trying() {
    let template = Template::make().await;
    let (bed, things) = (template.copy().await, &template.things);
    let before = bed.content();
    for route in table().iter().filter(|route| route.path.contains("{name}")) {
        for caller in known(things) {
            if !matches!(caller.kind, Kind::AcmeAdmin | Kind::OtherAdmin) {
                continue;
            }
            let [platform, nobody] = ["platform-runner", "no-such-runner"].map(|name| {
                let mut request = Request::builder()
                    .method(&route.method)
                    .uri(route.path.replace("{name}", name))
                    .body(if route.path.ends_with("/ended") { r#"{"instance_id":"x"}"# } else { "" }.into())
                    .unwrap();
                caller.sign(&mut request);
                request
            });
            let (platform, nobody) = (bed.send(platform).await, bed.send(nobody).await);
            assert_eq!(platform.status, 404, "{platform:?}");
            assert_eq!(
                platform.body.replace("platform-runner", "*"),
                nobody.body.replace("no-such-runner", "*")
            );
            assert_eq!(bed.content(), before, "{} {} with {}", route.method, route.path, caller.what);
        }
    }
}

async fn post(bed: &Bed, path: &str, token: &str, body: Value) -> Answer {
    let request = Request::builder().method(Method::POST).uri(format!("/api/v1{path}"));
    let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    bed.send(request.body(body.to_string().into()).unwrap()).await
}

#[tokio::test]
async fn a_runners_name_is_not_to_be_taken_over_by_another_scope() {
    let template = Template::make().await;
    let (bed, things) = (template.copy().await, &template.things);
    let before = bed.content();
    for (token, names) in [
        (&things.other_registration, ["acme-holder", "acme-runner", "platform-runner"]),
        (&things.acme_registration, ["umbrella-runner", "platform-runner", "platform-runner"]),
        (&super::bed::REGISTRATION.to_owned(), ["umbrella-runner", "acme-holder", "acme-runner"]),
    ] {
        for name in names {
            let answer = post(&bed, "/runners/register", token, json!({"name": name})).await;
            assert_eq!(answer.status, 409, "{name}: {answer:?}");
        }
    }
    assert_eq!(bed.content(), before);
}

/// A pod has no other name than its own: nobody keeps it from it.
#[tokio::test]
async fn a_runner_of_a_platforms_pool_gets_its_name_from_a_team_and_ends_no_run_by_it() {
    let template = Template::make().await;
    let (bed, things) = (template.copy().await, &template.things);
    for (name, former, registration) in [
        ("umbrella-runner", &things.other_runner, &things.other_registration),
        ("acme-holder", &things.holder, &things.acme_registration),
    ] {
        let register = json!({"name": name, "pool": "default/pool"});
        let answer = post(&bed, "/runners/register", super::bed::REGISTRATION, register).await;
        assert_eq!(answer.status, 201, "{name}: {answer:?}");
        let again = post(&bed, "/runners/register", registration, json!({"name": name})).await;
        assert_eq!(again.status, 409, "{name}: {again:?}");
        assert!(again.body.contains("a runner of the platform"), "{again:?}");
        // The idle one is forgotten. The busy one is answered that it is busy.
        let poll = post(&bed, "/runs/lease", former, json!({"instance_id": super::bed::INSTANCE})).await;
        assert_eq!(poll.status, if name == "acme-holder" { 409 } else { 401 }, "{name}: {poll:?}");
    }
    let end = Request::post(format!("/api/v1/runs/{}/result", things.run))
        .header(AUTHORIZATION, format!("Bearer {}", things.holder))
        .header("x-lease-token", &things.lease_token);
    let end = bed.send(end.body(json!({"status": "completed"}).to_string().into()).unwrap()).await;
    assert_eq!(end.status, 200, "its run was lost: {end:?}");
    let poll = post(&bed, "/runs/lease", &things.holder, json!({})).await;
    assert_eq!(poll.status, 204, "it gets no other run, though one waits: {poll:?}");
}

/// Names are per team: the same ones in two teams are two things, and neither list shows the other's.
#[tokio::test]
async fn two_teams_may_use_the_same_names_and_see_their_own_only() {
    let template = Template::make().await;
    let (bed, things) = (template.copy().await, &template.things);
    let made = post(&bed, "/apps", &things.other_admin, json!({"slug": "acme-app"})).await;
    assert_eq!(made.status, 201, "{made:?}");
    // Acme's app has a version; this one has none.
    let run = post(&bed, "/apps/acme-app/runs", &things.acme_admin, json!({})).await;
    assert_eq!(run.status, 201, "{run:?}");
    let run = post(&bed, "/apps/acme-app/runs", &things.other_admin, json!({})).await;
    assert_eq!(run.status, 400, "{run:?}");
    for (path, key) in [
        ("/apps/acme-app/versions", "versions"),
        ("/apps/acme-app/runs", "runs"),
        ("/runs?app=acme-app", "runs"),
    ] {
        let request = Request::get(format!("/api/v1{path}"));
        let request = request.header(AUTHORIZATION, format!("Bearer {}", things.other_admin));
        let answer = bed.send(request.body(axum::body::Body::empty()).unwrap()).await;
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body, json!({key: []}), "{path}");
    }
}

/// Without a path to name a thing of acme's by, a list may still show it.
#[tokio::test]
async fn a_team_without_runs_counts_none() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let request = Request::get("/api/v1/runs/summary");
    let request = request.header(AUTHORIZATION, format!("Bearer {}", template.things.other_member));
    let answer = bed.send(request.body(axum::body::Body::empty()).unwrap()).await;
    let counted: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(counted.as_object().is_some_and(|counts| counts.values().all(|count| count == 0)), "{counted}");
}

#[test]
fn every_route_that_names_a_thing_says_whose_it_is() {
    for route in table() {
        let about = Call::of(&route).about;
        assert_eq!(names_a_thing(&route), matches!(about, About::Acme | About::Lease), "{}", route.path);
    }
}
