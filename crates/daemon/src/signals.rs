//! The signals that end a program: SIGTERM and SIGINT.
//!
//! The kernel drops a signal without a handler if it is sent to the first process of a container (`pid_namespaces(7)`). A blocked signal
//! stays pending, there as anywhere. So `main` begins with [`hold`], and no signal from then on is lost, however late the program
//! listens. A signal that arrives before `main`, while the program is being loaded, cannot be caught.
//!
//! Threads inherit the mask, so it has to be set before the first thread starts. Programs started with [`std::process::Command`] begin
//! with an empty mask.

use std::io;
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many signals wait for a program that does not take them. A third one says nothing new.
const MOST_WAITING: usize = 8;
/// What shells add to a signal's number for the exit code.
const SIGNALLED: i32 = 128;

/// SIGTERM and SIGINT are held back.
#[must_use = "what is held back has to be listened to, or let go"]
#[derive(Debug)]
pub struct Held {
    former: Option<SigSet>,
}

/// Holds SIGTERM and SIGINT back until the program listens. This must be the first thing that `main` does.
pub fn hold() -> Held {
    let former = SigSet::thread_get_mask().ok();
    // This fails only for a wrong argument. Then the signals have their default effect.
    let _default = ending().thread_block();
    Held { former }
}

fn ending() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT].into_iter().collect()
}

impl Held {
    /// Begins to hand out the signals. Those that arrived meanwhile come first.
    pub fn listen(self) -> io::Result<Signals> {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        take(move |signal| {
            let _enough = sender.try_send(signal);
        })?;
        Ok(Signals { receiver })
    }

    /// Lets the first signal end the program, as it would by default, but also as the first process of a container.
    pub fn end_program(self) -> io::Result<()> {
        take(|signal| std::process::exit(SIGNALLED + signal as i32))
    }

    /// Gives the signals their default effect again. One that arrived meanwhile takes effect now.
    pub fn let_go(self) {
        if let Some(former) = &self.former {
            let _held = former.thread_set_mask();
        }
    }
}

/// Starts a thread that waits for the signals as long as the process lives.
fn take(each: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    let wait = move || {
        while let Ok(signal) = ending().wait() {
            each(signal);
        }
    };
    thread::Builder::new().name("signals".to_owned()).stack_size(64 * 1024).spawn(wait).map(drop)
}

/// SIGTERM and SIGINT, one after the other.
#[derive(Debug)]
pub struct Signals {
    receiver: mpsc::Receiver<Signal>,
}

impl Signals {
    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        match self.receiver.recv().await {
            Some(signal) => signal,
            // The thread lives as long as the process.
            None => std::future::pending().await,
        }
    }
}

/// Stopping in two steps: first what has begun may end in order, then everything stops at once. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Begin nothing new; what has begun may end within its grace.
    pub stop: CancellationToken,
    /// Stop now.
    pub at_once: CancellationToken,
}

impl Shutdown {
    /// Stops at the first of the signals, and at once at the second.
    pub fn on_signals(mut signals: Signals) -> Self {
        let shutdown = Self::default();
        let steps = shutdown.clone();
        tokio::spawn(async move {
            for step in [steps.stop, steps.at_once] {
                signals.next().await;
                step.cancel();
            }
        });
        shutdown
    }
}
