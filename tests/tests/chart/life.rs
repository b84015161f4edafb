//! One release, from `helm install` with no values at all to the last trace of it.

use tempfile::TempDir;

use crate::harness::{Release, Witness, ready, step};
use crate::{change, first, leaving, outside, policies, pools};

#[test]
fn a_release_lives_from_an_install_without_values_over_upgrades_to_its_removal() {
    if !ready() {
        return;
    }
    let witness = Witness::start();
    let home = TempDir::new().unwrap();
    let mut release = Release::new("chart");
    let product = step("install with no values, first job", || first::job(&release, home.path()));
    step("helm test, twice", || first::tested(&release));
    step("a size set by hand", || pools::scale_by_hand(&release));

    // One upgrade for what takes none of the others' place.
    let doors = step("certificates for the routes", || outside::doors(&mut release, &product, home.path()));
    pools::add_second(&mut release);
    policies::except_decoy(&mut release);
    step("upgrade: routes, a second pool, an exception", || release.upgrade());
    // What takes more than a minute goes on beside the rest.
    let lasting: Vec<_> = doors.iter().map(|door| outside::begin_lasting(door, &release, &product)).collect();
    step("the second pool serves, a size set by hand stayed", || pools::second_serves(&release, &product));
    step("a pool by kubectl serves", || pools::own_serves(&release, &product));
    step("network policies", || policies::hold(&release, &product, &witness));
    step("the routes lead to the API alone", || {
        for door in &doors {
            outside::is_closed(door, &release);
        }
    });
    step("archives of 100 MB", || outside::large_archives(&doors));
    step("curl and scripts/smoke.sh", || outside::as_in_the_readme(&doors));
    step("long polls, a long log, a runner outside", || lasting.into_iter().for_each(outside::Lasting::end));

    pools::remove_second(&mut release);
    outside::expose(&mut release);
    step("upgrade: bootstrap and metrics routed, one pool less", || release.upgrade());
    step("the second pool is gone", || pools::second_is_gone(&release));
    step("what is exposed is reached", || doors.iter().for_each(|door| outside::is_open(door, &release)));
    step("refused pools, foreign pools", || pools::refused(&mut release));

    step("upgrade, pod deleted and rollback under load", || {
        change::under_load(&mut release, &product, &witness);
    });
    step("uninstall", || leaving::uninstall(&release));
    let product = step("reinstall finds the data", || leaving::reinstall(&mut release));
    step("all removed, a run in flight", || leaving::remove_all(&release, &product));
}
