//! `minitower login --sso`: signing in with a browser, through the identity provider of the server.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use minitower_client::wire::sign_in::{DeviceStarted, ExchangeCode, SignedIn, StartDevice};
use minitower_client::{Client, Error, SignIn};
use minitower_daemon::logs;
use minitower_towerfile::shell;
use serde_json::json;
use tokio::time::sleep;

use crate::commands::kept::save_new;
use crate::commands::tokens::role;
use crate::connection::same_server;
use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::output::{clean, now, time};
use crate::profiles::Profile;

/// The longest pause between two questions, whatever a server asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Nobody has signed in.
#[derive(Debug, thiserror::Error)]
enum SsoError {
    #[error("nobody has confirmed the sign-in within {0} s")]
    TooLate(u64),
}

impl Explained for SsoError {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some("run `minitower login --sso` again, and open the address that it shows".into())
    }
}

/// Signs a person in and saves the token in the profile, which becomes the active one.
pub(super) async fn run(team: Option<String>, context: &Context) -> Result<Exit, Failure> {
    let path = context.profiles_path()?;
    let mut profiles = context.profiles()?;
    let name = profiles.name_to_change(context.flags.profile.as_deref());
    let mut profile: Profile = profiles.profiles.get(&name).cloned().unwrap_or_default();
    let (server, client) = context.client(Some(&profile))?;
    let is_same = same_server(&profile.server, &server);
    let known = Some(&profile.team).filter(|team| is_same && !team.is_empty()).cloned();
    let begun = client.start_device(&StartDevice { team: team.or(known) }).await;
    let device = begun.map_err(|error| match error.status() {
        Some(404) => Failure::from(error).help(
            "log in with the team's password: `minitower login --team SLUG`; or ask whoever runs the server to name an identity \
             provider",
        ),
        _ => error.into(),
    })?;
    profiles.check_saves(&path)?;
    show(context, &device);
    // The server replaces it if it is the same person's, and looks at it for nothing else.
    let former = Some(&profile.token).filter(|token| is_same && !token.is_empty()).cloned();
    let answer = wait(&client, &device, former).await?;
    let made = client.team(answer.token.clone());
    if !is_same {
        profile.insecure_http = false;
    }
    profile.server.clone_from(&server);
    profile.team.clone_from(&answer.team_slug);
    profile.token.clone_from(&answer.token);
    profile.expires_at = Some(answer.expires_at);
    profile.insecure_http |= context.flags.insecure_http;
    profiles.profiles.insert(name.clone(), profile);
    profiles.current_profile.clone_from(&name);
    save_new(&profiles, &path, &made).await?;
    context.out.answer(&json!({"profile": name, "login": answer}), |out| {
        let SignedIn { person, team_slug, expires_at, .. } = &answer;
        out.line(format_args!(
            "Signed in to {server} as {}, team {team_slug} ({}), until {}.",
            clean(person),
            role(answer.role),
            time(*expires_at)
        ))?;
        out.note(format_args!("The token is saved in profile {name}, which is now active."));
        Ok(())
    })?;
    Ok(Exit::Success)
}

/// Says where to go. Standard output is for the answer.
fn show(context: &Context, device: &DeviceStarted) {
    let DeviceStarted { user_code, verification_uri, expires_in, .. } = device;
    if context.out.is_json() {
        logs::say(json!({
            "verification_uri": verification_uri, "user_code": user_code, "expires_in": expires_in,
        }));
        return;
    }
    logs::say(format_args!(
        "Open this address in a browser, on this machine or another, and sign in:\n\n  {}\n\n\
         Then confirm that the browser shows the code {}. Waiting for {} minutes …",
        clean(verification_uri),
        context.out.stderr_style().bold(clean(user_code)),
        expires_in / 60
    ));
}

/// Asks for the token until the person has decided. What fails on the way is tried again: the person is not to begin again because of it.
async fn wait(client: &Client, device: &DeviceStarted, former: Option<String>) -> Result<SignedIn, Failure> {
    let exchange = ExchangeCode { code: device.device_code.clone(), team: None, former_token: former };
    let limit = Duration::from_secs(device.expires_in);
    let (began, mut pause) = (Instant::now(), Duration::from_secs(device.interval.max(1)));
    loop {
        sleep(pause.min(LONGEST_PAUSE)).await;
        match client.exchange_code(&exchange).await {
            Ok(SignIn::Done(signed_in)) => return Ok(signed_in),
            Ok(SignIn::Pending(pending)) => pause = Duration::from_secs(pending.interval.max(1)),
            Err(error @ (Error::Transport { .. } | Error::Api { status: 429 | 500..=599, .. }))
                if began.elapsed() < limit =>
            {
                pause = match error {
                    Error::Api { retry_after: Some(after), .. } => after.max(pause),
                    _ => pause * 2,
                };
            }
            Err(error) => {
                let help = "run `minitower login --sso` again";
                return Err(match error.status() {
                    Some(403 | 410) => Failure::from(error).help(help),
                    _ => error.into(),
                });
            }
        }
        if began.elapsed() >= limit {
            return Err(SsoError::TooLate(device.expires_in).into());
        }
    }
}

/// What to do about a refused token that somebody has signed in for; none for any other token.
pub fn help_of_refused_token(context: &Context) -> Option<String> {
    let by_hand = context.flags.token.is_some() || context.env.api_token.is_some();
    let profile = context.profile().ok().flatten().filter(|_| !by_hand)?;
    let ended = profile.expires_at?;
    let why = if ended <= now() {
        format!("your sign-in has expired ({})", time(ended))
    } else {
        "your sign-in was revoked".to_owned()
    };
    let named = context.flags.profile.as_ref();
    let more = named.map_or_else(String::new, |name| format!(" --profile {}", shell::quoted(name)));
    Some(format!("{why}: sign in again with `minitower login --sso{more}`"))
}
