//! Whose doing a change is.
//!
//! A door says once, around everything that it calls for a request, who acts ([`scope`]). The writer takes that along with each command,
//! and triggers of the write connection ([`Subscribers::trigger`](crate::events::Subscribers::trigger)) read it through the SQL functions
//! `acting_name`, `acting_token`, `acting_address` and `acting_at`: NULL while the server acts by itself. So what follows the changes of
//! people is written beside them, in the same transaction, without a word in the use cases.

use std::cell::RefCell;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use minitower_vocabulary::time::Timestamp;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ToSql;

/// Who acts, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// What kind of credential it is, in words; for a team token its id says more.
    pub name: &'static str,
    /// The id of the team token.
    pub token: Option<i64>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// When the request came.
    pub at: Timestamp,
}

tokio::task_local! {
    static REQUEST: Arc<Actor>;
}

thread_local! {
    /// Whose command the writer's thread runs.
    static COMMAND: RefCell<Option<Arc<Actor>>> = const { RefCell::new(None) };
}

/// Runs `work` as the doing of `actor`. What it spawns is not, unless it [takes that along](current).
pub async fn scope<F: Future>(actor: Arc<Actor>, work: F) -> F::Output {
    REQUEST.scope(actor, work).await
}

/// Who acts here; none: the server by itself.
pub fn current() -> Option<Arc<Actor>> {
    REQUEST.try_with(Arc::clone).ok()
}

/// While this lives, what the thread's connection writes is the doing of that actor.
pub(crate) struct Doing(());

impl Doing {
    pub(crate) fn of(actor: Option<Arc<Actor>>) -> Self {
        COMMAND.set(actor);
        Self(())
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        COMMAND.set(None);
    }
}

/// Makes the SQL functions known to a connection.
pub(crate) fn teach(conn: &Connection) -> rusqlite::Result<()> {
    tell(conn, "acting_name", |actor| Some(actor.name))?;
    tell(conn, "acting_token", |actor| actor.token)?;
    tell(conn, "acting_address", |actor| actor.address.map(|address| address.to_string()))?;
    tell(conn, "acting_at", |actor| Some(actor.at.0))
}

fn tell<T: ToSql + 'static>(
    conn: &Connection,
    name: &str,
    part: fn(&Actor) -> Option<T>,
) -> rusqlite::Result<()> {
    conn.create_scalar_function(name, 0, FunctionFlags::SQLITE_UTF8, move |_| {
        Ok(COMMAND.with_borrow(|actor| actor.as_deref().and_then(part)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_acts_is_known_inside_and_nowhere_else() {
        assert_eq!(current(), None);
        let actor = Arc::new(Actor { name: "operator", token: None, address: None, at: Timestamp(7) });
        let inside = scope(Arc::clone(&actor), async {
            tokio::task::yield_now().await;
            let spawned = tokio::spawn(async { current() }).await.unwrap();
            (current(), spawned)
        });
        assert_eq!(inside.await, (Some(actor), None));
        assert_eq!(current(), None);
    }

    #[test]
    fn statements_see_the_actor_of_their_command_alone() {
        let conn = Connection::open_in_memory().unwrap();
        teach(&conn).unwrap();
        let said = || -> (Option<String>, Option<i64>, Option<String>, Option<i64>) {
            conn.query_row("SELECT acting_name(), acting_token(), acting_address(), acting_at()", (), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .unwrap()
        };
        assert_eq!(said(), (None, None, None, None));
        let address = Some(IpAddr::from([192, 0, 2, 7]));
        let doing =
            Doing::of(Some(Arc::new(Actor { name: "token", token: Some(3), address, at: Timestamp(9) })));
        assert_eq!(said(), (Some("token".to_owned()), Some(3), Some("192.0.2.7".to_owned()), Some(9)));
        drop(doing);
        assert_eq!(said(), (None, None, None, None));
    }
}
