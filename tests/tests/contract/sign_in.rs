//! People sign in through a real identity provider, with a browser that the test plays.

use minitower_tests::{Browser, IdentityProvider, Response, Server, Team, shape, wait};
use serde_json::{Value, json};

const COOKIE: &str = "minitower-sign-in";

/// What a command line begins with.
struct Device {
    code: String,
    user_code: String,
    uri: String,
}

fn begin(server: &Server, body: &Value) -> Device {
    let answer = server.http().post("/api/v1/auth/oidc/device").json(body.clone()).send().expect_json(200);
    shape::fields(&answer, &["device_code", "user_code", "verification_uri", "expires_in", "interval"], &[]);
    let text = |key| shape::text(&answer, key);
    Device { code: text("device_code"), user_code: text("user_code"), uri: text("verification_uri") }
}

fn exchange(server: &Server, body: Value) -> Response {
    server.http().post("/api/v1/auth/oidc/token").json(body).send()
}

fn confirm_url(server: &Server) -> String {
    format!("http://127.0.0.1:{}/api/v1/auth/oidc/confirm", server.port())
}

/// What stands in a hidden field of a page.
fn ticket(page: &str) -> String {
    let (_, rest) =
        page.split_once("name=\"ticket\" value=\"").unwrap_or_else(|| panic!("no ticket: {page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// Signs a person in for a command line, and fetches the token.
fn token_of(server: &Server, login: &str, team: &str, former: Option<&str>) -> Value {
    let device = begin(server, &json!({}));
    let mut browser = Browser::default();
    let asked = browser.sign_in(&device.uri, login).response.expect(200).text();
    let form = format!("ticket={}&team={team}&decision=allow", ticket(&asked));
    browser.submit(&confirm_url(server), &form).response.expect(200);
    let mut body = json!({"code": device.code});
    if let Some(former) = former {
        body["former_token"] = former.into();
    }
    exchange(server, body).expect_json(201)
}

fn team_of(server: &Server, made: &Value) -> Team {
    Team::new(server.http(), shape::int(made, "team_id"), "sales", &shape::text(made, "token"))
}

#[test]
fn a_person_signs_in_at_a_command_line_and_gets_what_the_groups_are_worth() {
    let Some(mut provider) = IdentityProvider::find() else { return };
    let server = provider.server(&[]);
    provider.start_for(&server, &[]);
    let options = server.http().get("/api/v1/auth/options").send().expect_json(200);
    assert_eq!(options["oidc_enabled"], true);

    let device = begin(&server, &json!({}));
    let pending = exchange(&server, json!({"code": device.code})).expect_json(202);
    assert_eq!(pending, json!({"interval": 2}));
    let mut browser = Browser::default();
    let asked = browser.sign_in(&device.uri, "ada");
    assert!(asked.response.header("cache-control").is_some_and(|value| value == "no-store"));
    let policy = asked.response.header("content-security-policy").unwrap().to_owned();
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("script"), "{policy}");
    let page = asked.response.expect(200).text();
    for part in [&device.user_code, "Ada Lovelace", "sales (admin)", "for 12 hours"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    exchange(&server, json!({"code": device.code})).expect(202);
    let form = format!("ticket={}&team=sales&decision=allow", ticket(&page));
    let done = browser.submit(&confirm_url(&server), &form).response.expect(200).text();
    assert!(done.contains("Ada Lovelace") && done.contains("sales"), "{done}");

    let made = exchange(&server, json!({"code": device.code})).expect_json(201);
    shape::fields(
        &made,
        &["team_id", "team_slug", "token", "token_id", "role", "person", "expires_at"],
        &["registration_token"],
    );
    assert_eq!((&made["role"], &made["team_slug"]), (&json!("admin"), &json!("sales")));
    let team = team_of(&server, &made);
    let me = team.get("/me").send().expect_json(200);
    assert_eq!((&me["person"], &me["expires_at"]), (&json!("Ada Lovelace"), &made["expires_at"]));
    let listed = team.get("/tokens").send().expect_json(200);
    assert_eq!(
        (&listed["tokens"][0]["name"], &listed["tokens"][0]["person"]),
        (&made["person"], &made["person"])
    );
    // Neither the code nor the form yields another one.
    exchange(&server, json!({"code": device.code})).expect_error(410, "gone");
    browser.submit(&confirm_url(&server), &form).response.expect(410);
    exchange(&server, json!({"code": device.code})).expect_error(410, "gone");
    team.delete(&format!("/tokens/{}", made["token_id"])).send().expect(204);
    team.get("/me").send().expect_error(401, "unauthorized");
}

#[test]
fn a_member_of_a_team_is_no_admin_and_whoever_is_in_no_group_gets_nothing() {
    let Some(mut provider) = IdentityProvider::find() else { return };
    let server = provider.server(&[]);
    provider.start_for(&server, &[("CLAIMS_IN_TOKEN", "1"), ("ALGORITHM", "ES256")]);
    let made = token_of(&server, "bob", "sales", None);
    assert_eq!((&made["role"], &made["person"]), (&json!("member"), &json!("Bob")));
    team_of(&server, &made).get("/tokens").send().expect_error(403, "forbidden");

    for (login, says) in [("eve", "none of your groups"), ("nobody", "no claim")] {
        let device = begin(&server, &json!({}));
        let refused = Browser::default().sign_in(&device.uri, login);
        let page = refused.response.expect(403).text();
        assert!(page.contains(says) && page.contains("MINITOWER_OIDC_"), "{login}: {page}");
        exchange(&server, json!({"code": device.code})).expect(202);
    }
}

#[test]
fn whoever_is_in_several_teams_chooses_one() {
    let Some(mut provider) = IdentityProvider::find() else { return };
    let server = provider.server(&[]);
    provider.start_for(&server, &[("ALGORITHM", "PS256")]);
    let device = begin(&server, &json!({}));
    let mut browser = Browser::default();
    let page = browser.sign_in(&device.uri, "max").response.expect(200).text();
    assert!(page.contains("sales (member)") && page.contains("reports (member)"), "{page}");
    let url = confirm_url(&server);
    let ticket = ticket(&page);
    for (team, status, says) in
        [("", 400, "choose one of reports, sales"), ("&team=admins", 403, "not in the team")]
    {
        let form = format!("ticket={ticket}{team}&decision=allow");
        let refused = browser.submit(&url, &form).response.expect(status).text();
        assert!(refused.contains(says), "{refused}");
    }
    exchange(&server, json!({"code": device.code})).expect(202);
    browser.submit(&url, &format!("ticket={ticket}&team=reports&decision=allow")).response.expect(200);
    let other = exchange(&server, json!({"code": device.code, "team": "sales"}));
    assert!(other.expect_error(403, "forbidden").contains("you may choose reports"));
    let made = exchange(&server, json!({"code": device.code, "team": "reports"})).expect_json(201);
    assert_eq!(made["team_slug"], "reports");

    // Named by the command line, the team is chosen already; one that is none of the person's is refused.
    let device = begin(&server, &json!({"team": "sales"}));
    let page = Browser::default().sign_in(&device.uri, "max").response.expect(200).text();
    assert!(page.contains("<option value=\"sales\" selected>"), "{page}");
    let device = begin(&server, &json!({"team": "marketing"}));
    let page = Browser::default().sign_in(&device.uri, "max").response.expect(403).text();
    assert!(page.contains("you may choose reports, sales"), "{page}");
}

#[test]
fn a_person_refuses_and_the_command_line_learns_of_it() {
    let Some(mut provider) = IdentityProvider::find() else { return };
    let server = provider.server(&[]);
    provider.start_for(&server, &[("ALGORITHM", "EdDSA")]);
    let device = begin(&server, &json!({}));
    let mut browser = Browser::default();
    let page = browser.sign_in(&device.uri, "bob").response.expect(200).text();
    let form = format!("ticket={}&decision=deny", ticket(&page));
    browser.submit(&confirm_url(&server), &form).response.expect(200);
    let refused = exchange(&server, json!({"code": device.code}));
    assert!(refused.expect_error(403, "forbidden").contains("refused in the browser"));
}

#[test]
fn only_the_browser_that_was_asked_confirms() {
    let Some(mut provider) = IdentityProvider::find() else { return };
    let server = provider.server(&[]);
    provider.start_for(&server, &[]);
    let device = begin(&server, &json!({}));
    let mut browser = Browser::default();
    let page = browser.sign_in(&device.uri, "bob").response.expect(200).text();
    let ticket = ticket(&page);
    let form = format!("ticket={ticket}&decision=allow");
    let stranger = Browser::default().submit(&confirm_url(&server), &form);
    assert!(stranger.response.expect(400).text().contains("begin again"));
    for form in [
        format!("ticket={ticket}x&decision=allow"),
        format!("ticket={ticket}&decision=perhaps"),
        format!("ticket={ticket}&decision=allow&more=1"),
        format!("ticket={ticket}&decision=allow&decision=allow"),
        "decision=allow".to_owned(),
        String::new(),
    ] {
        browser.submit(&confirm_url(&server), &form).response.expect(400);
    }
    exchange(&server, json!({"code": device.code})).expect(202);
}

#[test]
fn only_the_browser_that_left_comes_back_and_only_once() {
    let Some(mut provider) = IdentityProvider::find() else { return };
    let server = provider.server(&[]);
    provider.start_for(&server, &[]);
    let device = begin(&server, &json!({}));
    let mut browser = Browser::default();
    let asked = browser.visit(&device.uri);
    let form = "prompt=login&login=bob&password=any";
    // Stops before it comes back.
    let left = browser.submit_within(&asked.url, form, &provider.issuer());
    let back = left.response.header("location").unwrap().to_owned();
    assert!(back.contains("/auth/oidc/callback?"), "{back}");
    let stranger = Browser::default().visit(&back);
    assert!(stranger.response.expect(400).text().contains("another browser"));
    let changed = back.replace("state=", "state=x");
    browser.visit(&changed).response.expect(400);
    let mixed = back.replace("iss=http", "iss=https");
    assert!(browser.visit(&mixed).response.expect(400).text().contains("iss"));
    browser.visit(&back).response.expect(200);
    let again = browser.visit(&back).response.expect(400).text();
    assert!(again.contains("counts only once"), "{again}");
    let callback = |query: &str| server.http().get(&format!("/api/v1/auth/oidc/callback{query}")).send();
    for query in ["", "?state=x", "?code=x", "?error=access_denied"] {
        callback(query).expect_error(400, "invalid_request");
    }
}

#[test]
fn a_person_who_does_not_sign_in_at_the_provider_is_told_so() {
    let Some(mut provider) = IdentityProvider::find() else { return };
    let server = provider.server(&[]);
    provider.start_for(&server, &[]);
    let device = begin(&server, &json!({}));
    let mut browser = Browser::default();
    let asked = browser.visit(&device.uri);
    let aborted = browser.visit(&format!("{}/abort", asked.url)).response.expect(403).text();
    assert!(aborted.contains("did not sign you in: access_denied"), "{aborted}");
}

#[test]
fn a_page_gets_its_browser_back_with_a_code_that_the_browser_alone_exchanges() {
    let Some(mut provider) = IdentityProvider::find() else { return };
    let server = provider.server(&[]);
    provider.start_for(&server, &[]);
    let own = format!("http://127.0.0.1:{}", server.port());
    let mut browser = Browser::default();
    let asked = browser.visit(&format!("{own}/api/v1/auth/oidc/start?return_to=/apps"));
    let form = "prompt=login&login=max&password=any";
    let back = browser.submit(&asked.url, form);
    let (place, code) = back.url.split_once("#code=").unwrap_or_else(|| panic!("{}", back.url));
    assert_eq!(place, format!("{own}/apps"));
    let stranger = exchange(&server, json!({"code": code, "team": "sales"}));
    assert!(stranger.expect_error(400, "invalid_request").contains("another browser"));
    let cookie = format!("{COOKIE}={}", browser.cookie(COOKIE).unwrap());
    let exchanged = |body: Value| {
        server.http().post("/api/v1/auth/oidc/token").header("Cookie", &cookie).json(body).send()
    };
    let several = exchanged(json!({"code": code})).expect_error(400, "invalid_request");
    assert!(several.contains("choose one of reports, sales"), "{several}");
    let made = exchanged(json!({"code": code, "team": "sales"})).expect_json(201);
    assert_eq!((&made["person"], &made["role"]), (&json!("Max"), &json!("member")));
    exchanged(json!({"code": code, "team": "sales"})).expect_error(410, "gone");
}

#[test]
fn signing_in_again_leaves_no_pile_and_locks_nobody_out() {
    let Some(mut provider) = IdentityProvider::find() else { return };
    let server = provider.server(&[]);
    provider.start_for(&server, &[]);
    let first = token_of(&server, "ada", "sales", None);
    let ada = team_of(&server, &first);
    ada.request("PUT", "/limits").json(json!({"tokens": 1})).send().expect(200);
    // The limit is for tokens that somebody makes, and those are that person's too.
    let made = ada.post("/tokens").json(json!({"name": "ci"})).send().expect_json(201);
    assert_eq!(made["expires_at"], first["expires_at"]);
    ada.post("/tokens").json(json!({})).send().expect_error(409, "conflict");
    token_of(&server, "bob", "sales", None);

    let second = token_of(&server, "ada", "sales", Some(&shape::text(&first, "token")));
    ada.get("/me").send().expect_error(401, "unauthorized");
    let ada = team_of(&server, &second);
    let bobs = token_of(&server, "bob", "sales", Some(&shape::text(&second, "token")));
    ada.get("/me").send().expect(200);
    for _ in 0..10 {
        token_of(&server, "bob", "sales", None);
    }
    team_of(&server, &bobs).get("/me").send().expect_error(401, "unauthorized");
    let listed = ada.get("/tokens").send().expect_json(200);
    let of = |person: &str| {
        listed["tokens"].as_array().unwrap().iter().filter(|token| token["person"] == person).count()
    };
    assert_eq!((of("Ada Lovelace"), of("Bob")), (2, 10), "{listed}");
}

#[test]
fn of_many_who_show_a_code_at_once_one_gets_the_token() {
    let Some(mut provider) = IdentityProvider::find() else { return };
    let server = provider.server(&[]);
    provider.start_for(&server, &[]);
    let device = begin(&server, &json!({}));
    let mut browser = Browser::default();
    let page = browser.sign_in(&device.uri, "bob").response.expect(200).text();
    let form = format!("ticket={}&decision=allow", ticket(&page));
    browser.submit(&confirm_url(&server), &form).response.expect(200);
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = || exchange(&server, json!({"code": device.code})).status;
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    statuses.retain(|status| *status != 202 && *status != 410);
    assert_eq!(statuses, [201]);
}

#[test]
fn a_token_ends_when_it_was_said_to() {
    let Some(mut provider) = IdentityProvider::find() else { return };
    let server = provider.server(&[("MINITOWER_OIDC_TOKEN_TTL", "5m")]);
    provider.start_for(&server, &[]);
    let made = token_of(&server, "bob", "sales", None);
    let team = team_of(&server, &made);
    let left = shape::time(&made, "expires_at").as_second() - jiff_now();
    assert!((200..=300).contains(&left), "{left} s");
    server.alter("UPDATE team_tokens SET expires_at = 1");
    let mut server = server;
    server.terminate();
    server.start_again();
    team.get("/me").send().expect_error(401, "unauthorized");
}

fn jiff_now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

#[test]
fn without_the_provider_the_server_starts_and_says_so_and_goes_on_when_it_is_back() {
    let Some(mut provider) = IdentityProvider::find() else { return };
    let mut server = provider.server(&[]);
    let start = |server: &Server| server.http().get("/api/v1/auth/oidc/start").send();
    let away = start(&server);
    assert!(away.header("retry-after").is_some());
    assert!(away.expect_error(503, "unavailable").contains("does not answer"));
    provider.start_for(&server, &[]);
    wait::until("the provider is asked again", wait::SOON, || {
        let answer = start(&server);
        (answer.status == 303).then_some(())
    });

    // A restart of the server ends what was not finished, and says so.
    let device = begin(&server, &json!({}));
    let mut browser = Browser::default();
    let page = browser.sign_in(&device.uri, "bob").response.expect(200).text();
    server.terminate();
    server.start_again();
    exchange(&server, json!({"code": device.code})).expect_error(410, "gone");
    let form = format!("ticket={}&decision=allow", ticket(&page));
    browser.submit(&confirm_url(&server), &form).response.expect(400);

    // And the provider may go while somebody is on the way.
    let device = begin(&server, &json!({}));
    let asked = browser.visit(&device.uri);
    let back = if asked.url.contains("/interaction/") {
        browser.submit_within(&asked.url, "prompt=login&login=bob&password=any", &provider.issuer())
    } else {
        asked
    };
    if let Some(place) = back.response.header("location").map(str::to_owned) {
        provider.kill();
        let page = browser.visit(&place).response.expect(503).text();
        assert!(page.contains("does not answer"), "{page}");
    }
}

#[test]
fn nothing_secret_is_written_into_the_log() {
    let Some(mut provider) = IdentityProvider::find() else { return };
    let mut server = provider.server(&[("MINITOWER_LOG", "debug")]);
    provider.start_for(&server, &[]);
    let device = begin(&server, &json!({}));
    let mut browser = Browser::default();
    let page = browser.sign_in(&device.uri, "ada").response.expect(200).text();
    let ticket = ticket(&page);
    browser.submit(&confirm_url(&server), &format!("ticket={ticket}&decision=allow")).response.expect(200);
    let made = exchange(&server, json!({"code": device.code})).expect_json(201);
    let log = server.program().log();
    let cookie = browser.cookie(COOKIE).unwrap().to_owned();
    for secret in
        [&device.code, &ticket, &cookie, &shape::text(&made, "token"), "secret of the tests", "eyJ", "code="]
    {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[test]
fn what_was_not_given_out_is_refused_by_name() {
    let Some(provider) = IdentityProvider::find() else { return };
    let server = provider.server(&[]);
    let token = |body: Value| exchange(&server, body);
    token(json!({"code": "mtd_AAAA"})).expect_error(410, "gone");
    token(json!({"code": "mth_AAAA"})).expect_error(410, "gone");
    for (body, word) in [
        (json!({"code": "x"}), "code"),
        (json!({}), "code"),
        (json!({"code": 7}), "code"),
        (json!({"code": "x", "nonsense": 1}), "nonsense"),
    ] {
        let message = token(body).expect_error(400, "invalid_request");
        assert!(message.contains(word), "{message}");
    }
    token(json!({"code": "mtd_AAAA", "team": "A B"})).expect_error(400, "invalid_slug");
    let post = |body: Value| server.http().post("/api/v1/auth/oidc/device").json(body).send();
    post(json!({"team": "A B"})).expect_error(400, "invalid_slug");
    post(json!({"teams": "a"})).expect_error(400, "invalid_request");
    for (query, word) in [
        ("device=x", "device"),
        ("return_to=//evil.example", "return_to"),
        ("return_to=https://evil.example", "return_to"),
        ("device=AAAAAAAAAAAAAAAAAAAAAA&return_to=/", "return_to"),
        ("nonsense=1", "nonsense"),
    ] {
        let start = format!("/api/v1/auth/oidc/start?{query}");
        let message = server.http().get(&start).send().expect_error(400, "invalid_request");
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_code_that_is_asked_for_too_often_waits() {
    let Some(provider) = IdentityProvider::find() else { return };
    let server = provider.server(&[]);
    let device = begin(&server, &json!({}));
    for _ in 0..60 {
        exchange(&server, json!({"code": device.code})).expect(202);
    }
    let refused = exchange(&server, json!({"code": device.code}));
    assert!(refused.header("retry-after").is_some());
    refused.expect_error(429, "rate_limited");
    let other = begin(&server, &json!({}));
    exchange(&server, json!({"code": other.code})).expect(202);
}

#[test]
fn without_a_provider_nobody_signs_in() {
    let server = Server::start();
    let options = server.http().get("/api/v1/auth/options").send().expect_json(200);
    assert_eq!(options.get("oidc_enabled"), None);
    for path in ["start", "callback?state=x"] {
        let answer = server.http().get(&format!("/api/v1/auth/oidc/{path}")).send();
        assert!(answer.expect_error(404, "not_found").contains("MINITOWER_OIDC_ISSUER"));
    }
    server.http().post("/api/v1/auth/oidc/device").send().expect_error(404, "not_found");
    exchange(&server, json!({"code": "mtd_x"})).expect_error(404, "not_found");
}

#[test]
fn a_bad_setting_keeps_the_server_from_starting() {
    let bad = Server::builder().env("MINITOWER_OIDC_ISSUER", "http://id.example.com");
    let said = bad.refused();
    assert!(said.contains("MINITOWER_OIDC_ISSUER is \"http://id.example.com\""), "{said}");
    let lonely = Server::builder().env("MINITOWER_OIDC_CLIENT_SECRET", "hunter2").refused();
    assert!(lonely.contains("MINITOWER_OIDC_ISSUER is not set") && !lonely.contains("hunter2"), "{lonely}");
}
