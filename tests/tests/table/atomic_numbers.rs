//! Arithmetic on values and elements, against the same arithmetic on numbers.

use std::collections::BTreeMap;
use std::fmt::Debug;

use netshm::data::Integer;
use netshm::dynamic::{DynArray, DynTable, Value};
use netshm::{Array, Error, HashTable, Locking, Result, Shm, ShmKey, group};
use netshm_tests::{Random, Scratch, Shape};

/// One of the six verbs.
#[derive(Debug, Clone, Copy)]
enum Verb {
    Add,
    Sub,
    Min,
    Max,
    And,
    Or,
}

const VERBS: [Verb; 6] = [Verb::Add, Verb::Sub, Verb::Min, Verb::Max, Verb::And, Verb::Or];

/// An integer of any type, with what the model does.
trait Number: Integer + Debug + Into<Value> {
    fn random(random: &mut Random) -> Self;
    fn after(self, verb: Verb, by: Self) -> Self;
}

macro_rules! numbers {
    ($($type:ty),*) => { $(
        impl Number for $type {
            fn random(random: &mut Random) -> Self {
                match random.below(6) {
                    0 => <$type>::MAX,
                    1 => <$type>::MIN,
                    2 => 1,
                    3 => 0,
                    _ => (u128::from(random.below(u64::MAX)) << 64 | u128::from(random.below(u64::MAX))) as $type,
                }
            }

            fn after(self, verb: Verb, by: Self) -> Self {
                match verb {
                    Verb::Add => self.wrapping_add(by),
                    Verb::Sub => self.wrapping_sub(by),
                    Verb::Min => self.min(by),
                    Verb::Max => self.max(by),
                    Verb::And => self & by,
                    Verb::Or => self | by,
                }
            }
        }
    )* };
}

numbers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

fn on_table<K: ShmKey, V: Number>(table: &HashTable<K, V>, key: &K, verb: Verb, by: V) -> Result<V> {
    match verb {
        Verb::Add => table.fetch_add(key, by),
        Verb::Sub => table.fetch_sub(key, by),
        Verb::Min => table.fetch_min(key, by),
        Verb::Max => table.fetch_max(key, by),
        Verb::And => table.fetch_and(key, by),
        Verb::Or => table.fetch_or(key, by),
    }
}

fn on_dyn_table(table: &DynTable, key: &Value, verb: Verb, by: &Value) -> Result<Value> {
    match verb {
        Verb::Add => table.fetch_add(key, by),
        Verb::Sub => table.fetch_sub(key, by),
        Verb::Min => table.fetch_min(key, by),
        Verb::Max => table.fetch_max(key, by),
        Verb::And => table.fetch_and(key, by),
        Verb::Or => table.fetch_or(key, by),
    }
}

fn on_array<T: Number>(array: &Array<T>, index: usize, verb: Verb, by: T) -> Result<T> {
    match verb {
        Verb::Add => array.fetch_add(index, by),
        Verb::Sub => array.fetch_sub(index, by),
        Verb::Min => array.fetch_min(index, by),
        Verb::Max => array.fetch_max(index, by),
        Verb::And => array.fetch_and(index, by),
        Verb::Or => array.fetch_or(index, by),
    }
}

fn on_dyn_array(array: &DynArray, index: usize, verb: Verb, by: &Value) -> Result<Value> {
    match verb {
        Verb::Add => array.fetch_add(index, by),
        Verb::Sub => array.fetch_sub(index, by),
        Verb::Min => array.fetch_min(index, by),
        Verb::Max => array.fetch_max(index, by),
        Verb::And => array.fetch_and(index, by),
        Verb::Or => array.fetch_or(index, by),
    }
}

/// Runs `step` alone or in a group.
fn somehow(
    random: &mut Random,
    group: impl FnOnce(&mut dyn FnMut() -> Result<()>),
    step: &mut dyn FnMut() -> Result<()>,
) {
    if random.once_in(2) { step().unwrap() } else { group(step) }
}

/// Runs a table against its model, also by its stored schema, on keys with one binding, several and none.
fn tables<K: ShmKey + Ord + Clone + Into<Value>, V: Number>(key: impl Fn(u64) -> K) {
    for (number, shape) in Shape::all().into_iter().enumerate() {
        let mut random = Random::new(number as u64);
        let scratch = Scratch::posix("atomic");
        let options = HashTable::<K, V>::options().locking(shape.locking).pagesize(shape.pagesize);
        let table = options.stripes(shape.stripes).manage(scratch.open()).unwrap();
        let dynamic = DynTable::open(Shm::open(scratch.name()).unwrap()).unwrap();
        let mut model: BTreeMap<K, Vec<V>> = BTreeMap::new();
        for _ in 0..400 {
            let key = key(random.below(20));
            let (verb, by) = (VERBS[random.below(6) as usize], V::random(&mut random));
            match random.below(10) {
                0 => {
                    table.add(&key, &by).unwrap();
                    model.entry(key).or_default().push(by);
                }
                1 => {
                    assert_eq!(table.pop(&key).unwrap(), model.get_mut(&key).and_then(Vec::pop));
                }
                kind => {
                    let stack = model.entry(key.clone()).or_default();
                    let old = stack.pop().unwrap_or_default();
                    stack.push(old.after(verb, by));
                    let mut step = || {
                        if kind == 2 {
                            assert_eq!(on_dyn_table(&dynamic, &key.clone().into(), verb, &by.into())?, old.into());
                        } else {
                            assert_eq!(on_table(&table, &key, verb, by)?, old, "{verb:?} {by:?}");
                        }
                        Ok(())
                    };
                    somehow(&mut random, |step| table.group(step).unwrap(), &mut step);
                    assert_eq!(table.find_all(&key).unwrap().iter().rev().copied().collect::<Vec<_>>(), *stack);
                }
            }
        }
        assert!(table.check().unwrap().is_clean());
    }
}

#[test]
fn values_are_those_of_the_model() {
    tables::<u64, u64>(|key| key << 40);
    tables::<i32, i8>(|key| -(key as i32));
    tables::<u16, i64>(|key| key as u16);
    tables::<String, u32>(|key| format!("key {key}"));
    tables::<u8, u128>(|key| key as u8);
    tables::<String, i128>(|key| format!("key {key}"));
    tables::<u64, i16>(|key| key);
    tables::<u64, u8>(|key| key);
}

/// Runs an array against its model; its elements begin as a default that is not zero.
fn arrays<T: Number>() {
    for (number, shape) in Shape::all().into_iter().enumerate() {
        let mut random = Random::new(number as u64);
        let default = T::random(&mut random);
        let scratch = Scratch::posix("atomic");
        let options = Array::<T>::options().locking(shape.locking).pagesize(shape.pagesize);
        let array = options.stripes(shape.stripes).manage(scratch.open(), default).unwrap();
        let dynamic = DynArray::open(Shm::open(scratch.name()).unwrap()).unwrap();
        array.resize(3000).unwrap();
        let mut model = vec![default; 3000];
        for round in 0..400 {
            let index = random.below(3000) as usize;
            let (verb, by) = (VERBS[random.below(6) as usize], T::random(&mut random));
            let old = model[index];
            model[index] = old.after(verb, by);
            let mut step = || {
                if round % 5 == 0 {
                    assert_eq!(on_dyn_array(&dynamic, index, verb, &by.into())?, old.into());
                } else {
                    assert_eq!(on_array(&array, index, verb, by)?, old, "{verb:?} {by:?}");
                }
                Ok(())
            };
            somehow(&mut random, |step| array.group(step).unwrap(), &mut step);
            assert_eq!(array.get(index).unwrap(), model[index]);
        }
        assert_eq!(array.scan().collect::<Result<Vec<_>>>().unwrap(), model);
        assert!(matches!(array.fetch_add(3000, T::default()), Err(Error::OutOfBounds { index: 3000, len: 3000, .. })));
        assert!(array.check().unwrap().is_clean());
    }
}

#[test]
fn elements_are_those_of_the_model() {
    arrays::<u64>();
    arrays::<i8>();
    arrays::<u128>();
    arrays::<i32>();
}

#[test]
fn numbers_are_put_back_with_their_group() {
    let scratch = Scratch::posix("atomic");
    let table: HashTable<u64, u64> = HashTable::manage(scratch.open(), Locking::Futex).unwrap();
    let other = Scratch::posix("atomic");
    let array: Array<u64> = Array::manage(other.open(), 7, Locking::Futex).unwrap();
    array.resize(10).unwrap();
    table.add(&1, &10).unwrap();
    let undone: Result<()> = group!(table => {
        assert_eq!(table.fetch_add(&1, 5)?, 10);
        assert_eq!(table.fetch_add(&2, 5)?, 0);
        assert_eq!(table.fetch_sub(&1, 1)?, 15);
        assert_eq!(table.compare_exchange(&1, &14, &20)?, Ok(()));
        assert_eq!(table.swap(&1, &21)?, Some(20));
        assert_eq!(table.swap(&3, &21)?, None);
        return Err("nonsense".parse::<netshm::ShmName>().unwrap_err());
    });
    assert!(undone.is_err());
    assert_eq!(table.find_many([&1, &2, &3]).unwrap(), [Some(10), None, None]);
    let undone: Result<()> = group!(array => {
        assert_eq!(array.fetch_add(1, 5)?, 7);
        assert_eq!(array.fetch_max(1, 50)?, 12);
        assert_eq!(array.compare_exchange(1, &50, &8)?, Ok(()));
        return Err("nonsense".parse::<netshm::ShmName>().unwrap_err());
    });
    assert!(undone.is_err());
    assert_eq!(array.get(1).unwrap(), 7);
}

#[test]
fn numbers_are_counted_by_many_threads() {
    const EACH: u64 = 2000;
    for locking in [Locking::Record, Locking::Futex] {
        let scratch = Scratch::posix("atomic");
        let table: HashTable<u64, u64> = HashTable::manage(scratch.open(), locking).unwrap();
        let other = Scratch::posix("atomic");
        let array: Array<u64> = Array::manage(other.open(), 0, locking).unwrap();
        array.resize(4).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for round in 0..EACH {
                        table.fetch_add(&(round % 4), 1).unwrap();
                        array.fetch_add(round as usize % 4, 1).unwrap();
                        // The same by hand: again until nobody has come in between.
                        let mut old = table.find(&9).unwrap();
                        while let Some(found) = old {
                            match table.compare_exchange(&9, &found, &(found + 1)).unwrap() {
                                Ok(()) => break,
                                Err(other) => old = other,
                            }
                        }
                        if old.is_none() {
                            table.fetch_add(&9, 1).unwrap();
                        }
                    }
                });
            }
        });
        assert_eq!((0..4).map(|key| table.find(&key).unwrap().unwrap()).sum::<u64>(), 3 * EACH);
        assert_eq!((0..4).map(|index| array.get(index).unwrap()).sum::<u64>(), 3 * EACH);
        assert_eq!(table.find(&9).unwrap(), Some(3 * EACH));
    }
}

#[test]
fn types_without_numbers_are_told() {
    let scratch = Scratch::posix("atomic");
    let _: HashTable<u64, String> = HashTable::manage(scratch.open(), Locking::Futex).unwrap();
    let table = DynTable::open(Shm::open(scratch.name()).unwrap()).unwrap();
    let error = table.fetch_add(&Value::from(1), &Value::from(1)).unwrap_err();
    assert!(error.to_string().contains("an integer type expected, found a text"), "{error}");
    let other = Scratch::posix("atomic");
    let _: Array<u8> = Array::manage(other.open(), 0, Locking::Futex).unwrap();
    let array = DynArray::open(Shm::open(other.name()).unwrap()).unwrap();
    let error = array.fetch_add(0, &Value::from(256)).unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error}");
}

#[test]
fn a_key_that_is_exchanged_is_compared_as_it_is_stored() {
    let scratch = Scratch::posix("atomic");
    let floats: HashTable<u64, f64> = HashTable::manage(scratch.open(), Locking::Futex).unwrap();
    floats.add(&1, &f64::NAN).unwrap();
    assert_eq!(floats.compare_exchange(&1, &f64::NAN, &0.0).unwrap(), Ok(()));
    assert_eq!(floats.compare_exchange(&1, &-0.0, &1.0).unwrap(), Err(Some(0.0)));

    let other = Scratch::posix("atomic");
    type Map = std::collections::HashMap<String, u32>;
    let maps: HashTable<u64, Map> = HashTable::manage(other.open(), Locking::Futex).unwrap();
    // As many entries as make two maps with the same order unlikely.
    let map = || (0..30).map(|number| (number.to_string(), number)).collect::<Map>();
    maps.add(&1, &map()).unwrap();
    let dynamic = DynTable::open(Shm::open(other.name()).unwrap()).unwrap();
    let entries = |number: u32| (Value::from(number.to_string()), Value::from(number));
    let reversed = Value::Map((0..30).rev().map(entries).collect());
    assert_eq!(dynamic.compare_exchange(&Value::from(1), &reversed, &reversed).unwrap(), Ok(()));
    assert_eq!(maps.compare_exchange(&1, &map(), &Map::new()).unwrap(), Ok(()));
    assert_eq!(maps.compare_exchange(&1, &map(), &Map::new()).unwrap(), Err(Some(Map::new())));
    group!(maps => {
        assert_eq!(maps.compare_exchange(&1, &Map::new(), &map())?, Ok(()));
    })
    .unwrap();
    assert_eq!(maps.find(&1).unwrap(), Some(map()));
}

/// What an update's closure does to the object belongs to the update.
#[test]
fn updates_take_in_what_happens_within() {
    let scratch = Scratch::posix("atomic");
    let table: HashTable<u64, u64> = HashTable::options().stripes(4).manage(scratch.open()).unwrap();
    (0..100).for_each(|key| table.add(&key, &key).unwrap());
    // Reading the same stripe or others, and changing them: the update goes on, and stays one step.
    let read = table.update(&1, |old| Some(old? + table.find_many(&[1, 2, 3, 4, 5]).unwrap().len() as u64)).unwrap();
    assert_eq!(read, Some(6));
    for key in 0..20 {
        let changed = table.update(&key, |old| {
            table.replace(&(key + 50), &0).unwrap();
            table.fetch_add(&key, 1000).unwrap();
            table.update(&(key + 70), |_| None).unwrap();
            old.map(|old| old + 7)
        });
        assert_eq!(table.find(&key).unwrap(), changed.unwrap());
        assert_eq!(table.find_many(&[key + 50, key + 70]).unwrap(), [Some(0), None]);
    }
    // A panic takes everything back.
    let before: Vec<_> = table.scan().collect::<Result<_>>().unwrap();
    for change_others in [false, true] {
        let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            table.update(&30, |_| {
                if change_others {
                    table.replace(&31, &0).unwrap();
                }
                panic!("wanted")
            })
        }));
        assert!(panics.is_err());
        assert_eq!(table.scan().collect::<Result<Vec<_>>>().unwrap(), before);
    }
    // Two in a row, and what comes after them, are as ever.
    assert_eq!(table.update(&30, |old| old.map(|old| old + 1)).unwrap(), Some(31));
    group!(table => {
        table.update(&30, |old| old.map(|old| old + 1))?;
    })
    .unwrap();
    assert_eq!(table.find(&30).unwrap(), Some(32));
    assert!(table.check().unwrap().is_clean());

    // A value that does not fit its place any more, and one that is not there.
    let other = Scratch::posix("atomic");
    let texts: HashTable<u64, String> = HashTable::manage(other.open(), Locking::Futex).unwrap();
    texts.add(&1, "text").unwrap();
    for length in [4, 5, 300, 3, 3] {
        texts.update(&1, |old| old.map(|_| "x".repeat(length))).unwrap();
        assert_eq!(texts.find_with(&1, str::len).unwrap(), Some(length));
    }
    assert_eq!(texts.update(&2, |old| old.or(Some("new".to_owned()))).unwrap().as_deref(), Some("new"));
    assert!(texts.check().unwrap().is_clean());
}

/// An array with large elements, which are too long for a small transaction.
#[test]
fn large_elements_are_updated() {
    let scratch = Scratch::posix("atomic");
    let array: Array<[u64; 40]> = Array::manage(scratch.open(), [0; 40], Locking::Futex).unwrap();
    array.resize(10).unwrap();
    for round in 1..4 {
        array.set(3, &[round; 40]).unwrap();
        assert_eq!(array.update(3, |old| old.map(|number| number * 2)).unwrap(), [round * 2; 40]);
        assert_eq!(array.get(3).unwrap(), [round * 2; 40]);
    }
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| array.update(3, |_| panic!("wanted"))));
    assert!(panics.is_err());
    array.set(3, &[9; 40]).unwrap();
    assert!(array.check().unwrap().is_clean());
}
