//! The members of an object against plain maps.

use std::collections::BTreeMap;

use netshm::{Array, Error, HashTable, Result, group};
use netshm_tests::{Random, Scratch};

use super::members_object::{Accounts, METHODS};

#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    texts: BTreeMap<String, Vec<i64>>,
    pairs: BTreeMap<u64, Vec<u64>>,
    array: Vec<u64>,
}

struct Real {
    texts: Accounts,
    pairs: HashTable<u64, u64>,
    array: Array<u64>,
}

impl Real {
    fn dump(&self) -> Model {
        let mut model = Model { array: self.array.scan().collect::<Result<_>>().unwrap(), ..Model::default() };
        self.texts.for_each(|key, value| model.texts.entry(key).or_default().push(value)).unwrap();
        self.pairs.for_each(|key, value| model.pairs.entry(key).or_default().push(value)).unwrap();
        // The newest binding comes first.
        model.texts.values_mut().for_each(|stack| stack.reverse());
        model.pairs.values_mut().for_each(|stack| stack.reverse());
        model
    }
}

fn drop_empty<K: Ord, V>(map: &mut BTreeMap<K, Vec<V>>) {
    map.retain(|_, stack| !stack.is_empty());
}

/// Puts what `change` makes of the newest binding in its place; returns that.
fn change_newest<K: Ord, V: Copy>(
    map: &mut BTreeMap<K, Vec<V>>,
    key: K,
    change: impl FnOnce(Option<V>) -> Option<V>,
) -> Option<V> {
    let stack = map.entry(key).or_default();
    let old = stack.pop();
    stack.extend(change(old));
    old
}

fn newest<K: Ord, V: Copy>(map: &BTreeMap<K, Vec<V>>, key: &K) -> Option<V> {
    map.get(key).and_then(|stack| stack.last().copied())
}

fn bindings<K, V>(map: &BTreeMap<K, Vec<V>>) -> usize {
    map.values().map(Vec::len).sum()
}

fn step(real: &Real, model: &mut Model, random: &mut Random) -> Result<()> {
    let (key, value) = (random.below(30), random.below(1000));
    match random.below(26) {
        0..8 => on_texts(&real.texts, &mut model.texts, key.to_string(), value as i64, random)?,
        8..15 => change_pairs(&real.pairs, &mut model.pairs, key, value, random)?,
        15..19 => exchange_pairs(&real.pairs, &mut model.pairs, key, value, random)?,
        19..25 => on_array(&real.array, &mut model.array, key as usize, value, random)?,
        _ => {
            let lengths = (real.texts.len()?, real.pairs.len()?, real.array.len()?);
            assert_eq!(lengths, (bindings(&model.texts), bindings(&model.pairs), model.array.len()));
        }
    }
    drop_empty(&mut model.texts);
    drop_empty(&mut model.pairs);
    Ok(())
}

fn on_texts(
    real: &Accounts,
    model: &mut BTreeMap<String, Vec<i64>>,
    text: String,
    value: i64,
    random: &mut Random,
) -> Result<()> {
    match random.below(8) {
        0 | 1 => {
            real.add(&text, &value)?;
            model.entry(text).or_default().push(value);
        }
        2 => {
            real.replace(&text, &-1)?;
            change_newest(model, text, |_| Some(-1));
        }
        3 => assert_eq!(real.remove(&text)?, model.get_mut(&text).and_then(Vec::pop).is_some()),
        4 => {
            let updated = real.update(&text, |value| value.map(|value| value + 7))?;
            change_newest(model, text.clone(), |old| old.map(|value| value + 7));
            assert_eq!(updated, newest(model, &text));
        }
        5 => {
            let is_absent = model.get(&text).is_none_or(Vec::is_empty);
            assert_eq!(real.add_if_absent(&text, &3)?, is_absent);
            change_newest(model, text, |old| old.or(Some(3)));
        }
        6 => {
            let amount = value - 500;
            let before = real.fetch_add(&text, amount)?;
            let old = change_newest(model, text, |old| Some(old.unwrap_or(0) + amount));
            assert_eq!(before, old.unwrap_or(0));
        }
        _ => {
            let newest_first = model.get(&text).into_iter().flatten().rev().copied();
            assert_eq!(real.find_all(&text)?, newest_first.collect::<Vec<_>>());
            assert_eq!(real.contains(&text)?, model.contains_key(&text));
        }
    }
    Ok(())
}

fn change_pairs(
    real: &HashTable<u64, u64>,
    model: &mut BTreeMap<u64, Vec<u64>>,
    key: u64,
    value: u64,
    random: &mut Random,
) -> Result<()> {
    match random.below(7) {
        0 | 1 => {
            real.add(&key, &value)?;
            model.entry(key).or_default().push(value);
        }
        2 => assert_eq!(real.pop(&key)?, model.get_mut(&key).and_then(Vec::pop)),
        3 => {
            let removed = model.remove(&key).map_or(0, |stack| stack.len());
            assert_eq!(real.remove_all(&key)?, removed);
        }
        4 => {
            let bindings: Vec<_> = (key..key + value % 20).map(|key| (key, value)).collect();
            real.add_many(bindings.iter().map(|(key, value)| (key, value)))?;
            bindings.into_iter().for_each(|(key, value)| model.entry(key).or_default().push(value));
        }
        5 if random.once_in(20) => {
            real.clear()?;
            model.clear();
        }
        _ => {
            let keys: Vec<u64> = (key..key + 20).collect();
            assert_eq!(real.find_many(&keys)?, keys.iter().map(|key| newest(model, key)).collect::<Vec<_>>());
            assert_eq!(real.find(&key)?, newest(model, &key));
        }
    }
    Ok(())
}

/// Does what depends on the newest binding or returns it.
fn exchange_pairs(
    real: &HashTable<u64, u64>,
    model: &mut BTreeMap<u64, Vec<u64>>,
    key: u64,
    value: u64,
    random: &mut Random,
) -> Result<()> {
    type Verb = fn(&HashTable<u64, u64>, &u64, u64) -> Result<u64>;
    type Change = fn(u64, u64) -> u64;
    const VERBS: [(Verb, Change); 6] = [
        (HashTable::fetch_add, u64::wrapping_add),
        (HashTable::fetch_sub, u64::wrapping_sub),
        (HashTable::fetch_and, |old, value| old & value),
        (HashTable::fetch_or, |old, value| old | value),
        (HashTable::fetch_min, u64::min),
        (HashTable::fetch_max, u64::max),
    ];
    match random.below(4) {
        0 => {
            let old = change_newest(model, key, |_| Some(value));
            assert_eq!(real.swap(&key, &value)?, old);
        }
        1 => {
            let newest = newest(model, &key);
            let expected = if random.once_in(2) { newest.unwrap_or(value) } else { value };
            let outcome = real.compare_exchange(&key, &expected, &(value + 1))?;
            assert_eq!(outcome, if newest == Some(expected) { Ok(()) } else { Err(newest) });
            if outcome.is_ok() {
                change_newest(model, key, |_| Some(value + 1));
            }
        }
        2 => {
            let old = change_newest(model, key, |old| Some(old.unwrap_or(value)));
            assert_eq!(real.get_or_insert_with(&key, || value)?, old.unwrap_or(value));
        }
        _ => {
            let (verb, change) = VERBS[random.below(6) as usize];
            let old = change_newest(model, key, |old| Some(change(old.unwrap_or(0), value)));
            assert_eq!(verb(real, &key, value)?, old.unwrap_or(0));
        }
    }
    Ok(())
}

fn on_array(real: &Array<u64>, model: &mut Vec<u64>, index: usize, value: u64, random: &mut Random) -> Result<()> {
    let Some(element) = model.get_mut(index) else {
        let found = real.set(index, &value);
        assert!(matches!(found, Err(Error::OutOfBounds { .. })), "{found:?}");
        real.resize(index)?;
        model.resize(index, 5);
        return Ok(());
    };
    match random.below(5) {
        0 => {
            real.set(index, &value)?;
            *element = value;
        }
        1 => {
            real.resize(index)?;
            model.truncate(index);
        }
        2 => {
            assert_eq!(real.fetch_add(index, value)?, *element);
            *element = element.wrapping_add(value);
            assert_eq!(real.fetch_max(index, 700)?, *element);
            *element = (*element).max(700);
            assert_eq!(real.update(index, |old| old / 2)?, *element / 2);
            *element /= 2;
        }
        3 => {
            let expected = if random.once_in(2) { *element } else { value };
            let outcome = real.compare_exchange(index, &expected, &(value + 1))?;
            assert_eq!(outcome, if *element == expected { Ok(()) } else { Err(*element) });
            if outcome.is_ok() {
                *element = value + 1;
            }
        }
        _ => {
            let (i, j) = (random.below(model.len() as u64) as usize, model.len() / 2);
            real.swap(i, j)?;
            model.swap(i, j);
            real.fill(j.., &value)?;
            model[j..].fill(value);
            assert_eq!(real.get_many([i, j])?, [model[i], model[j]]);
        }
    }
    Ok(())
}

/// All verbs on the members of one object, in nested groups that fail or not, against plain maps.
#[test]
fn members_do_what_a_model_does() {
    for locking in METHODS {
        let object = Scratch::posix("members-model");
        let shm = object.open();
        let real = Real {
            texts: HashTable::options().locking(locking).named("texts").stripes(2).manage(shm.clone()).unwrap(),
            pairs: HashTable::options().named("pairs").stripes(1).manage(shm.clone()).unwrap(),
            array: Array::options().named("array").stripes(1).manage(shm.clone(), 5).unwrap(),
        };
        let (mut model, mut random) = (Model::default(), Random::new(11));
        for round in 0..400 {
            let before = model.clone();
            let fails = random.once_in(3);
            let outcome: Result<()> = group!(real.array => {
                for _ in 0..random.below(12) {
                    step(&real, &mut model, &mut random)?;
                }
                let (inner_before, inner_fails) = (model.clone(), random.once_in(2));
                let inner: Result<()> = group!(real.texts => {
                    for _ in 0..random.below(6) {
                        step(&real, &mut model, &mut random)?;
                    }
                    if inner_fails {
                        real.array.get(1_000_000)?;
                    }
                });
                assert_eq!(inner.is_err(), inner_fails);
                if inner_fails {
                    model = inner_before;
                }
                if fails {
                    real.array.get(1_000_000)?;
                }
            });
            assert_eq!(outcome.is_err(), fails);
            if fails {
                model = before;
            }
            assert_eq!(real.dump(), model, "{locking}, round {round}");
            if round % 100 == 0 {
                shm.trim().unwrap();
                let other: HashTable<u64, u64> = HashTable::options().named("other").manage(shm.clone()).unwrap();
                other.add(&round, &round).unwrap();
                drop(other);
                shm.remove_member("other").unwrap();
            }
        }
        let report = real.texts.check().unwrap();
        assert!(report.is_clean(), "{locking}: {report}");
    }
}
