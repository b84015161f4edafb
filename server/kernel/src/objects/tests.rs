use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::memory::InMemory;
use rstest::rstest;

use super::location::Client;
use super::*;

mod faulty;

use faulty::{Faulty, Step};

async fn received(objects: &Objects, bytes: &[u8]) -> Received {
    let mut upload = objects.begin(1, 100 << 20).await.unwrap();
    upload.write(bytes).await.unwrap();
    upload.finish().await.unwrap()
}

fn folder(dir: &tempfile::TempDir) -> Objects {
    Objects::open(dir.path(), None).unwrap()
}

/// Objects in a bucket that fails when it is told to.
fn remote(dir: &tempfile::TempDir, bucket: &Faulty) -> Objects {
    let client = Client::of(bucket.clone(), "p/q".into());
    let bucket = Bucket::open(client, dir.path()).unwrap();
    let objects = Objects::over(Folder::open(dir.path()).unwrap(), Some(bucket));
    *objects.whose.lock().unwrap() = Some(Claim::Ours);
    objects
}

async fn all(objects: &Objects) -> Vec<String> {
    let (mut walk, mut names) = (objects.walk().await.unwrap(), Vec::new());
    loop {
        let found = walk.next(2).await.unwrap();
        if found.is_empty() {
            names.sort();
            return names;
        }
        names.extend(found.into_iter().map(|found| found.sha256));
    }
}

async fn text(content: Content, part: std::ops::Range<u64>) -> Vec<u8> {
    let pieces: Vec<Bytes> = content.part(part).await.unwrap().try_collect().await.unwrap();
    pieces.concat()
}

fn files(dir: &tempfile::TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(dir.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn an_upload_does_not_wait_for_one_of_other_bytes_and_does_for_one_of_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Arc::new(folder(&dir));
    let first = objects.keep(received(&objects, b"one").await).await.unwrap();
    let other = objects.keep(received(&objects, b"two").await).await.unwrap();
    assert!(first.fresh && other.fresh);
    let (same, keeper) = (received(&objects, b"one").await, Arc::clone(&objects));
    let mut second = Box::pin(async move { keeper.keep(same).await });
    let waits = tokio::time::timeout(Duration::from_millis(50), &mut second).await;
    assert!(waits.is_err(), "it waits for the first");
    drop(first);
    assert!(!second.await.unwrap().fresh);
}

#[rstest]
#[case::folder(false)]
#[case::bucket(true)]
#[tokio::test]
async fn an_object_goes_only_when_no_row_names_it(#[case] in_bucket: bool) {
    let dir = tempfile::tempdir().unwrap();
    let objects = if in_bucket { remote(&dir, &Faulty::default()) } else { folder(&dir) };
    let received = received(&objects, b"one").await;
    let sha256 = received.sha256.clone();
    drop(objects.keep(received).await.unwrap());
    assert_eq!(objects.lacks(vec!["0".repeat(64), sha256.clone()]).await.unwrap(), ["0".repeat(64)]);
    for (used, left) in [(true, 1), (false, 0)] {
        let removed = objects.remove_unless(&sha256, async { Ok::<_, ObjectError>(used) }).await.unwrap();
        assert_eq!((removed, all(&objects).await.len()), (!used, left));
    }
    assert!(matches!(objects.read(&sha256, 3).await, Err(ObjectError::Missing { .. })));
}

#[rstest]
#[case::folder(false)]
#[case::bucket(true)]
#[tokio::test]
async fn a_part_of_an_object_is_read(#[case] in_bucket: bool) {
    let dir = tempfile::tempdir().unwrap();
    let objects = if in_bucket { remote(&dir, &Faulty::default()) } else { folder(&dir) };
    let received = received(&objects, b"0123456789").await;
    let sha256 = received.sha256.clone();
    drop(objects.keep(received).await.unwrap());
    for (part, expected) in [(0..10, "0123456789"), (3..5, "34"), (9..10, "9"), (4..4, "")] {
        let content = objects.read(&sha256, 10).await.unwrap();
        assert_eq!(content.bytes(), 10);
        assert_eq!(text(content, part).await, expected.as_bytes());
    }
}

#[rstest]
#[case::folder(false)]
#[case::bucket(true)]
#[tokio::test]
async fn what_is_too_long_or_cut_short_is_told_and_leaves_nothing(#[case] in_bucket: bool) {
    let dir = tempfile::tempdir().unwrap();
    let objects = if in_bucket { remote(&dir, &Faulty::default()) } else { folder(&dir) };
    let mut upload = objects.begin(1, 2).await.unwrap();
    assert!(matches!(upload.write(b"123").await, Err(ObjectError::TooLong { limit: 2 })));
    drop(upload);
    assert_eq!(files(&dir), [""; 0]);
    let received = received(&objects, b"12").await;
    let sha256 = received.sha256.clone();
    drop(objects.keep(received).await.unwrap());
    let read = objects.read(&sha256, 3).await;
    assert!(matches!(read, Err(ObjectError::Damaged { found: 2, expected: 3, .. })));
}

#[tokio::test]
async fn a_long_object_goes_in_parts_and_is_read_whole() {
    let (dir, bucket) = (tempfile::tempdir().unwrap(), Faulty::default());
    let objects = remote(&dir, &bucket);
    let long: Vec<u8> = (0..20_000_000_u32).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    let received = received(&objects, &long).await;
    let (sha256, bytes) = (received.sha256.clone(), received.bytes);
    assert!(objects.keep(received).await.unwrap().fresh);
    assert_eq!(bucket.parts_sent(), 3);
    assert!(text(objects.read(&sha256, bytes).await.unwrap(), 0..bytes).await == long);
    assert_eq!(files(&dir), [""; 0], "neither the upload nor its note is left");
}

/// However a step fails, nothing is kept, nothing is left in the folder, no upload is left half sent, and the next try succeeds.
#[rstest]
#[case::looking(Step::Head, 3)]
#[case::one_piece(Step::Put, 3)]
#[case::beginning(Step::Create, 9_000_000)]
#[case::a_part(Step::Part, 9_000_000)]
#[case::completing(Step::Complete, 9_000_000)]
#[tokio::test]
async fn a_failed_step_leaves_nothing(#[case] step: Step, #[case] bytes: usize) {
    let (dir, bucket) = (tempfile::tempdir().unwrap(), Faulty::default());
    let objects = remote(&dir, &bucket);
    let content = vec![7; bytes];
    bucket.fail(step, 1);
    let failed = objects.keep(received(&objects, &content).await).await.unwrap_err();
    assert!(matches!(failed, ObjectError::Bucket { .. }), "{failed}");
    assert!(objects.trouble().is_some(), "it is told");
    assert!(objects.begin(1, 10).await.is_err(), "nothing is begun while it is in trouble");
    assert_eq!(files(&dir), [""; 0]);
    assert_eq!((bucket.half_sent(), all(&objects).await.len()), (0, 0));
    objects.claim("me").await.unwrap();
    assert_eq!(objects.trouble(), None, "it answers again");
    assert!(objects.keep(received(&objects, &content).await).await.unwrap().fresh);
}

#[tokio::test]
async fn what_could_not_be_given_up_is_given_up_later_or_by_the_next_process() {
    let (dir, bucket) = (tempfile::tempdir().unwrap(), Faulty::default());
    let objects = remote(&dir, &bucket);
    bucket.fail(Step::Part, 1);
    bucket.fail(Step::Abort, 1);
    objects.keep(received(&objects, &vec![7; 9_000_000]).await).await.unwrap_err();
    assert_eq!((bucket.half_sent(), files(&dir).len()), (1, 1));
    drop(objects);
    // As after a crash: a new process, the same folder.
    let objects = remote(&dir, &bucket);
    objects.give_up_left().await;
    assert_eq!((bucket.half_sent(), files(&dir)), (0, Vec::new()));
}

#[tokio::test]
async fn a_bucket_belongs_to_one_control_plane() {
    let (dir, bucket) = (tempfile::tempdir().unwrap(), Faulty::default());
    let (first, second) = (remote(&dir, &bucket), remote(&dir, &bucket));
    *first.whose.lock().unwrap() = None;
    assert!(first.begin(1, 1).await.is_err(), "nobody knows yet whose it is");
    assert_eq!(first.claim("first").await.unwrap(), Claim::Ours);
    assert_eq!(second.claim("second").await.unwrap(), Claim::Foreign);
    assert!(second.begin(1, 1).await.is_err(), "nothing is stored where another would remove it");
    assert_eq!(first.claim("first").await.unwrap(), Claim::Ours);
    assert_eq!(all(&first).await, [""; 0], "the owner's name is no object");
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_an_object_that_is_whole() {
    let (dir, bucket) = (tempfile::tempdir().unwrap(), Faulty::default());
    let objects = remote(&dir, &bucket);
    bucket.slow_down(Duration::from_millis(50));
    let received = received(&objects, &vec![7; 9_000_000]).await;
    let sha256 = received.sha256.clone();
    let gone = tokio::time::timeout(Duration::from_millis(80), objects.keep(received)).await;
    assert!(gone.is_err());
    // The object can be removed as soon as it is there.
    let removed = objects.remove_unless(&sha256, async { Ok::<_, ObjectError>(false) }).await.unwrap();
    assert!(removed);
    assert_eq!((bucket.half_sent(), all(&objects).await.len(), files(&dir)), (0, 0, Vec::new()));
}
