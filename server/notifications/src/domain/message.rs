//! What a message says: the body of a webhook, a message of Slack, an email.

use minitower_vocabulary::wire::Timestamp;
use minitower_vocabulary::wire::notifications::Occasion;
use serde_json::{Map, Value, json};

/// Most characters of an error message that a text quotes.
const QUOTED: usize = 500;
/// Most characters of the first line of an email.
const SUBJECT: usize = 150;

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Something happened to a run.
    Run(Occasion),
    /// Somebody tries whether it arrives.
    Test,
    /// Deliveries were dropped, because too many waited.
    Dropped,
}

impl Event {
    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run(Occasion::Failed) => "run.failed",
            Self::Run(Occasion::Dead) => "run.dead",
            Self::Run(Occasion::Completed) => "run.completed",
            Self::Run(Occasion::Late) => "run.late",
            Self::Run(Occasion::Waiting) => "run.waiting",
            Self::Test => "notification.test",
            Self::Dropped => "notification.dropped",
        }
    }

    /// The event of that word.
    pub fn parse(text: &str) -> Option<Self> {
        let runs = Occasion::ALL.into_iter().map(Self::Run);
        runs.chain([Self::Test, Self::Dropped]).find(|event| event.as_str() == text)
    }
}

/// One message, whatever it is sent by.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// What it tells.
    pub event: Event,
    /// The name of the notification.
    pub notification: &'a str,
    /// The slug of the team.
    pub team: &'a str,
    /// What is told: of a run, the run as the API shows it.
    pub data: &'a Value,
    /// When it was made.
    pub at: Timestamp,
    /// Where people find the server's pages, without a slash at the end.
    pub public_url: Option<&'a str>,
}

impl Message<'_> {
    /// The body of a webhook: `type`, `timestamp` and `data`, as Standard Webhooks has it.
    pub fn webhook(&self) -> String {
        json!({"type": self.event.as_str(), "timestamp": self.at, "data": self.data}).to_string()
    }

    /// The body of a message to Slack's incoming webhook.
    pub fn slack(&self) -> String {
        let mut text = format!("{} {}", self.sign(), for_slack(&self.headline()));
        for line in self.lines() {
            text.push('\n');
            text.push_str(&for_slack(&line));
        }
        if let Some(link) = self.link() {
            text += &["\n<", &link.replace('|', "%7C"), "|Open the run>"].concat();
        }
        // No names of people or groups are called out, whatever an error message says.
        json!({"text": text, "unfurl_links": false, "unfurl_media": false}).to_string()
    }

    /// The subject and the text of an email.
    pub fn email(&self) -> (String, String) {
        let mut text = self.headline();
        for line in self.lines() {
            text.push('\n');
            text.push_str(&line);
        }
        if let Some(link) = self.link() {
            text += &["\n\n", &link].concat();
        }
        let sender = format!(
            "\n\nSent by the notification \"{}\" of the team {} on MiniTower.\n",
            in_one_line(self.notification),
            self.team
        );
        text.push_str(&sender);
        (shortened(&format!("[MiniTower] {}", in_one_line(&self.headline())), SUBJECT), text)
    }

    fn sign(&self) -> &'static str {
        match self.event {
            Event::Run(Occasion::Completed) => ":white_check_mark:",
            Event::Run(Occasion::Failed | Occasion::Dead) => ":x:",
            Event::Run(Occasion::Late | Occasion::Waiting) => ":hourglass:",
            Event::Test => ":wave:",
            Event::Dropped => ":warning:",
        }
    }

    /// What happened, in one line.
    fn headline(&self) -> String {
        let run = || {
            format!("{} run {} ({})", self.text("app_slug"), self.text("run_no"), self.text("environment"))
        };
        match self.event {
            Event::Run(Occasion::Completed) => format!("{} completed", run()),
            Event::Run(Occasion::Failed) => format!("{} failed", run()),
            Event::Run(Occasion::Dead) => format!("{} is dead: its runners were lost", run()),
            Event::Run(Occasion::Late) => format!("{} takes longer than expected", run()),
            Event::Run(Occasion::Waiting) => format!("{} waits longer than expected", run()),
            Event::Test => format!("A test of the notification \"{}\"", self.notification),
            Event::Dropped => format!(
                "{} notifications were not sent: too many waited at the same time",
                self.text("dropped")
            ),
        }
    }

    /// What else is worth knowing.
    fn lines(&self) -> Vec<String> {
        match self.event {
            Event::Run(occasion) => {
                let mut lines = Vec::new();
                if let Some(error) = self.data.get("error_message").and_then(Value::as_str) {
                    lines.push(format!("Reason: {}", shortened(error, QUOTED)));
                }
                if let Some(code) =
                    self.data.get("exit_code").and_then(Value::as_i64).filter(|code| *code != 0)
                {
                    lines.push(format!("Exit code: {code}"));
                }
                if let Some(runner) = self.data.get("runner").and_then(Value::as_str) {
                    lines.push(format!("Runner: {runner}"));
                }
                if occasion == Occasion::Waiting {
                    lines.push(format!("Queued at: {}", self.text("queued_at")));
                } else if self.data.get("started_at").is_some_and(Value::is_string) {
                    lines.push(format!("Started at: {}", self.text("started_at")));
                }
                lines.push(format!("Run id: {} (team {})", self.text("run_id"), self.team));
                lines
            }
            Event::Test => vec![format!("If you read this, it works. Team {}.", self.team)],
            Event::Dropped => {
                vec![format!(
                    "The first of them at {}. The list of runs has all of them.",
                    self.text("since")
                )]
            }
        }
    }

    fn link(&self) -> Option<String> {
        let (base, run) = (self.public_url?, self.data.get("run_id")?.as_i64()?);
        Some(format!("{base}/runs/{run}"))
    }

    /// A value as text.
    fn text(&self, key: &str) -> String {
        match self.data.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => "?".to_owned(),
            Some(other) => other.to_string(),
        }
    }
}

/// The data of a run: the run as the API shows it, without what may be large.
pub fn of_run(mut run: Map<String, Value>) -> Value {
    run.remove("input");
    run.remove("output");
    Value::Object(run)
}

/// The text, with what Slack takes for its own signs (<https://docs.slack.dev/messaging/formatting-message-text>) made harmless.
fn for_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn in_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn shortened(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        serde_json::from_value(json!("2026-01-02T03:04:05.678Z")).unwrap()
    }

    fn message(event: Event, data: &Value) -> Message<'_> {
        Message {
            event,
            notification: "on-call",
            team: "acme",
            data,
            at: at(),
            public_url: Some("https://t.example"),
        }
    }

    fn run() -> Value {
        json!({"run_id": 12, "run_no": 3, "app_slug": "etl", "environment": "production", "status": "failed",
            "exit_code": 2, "error_message": "<!channel> & more", "runner": "r1", "queued_at": "q", "started_at": "s"})
    }

    #[test]
    fn every_word_is_read_back() {
        for event in Occasion::ALL.into_iter().map(Event::Run).chain([Event::Test, Event::Dropped]) {
            assert_eq!(Event::parse(event.as_str()), Some(event));
        }
    }

    #[test]
    fn a_webhook_has_a_type_a_moment_and_the_run() {
        let run = run();
        let body: Value =
            serde_json::from_str(&message(Event::Run(Occasion::Failed), &run).webhook()).unwrap();
        assert_eq!(body, json!({"type": "run.failed", "timestamp": "2026-01-02T03:04:05.678Z", "data": run}));
    }

    #[test]
    fn a_message_to_slack_names_app_run_reason_and_link_and_calls_nobody_out() {
        let run = run();
        let body: Value = serde_json::from_str(&message(Event::Run(Occasion::Failed), &run).slack()).unwrap();
        let text = body["text"].as_str().unwrap();
        for part in
            ["etl run 3 (production) failed", "Exit code: 2", "<https://t.example/runs/12|Open the run>"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("&lt;!channel&gt; &amp; more") && !text.contains("<!channel>"), "{text}");
    }

    #[test]
    fn an_email_has_one_line_as_its_subject_whatever_names_hold() {
        let mut run = run();
        run["app_slug"] = json!("etl\r\nBcc: x@example.com");
        let (subject, text) = message(Event::Run(Occasion::Failed), &run).email();
        assert!(!subject.contains(['\r', '\n']), "{subject}");
        assert!(text.contains("Reason: <!channel> & more") && text.contains("https://t.example/runs/12"));
    }

    #[test]
    fn every_event_says_something_of_its_own() {
        let run = run();
        let mut heads: Vec<String> =
            Occasion::ALL.map(|on| message(Event::Run(on), &run).headline()).to_vec();
        heads.push(message(Event::Test, &json!({})).headline());
        heads.push(message(Event::Dropped, &json!({"dropped": 7, "since": "x"})).headline());
        assert!(heads.last().unwrap().starts_with("7 notifications were not sent"));
        heads.sort();
        heads.dedup();
        assert_eq!(heads.len(), 7);
    }

    #[test]
    fn what_may_be_large_is_not_told() {
        let Value::Object(mut map) = run() else { unreachable!() };
        map.insert("input".to_owned(), json!({"a": 1}));
        map.insert("output".to_owned(), json!({"a": 1}));
        let run = of_run(map);
        assert!(run.get("input").is_none() && run.get("output").is_none() && run["run_id"] == 12);
    }
}
