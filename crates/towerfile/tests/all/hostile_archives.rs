//! Archives that must be refused, by inspection and unpacking alike, and never write outside the destination.

use std::io::{self, Read, Write};
use std::time::Duration;

use crate::support::{Tar, gz, header, pax_record, refused};
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use minitower_towerfile::path::{LinkFault, PathFault};
use minitower_towerfile::{ArchiveError, Limits, inspect};
use nix::time::{ClockId, clock_gettime};
use rstest::rstest;
use tar::EntryType;

fn refused_by_default(archive: &[u8]) -> ArchiveError {
    refused(archive, &Limits::default())
}

fn project() -> Tar {
    Tar::new().file("Towerfile", b"[app]").file("main.py", b"print(1)")
}

#[rstest]
#[case::empty(Vec::new())]
#[case::one_byte(vec![0x1f])]
#[case::zip(b"PK\x03\x04 and more than enough bytes of it".to_vec())]
#[case::plain_tar(project().tar())]
#[case::gzip_with_unknown_method(vec![0x1f, 0x8b, 7, 0, 0, 0, 0, 0, 0, 3, 0, 0])]
fn what_is_not_gzip(#[case] archive: Vec<u8>) {
    assert!(matches!(refused_by_default(&archive), ArchiveError::NotGzip));
}

#[rstest]
#[case::nothing(gz(b""))]
#[case::text(gz(b"hello"))]
#[case::long_text(gz(&b"hello ".repeat(1000)))]
fn what_is_not_tar(#[case] archive: Vec<u8>) {
    assert!(matches!(refused_by_default(&archive), ArchiveError::NotTar));
}

#[test]
fn cut_at_any_byte() {
    let whole = project().gz();
    assert!(inspect(whole.as_slice(), &Limits::default()).is_ok());
    for length in 0..whole.len() {
        let error = inspect(&whole[..length], &Limits::default()).unwrap_err();
        let expected = if length < 2 {
            matches!(error, ArchiveError::NotGzip)
        } else {
            matches!(error, ArchiveError::Truncated)
        };
        assert!(expected, "cut at {length}: {error}");
    }
}

#[test]
fn cut_inside_the_compression() {
    let whole = project().tar();
    for length in (512..whole.len()).step_by(100) {
        let error = refused_by_default(&gz(&whole[..length]));
        assert!(matches!(error, ArchiveError::Truncated), "cut at {length}: {error}");
    }
}

#[rstest]
#[case::no_end(project().gz_endless())]
#[case::half_an_end(gz(&{ let mut tar = project().tar(); tar.truncate(tar.len() - 512); tar }))]
fn without_end(#[case] archive: Vec<u8>) {
    assert!(matches!(refused_by_default(&archive), ArchiveError::Truncated));
}

#[rstest]
#[case::behind_gzip([project().gz(), b"x".to_vec()].concat())]
#[case::zeros_behind_gzip([project().gz(), vec![0; 10]].concat())]
#[case::second_archive([project().gz(), project().gz()].concat())]
#[case::behind_a_second_member([project().gz(), gz(b""), b"x".to_vec()].concat())]
#[case::behind_the_end(gz(&[project().tar(), project().tar()].concat()))]
#[case::between_the_zeros(gz(&{ let mut tar = project().tar(); let at = tar.len() - 1; tar[at] = 1; tar }))]
#[case::half_a_block(gz(&[project().tar(), b"x".to_vec()].concat()))]
fn followed_by_more(#[case] archive: Vec<u8>) {
    assert!(matches!(refused_by_default(&archive), ArchiveError::TrailingData));
}

#[test]
fn damaged_anywhere() {
    let whole = project().gz();
    // The ten bytes of gzip's header have no checksum. Some flips behind them change nothing: zeros copied from other zeros.
    for at in 10..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            let mut tar = Vec::new();
            let harmless =
                GzDecoder::new(damaged.as_slice()).read_to_end(&mut tar).is_ok() && tar == project().tar();
            let accepted = inspect(damaged.as_slice(), &Limits::default()).is_ok();
            assert_eq!(accepted, harmless, "flipped bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_second_header_with_a_wrong_checksum() {
    let mut tar = project().tar();
    tar[1024] ^= 1;
    assert!(matches!(refused_by_default(&gz(&tar)), ArchiveError::Corrupt(_)));
}

#[rstest]
#[case("/etc/passwd", PathFault::Absolute)]
#[case("//etc/passwd", PathFault::Absolute)]
#[case("../victim", PathFault::Parent)]
#[case("a/../../victim", PathFault::Parent)]
#[case("a/..", PathFault::Parent)]
#[case("./../victim", PathFault::Parent)]
#[case("", PathFault::Empty)]
#[case(".", PathFault::Empty)]
fn bad_paths(#[case] name: &str, #[case] expected: PathFault) {
    for archive in [project().file(name, b"x").gz(), project().symlink(name, "main.py").gz()] {
        let error = refused_by_default(&archive);
        assert!(matches!(&error, ArchiveError::Path { fault, .. } if *fault == expected), "{error}");
    }
}

#[rstest]
#[case::pax(project().pax(&[("path", "../victim")]).file("x", b"x"))]
#[case::gnu(project().entry(EntryType::GNULongName, "././@LongLink", "", b"../victim\0").file("x", b"x"))]
fn bad_paths_in_extensions(#[case] archive: Tar) {
    let error = refused_by_default(&archive.gz());
    assert!(matches!(error, ArchiveError::Path { fault: PathFault::Parent, .. }), "{error}");
}

#[test]
fn a_path_split_over_the_ustar_prefix() {
    let mut header = tar::Header::new_ustar();
    header.as_ustar_mut().unwrap().prefix[..5].copy_from_slice(b"a/../");
    header.as_old_mut().name[..6].copy_from_slice(b"victim");
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    let error = refused_by_default(&project().raw(&header, b"").gz());
    assert!(matches!(error, ArchiveError::Path { fault: PathFault::Parent, .. }), "{error}");
}

#[rstest]
#[case("link", "/etc/passwd", LinkFault::Path(PathFault::Absolute))]
#[case("link", "../victim", LinkFault::LeavesRoot)]
#[case("a/b/link", "../../../victim", LinkFault::LeavesRoot)]
#[case("a/link", "b/../../victim", LinkFault::ParentBehindName)]
#[case("link", "", LinkFault::Path(PathFault::Empty))]
fn links_that_leave(#[case] name: &str, #[case] target: &str, #[case] expected: LinkFault) {
    let error = refused_by_default(&project().symlink(name, target).gz());
    assert!(matches!(&error, ArchiveError::Link { fault, .. } if *fault == expected), "{error}");
    let pax = project().pax(&[("linkpath", target)]).symlink(name, "main.py").gz();
    assert!(matches!(refused_by_default(&pax), ArchiveError::Link { .. }));
}

#[rstest]
#[case::absolute("/etc/passwd")]
#[case::parent("../victim")]
#[case::missing("nothing")]
#[case::itself("link")]
#[case::folder("folder")]
#[case::symlink("symlink")]
#[case::through_a_symlink("symlink/x")]
#[case::root(".")]
fn hard_links_to_what_is_no_file_before(#[case] target: &str) {
    let archive = project().folder("folder").symlink("symlink", "main.py").hard_link("link", target);
    let error = refused_by_default(&archive.file("nothing", b"").gz());
    assert!(matches!(error, ArchiveError::HardLink { .. } | ArchiveError::Link { .. }), "{error}");
}

#[rstest]
#[case::file_through(Tar::new().symlink("a", ".").file("a/x", b"x"))]
#[case::deep_file_through(Tar::new().symlink("a/b", "..").file("a/b/c/d", b"x"))]
#[case::folder_through(Tar::new().symlink("a", ".").folder("a/b"))]
#[case::link_through(Tar::new().symlink("a", ".").symlink("a/b", "c"))]
#[case::through_a_file(Tar::new().file("a", b"").file("a/b", b""))]
#[case::hard_link_through(Tar::new().file("f", b"").symlink("a", ".").hard_link("a/b", "f"))]
fn paths_through_links(#[case] archive: Tar) {
    let error = refused_by_default(&archive.gz());
    assert!(matches!(error, ArchiveError::Through { .. }), "{error}");
}

#[rstest]
#[case::folder_then_file(Tar::new().folder("a").file("a", b""))]
#[case::folder_then_link(Tar::new().file("a/b", b"").symlink("a", "."))]
#[case::file_then_folder(Tar::new().file("a", b"").folder("a"))]
#[case::link_then_folder(Tar::new().symlink("a", ".").folder("a/"))]
fn folders_that_are_something_else_too(#[case] archive: Tar) {
    let error = refused_by_default(&archive.gz());
    assert!(matches!(error, ArchiveError::Conflict { .. }), "{error}");
}

#[rstest]
#[case(EntryType::Char)]
#[case(EntryType::Block)]
#[case(EntryType::Fifo)]
#[case(EntryType::Continuous)]
#[case(EntryType::GNUSparse)]
#[case(EntryType::new(b'D'))]
#[case(EntryType::new(b'V'))]
#[case(EntryType::new(b'?'))]
fn neither_file_folder_nor_link(#[case] kind: EntryType) {
    let error = refused_by_default(&project().entry(kind, "x", "", b"").gz());
    assert!(matches!(error, ArchiveError::Unsupported { .. }), "{error}");
}

#[test]
fn a_sparse_map_in_pax() {
    let archive = project().pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.realsize", "99999999999")]);
    let error = refused_by_default(&archive.file("x", b"").gz());
    assert!(matches!(error, ArchiveError::Unsupported { .. }), "{error}");
}

#[rstest]
#[case::size(Tar::new().pax(&[("size", "1024")]).file("a", b"").file("hidden", b"x"))]
#[case::folder_with_content(Tar::new().entry(EntryType::Directory, "a", "", b"x"))]
#[case::link_with_content(Tar::new().entry(EntryType::Symlink, "a", "b", b"x"))]
#[case::two_pax(Tar::new().pax(&[("path", "a")]).pax(&[("path", "b")]).file("c", b""))]
#[case::two_paths(Tar::new().pax(&[("path", "a"), ("path", "b")]).file("c", b""))]
#[case::long_name_and_pax(Tar::new().entry(EntryType::GNULongName, "x", "", b"a\0").pax(&[("path", "b")]).file("c", b""))]
#[case::nul_in_long_name(Tar::new().entry(EntryType::GNULongName, "x", "", b"a\0b\0").file("c", b""))]
#[case::extension_without_entry(Tar::new().file("a", b"").pax(&[("path", "b")]))]
#[case::global_path(Tar::new().entry(EntryType::XGlobalHeader, "g", "", pax_record("path", "a").as_bytes()).file("c", b""))]
fn what_readers_disagree_on(#[case] archive: Tar) {
    let error = refused_by_default(&archive.gz());
    assert!(matches!(error, ArchiveError::Corrupt(_)), "{error}");
}

#[test]
fn a_nul_byte_in_a_pax_path() {
    let error = refused_by_default(&project().pax(&[("path", "a\0b")]).file("x", b"").gz());
    assert!(matches!(error, ArchiveError::Path { fault: PathFault::Nul, .. }), "{error}");
}

#[test]
fn a_file_with_a_folders_name() {
    let error = refused_by_default(&project().file("a/", b"").gz());
    assert!(matches!(error, ArchiveError::Unsupported { .. }), "{error}");
}

#[rstest]
#[case::name(project().file(b"caf\xe9.py", b""))]
#[case::target(project().entry(EntryType::GNULongLink, "x", "", b"\xff\0").symlink("l", "t"))]
fn names_that_are_not_utf8(#[case] archive: Tar) {
    let error = refused_by_default(&archive.gz());
    assert!(matches!(error, ArchiveError::NotUtf8 { .. }), "{error}");
}

#[rstest]
#[case::negative([0xff; 12])]
#[case::more_than_64_bits([0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])]
#[case::words(*b"not a number")]
#[case::blank([0; 12])]
fn sizes_that_are_no_numbers(#[case] size: [u8; 12]) {
    let mut header = header(EntryType::Regular, b"x", b"", 0);
    header.as_old_mut().size = size;
    header.set_cksum();
    let error = refused_by_default(&project().raw(&header, b"").gz());
    assert!(matches!(error, ArchiveError::Corrupt(_)), "{error}");
}

#[test]
fn a_size_that_overflows() {
    let mut header = header(EntryType::Regular, b"x", b"", 0);
    header.as_old_mut().size = [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    header.set_cksum();
    let error = refused_by_default(&project().raw(&header, b"").gz());
    assert!(matches!(error, ArchiveError::TooLarge { .. }), "{error}");
}

#[rstest]
#[case::gnu(Tar::new().entry(EntryType::GNULongName, "././@LongLink", "", &vec![b'a'; 100_000]).file("x", b""))]
#[case::pax(Tar::new().pax(&[("path", &"a/b".repeat(5000))]).file("x", b""))]
fn long_names(#[case] archive: Tar) {
    let error = refused_by_default(&archive.gz());
    assert!(matches!(error, ArchiveError::Path { fault: PathFault::TooLong, .. }), "{error}");
    assert!(error.to_string().len() < 400, "{error}");
}

#[test]
fn a_long_component() {
    let error = refused_by_default(&Tar::new().pax(&[("path", &"a".repeat(256))]).file("x", b"").gz());
    assert!(matches!(error, ArchiveError::Path { fault: PathFault::ComponentTooLong, .. }), "{error}");
}

#[test]
fn a_pax_header_bomb() {
    let archive = Tar::new().pax(&[("comment", &"a".repeat(300 << 10))]).file("x", b"").gz();
    assert!(matches!(refused_by_default(&archive), ArchiveError::ExtensionTooLarge { .. }));
}

#[test]
fn more_bytes_than_allowed() {
    let limits = Limits { total_bytes: 4096, ..Limits::default() };
    let error = refused(&project().file("x", &[0; 4096]).gz(), &limits);
    assert!(matches!(error, ArchiveError::TooLarge { limit: 4096 }), "{error}");
    let error = refused(&gz(&[project().tar(), vec![0; 4096]].concat()), &limits);
    assert!(matches!(error, ArchiveError::TooLarge { limit: 4096 }), "{error}");
}

#[test]
fn entries_and_folders_over_the_limit() {
    let limits = Limits { entries: 20, ..Limits::default() };
    let same = (0..21).fold(Tar::new(), |archive, _| archive.file("a", b""));
    let deep = Tar::new().file("a/".repeat(21) + "b", b"");
    let global = (0..21).fold(Tar::new(), |archive, _| archive.entry(EntryType::XGlobalHeader, "g", "", b""));
    for archive in [same, deep, global] {
        let error = refused(&archive.gz(), &limits);
        assert!(matches!(error, ArchiveError::TooManyEntries { limit: 20 }), "{error}");
    }
}

/// What a million entries, or gigabytes of zeros, may cost at most of a processor's time, also in a debug build.
const SOON: Duration = Duration::from_secs(20);

/// The processor's time that this thread has had: what others do on the machine does not count.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

#[test]
fn a_million_entries_end_soon() {
    let began = cpu_time();
    let mut archive = GzEncoder::new(Vec::new(), Compression::fast());
    for number in 0..1_000_000_u32 {
        let mut header = header(EntryType::Regular, format!("{number:07}").as_bytes(), b"", 0);
        header.set_cksum();
        archive.write_all(header.as_bytes()).unwrap();
    }
    let archive = archive.finish().unwrap();
    let error = inspect(archive.as_slice(), &Limits::default()).unwrap_err();
    assert!(matches!(error, ArchiveError::TooManyEntries { .. }), "{error}");
    assert!(cpu_time() < began + SOON);
}

#[test]
fn a_bomb_stops_at_the_ratio() {
    let began = cpu_time();
    let mut header = header(EntryType::Regular, b"bomb", b"", 1 << 30);
    header.set_cksum();
    let tar = io::Cursor::new(header.as_bytes().to_vec()).chain(io::repeat(0).take(1 << 28));
    let mut archive = Vec::new();
    flate2::read::GzEncoder::new(tar, Compression::fast()).read_to_end(&mut archive).unwrap();
    let error = refused_by_default(&archive);
    assert!(matches!(error, ArchiveError::Ratio { .. }), "{error}");
    assert!(cpu_time() < began + SOON);
}

#[rstest]
#[case::second(project().file("./Towerfile", b""), |error: &ArchiveError| matches!(error, ArchiveError::SecondTowerfile))]
#[case::link(Tar::new().symlink("Towerfile", "x"), |error: &ArchiveError| matches!(error, ArchiveError::TowerfileNotAFile))]
#[case::folder(Tar::new().folder("Towerfile"), |error: &ArchiveError| matches!(error, ArchiveError::TowerfileNotAFile))]
#[case::large(Tar::new().file("Towerfile", &vec![b' '; (256 << 10) + 1]), |error: &ArchiveError| matches!(error, ArchiveError::TowerfileTooLarge { .. }))]
#[case::latin1(Tar::new().file("Towerfile", b"\xe9"), |error: &ArchiveError| matches!(error, ArchiveError::TowerfileNotUtf8))]
fn bad_towerfiles(#[case] archive: Tar, #[case] expected: fn(&ArchiveError) -> bool) {
    let error = inspect(archive.gz().as_slice(), &Limits::default()).unwrap_err();
    assert!(expected(&error) && error.is_towerfile(), "{error}");
}

/// Hands out `good` bytes, then fails.
struct Failing(io::Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the disk is gone")),
            read => Ok(read),
        }
    }
}

#[test]
fn a_failing_source_is_not_blamed_on_the_archive() {
    let whole = project().gz();
    for length in [0, 1, 5, 20, whole.len() - 4, whole.len()] {
        let error =
            inspect(Failing(io::Cursor::new(whole[..length].to_vec())), &Limits::default()).unwrap_err();
        assert!(matches!(error, ArchiveError::Read(_)) && error.is_io(), "after {length}: {error}");
    }
}
