//! The rules of the source tree: which crate may use which, where SQL and the clock live, how long a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use minitower_tests::programs::source_root;
use minitower_tests::schema;

/// The only edges there may be between our crates: of what ships, and of what proves it.
const EDGES: [(&str, &[&str]); 20] = [
    ("minitower-vocabulary", &[]),
    // What all programs do alike; it knows none of them.
    ("minitower-daemon", &[]),
    ("minitower-towerfile", &[]),
    ("minitower-client", &["minitower-vocabulary"]),
    ("minitower-kernel", &["minitower-vocabulary"]),
    ("minitower-teams", &["minitower-kernel", "minitower-vocabulary"]),
    (
        "minitower-runs",
        &["minitower-kernel", "minitower-teams", "minitower-towerfile", "minitower-vocabulary"],
    ),
    // It follows the runs of others.
    (
        "minitower-notifications",
        &["minitower-kernel", "minitower-runs", "minitower-teams", "minitower-vocabulary"],
    ),
    (
        "minitower-rest",
        &[
            "minitower-kernel",
            "minitower-notifications",
            "minitower-runs",
            "minitower-teams",
            "minitower-vocabulary",
        ],
    ),
    (
        "minitowerd",
        &[
            "minitower-daemon",
            "minitower-kernel",
            "minitower-notifications",
            "minitower-rest",
            "minitower-runs",
            "minitower-teams",
        ],
    ),
    ("minitower-runner", &["minitower-client", "minitower-daemon", "minitower-towerfile"]),
    ("minitower-operator", &["minitower-client", "minitower-daemon"]),
    (
        "minitower-cli",
        &["minitower-client", "minitower-daemon", "minitower-towerfile", "minitowerd", "minitower-runner"],
    ),
    // It stands outside, as any client does.
    ("minitower-benches", &[]),
    ("minitower-rules", &["minitower-vocabulary"]),
    // Nothing that ships depends on the bugs.
    ("minitower-planted", &[]),
    ("minitower-proofs", &[]),
    ("minitower-tests", &["minitower-planted"]),
    ("minitower-test-plane", &["minitower-client", "minitowerd"]),
    ("minitower-fuzz", &[]),
];

/// The subjects of the server: each has `domain/`, `store/`, and the use cases beside them.
const SUBJECTS: [&str; 3] = ["teams", "runs", "notifications"];

/// What the pure crate may never use, directly or not.
const IMPURE: [&str; 7] = ["tokio", "rusqlite", "sqlx", "axum", "hyper", "reqwest", "mio"];

/// The most lines of a file.
const FILE_LINES: usize = 450;

fn workspace() -> Metadata {
    MetadataCommand::new().manifest_path(source_root().join("Cargo.toml")).no_deps().exec().unwrap()
}

#[test]
fn crates_use_each_other_only_along_the_allowed_edges() {
    let metadata = workspace();
    let names: BTreeSet<String> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let allowed: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    for package in &metadata.packages {
        let Some(allowed) = allowed.get(package.name.as_str()) else {
            panic!("{} is a new crate: say in EDGES what it may use", package.name);
        };
        for dependency in &package.dependencies {
            let ours = names.contains(&dependency.name) && dependency.kind == DependencyKind::Normal;
            let may = !ours || allowed.contains(&dependency.name.as_str());
            assert!(may, "{} must not use {}", package.name, dependency.name);
        }
    }
}

#[test]
fn the_rules_compile_by_themselves_and_are_pure() {
    let metadata = workspace();
    let rules = metadata.packages.iter().find(|package| package.name.as_str() == "minitower-rules").unwrap();
    let normal = rules.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
    let mut pending: Vec<String> = normal.map(|dependency| dependency.name.clone()).collect();
    // The lock file knows what those use, without asking a registry for what other platforms would need.
    let lock = fs::read_to_string(source_root().join("Cargo.lock")).unwrap();
    let lock: toml::Table = lock.parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let mut seen = BTreeSet::new();
    while let Some(name) = pending.pop() {
        assert!(!IMPURE.contains(&name.as_str()), "minitower-rules must not use {name}");
        if !seen.insert(name.clone()) {
            continue;
        }
        for package in packages.iter().filter(|package| package["name"].as_str() == Some(&name)) {
            let uses = package.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten();
            let names = uses.filter_map(|one| one.as_str()?.split(' ').next());
            pending.extend(names.map(str::to_owned));
        }
    }
}

/// Whether a file below `src` holds tests alone.
fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

/// What a subject's floor may name. `domain/` knows the vocabulary alone, `store/` its own domain and the kernel's database; the rows of
/// another subject are reached through its face.
#[test]
fn the_floors_of_a_subject_use_only_what_lies_below_them() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(subject) = SUBJECTS.iter().find(|subject| path.starts_with(format!("server/{subject}/src")))
        else {
            continue;
        };
        let code = code(&text);
        let mut refuse = |word: &str| {
            if code.contains(word) {
                wrong.push(format!("{} names {word}", path.display()));
            }
        };
        let floor = path.strip_prefix(format!("server/{subject}/src")).unwrap();
        if is_test(&path) {
            continue;
        }
        if floor.starts_with("domain") {
            for word in [
                "minitower_kernel",
                "crate::store",
                "tokio",
                "async fn",
                "std::fs",
                "std::net",
                "now()",
                "rusqlite",
            ] {
                refuse(word);
            }
            for other in SUBJECTS.iter().filter(|other| *other != subject) {
                refuse(&format!("minitower_{other}"));
            }
        } else if floor.starts_with("store") {
            for word in ["tokio", "async fn", "prometheus", "crate::memory", "crate::leases", "now()"] {
                refuse(word);
            }
        } else {
            refuse("rusqlite");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The tables that each subject owns.
const TABLES: [(&str, &[&str]); 3] = [
    (
        "teams",
        &[
            "teams",
            "team_tokens",
            "registration_tokens",
            "pool_tokens",
            "environments",
            "audit_events",
            "team_limits",
            "team_secrets",
            "team_keys",
            "master_keys",
        ],
    ),
    (
        "runs",
        &[
            "apps",
            "app_versions",
            "runs",
            "run_attempts",
            "run_counts",
            "run_logs",
            "run_labels",
            "run_dependencies",
            "run_inputs",
            "run_log_gaps",
            "run_artifacts",
            "idempotency_keys",
            "runners",
            "runner_fences",
            "team_usage",
            "object_store",
            "log_segments",
            "log_frames",
            "team_retention",
        ],
    ),
    (
        "notifications",
        &["notifications", "notification_counts", "notification_deliveries", "notification_attempts"],
    ),
];

#[test]
fn every_table_of_the_schema_belongs_to_one_subject() {
    let owned: Vec<_> = TABLES.iter().flat_map(|(_, tables)| tables.iter().copied()).collect();
    let page = fs::read_to_string(source_root().join("docs/architecture.md")).unwrap();
    for table in schema::tables() {
        let owners = owned.iter().filter(|name| **name == table).count();
        assert_eq!(owners, 1, "the table {table}: say in TABLES which one subject owns it");
        assert!(
            page.contains(&format!("`{table}`")),
            "the table {table}: name it in docs/architecture.md, at the crate that owns it"
        );
    }
}

#[test]
fn a_subjects_tables_are_named_by_that_subject_alone() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if is_test(&path) {
            continue;
        }
        let code = code(&text);
        for (owner, tables) in TABLES {
            if path.starts_with(format!("server/{owner}/src/store")) {
                continue;
            }
            for table in tables {
                for verb in ["FROM", "JOIN", "INTO", "UPDATE"] {
                    let words = format!("{verb} {table}");
                    let named = code.match_indices(&words).any(|(at, words)| {
                        !code[at + words.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
                    });
                    if named {
                        wrong.push(format!("{} names {table} of {owner}", path.display()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The `.rs` files below the `src` folders of every crate that ships, with their text.
fn sources() -> Vec<(PathBuf, String)> {
    let root = source_root();
    let mut found = Vec::new();
    for place in ["crates", "server", "runner", "cli", "operator"] {
        collect(
            &root.join(place),
            &|path| path.components().any(|part| part.as_os_str() == "src"),
            &mut found,
        );
    }
    assert!(found.len() > 20, "the sources are where they are looked for");
    found
        .into_iter()
        .map(|path| (path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect()
}

fn collect(folder: &Path, wanted: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, wanted, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && wanted(&path) {
            found.push(path);
        }
    }
}

/// The text without comments and without the tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The files that a crate's programs and tests are compiled from, as the `mod` lines tell, beginning with the target's own.
fn reached(file: &Path, root: bool, found: &mut BTreeSet<PathBuf>) {
    if !found.insert(file.to_owned()) {
        return;
    }
    let text = fs::read_to_string(file).unwrap();
    let (folder, stem) = (file.parent().unwrap(), file.file_stem().unwrap());
    let inside = if root || stem == "mod" { folder.to_owned() } else { folder.join(stem) };
    let mut elsewhere = None;
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            elsewhere = Some(folder.join(path).canonicalize().unwrap());
            continue;
        }
        let declared = line.strip_suffix(';').and_then(|line| line.split_once("mod "));
        if let Some((before, name)) = declared
            && (before.is_empty() || before.starts_with("pub"))
        {
            let places = [inside.join(format!("{name}.rs")), inside.join(name).join("mod.rs")];
            let place = elsewhere.take().or_else(|| places.into_iter().find(|place| place.is_file()));
            let place = place.unwrap_or_else(|| panic!("{}: where is {name}?", file.display()));
            reached(&place, false, found);
        } else if !line.starts_with("#[") {
            elsewhere = None;
        }
    }
}

#[test]
fn every_file_is_compiled() {
    let metadata = workspace();
    let (mut compiled, mut there) = (BTreeSet::new(), Vec::new());
    for package in &metadata.packages {
        for target in &package.targets {
            reached(target.src_path.as_std_path(), true, &mut compiled);
        }
        let folder = package.manifest_path.parent().unwrap();
        for place in ["src", "tests", "fuzz_targets"] {
            if folder.join(place).is_dir() {
                collect(folder.join(place).as_std_path(), &|_| true, &mut there);
            }
        }
    }
    assert!(there.len() > 300, "the sources are where they are looked for: {}", there.len());
    let left: Vec<_> = there.iter().filter(|file| !compiled.contains(*file)).collect();
    assert!(left.is_empty(), "no `mod` line leads to these, so nobody compiles them: {left:#?}");
}

#[test]
fn files_stay_short() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|(_, text)| text.lines().count() > FILE_LINES)
        .map(|(path, text)| format!("{}: {} lines", path.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "split these: {long:#?}");
}

#[test]
fn only_the_kernel_and_the_stores_speak_sql() {
    let verbs = ["SELECT ", "INSERT INTO", "INSERT OR", "UPDATE ", "DELETE FROM", "CREATE TABLE", "PRAGMA "];
    for (path, text) in sources() {
        let kernel = path.starts_with("server/kernel/src");
        if kernel || SUBJECTS.iter().any(|subject| path.starts_with(format!("server/{subject}/src/store"))) {
            continue;
        }
        let code = code(&text);
        for verb in verbs {
            assert!(!code.contains(&format!("\"{verb}")), "{} speaks SQL: {verb}", path.display());
        }
        assert!(!code.contains("rusqlite"), "{} uses rusqlite", path.display());
    }
}

#[test]
fn the_wall_clock_is_read_in_few_places() {
    // The server's clock, and programs that talk about their own machine's time: log lines and file ages.
    let readers = ["SystemTime::now", "Timestamp::now", "Zoned::now"];
    for (path, text) in sources() {
        let code = code(&text);
        for reader in readers {
            let reads = code.contains(reader);
            let excused = path.ends_with("server/kernel/src/clock.rs");
            let stated = text.contains("clippy::disallowed_methods") && !path.starts_with("server");
            assert!(!reads || excused || stated, "{} reads the wall clock: {reader}", path.display());
        }
    }
}

#[test]
fn every_crate_and_folder_says_what_lives_there() {
    let silent = |(path, text): &(PathBuf, String)| {
        let entry = ["lib.rs", "main.rs", "mod.rs"].iter().any(|one| path.file_name().unwrap() == *one);
        entry && !text.starts_with("//! ")
    };
    let silent: Vec<PathBuf> = sources().into_iter().filter(silent).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "say in a few lines what lives there: {silent:#?}");
}

#[test]
fn nothing_is_left_to_be_done_in_the_sources() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        for word in ["TODO", "FIXME", "XXX", "unimplemented!(", "todo!("] {
            if text.contains(word) {
                found.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
