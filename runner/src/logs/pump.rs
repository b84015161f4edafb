//! Reading a program's two streams into one order.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use minitower_client::wire::runs::Stream;
use nix::fcntl::{FcntlArg, fcntl};
use tokio::net::unix::pipe;

use super::lines::LineCutter;
use super::run_log::RunLog;
use crate::mask::Mask;

/// How much of a stream is read at once.
const READ_BYTES: usize = 64 * 1024;

/// What becomes of the lines that a program writes.
#[derive(Debug, Clone, Default)]
pub(crate) enum Lines {
    /// They are logged.
    #[default]
    Logged,
    /// They are logged without secrets.
    Masked(Mask),
    /// Nobody is interested.
    Dropped,
}

impl Lines {
    /// The lines to log.
    pub(crate) fn filter(&self, lines: Vec<String>) -> Vec<String> {
        match self {
            Self::Logged => lines,
            Self::Masked(mask) => lines.iter().map(|line| mask.apply(line)).collect(),
            Self::Dropped => Vec::new(),
        }
    }
}

impl RunLog {
    /// Reads both streams of a program to their ends; lines of its standard output are logged as `out`,
    /// all of them as `filter` says.
    ///
    /// What was written to standard output before something was written to standard error stands before it: once bytes of
    /// standard error have been read, all of that is waiting in the other pipe, and goes first.
    pub(crate) async fn pump(
        &self,
        out: Stream,
        filter: &Lines,
        stdout: OwnedFd,
        stderr: OwnedFd,
    ) -> io::Result<()> {
        let mut stdout = Source::new(stdout, out, self)?;
        let mut stderr = Source::new(stderr, Stream::Stderr, self)?;
        let (mut bytes, mut held) = (vec![0; READ_BYTES], vec![0; READ_BYTES]);
        while stdout.is_open || stderr.is_open {
            tokio::select! {
                ready = stdout.pipe.readable(), if stdout.is_open => ready?,
                ready = stderr.pipe.readable(), if stderr.is_open => ready?,
            }
            let later = stderr.read(&mut held)?;
            let mut drained = 0;
            // A stream that never ends must not hold up the other one: no more than this can have been waiting.
            while drained < stdout.capacity
                && let Some(read) = stdout.read(&mut bytes)?
            {
                drained += read;
                stdout.log(&bytes[..read], filter, self).await;
            }
            if let Some(read) = later {
                stderr.log(&held[..read], filter, self).await;
            }
        }
        Ok(())
    }
}

/// One of the streams.
struct Source {
    pipe: pipe::Receiver,
    stream: Stream,
    cutter: LineCutter,
    /// Most bytes that can wait in it.
    capacity: usize,
    is_open: bool,
}

impl Source {
    fn new(fd: OwnedFd, stream: Stream, log: &RunLog) -> io::Result<Self> {
        let capacity = fcntl(&fd, FcntlArg::F_GETPIPE_SZ)?;
        Ok(Self {
            pipe: pipe::Receiver::from_owned_fd(fd)?,
            stream,
            cutter: LineCutter::new(log.mask()),
            capacity: usize::try_from(capacity).unwrap_or(READ_BYTES),
            is_open: true,
        })
    }

    /// Reads what waits, without waiting; `None`: nothing does, and `Some(0)` is the end.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.is_open {
            return Ok(None);
        }
        let mut read = self.pipe.try_read(bytes);
        if read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            // The runtime may not have heard yet that there is something, and the order depends on it: the kernel knows.
            read = nix::unistd::read(self.pipe.as_fd(), bytes).map_err(io::Error::from);
        }
        match read {
            Ok(read) => {
                self.is_open = read > 0;
                Ok(Some(read))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Logs bytes that were read; none of them is the end.
    async fn log(&mut self, bytes: &[u8], filter: &Lines, log: &RunLog) {
        let mut lines = Vec::new();
        if bytes.is_empty() {
            self.cutter.finish(&mut lines);
        } else {
            self.cutter.push(bytes, Instant::now(), &mut lines);
        }
        log.append(self.stream, filter.filter(lines)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    async fn texts(log: &RunLog) -> Vec<(Stream, String)> {
        log.finish().await;
        log.take(1000).await.into_iter().map(|line| (line.stream, line.line)).collect()
    }

    #[tokio::test]
    async fn what_waits_on_standard_output_stands_before_standard_error() {
        for _ in 0..50 {
            let folder = tempfile::tempdir().unwrap();
            let log = RunLog::new(folder.path(), None);
            let ((out, mut to_out), (err, mut to_err)) = (io::pipe().unwrap(), io::pipe().unwrap());
            let reader = tokio::spawn({
                let log = log.clone();
                async move { log.pump(Stream::Stdout, &Lines::Logged, out.into(), err.into()).await }
            });
            let writer = std::thread::spawn(move || {
                for number in 0..100 {
                    writeln!(to_out, "out {number}").unwrap();
                    writeln!(to_err, "err {number}").unwrap();
                }
                write!(to_out, "the end").unwrap();
            });
            tokio::task::spawn_blocking(|| writer.join().unwrap()).await.unwrap();
            reader.await.unwrap().unwrap();
            let lines = texts(&log).await;
            assert_eq!(lines.len(), 201);
            let at = |text: String| lines.iter().position(|line| line.1 == text).unwrap();
            for number in 0..100 {
                assert!(at(format!("out {number}")) < at(format!("err {number}")), "{number}");
            }
            assert!(lines.contains(&(Stream::Stdout, "the end".to_owned())));
        }
    }

    #[tokio::test]
    async fn a_stream_that_never_stops_does_not_hold_up_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let log = RunLog::new(folder.path(), None);
        let ((out, mut to_out), (err, mut to_err)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let reader = tokio::spawn({
            let log = log.clone();
            async move { log.pump(Stream::Stdout, &Lines::Logged, out.into(), err.into()).await }
        });
        // Ends when nobody reads it any more.
        std::thread::spawn(move || while writeln!(to_out, "{}", "x".repeat(500)).is_ok() {});
        writeln!(to_err, "heard").unwrap();
        let heard = async {
            while !log.take(100).await.iter().any(|line| line.line == "heard") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), heard).await.unwrap();
        reader.abort();
    }
}
