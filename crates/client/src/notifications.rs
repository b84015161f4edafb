//! Notifications: who is told of which runs.

use minitower_vocabulary::wire::notifications::{
    CreateNotification, Deliveries, Delivery, Notification, Notifications, UpdateNotification,
};
use reqwest::Method;

use crate::pages::Cursor;
use crate::{Error, TeamClient};

impl TeamClient {
    /// The team's notifications, newest first and all pages.
    pub async fn notifications(&self) -> Result<Notifications, Error> {
        self.list(
            &["notifications"],
            Cursor::Before,
            |answer: &mut Notifications| &mut answer.notifications,
            |notification| notification.id,
        )
        .await
    }

    /// One notification.
    pub async fn notification(&self, id: i64) -> Result<Notification, Error> {
        self.call(Method::GET, &["notifications", &id.to_string()]).decode().await
    }

    /// Makes a notification. A secret in the answer is shown only this once.
    pub async fn create_notification(&self, wanted: &CreateNotification) -> Result<Notification, Error> {
        self.call(Method::POST, &["notifications"]).json(wanted).decode().await
    }

    /// Changes a notification. A secret in the answer is shown only this once.
    pub async fn update_notification(
        &self,
        id: i64,
        change: &UpdateNotification,
    ) -> Result<Notification, Error> {
        self.call(Method::PATCH, &["notifications", &id.to_string()]).json(change).decode().await
    }

    /// Deletes a notification with its deliveries.
    pub async fn delete_notification(&self, id: i64) -> Result<(), Error> {
        self.call(Method::DELETE, &["notifications", &id.to_string()]).done().await
    }

    /// Sends a test; the answer is the delivery.
    pub async fn test_notification(&self, id: i64) -> Result<Delivery, Error> {
        self.call(Method::POST, &["notifications", &id.to_string(), "test"]).decode().await
    }

    /// A page of a notification's deliveries, newest first, from before the delivery `before`: at most `limit`, from 1 to 1000.
    pub async fn deliveries(&self, id: i64, before: Option<i64>, limit: i64) -> Result<Deliveries, Error> {
        let query: Vec<_> = before.map(|id| ("before", id)).into_iter().chain([("limit", limit)]).collect();
        self.call(Method::GET, &["notifications", &id.to_string(), "deliveries"]).query(&query).decode().await
    }

    /// Sends a delivery again, under the same id.
    pub async fn retry_delivery(&self, id: i64, delivery: i64) -> Result<Delivery, Error> {
        let (id, delivery) = (id.to_string(), delivery.to_string());
        self.call(Method::POST, &["notifications", &id, "deliveries", &delivery, "retry"]).decode().await
    }
}
