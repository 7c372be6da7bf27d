//! Members of an object: adding and removing them, and groups over several.

use super::{Case, METHODS};
use crate::array::Array;
use crate::error::{Error, Result};
use crate::group;
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::os::pause;
use crate::shm::Shm;
use crate::testing::Scratch;

type Counts = HashTable<u64, u64>;
type Texts = HashTable<String, Vec<u8>>;

/// Returns the members' names and lengths.
fn members(shm: &Shm) -> Result<Vec<(String, usize)>> {
    Ok(shm.members()?.iter().map(|member| (member.name().to_owned(), member.len())).collect())
}

fn first(locking: Locking) -> impl Fn(Shm) -> Result<Counts> {
    move |shm| Counts::options().locking(locking).stripes(2).slots(2).init(1).max_size(1 << 20).manage(shm)
}

#[test]
fn adding() {
    for locking in METHODS {
        Case {
            name: format!("adding a member, {locking}"),
            open: &|shm| {
                Counts::options().locking(locking).named("a").stripes(2).slots(2).max_size(1 << 20).manage(shm)
            },
            prepare: &|table: &Counts| table.add(&1, &1),
            act: &|table: &Counts| {
                Array::<String>::options()
                    .named("b")
                    .stripes(4)
                    .manage(table.shm().clone(), "default".to_owned())
                    .map(drop)
            },
            dump: &|table: &Counts| Ok((members(table.shm())?, table.find(&1)?)),
            check: &Counts::check,
        }
        .run_under(locking);
    }
}

#[test]
fn adding_where_there_is_none_with_a_name() {
    Case {
        name: "adding the first member with a name".to_owned(),
        open: &first(Locking::Futex),
        prepare: &|table: &Counts| table.add(&1, &1),
        act: &|table: &Counts| Texts::options().named("b").stripes(1).manage(table.shm().clone()).map(drop),
        dump: &|table: &Counts| Ok((members(table.shm())?, table.find(&1)?)),
        check: &Counts::check,
    }
    .run();
}

#[test]
fn removing() {
    for locking in METHODS {
        Case {
            name: format!("removing a member, {locking}"),
            open: &first(locking),
            prepare: &|table: &Counts| {
                let shm = table.shm();
                let texts = Texts::options().named("b").stripes(2).manage(shm.clone())?;
                (0..20).try_for_each(|i| texts.add(&i.to_string(), &vec![7; 100 * i]))?;
                let array = Array::<u64>::options().named("c").stripes(1).manage(shm.clone(), 7)?;
                array.resize(10)?;
                array.set(3, &5)
            },
            act: &|table: &Counts| match table.shm().remove_member("b") {
                // It is done a second time.
                Err(Error::NoMember { .. }) => Ok(()),
                other => other,
            },
            dump: &|table: &Counts| members(table.shm()),
            check: &Counts::check,
        }
        .run_under(locking);
    }
}

/// The room of a member that is no more is used by another one, of another kind.
#[test]
fn removing_and_adding() {
    Case {
        name: "a member in place of another".to_owned(),
        open: &first(Locking::Futex),
        prepare: &|table: &Counts| {
            let texts = Texts::options().named("b").stripes(2).manage(table.shm().clone())?;
            (0..20).try_for_each(|i| texts.add(&i.to_string(), &vec![7; 10 * i]))?;
            drop(texts);
            table.shm().remove_member("b")
        },
        act: &|table: &Counts| {
            let array = Array::<u64>::options().named("c").stripes(2).manage(table.shm().clone(), 7)?;
            assert_eq!(array.len()?, 0);
            Ok(())
        },
        dump: &|table: &Counts| members(table.shm()),
        check: &Counts::check,
    }
    .run();
}

struct Three {
    from: Counts,
    to: Texts,
    hits: Array<u64>,
}

#[test]
fn a_group_over_members() {
    for locking in METHODS {
        Case {
            name: format!("a group over two tables and an array, {locking}"),
            open: &|shm: Shm| {
                let from = Counts::options().locking(locking).named("from").stripes(2).slots(2).max_size(1 << 20);
                let from = from.manage(shm.clone())?;
                let to = Texts::options().named("to").stripes(2).manage(shm.clone())?;
                let hits = Array::options().named("hits").stripes(1).manage(shm, 0)?;
                if hits.is_empty()? {
                    hits.resize(4)?;
                }
                Ok(Three { from, to, hits })
            },
            prepare: &|three: &Three| three.from.add(&1, &10),
            act: &|three: &Three| {
                group!(retry three.to => {
                    if let Some(value) = three.from.pop(&1)? {
                        three.to.add("one", &vec![value as u8; 300])?;
                        three.hits.update(2, |n| n + 1)?;
                    }
                })
            },
            dump: &|three: &Three| Ok((three.from.find(&1)?, three.to.find("one")?, three.hits.get(2)?)),
            check: &|three: &Three| three.to.check(),
        }
        .run_under(locking);
    }
}

/// A member that takes the place of another is not counted as that one.
#[test]
fn a_member_removed_while_members_are_counted() {
    let scratch = Scratch::new();
    let member = |shm: Shm, name: &str| -> Counts { Counts::options().named(name).stripes(4).manage(shm).unwrap() };
    member(scratch.open(), "old").add(&1, &1).unwrap();
    let (shm, other) = (scratch.open(), scratch.open());
    pause::once_at("members have been listed", move || {
        other.remove_member("old").unwrap();
        let new = member(other, "new");
        (0..7).for_each(|key| new.add(&key, &1).unwrap());
    });
    assert_eq!(members(&shm).unwrap(), [("new".to_owned(), 7)]);
}
