//! The store on a real SQLite file.

use minitower_kernel::events::Subscribers;
use minitower_kernel::{Hooks, Store, StoreError, Tx};
use minitower_vocabulary::ids::{NotificationId, TeamId};
use minitower_vocabulary::time::Timestamp;
use minitower_vocabulary::wire::notifications::{Occasion, TargetKind};

use super::deliveries::{self, NewDelivery};
use super::notifications::{self, Content};
use crate::domain::filter::Filter;
use crate::domain::message::Event;
use crate::domain::notification::Target;

const NOW: Timestamp = Timestamp(1000);

fn notification(tx: &Tx<'_>, name: &str, waiting: usize) -> Result<NotificationId, StoreError> {
    let team = tx.one("SELECT id FROM teams", (), |row| Ok(TeamId(row.get("id")?)))?;
    let team = match team {
        Some(team) => team,
        // Made beside the subject that owns teams.
        None => tx
            .insert("INSERT INTO teams (slug, name, created_at) VALUES ('acme', 'acme', 0)", ())
            .map(TeamId)?,
    };
    let filter = Filter { on: [Occasion::Failed].into(), app: None, environment: None, label: None };
    let target = Target { kind: TargetKind::Email, shown: "a@b.example".to_owned(), secret: None };
    let content = Content { name: name.to_owned(), filter, target, enabled: true };
    let id = notifications::insert(tx, team, &content, NOW)?;
    for n in 0..waiting {
        let webhook_id = format!("{name} {n}");
        let new = NewDelivery { notification: id, webhook_id, event: Event::Test, run: None, data: "{}" };
        deliveries::insert(tx, &new, NOW)?;
    }
    Ok(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_of_a_deletion_ends_with_its_time_and_takes_of_one_notification_alone() {
    let folder = tempfile::tempdir().unwrap();
    let hooks = Hooks { batch: Box::new(|_| {}), fatal: Box::new(|why| panic!("{why}")) };
    let store = Store::open(&folder.path().join("m.db"), Subscribers::default(), hooks).unwrap();
    let done = store.write(|tx| {
        let (gone, other) = (notification(tx, "gone", 50)?, notification(tx, "other", 3)?);
        let left = |tx: &Tx<'_>| [gone, other].map(|id| deliveries::list(tx, id, None, 1000).unwrap().len());
        assert!(deliveries::delete_some(tx, gone, 20, || false)?);
        assert_eq!(left(tx), [30, 3], "some at least");
        assert_eq!(notifications::counts(tx, gone)?.unwrap().waiting, 30);
        assert!(!deliveries::delete_some(tx, gone, 20, || true)?);
        assert_eq!(left(tx), [0, 3]);
        Ok::<_, StoreError>(())
    });
    done.await.unwrap();
}
