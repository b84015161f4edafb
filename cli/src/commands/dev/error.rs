//! Why `minitower dev` cannot go on.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use minitower_runner::RunnerError;
use minitowerd::{ListenAddr, StartError};
use tokio::task::JoinError;

use crate::failure::Explained;

/// Why `dev` cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum DevError {
    #[error("cannot listen for signals")]
    NoSignals,
    #[error("cannot use the folder {}", folder.display())]
    Folder {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot tell where to keep the data: HOME is not set")]
    NoHome,
    #[error("{} is the folder of a runner on this machine", path.display())]
    RunnersFolder { path: PathBuf },
    #[error("cannot make a token")]
    Random(#[source] getrandom::Error),
    #[error("cannot listen on {addr}")]
    Listen {
        addr: ListenAddr,
        #[source]
        source: io::Error,
    },
    #[error("cannot start the control plane")]
    ControlPlane {
        folder: PathBuf,
        #[source]
        source: Box<StartError>,
    },
    #[error("the control plane gave no registration token for the runner")]
    NoRegistrationToken,
    #[error("the control plane has ended")]
    ControlPlaneEnded(#[source] minitowerd::Failure),
    #[error("the control plane did not stop cleanly")]
    BadEnd(#[source] minitowerd::Failure),
    #[error("the runner has ended unexpectedly")]
    RunnerGone,
    #[error("the runner has ended")]
    Runner(#[source] RunnerError),
    #[error("the runner has ended")]
    RunnerTask(#[source] JoinError),
}

impl Explained for DevError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Folder { .. } | Self::NoHome | Self::RunnersFolder { .. } => {
                Some("name another folder with --data-dir".into())
            }
            Self::Listen { .. } => Some(
                "choose another address, such as --listen 127.0.0.1:8081, or stop what listens there".into(),
            ),
            Self::ControlPlane { folder, .. } => {
                let folder = folder.display();
                Some(
                    format!(
                        "its files are in {folder}; if another `minitower dev` works there, use that one, or give this \
                         one a folder of its own with --here or --data-dir"
                    )
                    .into(),
                )
            }
            _ => None,
        }
    }
}
