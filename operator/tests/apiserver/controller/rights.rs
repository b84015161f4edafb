//! What the operator may do.

use crate::controller::bed::{ACCOUNT, HOME, alone};

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
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    lines.sort();
    Some(lines.join("\n"))
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
fn it_may_not_list_secrets_nor_take_part_in_what_is_not_its_own() {
    let Some((api, _, _alone)) = alone() else { return };
    let user = format!("--as=system:serviceaccount:{HOME}:{ACCOUNT}");
    let allowed =
        |verb: &str, what: &str| api.kubectl(&["auth", "can-i", verb, what, "-n", "default", &user], None).ok;
    assert!(allowed("get", "secrets") && allowed("patch", "pods"), "the question is understood");
    for (verb, what) in [
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
