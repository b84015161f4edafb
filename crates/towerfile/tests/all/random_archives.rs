//! Archives made at random: whatever they hold, nothing is written outside the destination.

use crate::support::{Tar, gz};
use minitower_towerfile::Limits;
use proptest::prelude::*;
use tar::EntryType;

#[derive(Debug, Clone)]
struct Random {
    kind: u8,
    name: String,
    target: String,
    content: Vec<u8>,
    long: bool,
}

fn random_path() -> impl Strategy<Value = String> {
    // Few names, so that entries meet, and everything that could lead outside.
    let component = prop_oneof![
        4 => Just("a"), 4 => Just("b"), 2 => Just(".."), 1 => Just("."), 1 => Just(""), 1 => Just("victim"),
    ];
    (proptest::collection::vec(component, 1..5), proptest::bool::weighted(0.05))
        .prop_map(|(parts, absolute)| format!("{}{}", if absolute { "/" } else { "" }, parts.join("/")))
}

/// Paths that mostly are allowed, so that archives get far.
fn tame_path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c")], 1..4)
        .prop_map(|parts| parts.join("/"))
}

fn random_entry() -> impl Strategy<Value = Random> {
    let kind =
        prop_oneof![6 => Just(b'0'), 3 => Just(b'1'), 6 => Just(b'2'), 3 => Just(b'5'), 1 => any::<u8>()];
    let path = || prop_oneof![9 => tame_path(), 1 => random_path()];
    let target = prop_oneof![tame_path(), random_path(), tame_path().prop_map(|path| format!("../{path}"))];
    (kind, path(), target, proptest::collection::vec(any::<u8>(), 0..600), proptest::bool::weighted(0.1))
        .prop_map(|(kind, name, target, content, long)| Random { kind, name, target, content, long })
}

fn archive(entries: &[Random]) -> Vec<u8> {
    let mut tar = Tar::new();
    for Random { kind, name, target, content, long } in entries {
        let kind = EntryType::new(*kind);
        let content = if kind.is_file() { content.as_slice() } else { b"" };
        if *long {
            tar = tar.pax(&[("path", name), ("linkpath", target)]).entry(kind, "x", "x", content);
        } else {
            tar = tar.entry(kind, name, target, content);
        }
    }
    tar.tar()
}

const LIMITS: Limits = Limits {
    entries: 500,
    total_bytes: 1 << 20,
    ratio: Limits::RATIO,
    ratio_floor_bytes: Limits::RATIO_FLOOR_BYTES,
    extension_bytes: Limits::EXTENSION_BYTES,
    towerfile_bytes: Limits::TOWERFILE_BYTES,
    towerfile_within: Limits::TOWERFILE_WITHIN,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn random_entries_stay_inside(entries in proptest::collection::vec(random_entry(), 1..12)) {
        crate::fuzz_archive::check(&gz(&archive(&entries)), &LIMITS);
    }

    #[test]
    fn random_damage_stays_inside(
        entries in proptest::collection::vec(random_entry(), 1..4),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut tar = archive(&entries);
        for (at, byte) in damage {
            let at = at.index(tar.len());
            tar[at] = byte;
            // With a right checksum, so that the damage is looked at.
            let block = at / 512 * 512;
            let header = tar::Header::from_byte_slice(&tar[block..block + 512]);
            let mut header = header.clone();
            header.set_cksum();
            tar[block..block + 512].copy_from_slice(header.as_bytes());
        }
        crate::fuzz_archive::check(&gz(&tar), &LIMITS);
    }

    #[test]
    fn random_bytes_stay_inside(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        crate::fuzz_archive::check(&bytes, &LIMITS);
        crate::fuzz_archive::check(&gz(&bytes), &LIMITS);
    }
}
