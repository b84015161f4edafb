//! The folder of one attempt: everything a job may write.
//!
//! The runner's own files are written before foreign code runs. What is read after that is opened through the methods
//! here: below folders that are held open, and never through a link that leads out of them. Paths are for the job.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use tokio::sync::oneshot;

use crate::data_dir::{DataDir, Place};
use crate::folder::Folder;
use crate::janitor::Outcome;

/// The run's input.
const INPUT: &str = "input.json";
/// The run's output.
const OUTPUT: &str = "output.json";
/// What the run leaves for its readers.
const ARTIFACTS: &str = "artifacts";

/// One attempt's folder.
#[derive(Debug)]
pub(crate) struct Workspace {
    data_dir: Arc<DataDir>,
    name: CString,
    root: PathBuf,
    temporary_name: CString,
    temporary: PathBuf,
    folder: Folder,
    source: Folder,
}

impl Workspace {
    /// Makes the folder, empty.
    pub(crate) fn create(data_dir: &Arc<DataDir>, attempt_id: i64) -> io::Result<Self> {
        let attempt = attempt_id.to_string();
        let name = CString::new(attempt.as_str())?;
        let (temporary_name, temporary) = data_dir.temporary(&attempt);
        make_anew(data_dir, Place::Temporary, &temporary_name)?;
        let folder = make_anew(data_dir, Place::Work, &name)?;
        let source = folder.make("source")?;
        folder.make("home")?;
        folder.make(ARTIFACTS)?;
        Ok(Self {
            root: data_dir.work().join(attempt),
            data_dir: Arc::clone(data_dir),
            name,
            temporary_name,
            temporary,
            folder,
            source,
        })
    }

    /// All of it but [`Self::temporary`].
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The unpacked archive; where the job starts.
    pub(crate) fn source(&self) -> PathBuf {
        self.root.join("source")
    }

    /// The job's home folder.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The job's folder for temporary files: outside of the workspace, where its path is short enough for sockets.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.temporary.clone()
    }

    /// The run's own Python environment.
    pub(crate) fn venv(&self) -> PathBuf {
        self.root.join("venv")
    }

    /// The run's input as JSON.
    pub(crate) fn input(&self) -> PathBuf {
        self.root.join(INPUT)
    }

    /// Where the job may write its output.
    pub(crate) fn output(&self) -> PathBuf {
        self.root.join(OUTPUT)
    }

    /// A new file for the archive. It has no name, so that nobody else can open it, and goes when it is closed.
    pub(crate) fn new_archive(&self) -> io::Result<File> {
        let work = self.data_dir.folder(Place::Work);
        let name = format!("{}.archive", self.name.to_string_lossy());
        work.remove_file(&name)?;
        let file = work.create_new(name.as_str())?;
        work.remove_file(&name)?;
        Ok(file)
    }

    /// Writes the run's input. To be called before foreign code runs.
    pub(crate) fn write_input(&self, json: &str) -> io::Result<()> {
        self.write_new(INPUT, json.as_bytes())
    }

    /// Writes a file of the runner's own into the workspace; whatever has its name already is an error.
    pub(crate) fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.folder.write_new(name, bytes).map(drop)
    }

    /// The folder of the unpacked archive, held open.
    pub(crate) fn source_folder(&self) -> &Folder {
        &self.source
    }

    /// Opens a plain file of the unpacked archive for reading, whatever has become of it meanwhile: links are followed as long as
    /// they stay inside.
    #[allow(dead_code, reason = "what reads the project's files after an installer ran")]
    pub(crate) fn open_source_beneath(&self, path: &Path) -> io::Result<File> {
        self.source.open_beneath(path)
    }

    /// Opens the folder of what the job left to its readers; a link in its place is not followed.
    pub(crate) fn open_artifacts(&self) -> io::Result<Folder> {
        self.folder.enter(ARTIFACTS)
    }

    /// Where the job may leave files for its readers.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.root.join(ARTIFACTS)
    }

    /// Opens what the job wrote as its output; `None` when it wrote none. Anything but a plain file is refused.
    pub(crate) fn open_output(&self) -> io::Result<Option<File>> {
        match self.folder.open_file(OUTPUT) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
                Err(io::Error::new(ErrorKind::InvalidInput, "it is a link and not a plain file"))
            }
            Err(error) => Err(error),
        }
    }

    /// Throws the folders away: they are out of the way when this returns, and removed in the background.
    pub(crate) fn remove(&self) -> io::Result<oneshot::Receiver<Outcome>> {
        match self.discard() {
            // The job may have taken away the rights to the folders around it.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                self.data_dir.mend_and_tell()?;
                self.discard()
            }
            discarded => discarded,
        }
    }

    fn discard(&self) -> io::Result<oneshot::Receiver<Outcome>> {
        let temporary = self.data_dir.discard(Place::Temporary, &self.temporary_name);
        let root = self.data_dir.discard(Place::Work, &self.name);
        match temporary {
            // It went first, as the name of the other tells a later process where it is.
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => root,
        }
    }
}

/// Makes a folder; what has its name is thrown away.
fn make_anew(data_dir: &DataDir, place: Place, name: &CString) -> io::Result<Folder> {
    let parent = data_dir.folder(place);
    match parent.make(name.as_c_str()) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            drop(data_dir.discard(place, name)?);
            parent.make(name.as_c_str())
        }
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    fn workspace(base: &Path) -> Workspace {
        Workspace::create(&Arc::new(DataDir::open(base, "r").unwrap()), 7).unwrap()
    }

    #[test]
    fn it_begins_empty_whatever_has_its_names() {
        let base = tempfile::tempdir().unwrap();
        let data_dir = Arc::new(DataDir::open(base.path(), "r").unwrap());
        let victim = base.path().join("victim");
        fs::create_dir(&victim).unwrap();
        symlink(&victim, data_dir.work().join("7")).unwrap();
        let (_, temporary) = data_dir.temporary("7");
        fs::create_dir_all(temporary.join("old")).unwrap();
        let workspace = Workspace::create(&data_dir, 7).unwrap();
        for folder in [workspace.source(), workspace.home(), workspace.temporary(), workspace.artifacts()] {
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "{}", folder.display());
        }
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
        let again = Workspace::create(&data_dir, 7).unwrap();
        drop(again.remove().unwrap());
        assert!(!workspace.root().exists() && !workspace.temporary().exists());
    }

    #[test]
    fn its_own_files_are_written_once_and_through_no_link() {
        let base = tempfile::tempdir().unwrap();
        let workspace = workspace(base.path());
        workspace.write_input("{}").unwrap();
        assert_eq!(fs::read(workspace.input()).unwrap(), b"{}");
        assert!(workspace.write_input("{}").is_err());
        symlink(base.path().join("victim"), workspace.root().join("planted")).unwrap();
        assert!(workspace.write_new("planted", b"x").is_err());
        assert!(!base.path().join("victim").exists());
        drop(workspace.new_archive().unwrap());
        drop(workspace.new_archive().unwrap());
        assert_eq!(
            fs::read_dir(workspace.root().parent().unwrap()).unwrap().count(),
            1,
            "the archive has no name"
        );
    }

    #[test]
    fn what_a_job_left_is_read_where_it_was_left_or_not_at_all() {
        let base = tempfile::tempdir().unwrap();
        let secret = base.path().join("secret");
        fs::write(&secret, "no").unwrap();
        let workspace = workspace(base.path());
        assert!(workspace.open_output().unwrap().is_none());
        symlink(&secret, workspace.output()).unwrap();
        assert!(workspace.open_output().unwrap_err().to_string().contains("a link"));
        fs::write(workspace.artifacts().join("report"), "yes").unwrap();
        let mut text = String::new();
        let folder = workspace.open_artifacts().unwrap();
        folder.open_beneath(Path::new("report")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "yes");
        // Made anew by the job, it counts; replaced by a link, it does not.
        fs::remove_dir_all(workspace.artifacts()).unwrap();
        fs::create_dir(workspace.artifacts()).unwrap();
        assert!(workspace.open_artifacts().unwrap().open_beneath(Path::new("report")).is_err());
        fs::remove_dir(workspace.artifacts()).unwrap();
        symlink(base.path(), workspace.artifacts()).unwrap();
        assert!(workspace.open_artifacts().is_err());
        symlink(&secret, workspace.source().join("requirements.txt")).unwrap();
        assert!(workspace.open_source_beneath(Path::new("requirements.txt")).is_err());
    }

    #[test]
    fn it_goes_although_the_folders_around_it_were_closed() {
        let base = tempfile::tempdir().unwrap();
        let workspace = workspace(base.path());
        let root = base.path().join("r");
        for folder in [&root.join("work"), &root.join("trash"), &base.path().join("t"), &root] {
            fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        }
        drop(workspace.remove().unwrap());
        workspace.data_dir.mend().unwrap();
        assert!(!workspace.root().exists() && !workspace.temporary().exists());
    }

    #[test]
    fn paths_of_temporary_files_leave_room_for_sockets() {
        let base = tempfile::tempdir().unwrap();
        let pod = "a-runner-pool-of-a-team-with-a-long-name-7c9d8f6b5d-x2x4z";
        let workspace =
            Workspace::create(&Arc::new(DataDir::open(base.path(), pod).unwrap()), i64::MAX).unwrap();
        let longer =
            workspace.temporary().as_os_str().len() - base.path().canonicalize().unwrap().as_os_str().len();
        assert_eq!(longer, "/t/01234567".len());
    }
}
