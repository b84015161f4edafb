//! A bucket in memory that fails or takes its time when it is told to.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::*;

/// What can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Head,
    Put,
    Create,
    Part,
    Complete,
    Abort,
}

/// A cheap clone: the same bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Faulty(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    memory: InMemory,
    failing: Mutex<HashMap<Step, usize>>,
    parts: AtomicUsize,
    open: Mutex<HashSet<MultipartId>>,
    pause: Mutex<Duration>,
}

impl Faulty {
    /// The next calls of this step fail.
    pub(super) fn fail(&self, step: Step, times: usize) {
        self.0.failing.lock().unwrap().insert(step, times);
    }

    pub(super) fn slow_down(&self, pause: Duration) {
        *self.0.pause.lock().unwrap() = pause;
    }

    pub(super) fn parts_sent(&self) -> usize {
        self.0.parts.load(Ordering::SeqCst)
    }

    /// Uploads in parts that were neither completed nor given up.
    pub(super) fn half_sent(&self) -> usize {
        self.0.open.lock().unwrap().len()
    }

    async fn step(&self, step: Step) -> Result<()> {
        let pause = *self.0.pause.lock().unwrap();
        tokio::time::sleep(pause).await;
        match self.0.failing.lock().unwrap().get_mut(&step) {
            Some(left) if *left > 0 => {
                *left -= 1;
                let source = "Server returned non-2xx status code: 503 Service Unavailable: <x>".into();
                Err(object_store::Error::Generic { store: "faulty", source })
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.step(Step::Put).await?;
        self.0.memory.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("parts are sent by their ids")
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            self.step(Step::Head).await?;
        }
        self.0.memory.get_opts(at, options).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.memory.get_ranges(at, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.memory.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.memory.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.memory.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for Faulty {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.step(Step::Create).await?;
        let id = self.0.memory.create_multipart(path).await?;
        self.0.open.lock().unwrap().insert(id.clone());
        Ok(id)
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, n: usize, data: PutPayload) -> Result<PartId> {
        self.step(Step::Part).await?;
        self.0.parts.fetch_add(1, Ordering::SeqCst);
        self.0.memory.put_part(path, id, n, data).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        self.step(Step::Complete).await?;
        let done = self.0.memory.complete_multipart(path, id, parts).await?;
        self.0.open.lock().unwrap().remove(id);
        Ok(done)
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.step(Step::Abort).await?;
        self.0.open.lock().unwrap().remove(id);
        self.0.memory.abort_multipart(path, id).await
    }
}
