//! Programs of several versions of a type that use one object side by side, and are killed.

use netshm::{HashTable, Locking, Result, Shm, ShmData};
use netshm_tests::{Child, Random, Scratch};

use crate::schema_rolling::versions::{first, second, third};
use crate::schema_rolling::{METHODS, open_with};

/// Versions of types inside others.
mod inside {
    macro_rules! version {
        ($name:ident: $count:ident, $state:pat => $found:ident, $new:expr;
            $($(#[$default:meta])* $field:ident,)*; $($variant:tt)*) => {
            pub(super) mod $name {
                use std::collections::BTreeMap;

                #[derive(netshm::ShmData, Debug, PartialEq, Clone, Default)]
                #[shm(extensible)]
                pub(crate) struct Part {
                    $($(#[$default])* pub(crate) $field: u64,)*
                    #[shm(rest)]
                    rest: netshm::Rest,
                }

                #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
                #[shm(extensible)]
                pub(crate) enum State { $($variant)*, #[shm(other)] Other(netshm::Rest) }

                #[derive(netshm::ShmData, Debug, PartialEq, Clone, Default)]
                pub(crate) struct Row {
                    pub(crate) parts: BTreeMap<u8, Part>,
                    pub(crate) states: Vec<State>,
                    pub(crate) ups: u64,
                }

                impl Row {
                    /// Counts in the field and in the variant that this version has added.
                    pub(crate) fn count(mut self) -> Self {
                        self.parts.entry(0).or_default().$count += 1;
                        self.parts.entry(7).or_default();
                        match self.states.iter_mut().find_map(|state| match state { $state => Some($found), _ => None }) {
                            Some(count) => *count += 1,
                            None => self.states.push($new),
                        }
                        self
                    }
                }
            }
        };
    }
    version!(first: a, State::A(count) => count, State::A(1); a,; A(u64));
    version!(second: b, State::B { count } => count, State::B { count: 1 }; a, #[shm(default)] b,;
        A(u64), B { count: u64 });
    version!(third: c, State::C(_, count) => count, State::C("c".to_owned(), 1); a, #[shm(default)] b, #[shm(default)] c,;
        A(u64), B { count: u64 }, C(String, u64));
}

/// Runs programs of three versions, which count as fast as they can, and kills them, again and again. Returns how often each has
/// counted for sure, and how often perhaps.
fn count_under_kills(object: &Scratch, locking: Locking, kind: &str, kills: u64) -> [[u64; 2]; 3] {
    let (name, method) = (object.name().to_string(), locking.to_string());
    let mut random = Random::new(1);
    // Counted surely, and perhaps, by each version.
    let mut counted = [[0u64; 2]; 3];
    for _ in 0..kills {
        let start =
            |version: u8| Child::start("schema_rolling_kills::count", &[&name, &method, &format!("{kind}{version}")]);
        let mut children = [0, 1, 2].map(start);
        for _ in 0..40 + random.below(100) {
            let which = random.below(3) as usize;
            if children[which].line().is_some() {
                counted[which][0] += 1;
            }
        }
        children.iter_mut().for_each(Child::kill);
        for (which, child) in children.iter().enumerate() {
            while child.line().is_some() {
                counted[which][0] += 1;
            }
            counted[which][1] += 1;
        }
    }
    counted
}

fn kills(default: u64) -> u64 {
    std::env::var("NETSHM_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[track_caller]
fn nothing_is_lost(sums: [u64; 3], counted: [[u64; 2]; 3]) {
    for (sum, [surely, perhaps]) in sums.iter().zip(counted) {
        assert!((surely..=surely + perhaps).contains(sum), "{sums:?} {counted:?}");
    }
    assert!(counted.iter().all(|[surely, _]| *surely > 0));
}

/// Each version counts in a field of its own. Whatever is killed, no count is lost but that of a change under way.
#[test]
fn three_versions_at_once_lose_nothing_that_another_has_written() {
    for locking in [Locking::Futex, Locking::Record] {
        let object = Scratch::posix("rolling-kills");
        let rows = open_with::<first::Row>(&object, locking);
        (0..KEYS).for_each(|key| rows.add(&key, &first::Row { name: "name".to_owned(), a: 0 }).unwrap());
        drop(rows);
        let counted = count_under_kills(&object, locking, "outermost", kills(12));
        let three = open_with::<third::Row>(&object, locking);
        let report = three.check().unwrap();
        assert!(report.is_clean(), "{report}");
        let rows: Vec<_> = three.values().collect::<Result<_>>().unwrap();
        let sums = [
            rows.iter().map(|row| row.a).sum::<u64>(),
            rows.iter().map(|row| row.b).sum(),
            rows.iter().map(|row| row.c.len() as u64).sum(),
        ];
        nothing_is_lost(sums, counted);
    }
}

/// The same for fields of a struct in a map, and for variants in a vector, which those who do not know them keep; the oldest program
/// comes back at the end.
#[test]
fn three_versions_at_once_lose_nothing_inside_others() {
    let object = Scratch::posix("rolling-inside");
    let locking = Locking::Futex;
    drop(open_with::<inside::first::Row>(&object, locking));
    let counted = count_under_kills(&object, locking, "inside", kills(6));
    let one = open_with::<inside::first::Row>(&object, locking);
    for key in 0..KEYS {
        one.update(&key, |row| row.map(|row| inside::first::Row { ups: row.ups + 1, ..row })).unwrap();
    }
    assert!(one.check().unwrap().is_clean());
    drop(one);
    let three = open_with::<inside::third::Row>(&object, locking);
    let report = three.check().unwrap();
    assert!(report.is_clean(), "{report}");
    let (mut fields, mut variants) = ([0; 3], [0; 3]);
    for row in three.values() {
        let row = row.unwrap();
        for part in row.parts.values() {
            fields.iter_mut().zip([part.a, part.b, part.c]).for_each(|(sum, count)| *sum += count);
        }
        for state in row.states {
            let (version, count) = match state {
                inside::third::State::A(count) => (0, count),
                inside::third::State::B { count } => (1, count),
                inside::third::State::C(_, count) => (2, count),
                inside::third::State::Other(_) => panic!("all are known"),
            };
            variants[version] += count;
        }
    }
    assert_eq!(fields, variants);
    nothing_is_lost(fields, counted);
}

const KEYS: u64 = 5;

fn count<V: ShmData + Default>(arguments: &[String], change: impl Fn(V) -> V) {
    let shm = Shm::open(&arguments[0]).unwrap();
    let locking = METHODS.into_iter().find(|method| method.to_string() == arguments[1]).unwrap();
    let rows: HashTable<u64, V> = HashTable::options().locking(locking).manage(shm).unwrap();
    for key in (0..KEYS).cycle() {
        rows.update(&key, |row| Some(change(row.unwrap_or_default()))).unwrap();
        println!("> counted");
    }
}

pub(crate) fn child(part: &str, arguments: &[String]) {
    assert_eq!(part, "count");
    match arguments[2].as_str() {
        "outermost0" => {
            count(arguments, |row: first::Row| first::Row { a: row.a + 1, name: "name".repeat(row.a as usize % 9) })
        }
        "outermost1" => count(arguments, |row: second::Row| second::Row { b: row.b + 1, ..row }),
        "outermost2" => count(arguments, |mut row: third::Row| {
            row.c.push("c".to_owned());
            row
        }),
        "inside0" => count(arguments, inside::first::Row::count),
        "inside1" => count(arguments, inside::second::Row::count),
        "inside2" => count(arguments, inside::third::Row::count),
        other => panic!("no version {other}"),
    }
}
