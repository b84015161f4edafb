//! An operation as the calls it is made of, and the program's answer in the words of the reference.

use std::collections::BTreeMap;
use std::time::Duration;

use minitower_kernel::page::Page;
use minitower_runs::Register;
use minitower_runs::RunAndAttempt;
use minitower_runs::UploadFields;
use minitower_runs::domain::runner::RunnerPrincipal;
use minitower_runs::{self as admin, Error, LogLine};
use minitower_runs::{CreateRun, ListRuns, ReadLog};
use minitower_teams::AdminPrincipal;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::statuses::{Failure, RunStatus};
use minitower_vocabulary::time::Timestamp;

use crate::database::Reader;
use crate::model::steps::ENDED;
use crate::rows::{attempt_row, drained, outcome, refusal, row, status};
use crate::system::{Client, SOON};
use crate::vocabulary::{
    Admin, Answer, Call, How, LONGEST_BACKOFF_MS, Number, Op, Patience, Poll, Retry, Shown, Team,
};

/// How long a patient poll waits; no sequence takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

impl Client {
    /// Asks, and answers what the program answered.
    pub(crate) async fn ask(&self, number: Number, op: &Op) -> Answer {
        self.carry_out(number, op).await.unwrap_or_else(refusal)
    }

    async fn carry_out(&self, number: Number, op: &Op) -> Result<Answer, Error> {
        let app = &self.app;
        match op {
            Op::CreateApp { team, slug } => {
                app.apps().create_app(&self.team(*team).await?, slug, None).await.map(|_| Answer::Done)
            }
            Op::Upload { team, app: slug, max_retries } => {
                let team = self.team(*team).await?;
                let mut upload = app.apps().begin_upload(&team).await?;
                upload.write(&archive(*max_retries)).await?;
                let made =
                    app.apps().create_version(&team, slug.clone(), upload, UploadFields::default()).await?;
                Ok(Answer::Version(made.version.number))
            }
            Op::CreateRun { team, app: slug, version, priority, max_retries, retry, environment, input } => {
                let new = CreateRun {
                    input: input.map(|n| serde_json::json!({ "n": n })),
                    version_no: *version,
                    priority: *priority,
                    max_retries: *max_retries,
                    retry: retry.map(wanted),
                    environment: Some(environment.clone()),
                    ..CreateRun::default()
                };
                Ok(Answer::Run(Box::new(row(app
                    .runs()
                    .create_run(&self.team(*team).await?, slug.clone(), new)
                    .await?))))
            }
            Op::Cancel { team, run } => Ok(Answer::Run(Box::new(row(app
                .runs()
                .cancel_run(&self.team(*team).await?, RunId(*run))
                .await?)))),
            Op::NewRegistrationToken { team } => {
                let (id, token) = app.teams().create_registration_token(&self.team(*team).await?).await?;
                self.known.lock().unwrap().registration_ids.insert(number, id);
                Ok(self.learnt(number, token, Answer::Done))
            }
            Op::DeleteRegistrationToken { team, token } => {
                let id = self.known.lock().unwrap().registration_ids[token];
                app.teams().delete_registration_token(&self.team(*team).await?, id).await?;
                Ok(Answer::Done)
            }
            Op::Bootstrap => {
                let made = app.teams().bootstrap(crate::vocabulary::TEAMS[0], "First", None).await?;
                Ok(self.learnt(number, made.registration_token, Answer::Done))
            }
            Op::Register { token, name, environment } => {
                let by = app.teams().authenticate_registration(Some(&self.secret(*token))).await?;
                let new = Register {
                    name: name.clone(),
                    environment: Some(environment.clone()),
                    ..Register::default()
                };
                let made = app.runners().register_runner(by, new).await?;
                let answer = Answer::Registered { id: made.id.0, created: made.created };
                Ok(self.learnt(number, made.token, answer))
            }
            Op::Poll { runner, poll, patience } => {
                let by = self.runner(*runner).await?;
                self.poll(number, &by, poll, *patience).await
            }
            Op::Call { runner, run, lease, call } => {
                let by = self.runner(*runner).await?;
                self.call(&by, RunId(*run), &self.secret(*lease), call).await
            }
            Op::SignOff { runner, given_up } => {
                let runner = self.runner(*runner).await?;
                app.leases().sign_off(&runner, given_up.clone()).await.map(|()| Answer::Done)
            }
            Op::Drain { .. } | Op::Undrain { .. } | Op::Ended { .. } | Op::Forget { .. } => {
                self.administer(op).await
            }
            Op::Advance(by) => {
                self.clock.advance(Duration::from_millis(u64::try_from(*by).unwrap()));
                Ok(Answer::Done)
            }
            Op::Reap => {
                self.reap().await;
                Ok(Answer::Done)
            }
            Op::Restart { .. } => panic!("a client cannot restart the server"),
            read => self.read(read).await,
        }
    }

    /// What administrators ask.
    async fn administer(&self, op: &Op) -> Result<Answer, Error> {
        let app = &self.app;
        match op {
            Op::Drain { by, name, owner } => {
                let by = self.admin(*by).await?;
                app.runners().drain(&by, name.clone(), Some(owner.clone())).await.map(|after| drained(&after))
            }
            Op::Undrain { by, name, owner } => {
                let by = self.admin(*by).await?;
                app.runners()
                    .undrain(&by, name.clone(), Some(owner.clone()))
                    .await
                    .map(|after| drained(&after))
            }
            Op::Ended { by, name, instance } => {
                let (by, reason) = (self.admin(*by).await?, Some(ENDED.to_owned()));
                let ended =
                    app.runners().process_ended(&by, name.clone(), Some(instance.clone()), reason).await;
                ended.map(|()| Answer::Done)
            }
            Op::Forget { by, name } => app
                .runners()
                .forget_runner(&self.admin(*by).await?, name.clone())
                .await
                .map(|()| Answer::Done),
            other => unreachable!("{other:?} is nothing that administrators ask"),
        }
    }

    async fn poll(
        &self,
        number: Number,
        by: &RunnerPrincipal,
        poll: &Poll,
        patience: Patience,
    ) -> Result<Answer, Error> {
        let wait = if patience == Patience::Long { PATIENCE } else { Duration::ZERO };
        let poll = minitower_runs::domain::claim::Poll {
            request_id: poll.request.clone(),
            instance_id: poll.instance.clone(),
            supersedes: poll.supersedes.clone(),
            start: poll.start,
        };
        let Some(offer) = self.app.leases().lease(by, poll, wait).await? else { return Ok(Answer::Nothing) };
        if patience == Patience::Vanishes {
            drop(offer);
            return Ok(Answer::Done);
        }
        let grant = offer.deliver().unwrap();
        let answer = Answer::Granted {
            run: grant.run.id.0,
            attempt: grant.attempt.id.0,
            number: grant.attempt.number,
            version: grant.version.number,
            retry_count: grant.run.progress.retries.used,
            queued_at: grant.run.progress.queued_at.0,
            expires: grant.attempt.lease.expires_at.0,
            started: grant.attempt.state.started_at().is_some(),
        };
        Ok(self.learnt(number, grant.lease_token, answer))
    }

    async fn call(
        &self,
        by: &RunnerPrincipal,
        run: RunId,
        lease: &str,
        call: &Call,
    ) -> Result<Answer, Error> {
        let app = &self.app;
        let held = |(run, attempt): RunAndAttempt| Answer::Held {
            status: status(run.status()),
            cancel_requested: run.progress.state.is_cancel_requested(),
            expires: attempt.lease.expires_at.0,
        };
        match call {
            Call::Start => app.leases().start_run(by, run, lease).await.map(held),
            Call::Heartbeat => app.leases().heartbeat(by, run, lease).await.map(held),
            Call::Logs(from, to, text) => {
                let line = |seq: i64| LogLine {
                    seq,
                    stderr: seq % 3 == 0,
                    line: format!("line {seq} of {text}"),
                    logged_at: Timestamp(seq),
                };
                app.leases()
                    .append_logs(by, run, lease, (*from..*to).map(line).collect())
                    .await
                    .map(|()| Answer::Done)
            }
            Call::Result(ending) => {
                app.leases().finish_run(by, run, lease, outcome(ending).into()).await.map(|()| Answer::Done)
            }
            Call::Release => app.leases().release_run(by, run, lease).await.map(|()| Answer::Done),
            Call::Artifact => app.leases().archive(by, run, lease).await.map(|_| Answer::Done),
        }
    }

    async fn read(&self, op: &Op) -> Result<Answer, Error> {
        let app = &self.app;
        match op {
            Op::ListRuns { team, app: slug, status: wanted, environment, before, limit, offset } => {
                let list = ListRuns {
                    app: slug.clone(),
                    status: wanted.and_then(|wanted| RunStatus::parse(&wanted.word())),
                    environment: environment.clone(),
                    before: before.map(RunId),
                    limit: *limit,
                    offset: *offset,
                    ..ListRuns::default()
                };
                let runs = app.runs().list_runs(&self.team(*team).await?, list).await?;
                Ok(Answer::Runs(runs.into_iter().map(row).collect()))
            }
            Op::ShowRun { team, run } => {
                Ok(Answer::Run(Box::new(row(app.runs().run(&self.team(*team).await?, RunId(*run)).await?))))
            }
            Op::Attempts { team, run } => {
                let team = self.team(*team).await?;
                let attempts = app.runs().run_attempts(&team, RunId(*run), Page::default()).await?;
                Ok(Answer::Attempts(attempts.into_iter().map(attempt_row).collect()))
            }
            Op::Logs { team, run, after } => {
                let read = ReadLog { after_seq: Some(*after), ..ReadLog::default() };
                let page =
                    app.runs().run_logs(&self.team(*team).await?, RunId(*run), read, Some(1000)).await?;
                let stream = |stderr| if stderr { "stderr" } else { "stdout" };
                let text = |l: LogLine| (l.seq, format!("{} {}", stream(l.stderr), l.line));
                Ok(Answer::Lines(page.lines.into_iter().map(text).collect()))
            }
            Op::ListRunners { by } => {
                let by = self.admin(*by).await?;
                let runners = app.runners().list_runners(&by, admin::ListRunners::default()).await?;
                let told = runners.into_iter().map(|listed| {
                    let run = listed.runner.run_id.filter(|_| listed.run_visible);
                    (listed.runner.name, listed.runner.draining, run.map(|id| id.0))
                });
                Ok(Answer::Runners(told.collect()))
            }
            Op::Summary { team } => {
                let summary = app.runs().runs_summary(&self.team(*team).await?).await?;
                Ok(Answer::Summary([summary.total, summary.active, summary.queued, summary.terminal]))
            }
            Op::Gauges => Ok(Answer::Gauges(self.gauges())),
            other => panic!("{other:?} reads nothing"),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the gauges count a few runs")]
    fn gauges(&self) -> Vec<(String, i64)> {
        const WANTED: [&str; 4] = [
            "minitower_runs_pending",
            "minitower_runs_blocked",
            "minitower_runs_active",
            "minitower_runners_busy",
        ];
        let mut gauges: BTreeMap<String, i64> = BTreeMap::new();
        for family in self.app.subjects().metrics() {
            if !WANTED.contains(&family.name()) {
                continue;
            }
            for metric in family.get_metric() {
                let pairs = metric.get_label().iter();
                let mut labels: Vec<String> =
                    pairs.map(|pair| format!("{}={}", pair.name(), pair.value())).collect();
                labels.sort();
                let value = metric.get_gauge().get_value() as i64;
                // Where a team has too many ready runs, it is promised only how many of all of them are held back.
                let of_team = labels.iter().find_map(|label| label.strip_prefix("team=")).unwrap_or_default();
                let name = match family.name() {
                    "minitower_runs_pending" => format!("pending {of_team}"),
                    "minitower_runs_blocked" if labels.contains(&"reason=limit".to_owned()) => {
                        format!("held {of_team}")
                    }
                    name => format!("{name} {}", labels.join(",")),
                };
                *gauges.entry(name).or_default() += value;
            }
        }
        gauges.into_iter().filter(|(_, value)| *value != 0).collect()
    }

    /// Lets the background tasks look until nothing is overdue any more.
    async fn reap(&self) {
        let now = self.clock.now().0;
        let done = async {
            while Reader::open(&self.database).overdue(now) > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let ended = tokio::time::timeout(SOON, async {
            tokio::select! {
                () = self.app.run_background() => panic!("the background tasks have ended"),
                () = done => {}
            }
        });
        ended.await.expect("what has run out is reaped");
    }

    fn learnt(&self, number: Number, secret: String, answer: Answer) -> Answer {
        self.known.lock().unwrap().secrets.insert(number, secret);
        answer
    }

    fn secret(&self, shown: Shown) -> String {
        let secret = self.known.lock().unwrap().secrets[&shown.of].clone();
        let cut = &secret[..secret.len() - 1];
        match shown.how {
            How::Whole => secret,
            How::WithoutItsEnd => cut.to_owned(),
            How::WithMoreBehind => format!("{secret}A"),
            // No generated token ends so: the last character of 32 bytes has four bits only.
            How::WithAnotherEnd => format!("{cut}_"),
        }
    }

    pub(crate) async fn team(&self, team: Team) -> Result<TeamPrincipal, Error> {
        let token = self.known.lock().unwrap().teams[team].clone();
        Ok(self.app.teams().authenticate_team(Some(&token)).await?)
    }

    pub(crate) async fn runner(&self, token: Shown) -> Result<RunnerPrincipal, Error> {
        self.app.leases().authenticate(Some(&self.secret(token))).await
    }

    async fn admin(&self, by: Admin) -> Result<AdminPrincipal, Error> {
        let token = match by {
            Admin::Operator => "operator".to_owned(),
            Admin::Team(team) => self.known.lock().unwrap().teams[team].clone(),
        };
        Ok(self.app.teams().authenticate_admin(Some(&token)).await?)
    }
}

/// A policy whose backoffs are so short that the jitter, a fifth at most, is always less than a millisecond.
fn wanted(retry: Retry) -> minitower_runs::domain::retry::Wanted {
    let named =
        [(retry.failed, Failure::Failed), (retry.timeout, Failure::Timeout), (retry.lost, Failure::Lost)];
    minitower_runs::domain::retry::Wanted {
        max_attempts: retry.max_attempts,
        on: Some(named.into_iter().filter(|(on, _)| *on).map(|(_, failure)| failure).collect()),
        backoff_initial_ms: Some(retry.backoff),
        backoff_multiplier: None,
        backoff_max_ms: Some(LONGEST_BACKOFF_MS),
    }
}

/// A job whose Towerfile asks for so many retries.
fn archive(max_retries: i64) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let towerfile = format!("[app]\nname = \"jobs\"\nscript = \"main.py\"\nmax_retries = {max_retries}\n");
    for (name, text) in [("Towerfile", towerfile.as_str()), ("main.py", "pass\n")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}
