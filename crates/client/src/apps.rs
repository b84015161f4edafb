//! Apps.

use minitower_wire::apps::{App, Apps, CreateApp};
use reqwest::Method;

use crate::{Error, TeamClient};

impl TeamClient {
    /// Makes an app.
    pub async fn create_app(&self, app: &CreateApp) -> Result<App, Error> {
        self.call(Method::POST, &["apps"]).json(app).decode().await
    }

    /// The team's apps.
    pub async fn apps(&self) -> Result<Apps, Error> {
        self.call(Method::GET, &["apps"]).decode().await
    }

    /// One app.
    pub async fn app(&self, slug: &str) -> Result<App, Error> {
        self.call(Method::GET, &["apps", slug]).decode().await
    }
}
