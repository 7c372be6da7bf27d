//! Operations on a table, carried out on a model as well.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use netshm::{Error, Flow};
use netshm_tests::{AnyKey, AnyValue, Scratch, Shape, Verbs, Way};

/// An operation; keys and values are given by number.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Add(u16, usize),
    Replace(u16, usize),
    AddIfAbsent(u16, usize),
    GetOrInsert(u16, usize),
    /// `None` removes.
    Update(u16, Option<usize>),
    Swap(u16, usize),
    /// True if it is what is bound that is expected.
    CompareExchange(u16, usize, bool),
    Find(u16),
    FindAll(u16),
    Contains(u16),
    Remove(u16),
    Pop(u16),
    RemoveAll(u16),
    /// Reads block by block; the flows are used in turn.
    ReadBlocks(u16, Vec<Flow>),
    /// The same, and changes the element with that number in each block.
    WriteBlocks(u16, Vec<Flow>, usize),
    Visit(Way),
    Keys,
    Clear,
    Len,
    Group(Vec<Op>, End),
    Check,
    /// Closes all handles and opens new ones.
    Reopen,
}

/// End of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    Error,
    Panic,
}

/// Why a group is left.
#[derive(Debug)]
enum Leave {
    Wanted,
    Failed(Error),
}

impl From<Error> for Leave {
    fn from(error: Error) -> Self {
        Leave::Failed(error)
    }
}

/// Payload of the tests' own panics.
struct Wanted;

type Model<T> = BTreeMap<<T as Verbs>::Key, Vec<<T as Verbs>::Value>>;

/// A table, open twice, and what it should hold: the bindings of each key, the oldest first.
pub(crate) struct Trace<T: Verbs> {
    scratch: Scratch,
    shape: Shape,
    handles: Vec<T>,
    model: Model<T>,
    /// Operations so far; they number the values and choose the handle.
    count: u64,
}

impl<T: Verbs> Trace<T> {
    pub(crate) fn start(subject: &str, shape: Shape) -> Self {
        let scratch = if shape.pagesize == 1024 { Scratch::file(subject) } else { Scratch::posix(subject) };
        let handles = Self::handles(&scratch, shape);
        Trace { scratch, shape, handles, model: BTreeMap::new(), count: 0 }
    }

    fn handles(scratch: &Scratch, shape: Shape) -> Vec<T> {
        (0..2).map(|_| T::open(scratch.open(), shape).expect("the object can be managed")).collect()
    }

    /// Carries out operations.
    pub(crate) fn run(&mut self, ops: &[Op]) {
        for op in ops {
            if let Op::Reopen = op {
                self.handles.clear();
                self.handles = Self::handles(&self.scratch, self.shape);
                continue;
            }
            if let Err(error) = self.step(op) {
                panic!("{:?}, operation {}, {op:?}: {error}", self.shape, self.count);
            }
        }
    }

    /// Compares everything.
    pub(crate) fn finish(&mut self) {
        self.run(&[Op::Visit(Way::ForEach), Op::Visit(Way::Scan), Op::Keys, Op::Len, Op::Check, Op::Reopen]);
        let keys: Vec<_> = self.model.keys().cloned().collect();
        for key in keys {
            let found = self.handles[0].find_all(&key).unwrap();
            assert_eq!(found.iter().rev().cloned().collect::<Vec<_>>(), self.model[&key], "{key:?}");
        }
        self.run(&[Op::Check]);
    }

    fn step(&mut self, op: &Op) -> Result<(), Error> {
        self.count += 1;
        let count = self.count;
        let key = |number: u16| T::Key::numbered(number);
        let value = |size: usize| T::Value::sized(size, count);
        // A group needs its table while `self` is changed.
        let table = &self.handles[count as usize % 2];
        let model = &mut self.model;
        match *op {
            Op::Add(k, size) => {
                table.add(&key(k), &value(size))?;
                model.entry(key(k)).or_default().push(value(size));
            }
            Op::Replace(k, size) => {
                table.replace(&key(k), &value(size))?;
                let stack = model.entry(key(k)).or_default();
                stack.pop();
                stack.push(value(size));
            }
            Op::AddIfAbsent(k, size) => {
                let stack = model.entry(key(k)).or_default();
                assert_eq!(table.add_if_absent(&key(k), &value(size))?, stack.is_empty());
                if stack.is_empty() {
                    stack.push(value(size));
                }
            }
            Op::GetOrInsert(k, size) => {
                let stack = model.entry(key(k)).or_default();
                let present = stack.last().cloned();
                let mut made = false;
                let got = table.get_or_insert_with(&key(k), || {
                    made = true;
                    value(size)
                })?;
                assert_eq!(made, present.is_none());
                stack.extend(made.then(|| value(size)));
                assert_eq!(Some(&got), stack.last());
            }
            Op::Update(k, size) => {
                let stack = model.entry(key(k)).or_default();
                let new = size.map(value);
                let gives = table.update(&key(k), |old| {
                    assert_eq!(old.as_ref(), stack.last());
                    new.clone()
                })?;
                assert_eq!(gives, new);
                stack.pop();
                stack.extend(new);
            }
            Op::Swap(k, size) => {
                let stack = model.entry(key(k)).or_default();
                assert_eq!(table.swap(&key(k), &value(size))?, stack.pop());
                stack.push(value(size));
            }
            Op::CompareExchange(k, size, wanted) => {
                let stack = model.entry(key(k)).or_default();
                let present = stack.last().cloned();
                let old =
                    present.clone().filter(|_| wanted).unwrap_or_else(|| T::Value::sized(size / 2 + 1, count + 1));
                let outcome = table.compare_exchange(&key(k), &old, &value(size))?;
                if present.as_ref() == Some(&old) {
                    assert_eq!(outcome, Ok(()));
                    stack.pop();
                    stack.push(value(size));
                } else {
                    assert_eq!(outcome, Err(present));
                }
            }
            Op::Find(k) => assert_eq!(table.find(&key(k))?.as_ref(), model.get(&key(k)).and_then(|stack| stack.last())),
            Op::FindAll(k) => {
                let newest_first = model.get(&key(k)).into_iter().flatten().rev().cloned();
                assert_eq!(table.find_all(&key(k))?, newest_first.collect::<Vec<_>>());
            }
            Op::Contains(k) => assert_eq!(table.contains(&key(k))?, model.contains_key(&key(k))),
            Op::Remove(k) => {
                let popped = model.get_mut(&key(k)).and_then(Vec::pop);
                assert_eq!(table.remove(&key(k))?, popped.is_some());
            }
            Op::Pop(k) => assert_eq!(table.pop(&key(k))?, model.get_mut(&key(k)).and_then(Vec::pop)),
            Op::RemoveAll(k) => {
                let bindings = model.remove(&key(k)).map_or(0, |stack| stack.len());
                assert_eq!(table.remove_all(&key(k))?, bindings);
            }
            Op::ReadBlocks(k, ref flows) => {
                let Some((table, primitive)) = table.primitive(&key(k)) else { return Ok(()) };
                let mut cursor = Cursor::new(model.entry(key(k)).or_default(), flows, self.shape);
                table.read_blocks(primitive, |block| {
                    let mut content = vec![0; block.len()];
                    assert_eq!(block.copy_to(&mut content), block.len());
                    cursor.block(&content, block.ends_binding());
                    cursor.flow(false)
                })?;
                cursor.end();
            }
            Op::WriteBlocks(k, ref flows, element) => {
                let Some((table, primitive)) = table.primitive(&key(k)) else { return Ok(()) };
                let mut cursor = Cursor::new(model.entry(key(k)).or_default(), flows, self.shape);
                table.write_blocks(primitive, |block| {
                    let content: Vec<_> = (0..block.len()).map_while(|at| block.get(at)).collect();
                    assert_eq!(block.get(content.len()), None);
                    cursor.block(&content, block.ends_binding());
                    if block.set(element, count as i32) {
                        cursor.set(element, count as i32);
                        assert_eq!(block.get(element), Some(count as i32));
                    } else {
                        assert!(element >= content.len());
                    }
                    cursor.flow(true)
                })?;
                cursor.end();
            }
            Op::Visit(way) => compare(table.visit(way)?, model),
            Op::Keys => {
                let (mut visited, mut scanned) = (table.visit_keys()?, table.scan_keys()?);
                assert_eq!(visited, scanned);
                visited.sort();
                scanned.dedup();
                assert_eq!(visited, model.keys().cloned().collect::<Vec<_>>());
                let values = table.visit(Way::Scan)?.into_iter().map(|(_, value)| value);
                assert_eq!(table.scan_values()?, values.collect::<Vec<_>>());
            }
            Op::Clear => {
                table.clear()?;
                model.clear();
            }
            Op::Len => {
                let bindings = model.values().map(Vec::len).sum::<usize>();
                assert_eq!(table.len()?, bindings);
                assert_eq!(table.is_empty()?, bindings == 0);
            }
            Op::Group(ref ops, end) => return self.group(ops, end),
            Op::Check => {
                let report = table.check()?;
                assert!(report.is_clean(), "{report}");
                assert_eq!(report.keys, model.len() as u64);
                assert_eq!(report.bindings, model.values().map(Vec::len).sum::<usize>() as u64);
            }
            Op::Reopen => {}
        }
        self.model.retain(|_, stack| !stack.is_empty());
        Ok(())
    }

    fn group(&mut self, ops: &[Op], end: End) -> Result<(), Error> {
        let before = self.model.clone();
        // The group is opened through a third handle, which the operations inside do not use.
        let table = T::open(self.scratch.open(), self.shape)?;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            table.group(|| {
                for op in ops {
                    self.step(op)?;
                }
                match end {
                    End::Commit => Ok(()),
                    End::Error => Err(Leave::Wanted),
                    End::Panic => resume_unwind(Box::new(Wanted)),
                }
            })
        }));
        match outcome {
            Ok(Ok(())) => assert_eq!(end, End::Commit),
            Ok(Err(Leave::Wanted)) => assert_eq!(end, End::Error),
            Ok(Err(Leave::Failed(error))) => return Err(error),
            Err(panic) if panic.is::<Wanted>() => assert_eq!(end, End::Panic),
            Err(panic) => resume_unwind(panic),
        }
        if end != End::Commit {
            self.model = before;
        }
        Ok(())
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

/// Position of a walk through the blocks of a key, in the model.
struct Cursor<'a, V> {
    stack: &'a mut Vec<V>,
    /// Bindings that are still to come, this one included.
    left: usize,
    /// Start of the block in the binding; its end follows.
    start: usize,
    end: usize,
    ends_binding: bool,
    flows: std::iter::Cycle<std::slice::Iter<'a, Flow>>,
    broken: bool,
    block_limit: usize,
}

impl<'a, V: AnyValue> Cursor<'a, V> {
    fn new(stack: &'a mut Vec<V>, flows: &'a [Flow], shape: Shape) -> Self {
        let left = stack.len();
        let flows = flows.iter().cycle();
        let block_limit = shape.pagesize as usize / 4;
        Cursor { stack, left, start: 0, end: 0, ends_binding: false, flows, broken: false, block_limit }
    }

    fn binding(&mut self) -> &mut Vec<i32> {
        self.stack[self.left - 1].elements().expect("a value of the primitive table")
    }

    /// Checks the content of the next block.
    fn block(&mut self, content: &[i32], ends_binding: bool) {
        assert!(!self.broken && self.left > 0, "a block after the last one");
        (self.start, self.end, self.ends_binding) = (self.end, self.end + content.len(), ends_binding);
        assert!(content.len() <= self.block_limit);
        let (start, end) = (self.start, self.end);
        let binding = self.binding();
        assert_eq!(binding.get(start..end), Some(content));
        assert_eq!(ends_binding, end == binding.len());
        assert!(!content.is_empty() || binding.is_empty());
    }

    /// Changes an element of the block.
    fn set(&mut self, element: usize, value: i32) {
        let at = self.start + element;
        self.binding()[at] = value;
    }

    /// Returns how to go on, from the list.
    fn flow(&mut self, writing: bool) -> Flow {
        let flow = *self.flows.next().unwrap_or(&Flow::Next);
        match flow {
            Flow::Next if !self.ends_binding => return flow,
            Flow::Break => {
                self.broken = true;
                return flow;
            }
            Flow::Remove if writing => drop(self.stack.remove(self.left - 1)),
            Flow::Next | Flow::NextBinding | Flow::Remove => {}
        }
        self.left -= 1;
        self.end = 0;
        flow
    }

    /// Checks that there are no more blocks.
    fn end(&self) {
        assert!(self.broken || self.left == 0, "{} bindings were not shown", self.left);
    }
}
