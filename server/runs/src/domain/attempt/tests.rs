use super::*;
use crate::domain::moves::attempt_in;

fn fields(status: AttemptStatus, by: EndedBy) -> AttemptFields {
    AttemptFields {
        status,
        started_at: Some(Timestamp(3)),
        finished_at: Some(Timestamp(4)),
        ended_by: Some(by),
        exit_code: Some(5),
        error_message: Some("six".to_owned()),
        reason: Some(ResultReason::Exit),
    }
}

/// What may end an attempt with that status.
const fn ends(status: AttemptStatus) -> &'static [EndedBy] {
    match status {
        AttemptStatus::Leased | AttemptStatus::Running | AttemptStatus::Cancelling => &[],
        AttemptStatus::Completed | AttemptStatus::Failed => &[EndedBy::Result],
        AttemptStatus::Cancelled => &EndedBy::ALL,
        AttemptStatus::Expired => &[EndedBy::Expiry, EndedBy::ProcessEnd],
        AttemptStatus::Released => &[EndedBy::Release],
    }
}

#[test]
fn each_state_has_its_own_fields_and_no_others() {
    for status in AttemptStatus::ALL.into_iter().filter(|status| !status.is_active()) {
        for by in ends(status) {
            let state = AttemptState::try_from(fields(status, *by)).unwrap();
            assert_eq!((state.status(), state.ended_by()), (status, Some(*by)));
            let span = Span { started_at: Some(Timestamp(3)), finished_at: Timestamp(4) };
            assert_eq!((state.span(), state.started_at()), (Some(span), Some(Timestamp(3))));
            assert_eq!(state.finished_at(), Some(Timestamp(4)));
            let job = state.job().map(|job| (job.exit_code, job.reason));
            assert_eq!(job, (*by == EndedBy::Result).then_some((Some(5), Some(ResultReason::Exit))));
            assert_eq!(
                state.error_message(),
                (*by != EndedBy::Release).then_some("six"),
                "{status:?} {by:?}"
            );
        }
    }
    for (status, started) in [
        (AttemptStatus::Leased, None),
        (AttemptStatus::Running, Some(Timestamp(3))),
        (AttemptStatus::Cancelling, Some(Timestamp(3))),
    ] {
        let state = AttemptState::try_from(fields(status, EndedBy::Result)).unwrap();
        assert_eq!((state.status(), state.started_at(), state.ended_by()), (status, started, None));
        assert_eq!(
            (state.span(), state.finished_at(), state.job(), state.error_message()),
            (None, None, None, None)
        );
    }
}

#[test]
fn a_state_without_what_belongs_to_it_cannot_be_built() {
    let built = |fields: AttemptFields| AttemptState::try_from(fields).map_err(|incomplete| incomplete.field);
    for status in AttemptStatus::ALL {
        let whole = fields(status, ends(status).first().copied().unwrap_or(EndedBy::Result));
        let endless = built(AttemptFields { finished_at: None, ..whole.clone() });
        assert_eq!(endless.err(), (!status.is_active()).then_some("finished_at"), "{status:?}");
        let unstarted = built(AttemptFields { started_at: None, ..whole.clone() });
        assert_eq!(unstarted.err(), (status == AttemptStatus::Running).then_some("started_at"), "{status:?}");
        let causeless = built(AttemptFields { ended_by: None, ..whole });
        let missing = match status {
            AttemptStatus::Cancelled => Some("ended_by"),
            AttemptStatus::Expired => Some("loss in ended_by"),
            _ => None,
        };
        assert_eq!(causeless.err(), missing, "{status:?}");
    }
    for by in [EndedBy::Result, EndedBy::Release] {
        assert_eq!(built(fields(AttemptStatus::Expired, by)), Err("loss in ended_by"));
    }
}

#[test]
fn words_round_trip() {
    for by in EndedBy::ALL {
        assert_eq!(EndedBy::parse(by.as_str()), Some(by));
    }
}

#[test]
fn a_lease_is_over_from_its_expiry_on_and_is_never_shortened() {
    let lease = Lease::granted(None, None, Duration::from_secs(60), Timestamp(0));
    assert!(!lease.is_over(Timestamp(59_999)));
    assert!(lease.is_over(Timestamp(60_000)));
    assert!(lease.is_over(Timestamp(60_001)));
    let shorter = lease.extended(Duration::from_secs(1), Timestamp(0));
    assert_eq!((shorter.expires_at, shorter.ttl), (Timestamp(60_000), Duration::from_secs(1)));
}

#[test]
fn a_state_of_each_status_is_that_status() {
    for status in AttemptStatus::ALL {
        let by = ends(status).first().copied().unwrap_or(EndedBy::Result);
        assert_eq!(attempt_in(status, by).status(), status);
    }
}

#[test]
fn an_attempt_counts_from_its_end_on_its_row_and_its_message() {
    for status in AttemptStatus::ALL.into_iter().filter(|status| status.is_active()) {
        assert_eq!(attempt_in(status, EndedBy::Result).counted(), 0);
    }
    for status in AttemptStatus::ALL.into_iter().filter(|status| !status.is_active()) {
        for by in ends(status) {
            let state = attempt_in(status, *by);
            let message = state.error_message().map_or(0, str::len);
            assert_eq!(state.counted(), 512 + i64::try_from(message).unwrap(), "{status:?} by {by:?}");
        }
    }
    let AttemptState::Expired { span, .. } = attempt_in(AttemptStatus::Expired, EndedBy::Expiry) else {
        panic!("it has not expired")
    };
    let loss = Loss { by: LostBy::Expiry, message: Some("12345".to_owned()) };
    assert_eq!(AttemptState::Expired { span, loss }.counted(), 517);
}
