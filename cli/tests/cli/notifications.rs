//! Notifications, as a person makes and tries them.

use serde_json::json;

use crate::support::Bed;

#[test]
fn notifications_are_made_changed_tried_and_deleted() {
    let bed = Bed::start();
    let made =
        bed.words("notifications create on-call --on failed,dead --webhook https://1.1.1.1/hook").good();
    assert!(made.stdout.starts_with("notification  on-call\n"), "{}", made.stdout);
    let secret = made.stdout.lines().last().unwrap();
    assert!(
        secret.starts_with("whsec_") && made.stderr.contains("shown only now"),
        "{} {}",
        made.stdout,
        made.stderr
    );
    let id = bed.team.get("/notifications")["notifications"][0]["id"].clone();
    let list = bed.words("notifications list").good();
    assert_eq!(
        list.stdout,
        format!(
            "ID  NAME     ON           RUNS  TARGET                ENABLED  WAITING\n{id}   on-call  failed,dead  all   \
             https://1.1.1.1/hook  yes      0\n"
        )
    );
    assert_eq!(bed.words("notifications list --json").good().json(), bed.team.get("/notifications"));
    let changed =
        bed.words(&format!("notifications update {id} --environment zeta --on late --disable --json")).good();
    assert_eq!(changed.json(), bed.team.get(&format!("/notifications/{id}")));
    let changed = changed.json();
    assert_eq!((&changed["environment"], &changed["enabled"]), (&json!("zeta"), &json!(false)));
    let any = bed.run(&["notifications", "update", &id.to_string(), "--environment", "", "--json"]).good();
    assert!(any.json().get("environment").is_none());
    let off = bed.words(&format!("notifications test {id}"));
    assert_eq!(off.code, 12, "{}", off.stderr);
    let nowhere = bed.words("notifications create other --on failed");
    assert!(nowhere.stderr.contains("--webhook URL, --slack URL or --email ADDRESS"), "{}", nowhere.stderr);
    let bad = bed.words("notifications create other --on ended --webhook https://1.1.1.1/");
    assert!(bad.stderr.contains("--on has \"ended\" in it"), "{}", bad.stderr);
    let none = bed.words(&format!("notifications deliveries {id}")).good();
    assert!(none.stderr.contains("Nothing was sent yet."), "{}", none.stderr);
    let deleted = bed.words(&format!("notifications delete {id}")).good();
    assert_eq!(deleted.stdout, format!("Deleted the notification {id}.\n"));
}
