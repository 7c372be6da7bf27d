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

fn step(real: &Real, model: &mut Model, random: &mut Random) -> Result<()> {
    let (key, value) = (random.below(30), random.below(1000));
    let text = key.to_string();
    match random.below(26) {
        0 | 1 => {
            real.texts.add(&text, &(value as i64))?;
            model.texts.entry(text).or_default().push(value as i64);
        }
        2 | 3 => {
            real.pairs.add(&key, &value)?;
            model.pairs.entry(key).or_default().push(value);
        }
        4 => {
            real.texts.replace(&text, &-1)?;
            let stack = model.texts.entry(text).or_default();
            stack.pop();
            stack.push(-1);
        }
        5 => assert_eq!(real.pairs.pop(&key)?, model.pairs.get_mut(&key).and_then(Vec::pop)),
        6 => assert_eq!(real.texts.remove(&text)?, model.texts.get_mut(&text).and_then(Vec::pop).is_some()),
        7 => {
            let removed = model.pairs.remove(&key).map_or(0, |stack| stack.len());
            assert_eq!(real.pairs.remove_all(&key)?, removed);
        }
        8 => {
            let stack = model.texts.entry(text.clone()).or_default();
            let updated = stack.last().map(|value| value + 7);
            assert_eq!(real.texts.update(&text, |value| value.map(|value| value + 7))?, updated);
            stack.pop();
            stack.extend(updated);
        }
        9 => {
            let index = key as usize;
            let found = real.array.set(index, &value);
            match model.array.get_mut(index) {
                Some(element) => {
                    found?;
                    *element = value;
                }
                None => assert!(matches!(found, Err(Error::OutOfBounds { .. }))),
            }
        }
        10 => {
            real.array.resize(key as usize)?;
            model.array.resize(key as usize, 5);
        }
        11 => {
            assert_eq!(real.texts.find_all(&text)?, {
                let mut all = model.texts.get(&text).cloned().unwrap_or_default();
                all.reverse();
                all
            });
            assert_eq!(real.pairs.find(&key)?, model.pairs.get(&key).and_then(|stack| stack.last().copied()));
        }
        12 if random.once_in(20) => {
            real.pairs.clear()?;
            model.pairs.clear();
        }
        13 => {
            let old = change_newest(&mut model.pairs, key, |_| Some(value));
            assert_eq!(real.pairs.swap(&key, &value)?, old);
        }
        14 => {
            let newest = model.pairs.get(&key).and_then(|stack| stack.last().copied());
            let expected = if random.once_in(2) { newest.unwrap_or(value) } else { value };
            let outcome = real.pairs.compare_exchange(&key, &expected, &(value + 1))?;
            assert_eq!(outcome, if newest == Some(expected) { Ok(()) } else { Err(newest) });
            if outcome.is_ok() {
                change_newest(&mut model.pairs, key, |_| Some(value + 1));
            }
        }
        15 => {
            let old = change_newest(&mut model.pairs, key, |old| Some(old.unwrap_or(value)));
            assert_eq!(real.pairs.get_or_insert_with(&key, || value)?, old.unwrap_or(value));
        }
        16 => {
            type Verb = fn(&HashTable<u64, u64>, &u64, u64) -> Result<u64>;
            type Change = fn(u64, u64) -> u64;
            let verbs: [(Verb, Change); 6] = [
                (HashTable::fetch_add, u64::wrapping_add),
                (HashTable::fetch_sub, u64::wrapping_sub),
                (HashTable::fetch_and, |old, value| old & value),
                (HashTable::fetch_or, |old, value| old | value),
                (HashTable::fetch_min, u64::min),
                (HashTable::fetch_max, u64::max),
            ];
            let (verb, change) = verbs[random.below(6) as usize];
            let old = change_newest(&mut model.pairs, key, |old| Some(change(old.unwrap_or(0), value)));
            assert_eq!(verb(&real.pairs, &key, value)?, old.unwrap_or(0));
        }
        17 => {
            let bindings: Vec<_> = (key..key + value % 20).map(|key| (key, value)).collect();
            real.pairs.add_many(bindings.iter().map(|(key, value)| (key, value)))?;
            bindings.into_iter().for_each(|(key, value)| model.pairs.entry(key).or_default().push(value));
        }
        18 => {
            let is_absent = model.texts.get(&text).is_none_or(Vec::is_empty);
            assert_eq!(real.texts.add_if_absent(&text, &3)?, is_absent);
            if is_absent {
                model.texts.entry(text).or_default().push(3);
            }
        }
        19 => {
            let keys: Vec<u64> = (key..key + 20).collect();
            let newest = |key: &u64| model.pairs.get(key).and_then(|stack| stack.last().copied());
            assert_eq!(real.pairs.find_many(&keys)?, keys.iter().map(newest).collect::<Vec<_>>());
            assert_eq!(real.texts.contains(&text)?, model.texts.contains_key(&text));
        }
        20 => {
            let amount = value as i64 - 500;
            let old = change_newest(&mut model.texts, text.clone(), |old| Some(old.unwrap_or(0) + amount));
            assert_eq!(real.texts.fetch_add(&text, amount)?, old.unwrap_or(0));
        }
        21 if (key as usize) < model.array.len() => {
            let element = &mut model.array[key as usize];
            assert_eq!(real.array.fetch_add(key as usize, value)?, *element);
            *element = element.wrapping_add(value);
            assert_eq!(real.array.fetch_max(key as usize, 700)?, *element);
            *element = (*element).max(700);
            assert_eq!(real.array.update(key as usize, |old| old / 2)?, *element / 2);
            *element /= 2;
        }
        22 if (key as usize) < model.array.len() => {
            let element = &mut model.array[key as usize];
            let expected = if random.once_in(2) { *element } else { value };
            let outcome = real.array.compare_exchange(key as usize, &expected, &(value + 1))?;
            assert_eq!(outcome, if *element == expected { Ok(()) } else { Err(*element) });
            if outcome.is_ok() {
                *element = value + 1;
            }
        }
        23 if !model.array.is_empty() => {
            let (i, j) = (random.below(model.array.len() as u64) as usize, model.array.len() / 2);
            real.array.swap(i, j)?;
            model.array.swap(i, j);
            real.array.fill(j.., &value)?;
            model.array[j..].fill(value);
            assert_eq!(real.array.get_many([i, j])?, [model.array[i], model.array[j]]);
        }
        _ => {
            let texts: usize = model.texts.values().map(Vec::len).sum();
            let pairs: usize = model.pairs.values().map(Vec::len).sum();
            assert_eq!((real.texts.len()?, real.pairs.len()?, real.array.len()?), (texts, pairs, model.array.len()));
        }
    }
    drop_empty(&mut model.texts);
    drop_empty(&mut model.pairs);
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
