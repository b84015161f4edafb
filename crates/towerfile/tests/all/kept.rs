//! What the repository holds: the examples can be deployed as they are, and the inputs of the fuzz targets, with what these once found,
//! go through the same functions as theirs.

use std::fs;
use std::path::Path;

use minitower_towerfile::{Limits, Towerfile, inspect, pack, plan};
use rstest::rstest;

#[rstest]
#[case("data", "airports", &["Towerfile", "main.py", "requirements.txt"])]
#[case("fails", "fails", &["Towerfile", "README.md", "main.py"])]
#[case("hello", "hello", &["Towerfile", "README.md", "main.py"])]
#[case(
    "imports",
    "imports",
    &["Towerfile", "jobs/report.py", "lib/greeting/__init__.py", "lib/greeting/words.py", "texts/tower.txt"],
)]
#[case("shell", "shell-backup", &["Towerfile", "README.md", "backup.sh"])]
#[case("slow", "slow", &["Towerfile", "README.md", "main.py"])]
fn packs_without_warnings(#[case] example: &str, #[case] name: &str, #[case] files: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example);
    let text = fs::read_to_string(root.join("Towerfile")).unwrap();
    let (towerfile, warnings) = Towerfile::parse(&text).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(towerfile.name, name);

    let plan = plan(&root, &towerfile).unwrap();
    assert_eq!(plan.notes, []);
    let planned: Vec<_> = plan.entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(planned, files);

    let mut archive = Vec::new();
    pack(&root, &towerfile, &mut archive, |_| {}).unwrap();
    let inspection = inspect(archive.as_slice(), &Limits::default()).unwrap();
    assert_eq!(inspection.towerfile.as_deref(), Some(text.as_str()));
    assert!(inspection.has_file(&towerfile.start.entrypoint()));
}

/// Runs a target on all inputs that are kept for it.
fn each_of(target: &str, run: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proofs/fuzz");
    let mut inputs = 0;
    for folder in ["seeds", "regressions"] {
        for entry in fs::read_dir(fuzz.join(folder).join(target)).into_iter().flatten() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            run(&fs::read(path).unwrap());
            inputs += 1;
        }
    }
    assert!(inputs >= 10, "{inputs} inputs are kept for {target}");
}

#[test]
fn archives_as_fuzzed() {
    each_of("archive", crate::fuzz_archive::run);
}

#[test]
fn towerfiles_as_fuzzed() {
    each_of("towerfile", crate::fuzz_towerfile::run);
}
