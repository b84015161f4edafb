//! Towerfiles in archives.

use minitower_tests::Artifact;

use crate::bed::Bed;

fn archive(towerfile: &[u8]) -> Vec<u8> {
    Artifact::new().file("Towerfile", towerfile).file("main.py", "").gzip()
}

fn app(lines: &str) -> String {
    format!("[app]\nname = \"target\"\nscript = \"main.py\"\n{lines}\n")
}

#[test]
fn towerfiles_that_are_none_are_refused() {
    let mut bed = Bed::start();
    for (what, towerfile) in [
        ("deep lists", app(&format!("x = {}", "[".repeat(100_000)))),
        ("deep tables", app(&format!("x = {}", "{a=".repeat(60_000)))),
        ("deep keys", app(&format!("{}b = 1", "a.".repeat(100_000)))),
        ("a key of 200 KiB twice", format!("{0} = 1\n{0} = 1\n", "k".repeat(100 << 10))),
        ("the same key twice", app("name = \"target\"")),
        ("the same table twice", app("[app]\n")),
        ("the wrong types", "app = 1\n".to_owned()),
        ("parameters of the wrong type", "parameters = 3\n".to_owned() + &app("")),
        ("a name that reads backwards", app("").replace("target", "\u{202e}tegrat")),
        ("a script that reads backwards", app("").replace("main.py", "\u{202e}yp.niam")),
        ("a NUL in a name", app("[[parameters]]\nname = \"a\\u0000\"")),
        ("a number of a thousand digits", app(&format!("max_retries = {}", "9".repeat(1000)))),
        ("a date for a number", app("max_retries = 1979-05-27")),
        ("infinity", app("[[parameters]]\nname = 'x'\ntype = 'number'\ndefault = inf")),
        ("a hundred thousand parameters", app(&"[[parameters]]\nname = 'x'\n".repeat(100_000))),
        ("a huge glob", app(&format!("source = [\"{}\"]", "{a,b}".repeat(40_000)))),
        ("globs within globs", app(&format!("source = [\"main.py\", \"{}\"]", "{a,".repeat(160)))),
        ("no text", "\u{0}\u{1}\u{2}".to_owned()),
    ] {
        bed.upload_refused(what, &archive(towerfile.as_bytes()), &[], "TOWERFILE_INVALID");
    }
    bed.upload_refused("a Towerfile that is not UTF-8", &archive(b"\xff\xfe[app]"), &[], "TOWERFILE_INVALID");
    bed.end();
}

#[test]
fn as_many_parameters_as_fit_are_taken_in_bounded_time() {
    let mut bed = Bed::start();
    let many: Vec<_> = (0..7_000).map(|number| format!("[[parameters]]\nname = 'p{number}'\n")).collect();
    bed.upload_taken("7,000 parameters", 96, &archive(app(&many.concat()).as_bytes()), &[]);
    bed.end();
}
