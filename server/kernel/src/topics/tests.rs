use tokio::time::timeout;

use super::*;

const FOREVER: Duration = Duration::from_secs(3600);

fn topics(linger: Duration) -> Topics<i64, u64> {
    Topics::new(Keep { bytes: 100, linger, idle: 2 })
}

/// What a listener hears at once.
async fn hears(listener: &mut Listener<i64, u64>) -> Option<Vec<u64>> {
    match timeout(Duration::from_millis(100), listener.hear()).await {
        Ok(Heard::Pieces(pieces)) => Some(pieces.iter().map(|piece| piece.value).collect()),
        Ok(Heard::Missed) => None,
        Err(_) => Some(vec![]),
    }
}

#[tokio::test]
async fn each_listener_hears_what_is_told_from_its_beginning_on() {
    let topics = topics(Duration::ZERO);
    topics.tell(&1, 1, || panic!("nobody listens"));
    let mut first = topics.listen(1);
    topics.tell(&1, 1, || 10);
    topics.tell(&2, 1, || panic!("nobody listens to this one"));
    let mut second = topics.listen(1);
    topics.tell(&1, 1, || 11);
    assert_eq!(hears(&mut first).await, Some(vec![10, 11]));
    assert_eq!(hears(&mut second).await, Some(vec![11]));
    assert_eq!(hears(&mut second).await, Some(vec![]));
    drop(first);
    assert!(topics.is_wanted(&1));
    drop(second);
    assert!(!topics.is_wanted(&1), "it is gone with its last listener");
}

#[tokio::test]
async fn a_listener_that_falls_behind_is_told_so_and_hears_what_comes_then() {
    let topics = topics(Duration::ZERO);
    let mut slow = topics.listen(1);
    for n in 0..11 {
        topics.tell(&1, 10, || n);
    }
    assert_eq!(hears(&mut slow).await, None);
    topics.tell(&1, 10, || 11);
    assert_eq!(hears(&mut slow).await, Some(vec![11]));
    topics.tell(&1, 101, || panic!("larger than the ring"));
    assert_eq!(hears(&mut slow).await, None);
    topics.missed();
    assert_eq!(hears(&mut slow).await, None);
    topics.tell(&1, 100, || 12);
    assert_eq!(hears(&mut slow).await, Some(vec![12]));
    let ring = slow.topic.lock();
    assert_eq!((ring.pieces.len(), ring.bytes), (1, 100));
}

#[tokio::test]
async fn who_comes_back_in_time_misses_nothing() {
    let topics = topics(FOREVER);
    let mut listener = topics.listen(1);
    let start = listener.place();
    topics.tell(&1, 10, || 1);
    assert_eq!(hears(&mut listener).await, Some(vec![1]));
    let place = listener.place();
    drop(listener);
    topics.tell(&1, 10, || 2);
    let mut back = topics.listen(1);
    assert_eq!(hears(&mut back).await, Some(vec![]));
    assert!(back.go_back(place));
    assert_eq!(hears(&mut back).await, Some(vec![2]));
    assert!(back.go_back(start));
    assert_eq!(hears(&mut back).await, Some(vec![1, 2]));
    for n in 0..10 {
        topics.tell(&1, 10, || n);
    }
    let now = back.place();
    assert!(!back.go_back(place), "it has left the ring");
    assert!(!back.go_back(Place { number: 100, ..now }), "it has not come yet");
    assert!(!back.go_back(Place { epoch: !now.epoch, ..now }), "another process told it");
    assert!(!back.go_back(Place { number: u64::MAX, ..now }));
    assert_eq!(back.place(), now);
}

#[tokio::test]
async fn topics_without_listeners_are_bounded_in_number_and_in_time() {
    let topics = topics(FOREVER);
    for key in 0..5 {
        drop(topics.listen(key));
    }
    let _last = topics.listen(9);
    let kept: Vec<i64> = (0..10).filter(|key| topics.is_wanted(key)).collect();
    assert_eq!(kept, [3, 4, 9]);
    let short = Topics::<i64, u64>::new(Keep { bytes: 1, linger: Duration::from_millis(1), idle: 9 });
    drop(short.listen(1));
    std::thread::sleep(Duration::from_millis(5));
    let _other = short.listen(2);
    assert!(!short.is_wanted(&1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_many_threads_every_listener_hears_all_in_order_or_is_told_that_it_did_not() {
    const TOLD: u64 = 20_000;
    let topics = topics(Duration::ZERO);
    let kept = topics.listen(1);
    let listeners = (0..16).map(|_| {
        let topics = topics.clone();
        tokio::spawn(async move {
            let (mut listener, mut last) = (topics.listen(1), None);
            loop {
                match timeout(Duration::from_secs(20), listener.hear()).await.expect("it hears nothing") {
                    Heard::Missed => last = None,
                    Heard::Pieces(pieces) => {
                        for piece in pieces {
                            if let Some(last) = last {
                                assert_eq!(piece.value, last + 1);
                            }
                            last = Some(piece.value);
                        }
                    }
                }
                // The last one is told until all have heard it.
                if last >= Some(TOLD) {
                    return;
                }
            }
        })
    });
    let listeners: Vec<_> = listeners.collect();
    let mut n = 0;
    while n < TOLD || listeners.iter().any(|listener| !listener.is_finished()) {
        topics.tell(&1, 10, || n);
        n += 1;
        if n >= TOLD {
            tokio::time::sleep(Duration::from_millis(1)).await;
        } else if n.is_multiple_of(7) {
            tokio::task::yield_now().await;
        }
    }
    for listener in listeners {
        listener.await.unwrap();
    }
    drop(kept);
}

#[test]
fn what_is_rendered_is_rendered_once() {
    let piece = Piece { number: 1, value: 7, rendered: OnceLock::new() };
    let first = piece
        .rendered(|piece| Rendered { bytes: piece.value.to_string().into(), ends: vec![1] })
        .bytes
        .clone();
    let second = &piece.rendered(|_| panic!("a second time")).bytes;
    assert_eq!(first.as_ptr(), second.as_ptr());
}
