//! Apps.

use minitower_vocabulary::wire::apps::{App, Apps, ChangeApp, CreateApp};
use reqwest::Method;

use crate::pages::Cursor;
use crate::{Error, TeamClient};

impl TeamClient {
    /// Makes an app.
    pub async fn create_app(&self, app: &CreateApp) -> Result<App, Error> {
        self.call(Method::POST, &["apps"]).json(app).decode().await
    }

    /// The team's apps, all pages.
    pub async fn apps(&self) -> Result<Apps, Error> {
        self.list(&["apps"], Cursor::After, |answer: &mut Apps| &mut answer.apps, |app| app.slug.clone())
            .await
    }

    /// One app.
    pub async fn app(&self, slug: &str) -> Result<App, Error> {
        self.call(Method::GET, &["apps", slug]).decode().await
    }

    /// Changes an app.
    pub async fn change_app(&self, slug: &str, change: &ChangeApp) -> Result<App, Error> {
        self.call(Method::PATCH, &["apps", slug]).json(change).decode().await
    }

    /// Deletes an app with all that is its. Runs that have not ended are in the way, unless `force` cancels them. Needs a token of role
    /// admin.
    pub async fn delete_app(&self, slug: &str, force: bool) -> Result<(), Error> {
        self.call(Method::DELETE, &["apps", slug]).query(&[("force", force)]).done().await
    }
}
