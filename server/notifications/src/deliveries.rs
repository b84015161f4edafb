//! What became of the deliveries of a notification; trying it, and sending one again.

use minitower_kernel::page::Page;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::{DeliveryId, NotificationId};
use serde_json::json;

use crate::domain::delivery::{Attempt, Delivery};
use crate::domain::message::Event;
use crate::domain::schedule::MOST_WAITING;
use crate::notifications::find;
use crate::outbox::webhook_id;
use crate::store::deliveries::{self, NewDelivery};
use crate::store::events::{DeliveryDue, OutboxMoved};
use crate::{Error, Notifications};

/// A delivery with the attempts at it, oldest first.
#[derive(Debug, Clone)]
pub struct ListedDelivery {
    /// The delivery.
    pub delivery: Delivery,
    /// The attempts.
    pub attempts: Vec<Attempt>,
}

impl Notifications {
    /// A notification's deliveries, newest first; the cursor is an id.
    pub async fn deliveries(
        &self,
        by: &TeamPrincipal,
        id: NotificationId,
        page: Page<DeliveryId>,
    ) -> Result<Vec<ListedDelivery>, Error> {
        let team = by.team_id;
        self.0
            .store
            .read(move |db| {
                find(db, team, id)?;
                let listed = deliveries::list(db, id, page.cursor, page.limit)?.into_iter().map(|delivery| {
                    let attempts = deliveries::attempts(db, delivery.id)?;
                    Ok(ListedDelivery { delivery, attempts })
                });
                listed.collect()
            })
            .await
    }

    /// Makes a delivery that says that it is a test.
    pub async fn test(&self, by: &TeamPrincipal, id: NotificationId) -> Result<ListedDelivery, Error> {
        let (team, slug, now) = (by.team_id, by.team_slug.clone(), self.0.clock.now());
        self.0
            .store
            .write(move |tx| {
                let notification = find(tx, team, id)?;
                if !notification.enabled {
                    return Err(Error::Disabled(id));
                }
                if notification.waiting >= MOST_WAITING {
                    return Err(Error::Full { id, most: MOST_WAITING });
                }
                let data = json!({"notification_id": id.0, "notification": notification.name, "team": slug})
                    .to_string();
                let webhook_id = webhook_id();
                let new =
                    NewDelivery { notification: id, webhook_id, event: Event::Test, run: None, data: &data };
                let made = deliveries::insert(tx, &new, now)?;
                let delivery = made.map(|made| deliveries::by_id(tx, id, made)).transpose()?.flatten();
                let delivery = delivery.ok_or_else(|| {
                    minitower_kernel::StoreError::Inconsistent(
                        "a delivery that was made is not there".to_owned(),
                    )
                })?;
                tx.emit(OutboxMoved::written(1, 0));
                tx.emit(DeliveryDue { notification: id, at: now });
                Ok(ListedDelivery { delivery, attempts: Vec::new() })
            })
            .await
    }

    /// Sends a delivery again, whatever became of it: its receiver finds the same id.
    pub async fn resend(
        &self,
        by: &TeamPrincipal,
        id: NotificationId,
        delivery: DeliveryId,
    ) -> Result<ListedDelivery, Error> {
        let (team, now) = (by.team_id, self.0.clock.now());
        self.0
            .store
            .write(move |tx| {
                let notification = find(tx, team, id)?;
                if !notification.enabled {
                    return Err(Error::Disabled(id));
                }
                let absent = Error::NoDelivery { notification: id, delivery };
                let former = deliveries::by_id(tx, id, delivery)?.ok_or(absent)?;
                let waits = former.waits();
                if !waits && notification.waiting >= MOST_WAITING {
                    return Err(Error::Full { id, most: MOST_WAITING });
                }
                let again = former.again(now);
                deliveries::save(tx, &again)?;
                tx.emit(OutboxMoved::waits(i64::from(again.waits()) - i64::from(waits)));
                tx.emit(DeliveryDue { notification: id, at: now });
                Ok(ListedDelivery { attempts: deliveries::attempts(tx, delivery)?, delivery: again })
            })
            .await
    }
}
