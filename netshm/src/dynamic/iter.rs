//! Iterators over objects by their stored schema.

use std::iter::FusedIterator;

use super::array::DynArray;
use super::row::Row;
use super::table::DynTable;
use super::value::Value;
use crate::array::iter::Elements;
use crate::error::Result;
use crate::hash_table::{Items, Keys, Values};

macro_rules! iterator {
    ($(#[$doc:meta])* $name:ident($table_type:ty: $rows:ty) => $item:ty, |$table:ident, $row:ident| $decode:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<'a> {
            table: &'a $table_type,
            rows: $rows,
        }

        impl<'a> $name<'a> {
            pub(super) fn new(table: &'a $table_type, rows: $rows) -> Self {
                $name { table, rows }
            }
        }

        impl Iterator for $name<'_> {
            type Item = Result<$item>;

            fn next(&mut self) -> Option<Self::Item> {
                let $table = self.table;
                self.rows.next().map(|row| row.and_then(|$row| $decode))
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.rows.size_hint()
            }
        }

        impl FusedIterator for $name<'_> {}
    };
}

iterator! {
    /// The bindings of a table; see [`DynTable::scan`].
    DynItems(DynTable: Items<'a, Row, Row>) => (Value, Value), |table, row| Ok((table.key_of(&row.0)?, table.value_of(&row.1)?))
}
iterator! {
    /// The keys of a table; see [`DynTable::keys`].
    DynKeys(DynTable: Keys<'a, Row>) => Value, |table, row| table.key_of(&row)
}
iterator! {
    /// The values of a table; see [`DynTable::values`].
    DynValues(DynTable: Values<'a, Row>) => Value, |table, row| table.value_of(&row)
}
iterator! {
    /// The elements of an array; see [`DynArray::scan`].
    DynElements(DynArray: Elements<'a, Row>) => Value, |array, row| array.value_of(&row)
}
