//! One function for each operation.

use std::collections::BTreeMap;

use netshm::{Error, Flow};
use netshm_tests::{AnyKey, AnyValue, Shape, Verbs, Way};

use super::Model;
use super::cursor::Cursor;

/// An operation's turn with the table and the model, which do the same.
pub(super) struct Turn<'a, T: Verbs> {
    pub(super) table: &'a T,
    pub(super) model: &'a mut Model<T>,
    /// The operation's number.
    pub(super) count: u64,
    pub(super) shape: Shape,
}

impl<T: Verbs> Turn<'_, T> {
    /// Returns the bindings of a key, the oldest first.
    fn stack(&mut self, key: &T::Key) -> &mut Vec<T::Value> {
        self.model.entry(key.clone()).or_default()
    }

    pub(super) fn add(&mut self, key: T::Key, value: T::Value) -> Result<(), Error> {
        self.table.add(&key, &value)?;
        self.stack(&key).push(value);
        Ok(())
    }

    pub(super) fn replace(&mut self, key: T::Key, value: T::Value) -> Result<(), Error> {
        self.table.replace(&key, &value)?;
        let stack = self.stack(&key);
        stack.pop();
        stack.push(value);
        Ok(())
    }

    pub(super) fn add_if_absent(&mut self, key: T::Key, value: T::Value) -> Result<(), Error> {
        let is_added = self.table.add_if_absent(&key, &value)?;
        let stack = self.stack(&key);
        assert_eq!(is_added, stack.is_empty());
        stack.extend(is_added.then_some(value));
        Ok(())
    }

    pub(super) fn get_or_insert(&mut self, key: T::Key, value: T::Value) -> Result<(), Error> {
        let mut is_made = false;
        let got = self.table.get_or_insert_with(&key, || {
            is_made = true;
            value.clone()
        })?;
        let stack = self.stack(&key);
        assert_eq!(is_made, stack.is_empty());
        stack.extend(is_made.then_some(value));
        assert_eq!(Some(&got), stack.last());
        Ok(())
    }

    pub(super) fn update(&mut self, key: T::Key, new: Option<T::Value>) -> Result<(), Error> {
        let newest = self.stack(&key).pop();
        let gives = self.table.update(&key, |old| {
            assert_eq!(old, newest);
            new.clone()
        })?;
        assert_eq!(gives, new);
        self.stack(&key).extend(new);
        Ok(())
    }

    pub(super) fn swap(&mut self, key: T::Key, value: T::Value) -> Result<(), Error> {
        let old = self.table.swap(&key, &value)?;
        let stack = self.stack(&key);
        assert_eq!(old, stack.pop());
        stack.push(value);
        Ok(())
    }

    pub(super) fn compare_exchange(&mut self, key: T::Key, size: usize, is_wanted: bool) -> Result<(), Error> {
        let (value, other) = (T::Value::sized(size, self.count), T::Value::sized(size / 2 + 1, self.count + 1));
        let present = self.stack(&key).last().cloned();
        let old = present.clone().filter(|_| is_wanted).unwrap_or(other);
        let outcome = self.table.compare_exchange(&key, &old, &value)?;
        if present.as_ref() == Some(&old) {
            assert_eq!(outcome, Ok(()));
            let stack = self.stack(&key);
            stack.pop();
            stack.push(value);
        } else {
            assert_eq!(outcome, Err(present));
        }
        Ok(())
    }

    pub(super) fn find(&mut self, key: &T::Key) -> Result<(), Error> {
        let newest = self.model.get(key).and_then(|stack| stack.last());
        assert_eq!(self.table.find(key)?.as_ref(), newest);
        Ok(())
    }

    pub(super) fn find_all(&mut self, key: &T::Key) -> Result<(), Error> {
        let newest_first = self.model.get(key).into_iter().flatten().rev().cloned();
        assert_eq!(self.table.find_all(key)?, newest_first.collect::<Vec<_>>());
        Ok(())
    }

    pub(super) fn contains(&mut self, key: &T::Key) -> Result<(), Error> {
        assert_eq!(self.table.contains(key)?, self.model.contains_key(key));
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &T::Key) -> Result<(), Error> {
        let newest = self.model.get_mut(key).and_then(Vec::pop);
        assert_eq!(self.table.remove(key)?, newest.is_some());
        Ok(())
    }

    pub(super) fn pop(&mut self, key: &T::Key) -> Result<(), Error> {
        assert_eq!(self.table.pop(key)?, self.model.get_mut(key).and_then(Vec::pop));
        Ok(())
    }

    pub(super) fn remove_all(&mut self, key: &T::Key) -> Result<(), Error> {
        let bindings = self.model.remove(key).map_or(0, |stack| stack.len());
        assert_eq!(self.table.remove_all(key)?, bindings);
        Ok(())
    }

    pub(super) fn read_blocks(&mut self, key: T::Key, flows: &[Flow]) -> Result<(), Error> {
        let Some((table, primitive)) = self.table.primitive(&key) else { return Ok(()) };
        let shape = self.shape;
        let mut cursor = Cursor::new(self.stack(&key), flows, shape);
        table.read_blocks(primitive, |block| {
            let mut content = vec![0; block.len()];
            assert_eq!(block.copy_to(&mut content), block.len());
            cursor.block(&content, block.ends_binding());
            cursor.flow(false)
        })?;
        cursor.end();
        Ok(())
    }

    pub(super) fn write_blocks(&mut self, key: T::Key, flows: &[Flow], element: usize) -> Result<(), Error> {
        let Some((table, primitive)) = self.table.primitive(&key) else { return Ok(()) };
        let (shape, count) = (self.shape, self.count as i32);
        let mut cursor = Cursor::new(self.stack(&key), flows, shape);
        table.write_blocks(primitive, |block| {
            let content: Vec<_> = (0..block.len()).map_while(|at| block.get(at)).collect();
            assert_eq!(block.get(content.len()), None);
            cursor.block(&content, block.ends_binding());
            if block.set(element, count) {
                cursor.set(element, count);
                assert_eq!(block.get(element), Some(count));
            } else {
                assert!(element >= content.len());
            }
            cursor.flow(true)
        })?;
        cursor.end();
        Ok(())
    }

    pub(super) fn visit(&mut self, way: Way) -> Result<(), Error> {
        compare(self.table.visit(way)?, self.model);
        Ok(())
    }

    pub(super) fn keys(&mut self) -> Result<(), Error> {
        let (mut visited, mut scanned) = (self.table.visit_keys()?, self.table.scan_keys()?);
        assert_eq!(visited, scanned);
        visited.sort();
        scanned.dedup();
        assert_eq!(visited, self.model.keys().cloned().collect::<Vec<_>>());
        let values = self.table.visit(Way::Scan)?.into_iter().map(|(_, value)| value);
        assert_eq!(self.table.scan_values()?, values.collect::<Vec<_>>());
        Ok(())
    }

    pub(super) fn clear(&mut self) -> Result<(), Error> {
        self.table.clear()?;
        self.model.clear();
        Ok(())
    }

    pub(super) fn len(&mut self) -> Result<(), Error> {
        let bindings = self.bindings();
        assert_eq!(self.table.len()?, bindings);
        assert_eq!(self.table.is_empty()?, bindings == 0);
        Ok(())
    }

    pub(super) fn check(&mut self) -> Result<(), Error> {
        let report = self.table.check()?;
        assert!(report.is_clean(), "{report}");
        assert_eq!((report.keys, report.bindings), (self.model.len() as u64, self.bindings() as u64));
        Ok(())
    }

    /// Returns the number of bindings in the model.
    fn bindings(&self) -> usize {
        self.model.values().map(Vec::len).sum()
    }
}

/// Checks that the bindings of a key come together, the newest first.
fn compare<K: AnyKey, V: AnyValue>(visited: Vec<(K, V)>, model: &BTreeMap<K, Vec<V>>) {
    let mut seen: BTreeMap<K, Vec<V>> = BTreeMap::new();
    let mut last = None;
    for (key, value) in visited {
        if last.as_ref() != Some(&key) {
            let new = seen.insert(key.clone(), Vec::new()).is_none();
            assert!(new, "{key:?} is visited in two parts");
        }
        seen.entry(key.clone()).or_default().push(value);
        last = Some(key);
    }
    for stack in seen.values_mut() {
        stack.reverse();
    }
    assert_eq!(&seen, model);
}
