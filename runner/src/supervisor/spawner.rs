//! The thread that starts supervisors.
//!
//! "Kill me when my parent dies" (`PR_SET_PDEATHSIG`) means the *thread* that started the process, and a runtime ends threads that it
//! does not need. This one lives as long as the program.

use std::io;
use std::sync::OnceLock;
use std::sync::mpsc;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::strays;

type Work = Box<dyn FnOnce() + Send>;

static THREAD: OnceLock<mpsc::Sender<Work>> = OnceLock::new();

/// Starts a supervisor, to be known by [`strays`] as no stray.
pub(super) async fn spawn(mut command: Command) -> io::Result<Child> {
    let runtime = Handle::current();
    let (done, started) = oneshot::channel();
    let work: Work = Box::new(move || {
        let _inside = runtime.enter();
        let child = strays::know(|| command.spawn());
        let _nobody_waits = done.send(child);
    });
    thread()?.send(work).map_err(|_| gone())?;
    started.await.map_err(|_| gone())?
}

fn gone() -> io::Error {
    io::Error::other("the thread that starts supervisors has ended")
}

fn thread() -> io::Result<&'static mpsc::Sender<Work>> {
    if let Some(sender) = THREAD.get() {
        return Ok(sender);
    }
    let (sender, work) = mpsc::channel::<Work>();
    std::thread::Builder::new().name("supervisors".to_owned()).stack_size(256 * 1024).spawn(move || {
        for work in work {
            work();
        }
    })?;
    // Of two at the same moment one is of no use, and ends with its sender.
    Ok(THREAD.get_or_init(|| sender))
}
