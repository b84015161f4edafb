//! Rows that are read by the names of their columns, at the cost of reading them by their places.
//!
//! To look each column up by its name costs more than to read it. So a store that reads many rows declares its columns with [`columns!`]:
//! the SELECT and the places come from the same list.

use std::marker::PhantomData;

use minitower_vocabulary::time::Timestamp;
use rusqlite::Row;
use rusqlite::types::FromSql;

use crate::{At, StoreError};

/// Declares the columns of a SELECT, each once: the name that it is read by, and its SQL.
///
/// It makes an enum of the names, for [`Columns`], and a macro that puts the statement together when the program is compiled: it takes what
/// follows the FROM, in pieces.
///
/// ```
/// use minitower_kernel::{Columns, StoreError, columns};
///
/// columns! { ($)
///     /// A column of an animal.
///     enum Column;
///     /// A statement about animals.
///     macro select "FROM animals a";
///     Id: "a.id",
///     Name: "a.name",
/// }
///
/// assert_eq!(select!("WHERE a.id = ?1"), "SELECT a.id, a.name FROM animals a WHERE a.id = ?1");
/// let db = rusqlite::Connection::open_in_memory().unwrap();
/// let name = db.query_row("SELECT 7, 'cat'", (), |row| {
///     Ok(Columns::<Column>::of(row).get::<String>(Column::Name))
/// });
/// assert_eq!(name.unwrap().unwrap(), "cat");
/// # let _unused = Column::Id;
/// ```
#[macro_export]
macro_rules! columns {
    (
        ($d:tt) $(#[$of_enum:meta])* enum $column:ident;
        $(#[$of_macro:meta])* macro $select:ident $from:literal;
        $first:ident: $first_sql:literal, $($name:ident: $sql:literal,)*
    ) => {
        $(#[$of_enum])*
        #[derive(Debug, Clone, Copy)]
        enum $column {
            $first,
            $($name,)*
        }

        impl From<$column> for usize {
            fn from(column: $column) -> Self {
                column as usize
            }
        }

        $(#[$of_macro])*
        macro_rules! $select {
            ($d($d rest:expr),+) => {
                concat!("SELECT ", $first_sql, $(", ", $sql,)* " ", $from, " ", $d($d rest),+)
            };
        }
    };
}

/// A row of a statement whose columns were declared by [`columns!`](crate::columns!).
#[derive(Debug)]
pub struct Columns<'r, 's, C> {
    row: &'r Row<'s>,
    names: PhantomData<C>,
}

impl<'r, 's, C: Into<usize>> Columns<'r, 's, C> {
    /// That row.
    pub fn of(row: &'r Row<'s>) -> Self {
        Self { row, names: PhantomData }
    }

    /// A column.
    pub fn get<T: FromSql>(&self, column: C) -> Result<T, StoreError> {
        Ok(self.row.get(column.into())?)
    }

    /// A text, where it lies.
    pub fn text(&self, column: C) -> Result<&'r str, StoreError> {
        Ok(self.row.get_ref(column.into())?.as_str().map_err(rusqlite::Error::from)?)
    }

    /// A text that may be missing, where it lies.
    pub fn maybe_text(&self, column: C) -> Result<Option<&'r str>, StoreError> {
        Ok(self.row.get_ref(column.into())?.as_str_or_null().map_err(rusqlite::Error::from)?)
    }

    /// A time.
    pub fn at(&self, column: C) -> Result<Timestamp, StoreError> {
        Ok(self.get::<At>(column)?.0)
    }

    /// A time that may be missing.
    pub fn maybe_at(&self, column: C) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<At>>(column)?.map(|at| at.0))
    }
}
