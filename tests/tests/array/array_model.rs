//! All verbs of the arrays against a plain model.

use std::collections::BTreeMap;

use netshm::{Array, Error, Locking, Result, Shm};
use netshm_tests::{AnyValue, Random, Scratch, Shape};
use proptest::prelude::*;

/// Indices that traces use: around the bounds of chunks, and far away.
const INDICES: [usize; 16] =
    [0, 1, 2, 3, 30, 31, 32, 63, 64, 255, 256, 1023, 1024, 70_000, 1_000_000_000, 1_000_000_000_000];

#[derive(Debug, Clone)]
enum Op {
    /// Index and size of the value.
    Set(usize, usize),
    Get(usize),
    Update(usize, usize),
    Swap(usize, usize),
    /// True if it is the present element that is expected.
    CompareExchange(usize, usize, bool),
    Resize(usize),
    /// The operations, and whether the group is committed.
    Group(Vec<Op>, bool),
    Check,
    Reopen,
}

/// Expected content of the array; what is missing shows the default.
#[derive(Debug, Clone)]
struct Model<T> {
    len: usize,
    set: BTreeMap<usize, T>,
}

struct Trace<T> {
    scratch: Scratch,
    shape: Shape,
    handles: Vec<Array<T>>,
    model: Model<T>,
    count: u64,
}

fn default<T: AnyValue>() -> T {
    T::sized(7, 1)
}

fn open<T: AnyValue>(shm: Shm, shape: Shape) -> Array<T> {
    let options = Array::options().locking(shape.locking).pagesize(shape.pagesize).stripes(shape.stripes);
    options.manage(shm, default()).expect("the object can be managed")
}

impl<T: AnyValue> Trace<T> {
    fn start(subject: &str, shape: Shape) -> Self {
        let scratch = if shape.pagesize == 1024 { Scratch::file(subject) } else { Scratch::posix(subject) };
        let handles = (0..2).map(|_| open(scratch.open(), shape)).collect();
        Trace { scratch, shape, handles, model: Model { len: 0, set: BTreeMap::new() }, count: 0 }
    }

    fn run(&mut self, ops: &[Op]) {
        for op in ops {
            if let Op::Reopen = op {
                self.handles.clear();
                self.handles = (0..2).map(|_| open(self.scratch.open(), self.shape)).collect();
                continue;
            }
            if let Err(error) = self.step(op) {
                panic!("{:?}, operation {}, {op:?}: {error}", self.shape, self.count);
            }
        }
    }

    fn finish(&mut self) {
        let all: Vec<_> = INDICES.into_iter().map(Op::Get).collect();
        self.run(&all);
        self.run(&[Op::Check, Op::Reopen]);
        self.run(&all);
        for (index, value) in &self.model.set {
            assert_eq!(&self.handles[0].get(*index).unwrap(), value);
        }
    }

    /// Checks that an access to these elements succeeds if all of them exist, and that the error names the first one that does not.
    fn outcome<R>(&self, result: Result<R>, indices: &[usize]) -> Result<Option<R>> {
        match (result, indices.iter().find(|index| **index >= self.model.len)) {
            (Ok(result), None) => Ok(Some(result)),
            (Err(Error::OutOfBounds { index, len, .. }), Some(missing)) => {
                assert_eq!((index, len), (*missing, self.model.len));
                Ok(None)
            }
            (Err(error), _) => Err(error),
            (Ok(_), Some(missing)) => panic!("element {missing} does not exist"),
        }
    }

    fn shown(&self, index: usize) -> T {
        self.model.set.get(&index).cloned().unwrap_or_else(default)
    }

    fn step(&mut self, op: &Op) -> Result<()> {
        self.count += 1;
        let array = &self.handles[self.count as usize % 2];
        match *op {
            Op::Set(index, size) => {
                let value = T::sized(size, self.count);
                if self.outcome(array.set(index, &value), &[index])?.is_some() {
                    self.model.set.insert(index, value);
                }
            }
            Op::Get(index) => {
                if let Some(value) = self.outcome(array.get(index), &[index])? {
                    assert_eq!(value, self.shown(index), "element {index}");
                }
            }
            Op::Update(index, size) => {
                let value = T::sized(size, self.count);
                let updated = array.update(index, |old| {
                    assert_eq!(old, self.shown(index), "element {index}");
                    value.clone()
                });
                if let Some(given) = self.outcome(updated, &[index])? {
                    assert_eq!(given, value);
                    self.model.set.insert(index, value);
                }
            }
            Op::Swap(i, j) => {
                if self.outcome(array.swap(i, j), &[i, j])?.is_some() {
                    let (a, b) = (self.shown(i), self.shown(j));
                    self.model.set.extend([(i, b), (j, a)]);
                }
            }
            Op::CompareExchange(index, size, wanted) => {
                let (present, new) = (self.shown(index), T::sized(size, self.count));
                let old = if wanted { present.clone() } else { T::sized(size / 2 + 1, self.count + 1) };
                if let Some(outcome) = self.outcome(array.compare_exchange(index, &old, &new), &[index])? {
                    if present == old {
                        assert_eq!(outcome, Ok(()));
                        self.model.set.insert(index, new);
                    } else {
                        assert_eq!(outcome, Err(present));
                    }
                }
            }
            Op::Resize(len) => {
                array.resize(len)?;
                assert_eq!(array.len()?, len);
                assert_eq!(array.is_empty()?, len == 0);
                self.model.len = len;
                self.model.set.split_off(&len);
            }
            Op::Group(ref ops, commit) => {
                let before = self.model.clone();
                let array = open::<T>(self.scratch.open(), self.shape);
                let outcome = array.group(|| {
                    for op in ops {
                        self.step(op)?;
                    }
                    // Any error will do; this one is what nobody else gives here.
                    if commit { Ok(()) } else { Err("nonsense".parse::<netshm::ShmName>().unwrap_err()) }
                });
                match outcome {
                    Ok(()) => assert!(commit),
                    Err(Error::InvalidName { .. }) if !commit => self.model = before,
                    Err(error) => return Err(error),
                }
                assert_eq!(array.len()?, self.model.len);
            }
            Op::Check => {
                let report = array.check()?;
                assert!(report.is_clean(), "{report}");
            }
            Op::Reopen => {}
        }
        Ok(())
    }
}

fn random_op(random: &mut Random, depth: u32) -> Op {
    let mut index = || INDICES[random.below(INDICES.len() as u64) as usize];
    let (i, j) = (index(), index());
    let limit = [10, 400, 5001][random.below(3) as usize];
    let size = random.below(limit) as usize;
    match random.below(40) {
        0..=14 => Op::Set(i, size),
        15..=22 => Op::Get(i),
        23..=27 => Op::Update(i, size),
        28..=29 => Op::Swap(i, j),
        30..=31 => Op::CompareExchange(i, size, !random.once_in(3)),
        32..=34 => Op::Resize(if random.once_in(4) { random.below(2000) as usize } else { i + 1 }),
        35..=37 if depth < 3 => {
            let ops = (0..random.below(10)).map(|_| random_op(random, depth + 1)).collect();
            Op::Group(ops, random.once_in(2))
        }
        38 if depth == 0 => Op::Reopen,
        39 if depth == 0 => Op::Check,
        _ => Op::Get(j),
    }
}

fn long_trace<T: AnyValue>(subject: &str) {
    for (number, shape) in Shape::all().into_iter().enumerate() {
        let mut random = Random::new(number as u64);
        let mut trace = Trace::<T>::start(subject, shape);
        trace.run(&[Op::Resize(2000)]);
        for _ in 0..1500 {
            trace.run(&[random_op(&mut random, 0)]);
        }
        trace.finish();
    }
}

#[test]
fn long_traces_of_numbers() {
    long_trace::<i64>("long-numbers");
}

#[test]
fn long_traces_of_triples() {
    long_trace::<[u64; 3]>("long-triples");
}

#[test]
fn long_traces_of_booleans() {
    long_trace::<bool>("long-booleans");
}

#[test]
fn long_traces_of_strings() {
    long_trace::<String>("long-strings");
}

fn op() -> impl Strategy<Value = Op> {
    let index = || prop::sample::select(&INDICES[..]);
    let size = prop_oneof![0..10_usize, 0..=5000_usize];
    let leaf = prop_oneof![
        4 => (index(), size.clone()).prop_map(|(index, size)| Op::Set(index, size)),
        2 => index().prop_map(Op::Get),
        2 => (index(), size.clone()).prop_map(|(index, size)| Op::Update(index, size)),
        2 => (index(), size, any::<bool>())
            .prop_map(|(index, size, wanted)| Op::CompareExchange(index, size, wanted)),
        1 => (index(), index()).prop_map(|(i, j)| Op::Swap(i, j)),
        2 => index().prop_map(|index| Op::Resize(index + 1)),
        1 => (0..300_usize).prop_map(Op::Resize),
    ];
    leaf.prop_recursive(3, 24, 8, |inner| {
        (prop::collection::vec(inner, 0..8), any::<bool>()).prop_map(|(ops, commit)| Op::Group(ops, commit))
    })
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(prop_oneof![20 => op(), 1 => Just(Op::Reopen), 1 => Just(Op::Check)], 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_array_of_numbers_is_its_model(shape in prop::sample::select(Shape::all()), ops in ops()) {
        let mut trace = Trace::<i64>::start("numbers", shape);
        trace.run(&ops);
        trace.finish();
    }

    #[test]
    fn an_array_of_strings_is_its_model(shape in prop::sample::select(Shape::all()), ops in ops()) {
        let mut trace = Trace::<String>::start("strings", shape);
        trace.run(&ops);
        trace.finish();
    }
}

#[test]
fn a_far_element_costs_kilobytes() {
    for pagesize in [256, 1024, 4096] {
        let scratch = Scratch::posix("sparse");
        let options = Array::<i64>::options().pagesize(pagesize).locking(Locking::Record);
        let array = options.manage(scratch.open(), -1).unwrap();
        let before = array.shm().size().unwrap();
        array.resize(2_000_000_000).unwrap();
        array.set(1_000_000_000, &7).unwrap();
        let cost = array.shm().size().unwrap() - before;
        assert!(cost < 128 << 10, "{cost} bytes with pages of {pagesize}");
        assert_eq!(array.get(999_999_999).unwrap(), -1);
        assert_eq!(array.get(1_000_000_000).unwrap(), 7);
        assert_eq!(array.get(1_000_000_001).unwrap(), -1);
        assert!(matches!(array.get(2_000_000_000), Err(Error::OutOfBounds { .. })));
    }
}

#[test]
fn what_was_beyond_the_end_shows_the_default_again() {
    for shape in Shape::all() {
        let scratch = Scratch::posix("shrink");
        let array = open::<String>(scratch.open(), shape);
        array.resize(5000).unwrap();
        (0..5000).for_each(|index| array.set(index, "set").unwrap());
        for len in [4097, 1000, 33, 32, 31, 1, 0] {
            array.resize(len).unwrap();
            array.resize(5000).unwrap();
            let old = (0..5000).filter(|index| array.get(*index).unwrap() == "set");
            assert_eq!(old.count(), len, "{shape:?}");
        }
        assert!(array.check().unwrap().is_clean());
    }
}

/// Checks that adjacent elements of that number of words do not touch each other.
fn keep_to_themselves<const WORDS: usize>(shape: Shape) {
    let scratch = Scratch::posix("words");
    let options = Array::options().locking(shape.locking).pagesize(shape.pagesize).stripes(shape.stripes);
    let array: Array<[u64; WORDS]> = options.manage(scratch.open(), [0; WORDS]).unwrap();
    array.resize(20).unwrap();
    let value = |index: usize, round: usize| std::array::from_fn(|word| (index << 32 | round << 16 | word) as u64);
    for round in 1..4 {
        (round..20).step_by(round).for_each(|index| array.set(index, &value(index, round)).unwrap());
        for index in 1..20 {
            let last = (1..=round).rev().find(|round| index % round == 0).unwrap();
            assert!(
                array.get(index).unwrap() == value(index, last),
                "{WORDS} words, {shape:?}: {index} in round {round}"
            );
        }
        assert!(array.get(0).unwrap() == [0; WORDS]);
    }
    assert!(array.check().unwrap().is_clean(), "{WORDS} words, {shape:?}");
}

#[test]
fn elements_of_any_fixed_size_keep_to_themselves() {
    for shape in Shape::all() {
        keep_to_themselves::<4>(shape);
        keep_to_themselves::<5>(shape);
        keep_to_themselves::<32>(shape);
        keep_to_themselves::<33>(shape);
        keep_to_themselves::<64>(shape);
        keep_to_themselves::<65>(shape);
    }
}

#[test]
fn shrinking_gives_memory_back() {
    let scratch = Scratch::posix("churn");
    let array: Array<String> = Array::manage(scratch.open(), "-".to_owned(), Locking::Futex).unwrap();
    let fill = || {
        array.resize(3000).unwrap();
        (0..3000).for_each(|index| array.set(index, &"x".repeat(index % 500)).unwrap());
        array.resize(0).unwrap();
    };
    fill();
    let size = array.shm().size().unwrap();
    (0..10).for_each(|_| fill());
    let grown = array.shm().size().unwrap();
    assert!(grown <= size + size / 4, "{size} bytes became {grown}");
}

#[test]
fn another_default_or_type_is_refused() {
    let scratch = Scratch::posix("default");
    let array: Array<i64> = Array::manage(scratch.open(), 5, Locking::Futex).unwrap();
    array.resize(10).unwrap();
    array.set(3, &9).unwrap();
    let mismatch = |outcome: Result<()>| match outcome {
        Err(Error::SchemaMismatch { stored, expected, .. }) => (stored, expected),
        other => panic!("{other:?}"),
    };
    let (stored, expected) = mismatch(Array::manage(scratch.open(), 6_i64, Locking::Futex).map(drop));
    assert_ne!(stored, expected);
    let (stored, expected) = mismatch(Array::manage(scratch.open(), "5".to_owned(), Locking::Futex).map(drop));
    assert!(stored.contains("i64") && expected.contains("String"), "{stored} / {expected}");
    let again: Array<i64> = Array::manage(scratch.open(), 5, Locking::Futex).unwrap();
    assert_eq!(*again.default_value(), 5);
    assert_eq!((again.len().unwrap(), again.get(3).unwrap(), again.get(4).unwrap()), (10, 9, 5));
}

#[test]
fn lengths_have_a_limit() {
    let scratch = Scratch::posix("longest");
    let array: Array<i64> = Array::manage(scratch.open(), 0, Locking::None).unwrap();
    assert!(matches!(array.resize(usize::MAX), Err(Error::TooLarge { .. })));
    assert_eq!(array.len().unwrap(), 0);
    array.resize(1 << 56).unwrap();
    array.set((1 << 56) - 1, &1).unwrap();
    assert_eq!(array.get((1 << 56) - 1).unwrap(), 1);
    array.resize(0).unwrap();
    assert!(array.check().unwrap().is_clean());
}

/// Nodes of the directory stay when they lose the last of their chunks, and go when the array is made shorter still.
#[test]
fn nodes_without_chunks_are_dropped_too() {
    fn shrink<T: AnyValue>(stripes: usize) {
        let scratch = Scratch::posix("array-shrink");
        let array: Array<T> = Array::options().stripes(stripes as u32).manage(scratch.open(), default()).unwrap();
        for length in [50_000, 1_200_000, 300_000_000].map(|length| length * stripes) {
            array.resize(length).unwrap();
            array.set(length - 1, &T::sized(1, 3)).unwrap();
            for shorter in [length - 300 * stripes, length - 20_000 * stripes, 256 * stripes] {
                array.resize(shorter).unwrap();
                assert_eq!(array.get(shorter - 1).unwrap(), default());
                assert!(array.check().unwrap().is_clean(), "{stripes} stripes, {length} elements, then {shorter}");
            }
        }
    }
    for stripes in [1, 2, 16] {
        shrink::<u64>(stripes);
        shrink::<String>(stripes);
    }
}
