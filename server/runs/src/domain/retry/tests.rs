//! The rules of retries: every failure under every policy, the length of backoffs, and what is refused.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn wanted(max_attempts: i64) -> Wanted {
    Wanted { max_attempts, ..Wanted::default() }
}

fn policy(on: &[Failure]) -> RetryPolicy {
    RetryPolicy::new(on, 100, 2000, 1000)
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn a_budget_of_n_allows_exactly_n_more_starts() {
    for max in 0..5 {
        let mut budget = RetryBudget::new(max);
        let mut again = 0;
        while let After::Again { retries, backoff } = decide(budget, None, Failure::Lost, Jitter::MOST) {
            assert_eq!(backoff, Duration::ZERO);
            budget = retries;
            again += 1;
            assert!(again <= max, "a start too many");
        }
        assert_eq!(again, max);
    }
}

#[test]
fn without_a_policy_only_a_loss_is_retried() {
    for failure in Failure::ALL {
        let again = decide(RetryBudget::new(9), None, failure, Jitter::NONE) != After::Final;
        assert_eq!(again, failure == Failure::Lost, "{failure:?}");
    }
}

#[test]
fn a_policy_retries_what_it_names_and_nothing_else_while_the_budget_lasts() {
    for bits in 0..8_u8 {
        let named: Vec<Failure> =
            (0_u8..).zip(Failure::ALL).filter(|(at, _)| bits & 1 << at != 0).map(|(_, f)| f).collect();
        let policy = policy(&named);
        assert_eq!(policy.on().collect::<Vec<_>>(), named);
        for failure in Failure::ALL {
            let of = |budget| decide(budget, Some(&policy), failure, Jitter::NONE);
            let retries = RetryBudget { max: 3, used: 2 };
            // The second retry waits twice as long as the first; a lost run does not wait.
            let backoff = if failure == Failure::Lost { Duration::ZERO } else { ms(200) };
            let expected =
                if named.contains(&failure) { After::Again { retries, backoff } } else { After::Final };
            assert_eq!(of(RetryBudget { max: 3, used: 1 }), expected, "{failure:?} with {named:?}");
            assert_eq!(of(RetryBudget { max: 3, used: 3 }), After::Final);
        }
    }
}

#[rstest]
#[case(None, Failure::Failed)]
#[case(Some(ResultReason::Exit), Failure::Failed)]
#[case(Some(ResultReason::Signal), Failure::Failed)]
#[case(Some(ResultReason::Setup), Failure::Failed)]
#[case(Some(ResultReason::Timeout), Failure::Timeout)]
fn a_failed_result_is_a_failure_or_a_timeout_by_its_reason(
    #[case] reason: Option<ResultReason>,
    #[case] failure: Failure,
) {
    assert_eq!(failure_of(reason), failure);
}

#[test]
fn backoffs_grow_by_the_factor_up_to_the_longest() {
    let lengths = |policy: RetryPolicy| [1, 2, 3, 4, 5, 999].map(|n| policy.backoff(n, Jitter::NONE));
    assert_eq!(lengths(policy(&Failure::ALL)), [ms(100), ms(200), ms(400), ms(800), ms(1000), ms(1000)]);
    assert_eq!(lengths(RetryPolicy::new(&Failure::ALL, 70, 1000, 1000)), [ms(70); 6]);
    assert_eq!(lengths(RetryPolicy::new(&Failure::ALL, 0, 2000, 1000)), [ms(0); 6]);
    // A small factor on a small backoff adds up, though one step of it is less than a millisecond.
    let slow = RetryPolicy::new(&Failure::ALL, 1, 1001, 1000);
    assert_eq!([1, 500, 800].map(|n| slow.backoff(n, Jitter::NONE)), [ms(1), ms(1), ms(2)]);
}

#[test]
fn the_most_jitter_is_a_fifth_and_also_on_top_of_the_longest() {
    let policy = policy(&Failure::ALL);
    assert_eq!([1, 2, 9].map(|n| policy.backoff(n, Jitter::MOST)), [ms(120), ms(240), ms(1200)]);
    assert_eq!(policy.longest_backoff(), ms(1200));
}

#[test]
fn what_is_left_out_has_its_default_and_attempts_include_the_first() {
    let (retries, policy) = RetryPolicy::checked(&wanted(3)).unwrap();
    assert_eq!((retries, policy), (2, RetryPolicy::new(&Failure::ALL, 1000, 2000, 300_000)));
    assert_eq!(RetryPolicy::checked(&wanted(1)).unwrap().0, 0);
}

#[test]
fn a_factor_may_have_three_decimals() {
    for (factor, thousandths) in [(1.0, 1000), (1.5, 1500), (1.001, 1001), (2.3, 2300), (100.0, 100_000)] {
        let wanted = Wanted { backoff_multiplier: Some(factor), ..wanted(2) };
        assert_eq!(RetryPolicy::checked(&wanted).unwrap().1.multiplier_thousandths(), thousandths);
    }
}

#[test]
fn a_policy_tells_what_it_was_made_of() {
    let policy = RetryPolicy::new(&[Failure::Timeout], 250, 1500, 4000);
    assert_eq!(policy.on().collect::<Vec<_>>(), [Failure::Timeout]);
    assert_eq!((policy.initial_ms(), policy.multiplier_thousandths(), policy.max_ms()), (250, 1500, 4000));
}

#[test]
fn the_longest_backoff_that_may_be_asked_for_is_a_week() {
    assert_eq!(MAX_BACKOFF_MS, 604_800_000);
    let week =
        Wanted { backoff_initial_ms: Some(604_800_000), backoff_max_ms: Some(604_800_000), ..wanted(2) };
    assert_eq!(RetryPolicy::checked(&week).unwrap().1.backoff(1, Jitter::NONE), ms(604_800_000));
}

#[rstest]
#[case::no_attempt(wanted(0), "retry.max_attempts")]
#[case::negative(wanted(-1), "retry.max_attempts")]
#[case::too_many(wanted(MAX_ATTEMPTS + 1), "retry.max_attempts")]
#[case::nothing(Wanted { on: Some(vec![]), ..wanted(2) }, "retry.on")]
#[case::negative_initial(Wanted { backoff_initial_ms: Some(-1), ..wanted(2) }, "retry.backoff_initial_ms")]
#[case::long_initial(
    Wanted { backoff_initial_ms: Some(MAX_BACKOFF_MS + 1), ..wanted(2) },
    "retry.backoff_initial_ms"
)]
#[case::shrinking(Wanted { backoff_multiplier: Some(0.5), ..wanted(2) }, "retry.backoff_multiplier")]
#[case::huge(Wanted { backoff_multiplier: Some(100.001), ..wanted(2) }, "retry.backoff_multiplier")]
#[case::precise(Wanted { backoff_multiplier: Some(1.0001), ..wanted(2) }, "retry.backoff_multiplier")]
#[case::no_number(Wanted { backoff_multiplier: Some(f64::NAN), ..wanted(2) }, "retry.backoff_multiplier")]
#[case::endless(Wanted { backoff_multiplier: Some(f64::INFINITY), ..wanted(2) }, "retry.backoff_multiplier")]
#[case::negative_max(Wanted { backoff_max_ms: Some(-1), ..wanted(2) }, "retry.backoff_max_ms")]
#[case::long_max(Wanted { backoff_max_ms: Some(MAX_BACKOFF_MS + 1), ..wanted(2) }, "retry.backoff_max_ms")]
#[case::below_initial(
    Wanted { backoff_initial_ms: Some(10), backoff_max_ms: Some(9), ..wanted(2) },
    "retry.backoff_max_ms"
)]
#[case::below_the_default(Wanted { backoff_initial_ms: Some(300_001), ..wanted(2) }, "retry.backoff_max_ms")]
fn a_bad_value_is_refused_by_the_name_of_its_field(#[case] wanted: Wanted, #[case] field: &str) {
    let message = RetryPolicy::checked(&wanted).unwrap_err().to_string();
    assert!(message.starts_with(field), "{message}");
}

#[test]
fn words_round_trip() {
    for failure in Failure::ALL {
        assert_eq!(Failure::parse(failure.as_str()), Some(failure));
    }
    assert_eq!(Failure::parse("exit"), None);
}

proptest! {
    /// Jitter only lengthens, and by at most a fifth; a later backoff is never shorter than an earlier one of the same jitter.
    #[test]
    fn jitter_only_lengthens_and_by_at_most_a_fifth(
        initial in 0..=MAX_BACKOFF_MS,
        multiplier in 1000..=i64::from(MAX_MULTIPLIER) * 1000,
        max in 0..=MAX_BACKOFF_MS,
        retry in 1..MAX_ATTEMPTS,
        jitter in any::<u16>().prop_map(Jitter),
    ) {
        let policy = RetryPolicy::new(&Failure::ALL, initial.min(max), multiplier, max);
        let (plain, drawn) = (policy.backoff(retry, Jitter::NONE), policy.backoff(retry, jitter));
        prop_assert!(plain <= drawn && drawn <= plain + plain / 5, "{plain:?} became {drawn:?}");
        prop_assert!(drawn <= policy.longest_backoff());
        prop_assert!(drawn <= policy.backoff(retry + 1, jitter));
    }
}
