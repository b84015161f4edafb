//! What a real API server refuses, and in what words: tables of pools with one fault each.

mod bounds;
mod rules;

use std::collections::BTreeSet;

use minitower_operator::crd;
use serde_json::{Value, json};

use crate::api;
use crate::crd::objects::{minimal, with};

/// A pool with one fault.
struct Refused {
    /// The patch that turns the shortest pool into it.
    patch: Value,
    /// The path that the person reads.
    path: &'static str,
    /// The words at the end of the line.
    words: String,
    /// Whether this is the only complaint.
    alone: bool,
}

impl Refused {
    fn among_others(self) -> Self {
        Self { alone: false, ..self }
    }
}

fn refused(patch: Value, path: &'static str, words: &str) -> Refused {
    Refused { patch, path, words: words.to_owned(), alone: true }
}

/// A fault in `spec`.
fn spec(patch: &Value, path: &'static str, words: &str) -> Refused {
    refused(json!({ "spec": patch }), path, words)
}

/// What `kubectl` complains about, one line for each fault.
fn complaints(said: &str) -> Vec<String> {
    // The API server adds this if a fault keeps it from looking further.
    let unchecked = "some validation rules were not checked because the object was invalid; correct the existing errors to \
                     complete validation";
    let lines = said.split_once(" is invalid: ").map_or(said, |(_, lines)| lines).lines();
    let lines = lines.map(|line| line.trim_start_matches("* ").trim_end().to_owned());
    lines.filter(|line| !line.is_empty() && !line.ends_with(unchecked)).collect()
}

/// Applies each pool, and reports those that were not refused as they should be.
fn wrongly_answered(namespace: &str, table: &[Refused]) -> Option<Vec<String>> {
    let cluster = api::namespace(namespace)?;
    let mut wrong = Vec::new();
    for Refused { patch, path, words, alone } in table {
        let said = cluster.try_apply(&with(minimal("bad"), patch));
        let complaints = complaints(&said.err);
        let begin = format!("{path}: ");
        let as_told = |line: &String| line.starts_with(&begin) && line.ends_with(words.as_str());
        let told = complaints.iter().any(as_told) && (complaints.len() == 1 || !alone);
        if said.ok || !told {
            wrong.push(format!("{patch}\n  wanted {begin}... {words}\n  got    {complaints:?} {}", said.out));
        }
    }
    Some(wrong)
}

#[test]
fn a_pool_that_breaks_a_rule_is_refused_with_the_field_and_the_rule() {
    let Some(wrong) = wrongly_answered("rules", &rules::all()) else { return };
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_pool_beyond_a_bound_is_refused_with_the_field_and_the_bound() {
    let Some(wrong) = wrongly_answered("bounds", &bounds::all()) else { return };
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_is_broken_by_a_pool_here() {
    let broken: BTreeSet<String> = rules::all().into_iter().map(|refused| refused.words).collect();
    let rules: BTreeSet<String> = crd::all_rules().iter().map(|rule| rule.message.to_owned()).collect();
    assert_eq!(broken, rules);
}

#[test]
fn a_misspelt_field_is_refused_by_its_name() {
    let Some(cluster) = api::namespace("misspelt") else { return };
    let said = cluster.try_apply(&with(minimal("bad"), &json!({ "spec": { "maxRuners": 3 } })));
    assert!(!said.ok);
    assert!(said.err.contains(r#"unknown field "spec.maxRuners""#), "{}", said.err);
}

#[test]
fn a_good_pool_cannot_be_changed_into_a_bad_one() {
    let Some(cluster) = api::namespace("change") else { return };
    cluster.apply(&minimal("pool")).expect_ok();
    let said = cluster
        .kubectl(&["patch", "rp", "pool", "--type=merge", "-p", r#"{"spec":{"minRunners":11}}"#], None);
    assert!(!said.ok);
    assert!(said.err.contains("spec.minRunners must not be greater than spec.maxRunners"), "{}", said.err);
    assert_eq!(cluster.pool("pool")["spec"]["minRunners"], 0);
}
