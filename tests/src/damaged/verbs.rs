//! What is done with damaged objects. Each verb may end in an error, which does not matter here.

use std::fs;
use std::time::Duration;

use netshm::data::ObjectSchema;
use netshm::dynamic::{DynArray, DynTable, Value};
use netshm::{Array, DataManager, Error, Flow, HashTable, Result, ShmKey, Table};

use super::Subject;
use super::objects::{Pairs, Texts};

/// Rows that are read of a damaged object; there may be no end of them.
const ROWS: usize = 1000;

impl Subject<'_> {
    /// Does what the bytes say: `common` and `own` each do one of a number of verbs, with a key.
    fn each(&self, common: impl Fn(u8), own: impl Fn(u8, u8)) {
        for verb in self.verbs {
            if verb & 3 == 0 { common(verb >> 2) } else { own(verb >> 2 & 15, verb >> 6 << 1 | verb & 1) }
        }
    }

    /// Does one of the verbs that all objects have.
    fn common(&self, verb: u8) {
        let shm = &self.shm;
        match verb % 8 {
            0 => drop(shm.members()),
            1 => drop(shm.describe().map(|description| description.to_string())),
            2 => drop(shm.stats().map(|stats| stats.to_string())),
            3 => drop(shm.trim()),
            4 => {
                let copy = self.directory.join("copy");
                if shm.copy_to(self.directory.name("copy")).is_ok() {
                    let _ = fs::remove_file(copy);
                }
            }
            5 => drop(shm.watch().and_then(|mut watch| watch.changed(Some(Duration::ZERO)))),
            _ => drop(self.read_dynamic()),
        }
    }

    /// Reads all rows by the schema that is stored.
    fn read_dynamic(&self) -> Result<()> {
        let schema = self.shm.describe()?.schema;
        if let ObjectSchema::Array { element } = &schema {
            let is_text = element.to_string() == "String";
            let default = if is_text { Value::Text("default".to_owned()) } else { Value::UInt(7) };
            let options = DynArray::options().lock_timeout(self.lock_timeout);
            let array = options.manage(self.shm.clone(), schema.clone(), &default)?;
            drop((array.scan().take(ROWS).last(), array.len()));
            return Ok(());
        }
        let table = DynTable::options().lock_timeout(self.lock_timeout).manage(self.shm.clone(), schema)?;
        read_rows(&table);
        Ok(())
    }

    fn table<K: ShmKey, V: DataManager>(&self, name: Option<&str>) -> Result<HashTable<K, V>> {
        let options = HashTable::options().lock_timeout(self.lock_timeout);
        let options = if let Some(name) = name { options.named(name) } else { options };
        options.manage(self.shm.clone())
    }
}

fn read_rows(table: &DynTable) {
    drop((table.scan().take(ROWS).last(), table.len()));
}

/// Verbs of tables that read.
fn read_table<K: ShmKey + Clone, V: DataManager>(table: &HashTable<K, V>, verb: u8, key: &K) {
    match verb % 6 {
        0 => drop(table.check().map(|report| report.to_string())),
        1 => drop((table.find(key), table.contains(key), table.find_all(key))),
        2 => drop(table.scan().take(ROWS).last()),
        3 => drop((table.for_each_key(|_| ()), table.len())),
        4 => drop(table.stats().map(|stats| stats.to_string())),
        _ => drop(table.find_many([key, key])),
    }
}

/// Verbs of tables that write.
fn write_table<K: ShmKey + Clone, V: DataManager + Clone>(table: &HashTable<K, V>, verb: u8, key: &K, value: &V) {
    match verb % 10 {
        0 => drop(table.replace(key, value)),
        1 => drop(table.add(key, value)),
        2 => drop(table.pop(key)),
        3 => drop(table.remove_all(key)),
        4 => drop(table.clear()),
        5 => drop(table.update(key, |old| old.or_else(|| Some(value.clone())))),
        6 => drop(table.group(|| -> Result<()> {
            table.find(key)?;
            table.add(key, value)?;
            table.remove(key)?;
            table.replace(key, value)
        })),
        7 => drop(table.get_or_insert_with(key, || value.clone())),
        8 => drop(table.add_many((0..20).map(|_| (key.clone(), value.clone())))),
        _ => drop(table.sync()),
    }
}

pub(super) fn texts(subject: &Subject<'_>) -> Result<()> {
    use_texts(subject, &subject.table(None)?);
    Ok(())
}

fn use_texts(subject: &Subject<'_>, table: &Texts) {
    let own = |verb, key: u8| {
        let key = u64::from(key);
        if verb < 6 {
            read_table(table, verb, &key);
        } else {
            // Short ones, long ones, and one that has a run of its own.
            let length = [3, 150, 2, 40, 9000, 5, 700, 0][key as usize];
            write_table(table, verb - 6, &(key + 2), &"z".repeat(length));
        }
    };
    subject.each(|verb| subject.common(verb), own);
}

pub(super) fn pairs(subject: &Subject<'_>) -> Result<()> {
    use_pairs(subject, &subject.table(None)?);
    Ok(())
}

fn use_pairs(subject: &Subject<'_>, table: &Pairs) {
    let own = |verb, key: u8| {
        // Sometimes many keys, so that the index grows and shrinks.
        let keys = u64::from(key)..u64::from(key) + if key == 7 { 25 } else { 1 };
        match (verb, key) {
            (1, 3) => drop(table.fetch_add(&5, 1)),
            (0..6, _) => read_table(table, verb, &u64::from(key)),
            _ => keys.for_each(|key| write_table(table, verb - 6, &key, &!key)),
        }
    };
    subject.each(|verb| subject.common(verb), own);
}

pub(super) fn blocks(subject: &Subject<'_>) -> Result<()> {
    let table = Table::options().lock_timeout(subject.lock_timeout).manage(subject.shm.clone())?;
    let own = |verb, key: u8| {
        let key = i32::from(key) - 3;
        match verb {
            0 => drop(table.check()),
            1 => drop((table.find(key), table.find_all(key))),
            2 => drop((table.scan().take(ROWS).last(), table.len())),
            3..6 => {
                drop(table.read_blocks(key, |block| if block.len() > 1000 { Flow::Break } else { Flow::Next }));
            }
            6..10 => {
                let mut turn = 0;
                drop(table.write_blocks(key, |block| {
                    turn += 1;
                    if !block.is_empty() {
                        let _ = block.set(0, turn);
                    }
                    if turn % 3 == 0 { Flow::Remove } else { Flow::Next }
                }));
            }
            10 => drop(table.add(key, &[key; 90])),
            11 => drop(table.remove(key)),
            12 => drop(table.replace(key, &[1])),
            13 => drop(table.clear()),
            14 => drop(table.update(key, |old| old)),
            _ => drop(table.pop(key)),
        }
    };
    subject.each(|verb| subject.common(verb), own);
    Ok(())
}

/// Verbs of arrays that those of texts and of numbers have.
fn use_array<T: DataManager + Clone>(array: &Array<T>, verb: u8, key: u8, value: &T) {
    let at = usize::from(key) * usize::from(key) * 57;
    match verb {
        0 => drop(array.check().map(|report| report.to_string())),
        1 => drop((array.get(at), array.get(usize::from(key)))),
        2 => drop(array.scan().take(ROWS).last()),
        3 => drop((array.len(), array.written())),
        4 => drop(array.stats().map(|stats| stats.to_string())),
        5 => drop(array.get_many([at, 1, 2])),
        6 | 7 => drop(array.set(at, value)),
        8 => drop(array.swap(at, usize::from(key))),
        9 => drop(array.fill(at..at + 300, value)),
        10 => drop(array.set_range(at..at + 3, &[value.clone(), value.clone(), value.clone()])),
        11 => drop(array.resize([2000, 300, 77, 5000, 0, 1, 1 << 30, 2999][usize::from(key)])),
        12 => drop(array.update(at, |old| old)),
        13 => drop(array.group(|| -> Result<()> {
            array.set(at, value)?;
            array.resize(at)?;
            array.resize(at + 9)?;
            array.set(at, value)
        })),
        14 => {
            // A damaged length is believed.
            let mut left = ROWS;
            drop(array.try_for_each(|_, _| {
                left -= 1;
                if left == 0 { Err(None) } else { Ok::<_, Option<Error>>(()) }
            }));
        }
        _ => drop(array.sync()),
    }
}

pub(super) fn array(subject: &Subject<'_>) -> Result<()> {
    let options = Array::<String>::options().lock_timeout(subject.lock_timeout);
    let array = options.manage(subject.shm.clone(), "default".to_owned())?;
    let own = |verb, key: u8| use_array(&array, verb, key, &"z".repeat(usize::from(key) * 31));
    subject.each(|verb| subject.common(verb), own);
    Ok(())
}

pub(super) fn numbers(subject: &Subject<'_>) -> Result<()> {
    let options = Array::<u64>::options().lock_timeout(subject.lock_timeout);
    let array = options.manage(subject.shm.clone(), 7)?;
    let own = |verb, key| use_array(&array, verb, key, &u64::from(key));
    subject.each(|verb| subject.common(verb), own);
    Ok(())
}

pub(super) fn members(subject: &Subject<'_>) -> Result<()> {
    let shm = &subject.shm;
    let mut opened = false;
    let whole = |verb: u8| match verb % 3 {
        0 => drop(shm.remove_member(["texts", "pairs", "array", "removed"][usize::from(verb >> 2 & 3)])),
        1 => drop(Pairs::options().named("new").stripes(1).lock_timeout(subject.lock_timeout).manage(shm.clone())),
        _ => subject.common(verb >> 2),
    };
    // In the order of the verbs' sum, so that each comes first now and then.
    let sum = subject.verbs.iter().fold(0_u8, |sum, verb| sum.wrapping_add(*verb));
    if sum % 4 == 0 {
        whole(sum >> 2);
    }
    if let Ok(texts) = subject.table(Some("texts")) {
        opened = true;
        use_texts(subject, &texts);
    }
    if let Ok(pairs) = subject.table(Some("pairs")) {
        opened = true;
        use_pairs(subject, &pairs);
    }
    let options = Array::<String>::options().named("array").lock_timeout(subject.lock_timeout);
    if let Ok(array) = options.manage(shm.clone(), "default".to_owned()) {
        opened = true;
        use_array(&array, sum >> 2 & 15, sum & 3, &"member".to_owned());
    }
    if sum % 4 != 0 {
        whole(sum >> 2);
    }
    if opened { Ok(()) } else { shm.members().map(drop) }
}
