//! What an unpacked project's Towerfile says to the runner.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use minitower_towerfile::towerfile::MAX_BYTES;
use minitower_towerfile::{TOWERFILE, Towerfile};

/// Reads the Towerfile at the root of `source`; `None` when there is none. The text of an error goes into the run's log: a
/// version may have been uploaded with a file that only another release understands.
pub(super) fn read(source: &Path) -> Result<Option<Towerfile>, String> {
    let file = match File::open(source.join(TOWERFILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut text = String::new();
    // One byte more than is allowed, so that the parser says that it is too much.
    file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let (towerfile, _unknown_keys) = Towerfile::parse(&text).map_err(|error| error.to_string())?;
    Ok(Some(towerfile))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_a_towerfile_or_none_or_one_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), Ok(None));
        let path = folder.path().join(TOWERFILE);
        std::fs::write(&path, "[app]\nname = \"hello\"\nscript = \"main.py\"\n").unwrap();
        assert_eq!(read(folder.path()).unwrap().unwrap().name, "hello");
        std::fs::write(&path, "[app").unwrap();
        assert!(read(folder.path()).unwrap_err().contains("TOML"));
    }
}
