//! What the fuzz targets begin with, and what they once found, through the same functions as theirs.

use std::fs;
use std::path::Path;

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
