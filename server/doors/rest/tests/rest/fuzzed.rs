//! What the fuzz target of JSON bodies begins with, and what it once found, through the same function.
#[path = "../../../../../proofs/fuzz/src/bodies.rs"]
mod bodies;

use std::fs;
use std::path::Path;

#[test]
fn bodies_as_fuzzed() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../proofs/fuzz");
    let mut inputs = 0;
    for folder in ["seeds", "regressions"] {
        for entry in fs::read_dir(fuzz.join(folder).join("bodies")).into_iter().flatten() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            bodies::run(&fs::read(path).unwrap());
            inputs += 1;
        }
    }
    assert!(inputs >= 10, "{inputs} inputs are kept");
}
