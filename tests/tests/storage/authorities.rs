//! A bucket and a mail server with certificates of a company's own authority.

use minitower_tests::receiver::MailServer;
use minitower_tests::stores::S3;
use minitower_tests::{Authority, Runner, Server, wait};
use serde_json::{Value, json};

use super::bed;

#[test]
fn a_bucket_of_a_private_authority_is_used_if_it_is_named() {
    let (own, another) = (Authority::new(), Authority::new());
    let Some(s3) = S3::start_with_tls(&own) else { return };
    let server = s3.server("p").env("MINITOWER_CA_FILE", &own.ca()).start();
    bed(&server);
    assert_eq!(s3.objects("p").len(), 1, "the archive");

    let server = s3.server("q").env("MINITOWER_CA_FILE", &another.ca()).start();
    let told = wait::until("the reason is told", wait::SOON, || {
        let answer = server.http().get("/ready").send();
        (answer.status == 503).then(|| answer.expect_error(503, "unavailable"))
    });
    assert!(told.contains("UnknownIssuer") && told.contains("MINITOWER_CA_FILE"), "{told}");
}

/// The first attempt to tell by email of a run that has failed.
fn mailed(server: &Server) -> Value {
    let team = server.bootstrap();
    team.python_app("etl", "print()");
    let target = json!({"kind": "email", "to": "team@example.com"});
    let body = json!({"name": "n", "on": ["failed"], "target": target});
    let made = team.post("/notifications").json(body).send().expect_json(201);
    team.run_id("etl");
    let lease = Runner::register(server, "r1").lease_and_start();
    lease.result(json!({"status": "failed", "exit_code": 3})).expect(200);
    wait::until("it is tried", wait::SOON, || {
        let path = format!("/notifications/{}/deliveries", made["id"]);
        let list = team.get(&path).send().expect_json(200);
        list["deliveries"][0]["attempts"].as_array().and_then(|all| all.first().cloned())
    })
}

#[test]
fn a_mail_server_of_a_private_authority_is_used_if_it_is_named() {
    let (own, another) = (Authority::new(), Authority::new());
    let (certificate, key) = (own.certificate(), own.key());
    for (tls, url, more) in [("smtps", "smtps", ""), ("starttls", "smtp", "?tls=required")] {
        let env = [("TLS", tls), ("CERTIFICATE", certificate.as_str()), ("KEY", key.as_str())];
        let Some(mail) = MailServer::start(&env) else { return };
        let server = |ca: String| {
            let url = format!("{url}://127.0.0.1:{}{more}", mail.port());
            let server = Server::builder().env("MINITOWER_SMTP_URL", &url);
            server.env("MINITOWER_SMTP_FROM", "t@example.com").env("MINITOWER_CA_FILE", &ca).start()
        };
        let refused = mailed(&server(another.ca()));
        let told = refused["error"].as_str().unwrap_or_default();
        assert!(told.contains("UnknownIssuer") && told.contains("MINITOWER_CA_FILE"), "{refused}");
        assert_eq!(mailed(&server(own.ca()))["code"], 250, "{tls}");
        mail.wait(1);
    }
}

#[test]
fn a_machine_that_trusts_nobody_says_so_unless_somebody_is_named() {
    let server = || {
        let server = Server::builder().env("MINITOWER_SMTP_URL", "smtps://127.0.0.1");
        server.env("MINITOWER_SMTP_FROM", "t@example.com").env("SSL_CERT_FILE", "/dev/null")
    };
    let said = server().refused();
    assert!(said.contains("MINITOWER_SMTP_URL asks for TLS") && said.contains("MINITOWER_CA_FILE"), "{said}");
    server().env("MINITOWER_CA_FILE", &Authority::new().ca()).start();
}

#[test]
fn a_file_without_certificates_keeps_the_server_from_starting() {
    let file = Authority::new().key();
    for (path, says) in [(file.as_str(), "it cannot be read"), ("/dev/null", "it holds no PEM certificate")] {
        let said = Server::builder().env("MINITOWER_CA_FILE", path).refused();
        assert!(said.contains("MINITOWER_CA_FILE is ") && said.contains(says), "{said}");
        assert_eq!(said.trim().lines().count(), 1, "{said}");
    }
}
