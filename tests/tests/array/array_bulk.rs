//! Ranges of elements, and iterating over arrays, against a vector.

use std::collections::BTreeSet;
use std::ops::{Bound, Range};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use netshm::data::{DataError, DataManager, Decoder, Encoder, Schema, Types};
use netshm::dynamic::{DynArray, Value};
use netshm::{Array, Error, Locking, Shm, group};
use netshm_tests::{AnyValue, Random, Scratch, Shape};
use proptest::prelude::*;

type Result<T, E = Error> = std::result::Result<T, E>;

/// Lengths around the bounds of chunks of all types used here.
const LONGEST: usize = 1100;

#[derive(Debug, Clone)]
enum Op {
    Resize(usize),
    SetRange(Range<usize>, usize),
    Fill(Range<usize>, usize),
    FillWithDefault(Range<usize>),
    Set(usize, usize),
    Read(Range<usize>),
    GetMany(Vec<usize>),
    /// The operations, and whether the group is committed.
    Group(Vec<Op>, bool),
}

fn range() -> impl Strategy<Value = Range<usize>> {
    (0..LONGEST, prop_oneof![0..8_usize, 0..LONGEST]).prop_map(|(start, len)| start..start + len)
}

fn op() -> impl Strategy<Value = Op> {
    let single = prop_oneof![
        (0..LONGEST).prop_map(Op::Resize),
        (range(), 0..40_usize).prop_map(|(range, size)| Op::SetRange(range, size)),
        (range(), 0..40_usize).prop_map(|(range, size)| Op::Fill(range, size)),
        range().prop_map(Op::FillWithDefault),
        (0..LONGEST, 0..40_usize).prop_map(|(index, size)| Op::Set(index, size)),
        range().prop_map(Op::Read),
        prop::collection::vec(0..LONGEST, 0..40).prop_map(Op::GetMany),
    ];
    prop_oneof![
        8 => single.clone(),
        1 => (prop::collection::vec(single, 0..4), any::<bool>()).prop_map(|(ops, commit)| Op::Group(ops, commit)),
    ]
}

fn default<T: AnyValue>() -> T {
    T::sized(7, 1)
}

/// Returns what is wrong with a range in an array of that length: the first element that does not exist, if it is too long.
fn missing(range: &Range<usize>, len: usize) -> Option<usize> {
    (range.end > len).then_some(range.start.max(len))
}

#[track_caller]
fn compare<R>(result: Result<R>, missing: Option<usize>, len: usize) -> Option<R> {
    match (result, missing) {
        (Ok(result), None) => Some(result),
        (Err(Error::OutOfBounds { index, len: told, .. }), Some(missing)) => {
            assert_eq!((index, told), (missing, len));
            None
        }
        (Ok(_), Some(missing)) => panic!("element {missing} does not exist"),
        (Err(error), None) => panic!("{error}"),
        (Err(error), Some(_)) => panic!("another error: {error}"),
    }
}

fn step<T: AnyValue>(array: &Array<T>, model: &mut Vec<T>, op: &Op, count: &mut u64) {
    *count += 1;
    let len = model.len();
    match op {
        Op::Resize(len) => {
            array.resize(*len).unwrap();
            model.resize(*len, default());
        }
        Op::SetRange(range, size) => {
            let values: Vec<T> = range.clone().map(|index| T::sized(*size, *count * 10_000 + index as u64)).collect();
            if compare(array.set_range(range.clone(), &values), missing(range, len), len).is_some() {
                model.splice(range.clone(), values);
            }
        }
        Op::Fill(range, size) => {
            let value = T::sized(*size, *count);
            if compare(array.fill(range.clone(), &value), missing(range, len), len).is_some() {
                model[range.clone()].fill(value);
            }
        }
        Op::FillWithDefault(range) => {
            if compare(array.fill(range.clone(), &default::<T>()), missing(range, len), len).is_some() {
                model[range.clone()].fill(default());
            }
        }
        Op::Set(index, size) => {
            let value = T::sized(*size, *count);
            if compare(array.set(*index, &value), missing(&(*index..index + 1), len), len).is_some() {
                model[*index] = value;
            }
        }
        Op::Read(range) => {
            let mut read = vec![T::sized(3, 3); range.len()];
            if compare(array.read_range(range.clone(), &mut read), missing(range, len), len).is_some() {
                assert_eq!(read, model[range.clone()]);
            }
        }
        Op::GetMany(indices) => {
            let missing = indices.iter().copied().find(|index| *index >= len);
            if let Some(got) = compare(array.get_many(indices.iter().copied()), missing, len) {
                assert_eq!(got, indices.iter().map(|index| model[*index].clone()).collect::<Vec<_>>());
            }
        }
        Op::Group(ops, commit) => {
            let before = model.clone();
            let outcome = array.group(|| {
                ops.iter().for_each(|op| step(array, model, op, count));
                assert_eq!(array.scan().collect::<Result<Vec<_>>>()?, *model);
                if *commit { Ok(()) } else { Err("nonsense".parse::<netshm::ShmName>().unwrap_err()) }
            });
            match outcome {
                Ok(()) => assert!(commit),
                Err(Error::InvalidName { .. }) if !commit => *model = before,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn trace<T: AnyValue>(ops: &[Op], shape: Shape) {
    let scratch = Scratch::posix("array_bulk");
    let options = Array::options().locking(shape.locking).pagesize(shape.pagesize).stripes(shape.stripes);
    let array: Array<T> = options.manage(scratch.open(), default()).unwrap();
    let mut model = Vec::new();
    let mut count = 0;
    for op in ops {
        step(&array, &mut model, op, &mut count);
        assert_eq!(array.scan().collect::<Result<Vec<_>>>().unwrap(), model);
    }
    let mut visited = Vec::new();
    array.for_each(|index, element| visited.push((index, element))).unwrap();
    assert_eq!(visited, model.iter().cloned().enumerate().collect::<Vec<_>>());
    let report = array.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn ranges_are_as_those_of_a_vector(ops in prop::collection::vec(op(), 1..30), shape in 0..Shape::all().len()) {
        let shape = Shape::all()[shape];
        trace::<u64>(&ops, shape);
        trace::<bool>(&ops, shape);
        trace::<[u64; 3]>(&ops, shape);
        trace::<String>(&ops, shape);
        trace::<Vec<i32>>(&ops, shape);
    }
}

#[test]
fn any_kind_of_range_can_be_given() {
    let scratch = Scratch::posix("kinds_of_range");
    let array: Array<u32> = Array::manage(scratch.open(), 0, Locking::Futex).unwrap();
    array.resize(10).unwrap();
    array.set_range(.., &[0_u32, 1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap();
    array.fill(7.., &70).unwrap();
    array.fill(..=1, &10).unwrap();
    array.fill(4..4, &1).unwrap();
    array.fill(10.., &1).unwrap();
    let mut all = [0; 10];
    array.read_range((Bound::Unbounded, Bound::Included(9)), &mut all).unwrap();
    assert_eq!(all, [10, 10, 2, 3, 4, 5, 6, 70, 70, 70]);
    let mut two = [0; 2];
    array.read_range((Bound::Excluded(1), Bound::Excluded(4)), &mut two).unwrap();
    assert_eq!(two, [2, 3]);

    let text = |outcome: Result<()>| outcome.unwrap_err().to_string();
    assert_eq!(
        text(array.read_range(..3, &mut two)),
        "option `range` cannot be 0..3: the slice has 2 elements, and the range 3"
    );
    assert_eq!(
        text(array.set_range(.., &[1_u32])),
        "option `range` cannot be 0..10: the slice has 1 elements, and the range 10"
    );
    #[allow(clippy::reversed_empty_ranges)]
    let reversed = array.fill(3..2, &0);
    assert_eq!(text(reversed), "option `range` cannot be 3..2: it ends before it starts");
    for outcome in [array.fill(11.., &1), array.fill(5..usize::MAX, &1), array.read_range(9..11, &mut two)] {
        assert!(matches!(outcome, Err(Error::OutOfBounds { len: 10, .. })), "{outcome:?}");
    }
    array.read_range(.., &mut all).unwrap();
    assert_eq!(all, [10, 10, 2, 3, 4, 5, 6, 70, 70, 70]);
}

#[test]
fn the_default_takes_no_memory() {
    let scratch = Scratch::posix("sparse_fill");
    let array: Array<u64> = Array::manage(scratch.open(), 3, Locking::Futex).unwrap();
    array.resize(1_000_000).unwrap();
    array.fill(.., &3).unwrap();
    assert_eq!(array.stats().unwrap().keys, 0);
    array.fill(256..512, &4).unwrap();
    assert_eq!(array.stats().unwrap().keys, 1);
}

#[test]
fn nobody_changes_an_array_that_is_visited() {
    let scratch = Scratch::posix("visited");
    let array: Array<u64> = Array::manage(scratch.open(), 0, Locking::Futex).unwrap();
    array.resize(3).unwrap();
    let mut refused = 0;
    array
        .for_each(|index, _| refused += usize::from(matches!(array.set(index, &1), Err(Error::Iterating { .. }))))
        .unwrap();
    assert_eq!(refused, 3);
    assert_eq!(array.get_many([0, 1, 2]).unwrap(), [0, 0, 0]);
    let stopped = array.try_for_each(|index, _| if index == 1 { array.get(99).map(drop) } else { Ok(()) });
    assert!(matches!(stopped, Err(Error::OutOfBounds { index: 99, .. })));
    // Through a read-only descriptor nothing can be locked.
    let reader: Array<u64> =
        Array::manage(Shm::options().read_only(true).open(scratch.name()).unwrap(), 0, Locking::Futex).unwrap();
    let mut visited = 0;
    reader.for_each(|_, element| visited += 1 + element).unwrap();
    assert_eq!(visited, 3);
    assert!(matches!(reader.fill(.., &1), Err(Error::ReadOnly { .. })));
}

/// A writer fills whole chunks with one number: readers find each chunk of one number, and in a group all of them.
#[test]
fn a_chunk_is_seen_as_it_was_at_one_moment() {
    const LENGTH: usize = 4 * 256;
    let scratch = Scratch::posix("chunks");
    let array: Array<u64> = Array::options().stripes(4).manage(scratch.open(), 0).unwrap();
    array.resize(LENGTH).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1..=300_u64 {
                if round % 2 == 0 {
                    array.set_range(.., &vec![round; LENGTH]).unwrap();
                } else {
                    array.fill(.., &round).unwrap();
                }
            }
            done.store(true, Relaxed);
        });
        let mut read = vec![0; LENGTH];
        while !done.load(Relaxed) && !writer.is_finished() {
            array.read_range(.., &mut read).unwrap();
            for chunk in read.chunks(256) {
                assert!(chunk.iter().all(|number| *number == chunk[0]), "{chunk:?}");
            }
            group!(retry array => array.read_range(.., &mut read)?).unwrap();
            assert!(read.iter().all(|number| *number == read[0]));
        }
        writer.join().unwrap();
    });
    assert_eq!(array.get(LENGTH - 1).unwrap(), 300);
}

/// A number that refuses to be decoded if it is 13.
#[derive(Debug, Clone, PartialEq)]
struct Picky<const DIRECT: bool>(u64);

impl<const DIRECT: bool> DataManager for Picky<DIRECT> {
    const FIXED: Option<usize> = Some(1);
    const DIRECT: bool = DIRECT;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put(self.0)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        match input.get()? {
            13 => Err(DataError::new("Picky", "13")),
            number => Ok(Picky(number)),
        }
    }

    fn schema(types: &mut Types) -> Schema {
        u64::schema(types)
    }
}

fn skip_undecodable<const DIRECT: bool>() {
    let scratch = Scratch::posix("undecodable");
    let array: Array<Picky<DIRECT>> = Array::manage(scratch.open(), Picky(0), Locking::Futex).unwrap();
    array.resize(600).unwrap();
    let mut random = Random::new(11);
    let damaged: BTreeSet<usize> = (0..20).map(|_| random.below(600) as usize).collect();
    damaged.iter().try_for_each(|index| array.set(*index, &Picky(13))).unwrap();
    let mut found = BTreeSet::new();
    let mut count = 0;
    for (index, element) in array.scan().enumerate() {
        count += 1;
        match element {
            Ok(value) => assert_eq!(value, Picky(0)),
            Err(Error::Decode { .. }) => drop(found.insert(index)),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((found, count), (damaged, 600));
}

/// What cannot be decoded is one `Err` item, wherever it lies.
#[test]
fn what_cannot_be_decoded_does_not_end_the_iteration() {
    skip_undecodable::<true>();
    skip_undecodable::<false>();
}

#[test]
fn arrays_by_their_schema_have_the_same_verbs() {
    let scratch = Scratch::posix("dynamic_ranges");
    let typed: Array<String> = Array::manage(scratch.open(), String::new(), Locking::Futex).unwrap();
    typed.resize(300).unwrap();
    let array = DynArray::open(Shm::open(scratch.name()).unwrap()).unwrap();
    array.fill(.., &Value::from("a")).unwrap();
    array.set_range(255..257, &[Value::from("b"), Value::from("c")]).unwrap();
    let mut read = vec![Value::None; 4];
    array.read_range(254..258, &mut read).unwrap();
    assert_eq!(read, ["a", "b", "c", "a"].map(Value::from));
    assert_eq!(array.get_many([255, 0]).unwrap(), ["b", "a"].map(Value::from));
    let scanned = (&array).into_iter().collect::<Result<Vec<_>>>().unwrap();
    let mut visited = Vec::new();
    array.for_each(|_, value| visited.push(value)).unwrap();
    assert_eq!((scanned.len(), &scanned), (300, &visited));
    assert_eq!((&typed).into_iter().collect::<Result<Vec<_>>>().unwrap()[256], "c");
}

#[test]
fn what_takes_memory_is_told() {
    for stripes in [1, 64] {
        let object = Scratch::posix("written");
        let array: Array<String> = Array::options().stripes(stripes).manage(object.open(), "x".to_owned()).unwrap();
        assert_eq!(array.written().unwrap(), []);
        array.resize(1 << 56).unwrap();
        assert_eq!(array.written().unwrap(), []);
        let set = [0, 255, 256, 70_000, 1 << 40, (1 << 56) - 1];
        for index in set {
            array.set(index, &index.to_string()).unwrap();
        }
        let written = array.written().unwrap();
        assert_eq!(written.len(), 4, "{written:?}");
        assert_eq!(written[0], 0..512);
        assert_eq!(written[3].end, 1 << 56);
        let mut found = Vec::new();
        for index in written.into_iter().flatten() {
            if array.get(index).unwrap() != "x" {
                found.push(index);
            }
        }
        assert_eq!(found, set);
        array.resize(300).unwrap();
        assert_eq!(array.written().unwrap().last().map(|last| last.end), Some(300));
    }
}
