//! Which check catches which bug.

use minitower_planted::Bug;

/// One test of one test program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    /// The test program: one of a crate's `tests`, or the name of the crate's library for the tests beside the code.
    pub(crate) program: &'static str,
    /// The test's whole name in it.
    pub(crate) test: &'static str,
}

const fn check(program: &'static str, test: &'static str) -> Check {
    Check { program, test }
}

macro_rules! planner {
    ($test:literal) => {
        check("minitower_operator", concat!("pool_controller::plan::tests::", $test))
    };
}

macro_rules! controller {
    ($test:literal) => {
        check("minitower_operator", concat!("pool_controller::tests::scenarios::", $test))
    };
}

/// Every interleaving of one run on one runner.
const ONE_RUN: Check = check("model", "systems::one_run_on_one_runner_keeps_every_promise");
/// Random operations one after another.
const IN_SEQUENCE: Check =
    check("reference", "sequence::what_the_database_holds_after_each_operation_is_what_the_reference_has");
/// A poll that is fenced while it waits.
const FENCED_POLLS: Check =
    check("reference", "parallel::a_poll_fenced_while_it_waits_gets_no_run_and_the_next_one_does");

/// A poll whose token dies while it waits.
const REPLACED_TOKENS: Check =
    check("reference", "parallel::a_poll_whose_token_is_replaced_while_it_waits_ends_and_gets_no_run");

/// Every route with every caller.
const EVERY_CALLER: Check = check(
    "rest",
    "matrix::tenants::what_is_not_ones_own_is_not_there_and_a_refused_call_changes_and_tells_nothing",
);

/// Every route that changes something.
const RECORDED: Check =
    check("rest", "matrix::audited::each_route_that_changes_something_leaves_an_event_and_no_secret");

/// A run that is written while a poll looks.
const WAKE_UPS: Check =
    check("reference", "parallel::a_run_that_becomes_ready_while_a_poll_looks_is_taken_by_it");

/// A run of a team's own beside one that the platform's runner prefers.
const SPENT_WAKE_UPS: Check = check(
    "reference",
    "parallel::a_poll_woken_for_one_teams_run_that_takes_anothers_leaves_no_poll_waiting_in_vain",
);

/// Every bug with the check that has to fail when it is there.
pub(crate) const CAUGHT: &[(Bug, Check)] = &[
    (Bug::HeartbeatAfterExpiry, ONE_RUN),
    (Bug::RetryLosesCount, ONE_RUN),
    (Bug::BackoffIgnored, ONE_RUN),
    (Bug::CancelMissesBackoff, ONE_RUN),
    (Bug::FailureRetriedUnasked, check("model", "systems::only_what_a_policy_names_is_retried")),
    (
        Bug::BackoffsOfBeforeForgotten,
        check("protocol", "retries::a_backoff_from_before_the_servers_restart_ends_in_its_time"),
    ),
    (
        Bug::NewRunOvertakesKey,
        check("minitower_runs", "domain::gates::tests::whoever_comes_new_comes_behind_those_that_wait"),
    ),
    (
        Bug::ClaimPassesGates,
        check("protocol", "waiting::the_limit_of_an_app_holds_for_the_runs_that_wait_already"),
    ),
    (
        Bug::FailureCompletes,
        check("protocol", "waiting::a_run_that_is_deleted_has_ended_but_not_completed::case_1"),
    ),
    (
        Bug::RetentionForgetsWhoWaits,
        check("protocol", "retention::what_has_not_ended_or_is_waited_for_stays"),
    ),
    (
        Bug::TeamOverrulesApp,
        check(
            "protocol",
            "retention::an_app_its_team_and_the_server_say_how_long_in_this_order_field_by_field",
        ),
    ),
    (
        Bug::LinesOfFramesShownTwice,
        check(
            "protocol",
            "segments::a_crash_between_the_frames_and_the_lines_shows_none_twice_and_loses_none",
        ),
    ),
    (
        Bug::NeededHalfOfSegmentGoes,
        check("protocol", "segments::segments_go_with_their_runs_and_are_written_anew_when_little_is_left"),
    ),
    (Bug::ReleaseTakesNewPlace, ONE_RUN),
    (Bug::ResultOfStaleAttempt, ONE_RUN),
    (Bug::CancelLostOnExpiry, ONE_RUN),
    (Bug::EndOfAnyProcess, ONE_RUN),
    (Bug::SupersedesWhateverIsActive, ONE_RUN),
    (
        Bug::LeaseRepeatedAfterStart,
        check("protocol", "leases::a_lost_answer_is_found_again_and_voids_the_former_token"),
    ),
    (Bug::LeaseRepeatedWhileRunning, ONE_RUN),
    (Bug::SignOffEndsWhatRuns, ONE_RUN),
    (Bug::SignOffForgetsUnheard, ONE_RUN),
    (
        Bug::UnheardStartCounts,
        check("protocol", "leases::a_start_that_nobody_heard_of_is_taken_back_with_the_lease"),
    ),
    (Bug::FenceMissesSuccessor, ONE_RUN),
    (Bug::UnstartedLeaseNeverExpires, ONE_RUN),
    (
        Bug::RestartProlongsNothing,
        check("model", "systems::an_outage_shorter_than_a_lease_less_heartbeat_and_margin_costs_no_run"),
    ),
    (Bug::TokenByPrefix, IN_SEQUENCE),
    (Bug::QueueOrderAtEqualTimes, IN_SEQUENCE),
    (Bug::ClaimIgnoresTeam, IN_SEQUENCE),
    (Bug::TurnsIgnoreActiveRuns, check("model", "systems::no_team_keeps_another_from_the_runners")),
    (
        Bug::TurnsIgnoreLastLeases,
        check("protocol", "fairness::one_run_waits_for_no_more_than_one_turn_of_each_team_ahead_of_it"),
    ),
    (Bug::LogBatchDroppedOnRetry, IN_SEQUENCE),
    (Bug::CountsMissCancelledRuns, IN_SEQUENCE),
    (Bug::ReplacedTokenRemembered, IN_SEQUENCE),
    (Bug::RevokedRegistrationTokenRegisters, IN_SEQUENCE),
    (Bug::NewVersionUnnoticed, IN_SEQUENCE),
    (Bug::RestartProlongsNoRunningLease, IN_SEQUENCE),
    (Bug::LostWakeUp, WAKE_UPS),
    (Bug::WakeUpSpentOnAnotherTeam, SPENT_WAKE_UPS),
    (Bug::WakeUpEndsAtAFence, FENCED_POLLS),
    (Bug::FenceMissesWaitingPoll, FENCED_POLLS),
    (Bug::ReplacedTokenWaits, REPLACED_TOKENS),
    (
        Bug::AnswerBeforeCommit,
        check("crash", "directed::what_was_acknowledged_survives_kills_in_the_middle_of_it"),
    ),
    (
        Bug::ReaperSleepsOn,
        check(
            "crash",
            "directed::a_lease_from_before_the_servers_restart_runs_out_when_its_runner_stays_away",
        ),
    ),
    (Bug::GrandchildMissed, check("crash", "directed::a_daemon_ends_with_its_job_before_the_result_is_told")),
    (
        Bug::DeadlineIgnored,
        check("crash", "directed::the_job_of_a_stopped_runner_has_ended_before_another_runner_begins"),
    ),
    (
        Bug::LeftoversIgnored,
        check(
            "crash",
            "directed::a_restarted_runner_ends_what_is_left_of_its_former_job_before_it_begins_another",
        ),
    ),
    (
        Bug::SupersedesForgotten,
        check(
            "crash",
            "directed::a_restarted_runner_ends_the_attempt_of_its_former_process_without_waiting_for_the_lease",
        ),
    ),
    (Bug::UnsentLogForgotten, check("crash", "directed::a_server_killed_under_a_writing_job_costs_no_line")),
    (Bug::ResultGivenUp, check("crash", "directed::a_result_waits_for_a_server_that_is_away")),
    (Bug::BusyRunnersForgotten, planner!("rollouts::a_pool_does_not_shrink_below_its_busy_runners")),
    (Bug::StaleDemandShrinks, planner!("sizes::stale_demand_grows_the_pool_and_never_shrinks_it")),
    (Bug::NewTemplateEmptiesPool, planner!("rollouts::a_template_whose_pods_never_serve_empties_nothing")),
    (Bug::MaximumOfEachRevision, planner!("rollouts::all_revisions_together_stay_within_the_maximum")),
    (Bug::SilenceReadAsZero, controller!("silence::a_new_operator_that_knows_nothing_changes_nothing")),
    (
        Bug::BusyPodMarked,
        controller!("shrinking::a_runner_that_took_a_run_meanwhile_is_free_again_and_another_goes"),
    ),
    (Bug::ShrinkBeyondMarks, controller!("shrinking::of_two_marks_that_one_fails_the_size_falls_by_one")),
    (
        Bug::UnfencedWhileMarked,
        controller!("shrinking::a_shrink_that_did_not_happen_is_unmarked_then_unfenced"),
    ),
    (
        Bug::LeaderWithoutClock,
        controller!("leaders::who_is_not_certain_to_lead_writes_nothing::case_1_ended"),
    ),
    (Bug::EpochIgnored, controller!("leaders::a_pod_that_a_later_leader_wrote_to_is_not_unfenced")),
    (
        Bug::RunnerOfAnyPool,
        controller!(
            "grants::a_pod_that_has_the_name_of_somebody_elses_runner_does_not_touch_it::case_1_another_pools"
        ),
    ),
    (
        Bug::PoolOfAnyNamespace,
        controller!("grants::one_that_may_not_gets_no_pods_and_no_token::case_1_its_namespace"),
    ),
    (Bug::RunOfAnyTeam, EVERY_CALLER),
    (Bug::RegistrationTokenOfAnyTeam, EVERY_CALLER),
    (Bug::PoolTokenOfAnyPool, check("protocol", "runners::a_pools_token_registers_that_pools_runners_alone")),
    (
        Bug::FormerPoolTokenHolds,
        check("protocol", "runners::a_pools_former_token_ends_some_minutes_after_the_new_one_is_used"),
    ),
    (Bug::RememberedForAnyTeam, EVERY_CALLER),
    (
        Bug::SecretOfAnyEnvironment,
        check("minitower_teams", "vault::tests::environments_do_not_share_secrets"),
    ),
    (
        Bug::Base64Unmasked,
        check("minitower_runner", "logs::mask::tests::long_base64_is_masked_where_it_is_broken_into_lines"),
    ),
    (Bug::SecretInAudit, RECORDED),
    (Bug::DeletionUnrecorded, RECORDED),
    (
        Bug::DeliveryAfterCommit,
        check(
            "main",
            "contract::notifications::outbox::whoever_sees_the_end_of_a_run_sees_what_is_to_be_told_of_it",
        ),
    ),
    (
        Bug::DeliveryRenamed,
        check(
            "main",
            "contract::notifications::outbox::what_fails_is_tried_again_and_can_be_asked_for_under_the_same_id",
        ),
    ),
    (
        Bug::AddressUncheckedAtSend,
        check(
            "minitower_kernel",
            "outbound::tests::what_leads_inside_is_refused_before_and_when_it_is_sent::case_1",
        ),
    ),
    (
        Bug::NameUncheckedAtSend,
        check(
            "minitower_kernel",
            "outbound::tests::what_leads_inside_is_refused_before_and_when_it_is_sent::case_3",
        ),
    ),
    (
        Bug::NonceUnchecked,
        check(
            "minitower_teams",
            "domain::id_token::tests::a_token_that_is_wrong_in_one_thing_is_refused::case_17",
        ),
    ),
    (
        Bug::ExpiredIdToken,
        check(
            "minitower_teams",
            "domain::id_token::tests::a_token_that_is_wrong_in_one_thing_is_refused::case_10",
        ),
    ),
    (
        Bug::StateOfAnyBrowser,
        check("main", "contract::sign_in::only_the_browser_that_left_comes_back_and_only_once"),
    ),
    (
        Bug::GroupsOfAnyTeam,
        check(
            "minitower_teams",
            "sign_in::checks::tests::the_team_is_named_unless_there_is_one_only::case_5",
        ),
    ),
    (
        Bug::ObjectsBeforeSnapshot,
        check(
            "minitower_kernel",
            "backup::tests::what_a_snapshot_names_is_in_the_backup_whatever_the_database_names_by_then",
        ),
    ),
    (Bug::MissingObjectVerified, check("minitower_kernel", "backup::tests::what_is_damaged_is_found")),
    (
        Bug::KeyOfAnyRequest,
        check("protocol", "asking::a_key_makes_one_run_a_day_whatever_becomes_of_the_app"),
    ),
    (
        Bug::KeyOfAnyTeam,
        check("main", "contract::repeated::keys_belong_to_their_team_and_a_refused_request_leaves_none"),
    ),
    (Bug::KeyCheckedBefore, check("protocol", "asking::the_same_request_at_the_same_time_makes_one_run")),
    (
        Bug::CancelOfAnyEnvironment,
        check("main", "contract::many_runs::those_runs_are_cancelled_that_are_all_of_what_is_asked_for"),
    ),
    (
        Bug::CancelOfAnyStatus,
        check("protocol", "again::a_run_that_moves_while_it_is_looked_for_is_left_alone"),
    ),
    (
        Bug::StreamSkipsALine,
        check("protocol", "live::a_stop_ends_every_stream_and_the_next_process_goes_on_behind_the_last_line"),
    ),
    (
        Bug::ListensAfterReading,
        check("protocol", "live::whoever_joins_when_and_however_often_has_every_line_once_and_in_order"),
    ),
    (
        Bug::PlaceLeftUnnoticed,
        check(
            "model",
            "waiting::systems::no_more_runs_of_a_key_are_active_than_may_be_and_none_waits_for_nothing",
        ),
    ),
    (
        Bug::WaitsOfBeforeForgotten,
        check("protocol", "waiting::what_ended_just_before_a_restart_is_found_by_those_who_waited_for_it"),
    ),
    (
        Bug::ExplainForgetsDisabled,
        check("minitower_runs", "domain::explain::tests::the_first_reason_that_holds_is_said::case_06"),
    ),
];
