//! Operations on a table, carried out on a model as well.

mod cursor;
mod turn;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use netshm::{Error, Flow};
use netshm_tests::{AnyKey, AnyValue, Scratch, Shape, Verbs, Way};
use turn::Turn;

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
        let (count, shape) = (self.count, self.shape);
        let key = T::Key::numbered;
        let value = |size: usize| T::Value::sized(size, count);
        let table = &self.handles[count as usize % 2];
        let mut turn = Turn { table, model: &mut self.model, count, shape };
        match *op {
            Op::Add(k, size) => turn.add(key(k), value(size))?,
            Op::Replace(k, size) => turn.replace(key(k), value(size))?,
            Op::AddIfAbsent(k, size) => turn.add_if_absent(key(k), value(size))?,
            Op::GetOrInsert(k, size) => turn.get_or_insert(key(k), value(size))?,
            Op::Update(k, size) => turn.update(key(k), size.map(value))?,
            Op::Swap(k, size) => turn.swap(key(k), value(size))?,
            Op::CompareExchange(k, size, wanted) => turn.compare_exchange(key(k), size, wanted)?,
            Op::Find(k) => turn.find(&key(k))?,
            Op::FindAll(k) => turn.find_all(&key(k))?,
            Op::Contains(k) => turn.contains(&key(k))?,
            Op::Remove(k) => turn.remove(&key(k))?,
            Op::Pop(k) => turn.pop(&key(k))?,
            Op::RemoveAll(k) => turn.remove_all(&key(k))?,
            Op::ReadBlocks(k, ref flows) => turn.read_blocks(key(k), flows)?,
            Op::WriteBlocks(k, ref flows, element) => turn.write_blocks(key(k), flows, element)?,
            Op::Visit(way) => turn.visit(way)?,
            Op::Keys => turn.keys()?,
            Op::Clear => turn.clear()?,
            Op::Len => turn.len()?,
            Op::Group(ref ops, end) => return self.group(ops, end),
            Op::Check => turn.check()?,
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
