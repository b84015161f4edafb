//! The few pages that a browser shows while somebody signs in. They load nothing, run nothing, and no other page can frame them.

use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderName, HeaderValue};
use minitower_teams::sign_in::Confirm;

/// What the pages may do: their style, and their form.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem;color:#1c2024}\
                     code{font-size:2rem;letter-spacing:.15em;display:block;margin:1rem 0}\
                     button,select{font:inherit;padding:.4rem 1rem;margin-right:.5rem}\
                     @media(prefers-color-scheme:dark){body{background:#16181d;color:#e8eaed}}";

/// The headers of a page.
pub(super) fn headers() -> [(HeaderName, HeaderValue); 4] {
    [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ]
}

/// Asks the person whether what a command line has begun is their doing.
pub(super) fn confirm(confirm: &Confirm) -> String {
    let Confirm { ticket, user_code, name, memberships, team, token_ttl } = confirm;
    let choice = |(slug, role): (&String, &minitower_vocabulary::statuses::Role)| {
        let selected = if team.as_ref() == Some(slug) { " selected" } else { "" };
        let (slug, role) = (escaped(slug), role.as_str());
        format!("<option value=\"{slug}\"{selected}>{slug} ({role})</option>")
    };
    // Where there is a choice, nothing is chosen for the person.
    let none = match (memberships.len(), team) {
        (0 | 1, _) | (_, Some(_)) => "",
        _ => "<option value=\"\" selected disabled>choose a team</option>",
    };
    let choices: String = memberships.iter().map(choice).collect();
    let life = lasting(token_ttl.as_secs());
    let (name, ticket, user_code) = (escaped(name), escaped(ticket), escaped(user_code));
    page(
        "Confirm the sign-in",
        &format!(
            "<p>You are signed in as <b>{name}</b>.</p>\
             <p>A command line asks for a token that acts in your name for {life}. Your terminal must show this code:</p>\
             <code>{user_code}</code>\
             <p>If you did not run <b>minitower login --sso</b> yourself just now, or if the code is another one, somebody else is asking: \
             choose Refuse. Whoever sent you here would get the token.</p>\
             <form method=\"post\" action=\"confirm\"><input type=\"hidden\" name=\"ticket\" value=\"{ticket}\">\
             <p><label>Team <select name=\"team\" required>{none}{choices}</select></label></p>\
             <p><button name=\"decision\" value=\"allow\">The code is the same: allow</button>\
             <button name=\"decision\" value=\"deny\" formnovalidate>Refuse</button></p></form>"
        ),
    )
}

/// Says that the command line gets its token.
pub(super) fn allowed(name: &str, team: &str) -> String {
    let (name, team) = (escaped(name), escaped(team));
    page(
        "Signed in",
        &format!(
            "<p>The command line is signed in as <b>{name}</b> in the team <b>{team}</b>. You can close this window.</p>"
        ),
    )
}

/// Says that it gets none.
pub(super) fn denied() -> String {
    page("Refused", "<p>The command line gets no token. You can close this window.</p>")
}

/// Says what went wrong.
pub(super) fn refused(message: &str) -> String {
    page("You are not signed in", &format!("<p>{}</p>", escaped(message)))
}

fn page(title: &str, content: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} · MiniTower</title>\
         <style>{STYLE}</style></head><body><h1>{title}</h1>{content}</body></html>\n"
    )
}

fn lasting(seconds: u64) -> String {
    match seconds {
        3600 => "an hour".to_owned(),
        _ if seconds.is_multiple_of(3600) => format!("{} hours", seconds / 3600),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use minitower_vocabulary::statuses::Role;

    use super::*;

    fn asked(teams: &[&str], team: Option<&str>) -> String {
        confirm(&Confirm {
            ticket: "t".to_owned(),
            user_code: "WDJB-MJHT".to_owned(),
            name: "<img src=x>\"&'".to_owned(),
            memberships: teams.iter().map(|slug| ((*slug).to_owned(), Role::Member)).collect(),
            team: team.map(str::to_owned),
            token_ttl: Duration::from_hours(12),
        })
    }

    #[test]
    fn what_a_person_is_called_is_text() {
        let page = asked(&["sales"], None);
        assert!(
            page.contains("<b>&lt;img src=x&gt;&quot;&amp;&#39;</b>") && !page.contains("<img"),
            "{page}"
        );
        assert!(!refused("<script>").contains("<script>"));
    }

    #[test]
    fn the_page_says_what_it_is_for() {
        let page = asked(&["sales"], None);
        for part in ["WDJB-MJHT", "for 12 hours", "minitower login --sso", "sales (member)"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("choose a team"));
    }

    #[test]
    fn among_several_teams_none_is_chosen_for_the_person() {
        let page = asked(&["data", "sales"], None);
        assert!(page.contains("<option value=\"\" selected disabled>"), "{page}");
        let page = asked(&["data", "sales"], Some("sales"));
        assert!(page.contains("<option value=\"sales\" selected>") && !page.contains("disabled"), "{page}");
    }

    #[test]
    fn a_life_is_said_in_words() {
        assert_eq!(
            [300, 3600, 5400, 86_400].map(lasting),
            ["5 minutes", "an hour", "90 minutes", "24 hours"]
        );
    }
}
