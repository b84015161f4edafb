//! The schema that the migrations make.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;

use crate::programs::source_root;

/// Runs every file of `migrations/` on an empty database, in order.
pub fn migrate(db: &Connection) {
    let files = fs::read_dir(source_root().join("migrations")).unwrap().map(|file| file.unwrap().path());
    let mut steps: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == "sql")).collect();
    steps.sort();
    assert!(!steps.is_empty(), "the migrations are where they are looked for");
    for step in steps {
        let sql = fs::read_to_string(&step).unwrap();
        db.execute_batch(&sql).unwrap_or_else(|error| panic!("{}: {error}", step.display()));
    }
}

/// The names of all tables.
pub fn tables() -> Vec<String> {
    let db = Connection::open_in_memory().unwrap();
    migrate(&db);
    let mut names = db
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )
        .unwrap();
    names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}
