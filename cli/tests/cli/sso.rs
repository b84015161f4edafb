//! `minitower login --sso`: what is shown, what is asked, what is saved, and what is said when it has expired.

use minitower_test_plane::{Answer, Plane};
use serde_json::{Value, json};

use crate::support::{Bed, Ran, program, run};

const DEVICE: &str = "POST /auth/oidc/device";
const TOKEN: &str = "POST /auth/oidc/token";

fn bed() -> Bed {
    Bed::on(Plane::start_with_provider())
}

fn login(bed: &Bed, more: &[&str]) -> Ran {
    let line = [&["login", "--sso", "--server", bed.plane.url()], more].concat();
    run(&mut program(bed.home.path(), &line), "")
}

/// A token as the server gives it out once the person has confirmed.
fn confirmed(bed: &Bed, expires_at: &str) -> Answer {
    Answer::json(
        201,
        &json!({"team_id": 1, "team_slug": "acme", "token": bed.team.token, "token_id": 1, "role": "member",
                "person": "Ada \u{1b}[2JLovelace", "expires_at": expires_at}),
    )
}

fn saved(bed: &Bed) -> Value {
    serde_json::from_slice(&std::fs::read(bed.config()).unwrap()).unwrap()
}

#[test]
fn a_person_is_shown_where_to_go_and_the_token_is_saved() {
    let bed = bed();
    bed.plane.once(TOKEN, Answer::json(202, &json!({"interval": 1})));
    bed.plane.once(TOKEN, Answer::cut());
    bed.plane.once(TOKEN, confirmed(&bed, "2999-01-02T03:04:05.678Z"));
    let ran = login(&bed, &["--team", "acme"]).good();
    for part in ["https://tower.example.com/api/v1/auth/oidc/start?device=", "&team=acme", "shows the code "]
    {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    assert!(ran.stdout.starts_with("Signed in to http://127.0.0.1"), "{}", ran.stdout);
    assert!(ran.stdout.contains("Lovelace, team acme (member), until 2999"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stdout.contains(&bed.team.token), "{}", ran.stdout);
    assert_eq!(bed.plane.requests(DEVICE)[0].json(), json!({"team": "acme"}));
    let profile = saved(&bed)["profiles"]["default"].clone();
    assert_eq!((&profile["team"], &profile["token"]), (&json!("acme"), &json!(bed.team.token)));
    assert_eq!(profile["expires_at"], "2999-01-02T03:04:05.678Z");
    run(&mut program(bed.home.path(), &["me"]), "").good();

    // The next one names the team of the profile, and the token that it replaces.
    bed.plane.once(TOKEN, confirmed(&bed, "2999-01-02T03:04:05.678Z"));
    let ran = login(&bed, &["--json"]).good();
    assert_eq!(ran.json()["login"]["team_slug"], "acme");
    let shown: Value = serde_json::from_str(ran.stderr.lines().next().unwrap()).unwrap();
    assert!(shown["verification_uri"].as_str().unwrap().ends_with("&team=acme"), "{shown}");
    let asked = bed.plane.requests(TOKEN);
    assert_eq!(asked[0].json().get("former_token"), None);
    assert_eq!(asked.last().unwrap().json()["former_token"], json!(bed.team.token));
}

#[test]
fn an_expired_sign_in_says_how_to_sign_in_again() {
    let bed = bed();
    bed.plane.once(TOKEN, confirmed(&bed, "2001-01-02T03:04:05.678Z"));
    login(&bed, &[]).good();
    bed.plane.once("GET /me", Answer::refusal(401, "unauthorized", "no longer valid"));
    let ran = run(&mut program(bed.home.path(), &["me"]), "");
    assert_eq!(ran.code, 10);
    for part in ["your sign-in has expired", "sign in again with `minitower login --sso`"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    // A token that was put there by hand is another matter.
    run(&mut program(bed.home.path(), &["config", "set", "--token", "mtk_x"]), "").good();
    let ran = run(&mut program(bed.home.path(), &["me"]), "");
    assert!(ran.code == 10 && !ran.stderr.contains("--sso"), "{}", ran.stderr);
}

#[test]
fn whoever_is_refused_is_told_why_and_nothing_is_saved() {
    let bed = bed();
    for (status, code, message) in [
        (403, "forbidden", "the sign-in was refused in the browser: nothing was given out"),
        (410, "gone", "the code was used already"),
    ] {
        bed.plane.once(TOKEN, Answer::refusal(status, code, message));
        let ran = login(&bed, &[]);
        assert_ne!(ran.code, 0);
        for part in [message, "run `minitower login --sso` again"] {
            assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
        }
    }
    assert!(!bed.config().exists());
}

#[test]
fn a_server_without_a_provider_leads_to_the_password() {
    let bed = Bed::start();
    let ran = login(&bed, &[]);
    assert_eq!(ran.code, 11);
    for part in ["sign-in by OIDC is off", "`minitower login --team SLUG`"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
}
