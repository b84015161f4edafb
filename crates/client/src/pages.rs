//! Lists that the server answers by pages, read to their end.

use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, TeamClient};

/// Most pages of one list. A page has up to 1000 items, so no list that is in use is that long; a server that never comes to an end is
/// given up.
const MAX_PAGES: usize = 1000;
/// Longest list that is read, all its pages together, in longest answers: what a server may cost its caller in memory.
const MAX_LIST_ANSWERS: usize = 4;

/// Which way a list goes, and with it the name of its cursor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cursor {
    /// Up, from behind `after`.
    After,
    /// Down, from behind `before`.
    Before,
}

impl TeamClient {
    /// Reads a list to its end; see [`TeamClient::filtered_list`].
    pub(crate) async fn list<A, T, K>(
        &self,
        path: &[&str],
        direction: Cursor,
        items: fn(&mut A) -> &mut Vec<T>,
        key: fn(&T) -> K,
    ) -> Result<A, Error>
    where
        A: DeserializeOwned,
        K: Ord + Serialize,
    {
        const ALL: &[(&str, &str)] = &[];
        self.filtered_list(path, &ALL, direction, items, key).await
    }

    /// Reads a list to its end; each page has the configured deadline. `filter` goes into every page's query. `items` finds the list in an answer, `key` what orders it.
    pub(crate) async fn filtered_list<A, T, K>(
        &self,
        path: &[&str],
        filter: &impl Serialize,
        direction: Cursor,
        items: fn(&mut A) -> &mut Vec<T>,
        key: fn(&T) -> K,
    ) -> Result<A, Error>
    where
        A: DeserializeOwned,
        K: Ord + Serialize,
    {
        let name = match direction {
            Cursor::After => "after",
            Cursor::Before => "before",
        };
        let first = self.call(Method::GET, path).query(filter).whole().await?;
        let mut bytes = first.len();
        let mut all: A = first.decode()?;
        for _ in 1..MAX_PAGES {
            let Some(cursor) = items(&mut all).last().map(key) else { return Ok(all) };
            let page = self.call(Method::GET, path).query(filter).query(&[(name, &cursor)]).whole().await?;
            bytes += page.len();
            let most = MAX_LIST_ANSWERS * self.transport.max_answer_bytes();
            if bytes > most {
                return Err(self.transport.unexpected(format!("a list of more than {most} bytes")));
            }
            let mut page: A = page.decode()?;
            let page = items(&mut page);
            let is_behind = |item: &T| match direction {
                Cursor::After => key(item) > cursor,
                Cursor::Before => key(item) < cursor,
            };
            // An older server knows no cursor and answers the same again: it was all there at once.
            if page.is_empty() || !page.iter().all(is_behind) {
                return Ok(all);
            }
            items(&mut all).append(page);
        }
        Err(self.transport.unexpected(format!("a list of more than {MAX_PAGES} pages")))
    }
}
