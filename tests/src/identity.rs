//! A real identity provider (tests/oidc), and a browser to sign in with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::source_root;
use crate::server::free_port;
use crate::{Http, Program, Response, Server, skip, wait};

/// Most redirects that a browser follows.
const REDIRECTS: usize = 10;

/// The provider's program, or why it cannot be had here.
fn installed() -> Result<PathBuf, String> {
    let output = Command::new(source_root().join("scripts/oidc-provider.sh")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(PathBuf::from(said)),
        Some(3) => Err(said),
        _ => panic!("oidc-provider.sh failed: {said}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// A place for an identity provider. Starting and ending it are up to the test.
#[derive(Debug)]
pub struct IdentityProvider {
    path: PathBuf,
    port: u16,
    program: Option<Program>,
}

impl IdentityProvider {
    /// None: it cannot be had here, and the test is skipped.
    pub fn find() -> Option<Self> {
        match installed() {
            Ok(path) => Some(Self { path, port: free_port(), program: None }),
            Err(reason) => {
                skip::skip(&reason);
                None
            }
        }
    }

    /// Its issuer.
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A server whose people sign in here. Admins of `sales` are in `data-admins`, members of `sales` in `data`, members of `reports` in
    /// `reports`.
    pub fn server(&self, more: &[(&str, &str)]) -> Server {
        let mut builder = Server::builder()
            .env("MINITOWER_PUBLIC_URL", "http://127.0.0.1:{port}")
            .env("MINITOWER_OIDC_ISSUER", &self.issuer())
            .env("MINITOWER_OIDC_CLIENT_ID", "minitower")
            .env("MINITOWER_OIDC_CLIENT_SECRET", "secret of the tests")
            .env("MINITOWER_OIDC_TEAMS", "data-admins=sales:admin,data=sales:member,reports=reports:member");
        for (key, value) in more {
            builder = builder.env(key, value);
        }
        builder.start()
    }

    /// Starts it for the people of a server.
    pub fn start_for(&mut self, server: &Server, more: &[(&str, &str)]) {
        let mut env: Vec<(String, String)> = vec![
            ("PORT".to_owned(), self.port.to_string()),
            ("PUBLIC_URL".to_owned(), format!("http://127.0.0.1:{}", server.port())),
        ];
        env.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let folder = server.folder();
        let path = self.path.display().to_string();
        let log = folder.join("logs/provider.log");
        let mut program = Program::start_any(Path::new("node"), &[&path], &env, folder, &log);
        wait::until("the identity provider listens", wait::SOON, || {
            assert!(program.ended().is_none(), "the identity provider ended: {}", program.log());
            program.log().contains("ready: ").then_some(())
        });
        self.program = Some(program);
    }

    /// Ends it.
    pub fn kill(&mut self) {
        self.program = None;
    }
}

/// A browser: it follows redirects, keeps cookies, and asks for pages.
#[derive(Debug)]
pub struct Browser {
    http: Http,
    cookies: BTreeMap<String, String>,
}

impl Default for Browser {
    fn default() -> Self {
        Self { http: Http::at(""), cookies: BTreeMap::new() }
    }
}

/// Where a browser has come to.
#[derive(Debug)]
pub struct Visit {
    /// The address.
    pub url: String,
    /// What is there. A redirect that is not followed ends the visit.
    pub response: Response,
}

impl Browser {
    /// Visits a page, wherever it leads.
    pub fn visit(&mut self, url: &str) -> Visit {
        self.go(url, None, |_| true)
    }

    /// Visits a page, and follows redirects to addresses that begin so.
    pub fn visit_within(&mut self, url: &str, within: &str) -> Visit {
        self.go(url, None, |to| to.starts_with(within))
    }

    /// Sends a form.
    pub fn submit(&mut self, url: &str, form: &str) -> Visit {
        self.go(url, Some(form), |_| true)
    }

    /// Sends a form, and follows redirects to addresses that begin so.
    pub fn submit_within(&mut self, url: &str, form: &str, within: &str) -> Visit {
        self.go(url, Some(form), |to| to.starts_with(within))
    }

    /// Begins at a page of the server, signs in at the provider, and comes back.
    pub fn sign_in(&mut self, url: &str, login: &str) -> Visit {
        let asked = self.visit(url);
        assert!(asked.url.contains("/interaction/"), "{}: {}", asked.url, asked.response.text());
        self.submit(&asked.url, &format!("prompt=login&login={login}&password=any"))
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    fn go(&mut self, url: &str, form: Option<&str>, follow: impl Fn(&str) -> bool) -> Visit {
        let (mut url, mut form) = (url.to_owned(), form);
        for _ in 0..REDIRECTS {
            let response = self.ask(&url, form.take());
            let place = response.header("location").map(|to| joined(&url, to));
            match place {
                Some(to) if (300..400).contains(&response.status) && follow(&to) => url = to,
                _ => return Visit { url, response },
            }
        }
        panic!("more than {REDIRECTS} redirects: {url}");
    }

    fn ask(&mut self, url: &str, form: Option<&str>) -> Response {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        // A fragment stays in the browser.
        let asked = url.split('#').next().unwrap();
        let request = match form {
            None => self.http.get(asked),
            Some(form) => self
                .http
                .post(asked)
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(form.as_bytes()),
        };
        let request = request.header("Accept", "text/html").header("Cookie", &cookies.join("; "));
        let response = request.send();
        for set in response.headers.get_all("set-cookie") {
            let set = set.to_str().unwrap();
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }
}

fn joined(base: &str, to: &str) -> String {
    if to.contains("://") {
        return to.to_owned();
    }
    let origin = base.match_indices('/').nth(2).map_or(base, |(at, _)| &base[..at]);
    format!("{origin}{to}")
}
