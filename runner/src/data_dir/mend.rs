//! Putting right what a job did to the runner's folder: rights that it took away, folders that it moved or replaced.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::PoisonError;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::{DataDir, FILES, Place};
use crate::folder::{Folder, is_same};

impl DataDir {
    /// Restores the rights of the runner's folders and files, and makes anew what was replaced. Yields a line for each.
    pub(crate) fn mend(&self) -> io::Result<Vec<String>> {
        let mut mended = Vec::new();
        // Whoever may not change it did not need to: somebody else's folder is theirs to rule.
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
            tracing::warn!("a job changed the runner's folder, which is put right: {line}");
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

/// Opens one of the folders. What else has its name, a link or a file, is not ours, and goes out of the way.
pub(super) fn open_place(above: &Folder, place: Place) -> io::Result<Folder> {
    above.claim(place.name())
}

pub(super) fn open_lock(root: &Folder) -> io::Result<File> {
    let flags = OFlag::O_WRONLY
        | OFlag::O_CREAT
        | OFlag::O_APPEND
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_CLOEXEC;
    Ok(openat(root, "lock", flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
}

/// Sets the mode of one of the small files where it is another one. Says which it was then.
pub(super) fn restore_file(root: &Folder, name: &str) -> io::Result<Option<u32>> {
    let Some(found) = root.status_of(name)? else { return Ok(None) };
    let is_file = found.st_mode & nix::libc::S_IFMT == nix::libc::S_IFREG;
    let former = found.st_mode & 0o7777;
    if !is_file || former == 0o600 {
        return Ok(None);
    }
    root.set_mode_of(name, 0o600)?;
    Ok(Some(former))
}
