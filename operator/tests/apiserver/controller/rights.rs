//! What the operator may do.

use minitower_tests::wait;
use rstest::rstest;

use crate::controller::bed::{ACCOUNT, HOME, SOON, alone, give_rights};

/// What `kubectl auth can-i --list` says about resources, without what every account of the cluster may do.
fn rights(namespace: &str) -> Option<String> {
    let (api, _, _alone) = alone()?;
    let user = format!("--as=system:serviceaccount:{HOME}:{ACCOUNT}");
    let said = api.kubectl(&["auth", "can-i", "--list", "-n", namespace, &user], None).expect_ok().out;
    let everybodys = ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"];
    let mut lines: Vec<String> = said
        .lines()
        .skip(1)
        .filter(|line| !line.starts_with(' ') && !everybodys.iter().any(|one| line.starts_with(one)))
        .map(|line| in_order(&line.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    lines.sort();
    Some(lines.join("\n"))
}

/// A line with the words of each list in order: those of several roles come in the order in which the API server happens to hold them.
fn in_order(line: &str) -> String {
    let sorted = |list: &str| {
        let mut words: Vec<&str> = list.split(' ').collect();
        words.sort_unstable();
        words.join(" ")
    };
    let mut parts = line.split('[');
    let before = parts.next().unwrap_or_default().to_owned();
    let lists = parts.map(|part| match part.split_once(']') {
        Some((list, rest)) => format!("[{}]{rest}", sorted(list)),
        None => format!("[{part}"),
    });
    std::iter::once(before).chain(lists).collect()
}

#[test]
fn the_operator_may_do_this_in_its_own_namespace() {
    let Some(rights) = rights(HOME) else { return };
    insta::assert_snapshot!(rights);
}

#[test]
fn and_this_in_any_other() {
    let Some(rights) = rights("default") else { return };
    insta::assert_snapshot!(rights);
}

#[test]
fn where_pools_are_it_may_do_more_and_read_the_secrets_that_they_name() {
    let Some((api, _, _alone)) = alone() else { return };
    let cluster = api.namespace("rights");
    give_rights(&cluster, "tokens");
    let user = format!("--as=system:serviceaccount:{HOME}:{ACCOUNT}");
    let allowed = |verb: &str, what: &str| cluster.kubectl(&["auth", "can-i", verb, what, &user], None).ok;
    for (verb, what) in [
        ("create", "deployments"),
        ("update", "deployments"),
        ("patch", "pods"),
        ("create", "poddisruptionbudgets"),
        ("get", "secrets/tokens"),
    ] {
        assert!(allowed(verb, what), "{verb} {what}");
    }
    for (verb, what) in [("get", "secrets/another"), ("list", "secrets"), ("delete", "poddisruptionbudgets")]
    {
        assert!(!allowed(verb, what), "{verb} {what}");
    }
}

#[rstest]
#[case("view", &["get", "list", "watch"], &["create", "patch", "delete"])]
#[case("edit", &["get", "watch", "create", "patch", "delete"], &[])]
#[case("admin", &["get", "watch", "create", "patch", "delete"], &[])]
fn the_usual_roles_of_a_namespace_hold_for_its_pools(
    #[case] role: &str,
    #[case] allowed: &[&str],
    #[case] refused: &[&str],
) {
    let Some((api, _, _alone)) = alone() else { return };
    let cluster = api.namespace(&format!("role-{role}"));
    let role = format!("--clusterrole={role}");
    cluster.kubectl(&["create", "rolebinding", "person", &role, "--user=person"], None).expect_ok();
    let asked = |verb: &str, more: &[&str]| {
        let question: [&[&str]; 2] = [&["auth", "can-i", verb, "runnerpools", "--as=person"], more];
        cluster.kubectl(&question.concat(), None).ok
    };
    // `kubectl scale` patches the subresource.
    let may = |verb: &str| asked(verb, &[]) && (verb != "patch" || asked(verb, &["--subresource=scale"]));
    // The roles are put together by a controller, a moment after they were applied.
    wait::until("the roles are put together", SOON, || allowed.iter().all(|verb| may(verb)).then_some(()));
    for verb in refused {
        assert!(!may(verb), "{verb}");
    }
}

#[test]
fn it_may_not_list_secrets_nor_take_part_in_what_is_not_its_own() {
    let Some((api, _, _alone)) = alone() else { return };
    let user = format!("--as=system:serviceaccount:{HOME}:{ACCOUNT}");
    let allowed =
        |verb: &str, what: &str| api.kubectl(&["auth", "can-i", verb, what, "-n", "default", &user], None).ok;
    assert!(allowed("list", "pods") && allowed("watch", "deployments"), "the question is understood");
    for (verb, what) in [
        ("get", "secrets"),
        ("create", "deployments"),
        ("delete", "deployments"),
        ("patch", "pods"),
        ("list", "secrets"),
        ("watch", "secrets"),
        ("create", "secrets"),
        ("delete", "pods"),
        ("create", "pods"),
        ("create", "pods/exec"),
        ("update", "runnerpools"),
        ("delete", "runnerpools"),
        ("get", "leases"),
        ("create", "clusterrolebindings"),
    ] {
        assert!(!allowed(verb, what), "{verb} {what}");
    }
}
