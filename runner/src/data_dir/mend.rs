//! Repairs what a job did to the runner's folder: rights that it took away, folders that it moved or replaced.

use std::ffi::CString;
use std::io;
use std::path::Path;
use std::sync::PoisonError;

use super::dir::DataDir;
use super::places::{FILES, Place, open_lock, open_place, restore_file};
use crate::folder::is_same;

impl DataDir {
    /// Restores the rights of the runner's folders and files, and makes a new folder for each one that was replaced. Returns a line for
    /// each change.
    pub(crate) fn mend(&self) -> io::Result<Vec<String>> {
        let mut mended = Vec::new();
        // If we may not change it, it belongs to somebody else, who decides about its mode.
        mended
            .extend(had_mode(&self.base, self.base_folder.restore_mode(self.base_mode).unwrap_or_default()));
        mended.extend(had_mode(&self.root, self.root_folder.restore_mode(0o700)?));
        let ours = self.root_folder.status()?;
        if !self.base_folder.status_of(self.runner_name.as_str())?.is_some_and(|found| is_same(&found, &ours))
        {
            return Err(io::Error::other(
                "the folder was moved or replaced while the runner ran; start the runner again",
            ));
        }
        for name in FILES {
            mended.extend(had_mode(&self.root.join(name), restore_file(&self.root_folder, name)?));
        }
        for place in Place::ALL {
            let (above, path) = match place {
                Place::Temporary => (&self.base_folder, self.base.join(place.name())),
                _ => (&self.root_folder, self.root.join(place.name())),
            };
            let held = self.folder(place);
            mended.extend(had_mode(&path, held.restore_mode(0o700)?));
            let ours = held.status()?;
            let found = above.status_of(place.name())?;
            if found.is_some_and(|found| is_same(&found, &ours)) {
                continue;
            }
            // The temporary folders are shared: another runner may have made their folder anew.
            if !matches!(place, Place::Trash | Place::Temporary) && found.is_some() {
                let name = CString::new(place.name())?;
                drop(self.janitor.discard(above, &name)?);
            }
            let anew = open_place(above, place)?;
            self.places.lock().unwrap_or_else(PoisonError::into_inner)[place as usize] = anew.clone();
            if place == Place::Trash {
                self.janitor.moves_to(anew);
            }
            mended.push(format!("{} was moved or replaced", path.display()));
        }
        self.mend_lock(&mut mended)?;
        Ok(mended)
    }

    /// [`Self::mend`], with the lines in the runner's log.
    pub(crate) fn mend_and_tell(&self) -> io::Result<()> {
        for line in self.mend()? {
            tracing::warn!("a job changed the runner's folder; repaired: {line}");
        }
        Ok(())
    }

    /// Takes the lock anew when its file was removed.
    fn mend_lock(&self, mended: &mut Vec<String>) -> io::Result<()> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = nix::sys::stat::fstat(&*lock)?;
        if self.root_folder.status_of("lock")?.is_some_and(|found| is_same(&found, &ours)) {
            return Ok(());
        }
        let anew = open_lock(&self.root_folder)?;
        anew.try_lock().map_err(|_| io::Error::other("another runner of this name has locked the folder"))?;
        *lock = anew;
        mended.push(format!("{} was removed or replaced", self.root.join("lock").display()));
        Ok(())
    }
}

/// A line about a mode that was restored.
fn had_mode(path: &Path, former: Option<u32>) -> Option<String> {
    former.map(|former| format!("{} had mode {former:04o}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::error::RunnerError;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn rights_come_back_before_the_next_run_and_at_the_next_start() {
        let base = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(base.path(), "r").unwrap();
        data_dir.write("token", "mtr_x").unwrap();
        let root = base.path().join("r");
        let take = || {
            for (name, wrong) in [
                ("work", 0o000),
                ("envs", 0o000),
                ("trash", 0o100),
                ("token", 0o000),
                ("lock", 0o666),
                (".", 0o777),
            ] {
                fs::set_permissions(root.join(name), Permissions::from_mode(wrong)).unwrap();
            }
            fs::set_permissions(base.path().join("t"), Permissions::from_mode(0o1777)).unwrap();
        };
        let are_back = || {
            let folders = ["work", "envs", "trash", "."].map(|name| mode(&root.join(name)));
            let files = ["token", "lock"].map(|name| mode(&root.join(name)));
            (folders, files, mode(&base.path().join("t"))) == ([0o700; 4], [0o600; 2], 0o700)
        };
        assert_eq!(data_dir.mend().unwrap(), Vec::<String>::new());
        take();
        let mended = data_dir.mend().unwrap();
        assert_eq!(mended.len(), 7, "{mended:?}");
        assert!(mended.iter().any(|line| line.ends_with("work had mode 0000")), "{mended:?}");
        assert!(are_back());
        take();
        fs::set_permissions(base.path(), Permissions::from_mode(0o000)).unwrap();
        drop(data_dir);
        let data_dir = DataDir::open(base.path(), "r").unwrap();
        assert!(are_back());
        assert_eq!(data_dir.read("token").unwrap().as_deref(), Some("mtr_x"));
    }

    #[test]
    fn what_was_replaced_is_made_anew() {
        let base = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(base.path(), "r").unwrap();
        let root = base.path().join("r");
        let victim = base.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("file"), "whole").unwrap();
        fs::rename(root.join("work"), root.join("w2")).unwrap();
        std::os::unix::fs::symlink(&victim, root.join("work")).unwrap();
        fs::remove_dir(root.join("spool")).unwrap();
        fs::remove_dir_all(root.join("trash")).unwrap();
        fs::remove_file(root.join("lock")).unwrap();
        let mended = data_dir.mend().unwrap();
        assert_eq!(mended.len(), 4, "{mended:?}");
        for name in ["work", "spool", "trash"] {
            assert!(fs::symlink_metadata(root.join(name)).unwrap().is_dir(), "{name}");
        }
        assert_eq!(fs::read(victim.join("file")).unwrap(), b"whole");
        assert!(matches!(DataDir::open(base.path(), "r"), Err(RunnerError::Locked { .. })));
        assert_eq!(data_dir.mend().unwrap(), Vec::<String>::new());
        data_dir.probe().unwrap();
        fs::rename(&root, base.path().join("elsewhere")).unwrap();
        assert!(data_dir.mend().is_err());
    }
}
