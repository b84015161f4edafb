//! How many runs wait and how many are held.

use minitower_vocabulary::wire::demand::Demand;
use reqwest::Method;

use crate::{Error, TeamClient};

/// The most pages that are read. A page has up to 10,000 environments; a server that never comes to an end is given up.
const MAX_PAGES: usize = 100;
/// The longest demand that is read, all its pages together, in longest answers: this bounds what a server can cost its caller in memory.
const MAX_ANSWERS: usize = 4;

impl TeamClient {
    /// The demand of every environment that the token may see: of all teams for the operator token, else of the token's own team. All pages.
    ///
    /// Older servers do not have this call and answer 404: their demand can be read from their metrics.
    pub async fn demand(&self) -> Result<Demand, Error> {
        let mut all = Demand::default();
        let mut bytes = 0;
        for _ in 0..MAX_PAGES {
            let after: Vec<(&str, &str)> =
                all.cursor.iter().map(|cursor| ("after", cursor.as_str())).collect();
            let page = self.call(Method::GET, &["admin", "demand"]).query(&after).whole().await?;
            bytes += page.len();
            let most = MAX_ANSWERS * self.transport.max_answer_bytes();
            if bytes > most {
                return Err(self.transport.unexpected(format!("a demand of more than {most} bytes")));
            }
            let Demand { environments, cursor } = page.decode()?;
            all.environments.extend(environments);
            all.cursor = cursor;
            if all.cursor.is_none() {
                return Ok(all);
            }
        }
        Err(self.transport.unexpected(format!("a demand of more than {MAX_PAGES} pages")))
    }
}
