//! Archives that cost more than they seem to, or that two readers read differently.

use std::io::Write as _;

use flate2::{Compress, Compression, FlushCompress, GzBuilder};
use minitower_tests::Artifact;
use minitower_tests::artifact::gzip;
use tar::{EntryType, Header};

use crate::bed::Bed;

const MAIN: [(&str, &str); 1] = [("entrypoint", "main.py")];

fn main_py() -> Artifact {
    Artifact::new().file("main.py", "print()")
}

/// A header with a right checksum, after `change` has been at it.
fn header(name: &[u8], change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(EntryType::Regular);
    header.set_size(0);
    header.set_mode(0o644);
    change(&mut header);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// The archive of one good file and these blocks.
fn with(blocks: &[u8]) -> Vec<u8> {
    let good = main_py().plain();
    gzip(&[&good[..1024], blocks, &[0; 1024]].concat())
}

/// A gzip file that unpacks to `first` and then, so many times, to `part`: each time the same few compressed bytes.
fn repeated(first: &[u8], part: &[u8], times: usize) -> Vec<u8> {
    let mut archive = GzBuilder::new().write(Vec::new(), Compression::fast()).finish().unwrap();
    // The head of gzip; the deflated data is put together by hand.
    archive.truncate(10);
    let mut deflate = Compress::new(Compression::best(), false);
    let mut flushed = |bytes: &[u8]| {
        let mut out = Vec::with_capacity(bytes.len() + 1024);
        deflate.compress_vec(bytes, &mut out, FlushCompress::Full).unwrap();
        assert_eq!(deflate.total_in() % 512, 0);
        out
    };
    archive.extend(flushed(first));
    let once = flushed(part);
    for _ in 0..times {
        archive.extend_from_slice(&once);
    }
    archive
}

#[test]
fn bombs_are_refused_before_they_have_gone_off() {
    let mut bed = Bed::start();
    let large = header(b"zeros", |header| header.set_size(1 << 30));
    let bomb = repeated(&large, &vec![0; 1 << 20], 10 * 1024);
    bed.upload_refused("10 GiB of zeros", &bomb, &MAIN, "artifact_invalid");
    let endless = repeated(&header(b"empty", |_| ()), &vec![0; 1 << 20], 10 * 1024);
    bed.upload_refused("10 GiB of zeros behind the end", &endless, &MAIN, "artifact_invalid");
    let entries = repeated(&header(b"first", |_| ()), &header(b"same", |_| ()).repeat(1000), 1000);
    bed.upload_refused("a million entries of one name", &entries, &MAIN, "artifact_invalid");
    bed.upload_refused("gzip in gzip", &gzip(&bomb[..1 << 20]), &MAIN, "artifact_invalid");
    bed.end();
}

#[test]
fn as_many_long_names_as_may_be_take_bounded_memory() {
    let mut bed = Bed::start();
    let mut blocks = Vec::new();
    for number in 0..90_000 {
        blocks.extend(header(format!("{number:05}{}", "n".repeat(90)).as_bytes(), |_| ()));
    }
    bed.upload_taken("90,000 empty files", 64, &with(&blocks), &MAIN);
    bed.end();
}

#[test]
fn a_large_archive_passes_through_in_little_memory() {
    let mut bed = Bed::start();
    // Xorshift: Marsaglia, "Xorshift RNGs", 2003.
    let mut state = 2_463_534_242_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    })
    .take(5_000_000)
    .flatten()
    .collect();
    let archive = main_py().file("noise", noise).gzip();
    assert!(archive.len() > 19_000_000);
    bed.upload_taken("a large archive", 16, &archive, &MAIN);
    bed.end();
}

#[test]
fn archives_that_readers_disagree_on_are_refused() {
    let mut bed = Bed::start();
    let good = main_py().gzip();
    for (what, archive) in [
        ("two gzip members", [&good[..], &good].concat()),
        ("two archives in one gzip member", gzip(&[main_py().plain(), main_py().plain()].concat())),
        ("something behind the end", [&good[..], b"x"].concat()),
        ("nothing", Vec::new()),
        ("an empty gzip member", gzip(b"")),
        ("a negative size", with(&header(b"x", |header| header.as_old_mut().size = [0xff; 12]))),
        ("a size of more than 64 bits", with(&header(b"x", |header| header.as_old_mut().size = [0x80; 12]))),
        ("a size in words", with(&header(b"x", |header| header.as_old_mut().size = *b"not a number"))),
        ("a size beyond the archive", with(&header(b"x", |header| header.set_size(1 << 20)))),
        ("a mode in words", with(&header(b"\x1b[31m", |header| header.as_old_mut().mode = *b"rwx rwx "))),
        ("a name that is not UTF-8", with(&header(b"caf\xe9.py", |_| ()))),
        ("a sparse file", with(&header(b"x", |header| header.set_entry_type(EntryType::GNUSparse)))),
        ("an unknown kind", with(&header(b"x", |header| header.set_entry_type(EntryType::new(b'?'))))),
        ("a socket", with(&header(b"x", |header| header.set_entry_type(EntryType::new(b's'))))),
        ("a path through a link", {
            let archive = main_py().entry(EntryType::Symlink, "a", ".", b"");
            archive.entry(EntryType::Symlink, "a/b", "..", b"").file("a/b/c", "x").gzip()
        }),
        ("a hard link to a link", {
            let archive = main_py().entry(EntryType::Symlink, "a", "main.py", b"");
            archive.entry(EntryType::Link, "b", "a", b"").gzip()
        }),
        ("a long name of 100 KiB", {
            main_py()
                .entry(EntryType::GNULongName, "././@LongLink", "", &vec![b'a'; 100 << 10])
                .file("x", "")
                .gzip()
        }),
        ("an extended header of 1 MiB", {
            main_py().entry(EntryType::XHeader, "x", "", &vec![b'a'; 1 << 20]).file("x", "").gzip()
        }),
        ("a global path", {
            main_py().entry(EntryType::XGlobalHeader, "g", "", b"10 path=a\n\n").file("x", "").gzip()
        }),
        ("a NUL in an extended path", {
            main_py().entry(EntryType::XHeader, "x", "", b"12 path=a\0b\n").file("x", "").gzip()
        }),
    ] {
        bed.upload_refused(what, &archive, &MAIN, "artifact_invalid");
    }
    let mut wrong = main_py().plain();
    wrong[148] ^= 1;
    bed.upload_refused("a wrong checksum", &gzip(&wrong), &MAIN, "artifact_invalid");
    bed.end();
}

#[test]
fn an_archive_cut_at_any_block_is_refused() {
    let mut bed = Bed::start();
    let whole = main_py().entry(EntryType::Directory, "d", "", b"").file("d/x", "x").plain();
    for length in (0..whole.len()).step_by(512) {
        // Two blocks of zeros are an end, and there may be more of them.
        if length < whole.len() - 512 || length == 0 {
            let what = format!("cut after {length} bytes");
            bed.upload_refused(&what, &gzip(&whole[..length]), &MAIN, "artifact_invalid");
        }
    }
    let packed = main_py().gzip();
    for length in [1, 5, 10, packed.len() / 2, packed.len() - 8, packed.len() - 1] {
        let what = format!("cut after {length} packed bytes");
        bed.upload_refused(&what, &packed[..length], &MAIN, "artifact_invalid");
    }
    bed.end();
}

#[test]
fn what_only_looks_bad_is_taken_without_its_rights() {
    let mut bed = Bed::start();
    let all = header(b"all-rights", |header| header.set_mode(0o7777));
    let case = [header(b"Name", |_| ()), header(b"name", |_| ()), header(b"a\\..\\b", |_| ())].concat();
    bed.upload_taken("set-user-id, and names that differ in case", 32, &with(&[all, case].concat()), &MAIN);
    let mut twice = Vec::new();
    write!(twice, "{}", "x".repeat(512)).unwrap();
    let again = header(b"main.py", |header| header.set_size(512));
    bed.upload_taken("the same name twice", 32, &with(&[again, twice].concat()), &MAIN);
    bed.end();
}
