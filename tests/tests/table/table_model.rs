//! All verbs of the tables against a plain model.

use crate::table_trace::{End, Op, Trace};
use netshm::{Flow, HashTable, Locking, Table};
use netshm_tests::{Random, Shape, Verbs, Way};
use proptest::prelude::*;

/// Keys that a trace uses.
const KEYS: u64 = 40;
/// The largest value, in bytes.
const LARGEST: u64 = 5000;

/// Returns the number of operations a long trace has for each shape; more by `NETSHM_TEST_TRACE`.
fn trace_length() -> usize {
    std::env::var("NETSHM_TEST_TRACE").map_or(1000, |text| text.parse().expect("NETSHM_TEST_TRACE is a number"))
}

fn random_size(random: &mut Random) -> usize {
    // Most values are small, as in life.
    let limit = [10, 300, LARGEST + 1][random.below(3) as usize];
    random.below(limit) as usize
}

fn random_flows(random: &mut Random) -> Vec<Flow> {
    let flows = [Flow::Next, Flow::Next, Flow::NextBinding, Flow::Remove, Flow::Break];
    (0..1 + random.below(5)).map(|_| flows[random.below(5) as usize]).collect()
}

/// Returns an operation inside `depth` groups.
fn random_op(random: &mut Random, depth: u32) -> Op {
    let key = random.below(KEYS) as u16;
    let size = random_size(random);
    match random.below(100) {
        0..=21 => Op::Add(key, size),
        22..=35 => Op::Replace(key, size),
        36..=39 => Op::AddIfAbsent(key, size),
        40..=43 => Op::GetOrInsert(key, size),
        44..=46 => Op::Update(key, (!random.once_in(3)).then_some(size)),
        47 => Op::Swap(key, size),
        48..=50 => Op::CompareExchange(key, size, !random.once_in(3)),
        51..=52 => Op::Find(key),
        53..=56 => Op::FindAll(key),
        57..=59 => Op::Contains(key),
        60..=71 => Op::Remove(key),
        72..=77 => Op::Pop(key),
        78 => Op::RemoveAll(key),
        79..=81 => Op::ReadBlocks(key, random_flows(random)),
        82..=85 => Op::WriteBlocks(key, random_flows(random), random.below(80) as usize),
        86 => Op::Visit([Way::ForEach, Way::Fold, Way::Scan][random.below(3) as usize]),
        87 => Op::Keys,
        88 => Op::Len,
        89 if random.once_in(4) => Op::Clear,
        90..=95 if depth < 3 => {
            let ops = (0..random.below(12)).map(|_| random_op(random, depth + 1)).collect();
            Op::Group(ops, [End::Commit, End::Error, End::Panic][random.below(3) as usize])
        }
        96 if depth == 0 => Op::Reopen,
        97 if depth == 0 => Op::Check,
        _ => Op::Remove(key),
    }
}

fn long_trace<T: Verbs>(subject: &str) {
    for (number, shape) in Shape::all().into_iter().enumerate() {
        let mut random = Random::new(number as u64);
        let mut trace = Trace::<T>::start(subject, shape);
        for _ in 0..trace_length() {
            trace.run(&[random_op(&mut random, 0)]);
        }
        trace.finish();
    }
}

#[test]
fn long_traces_of_the_primitive_table() {
    long_trace::<Table>("long-primitive");
}

#[test]
fn long_traces_of_string_to_sequence() {
    long_trace::<HashTable<String, Vec<i32>>>("long-string");
}

#[test]
fn long_traces_of_number_to_number() {
    long_trace::<HashTable<u64, u64>>("long-number");
}

#[test]
fn long_traces_of_number_to_string() {
    long_trace::<HashTable<i64, String>>("long-text");
}

#[test]
fn long_traces_of_pair_to_option() {
    long_trace::<HashTable<(i8, String), Option<Vec<u8>>>>("long-pair");
}

fn flows() -> impl Strategy<Value = Vec<Flow>> {
    let flow = prop_oneof![Just(Flow::Next), Just(Flow::NextBinding), Just(Flow::Remove), Just(Flow::Break)];
    prop::collection::vec(flow, 1..4)
}

/// Generates operations, small ones first, so that failures shrink well.
fn op() -> impl Strategy<Value = Op> {
    let key = 0..8_u16;
    let size = prop_oneof![0..20_usize, 0..300_usize, 0..=LARGEST as usize];
    let pair = || (key.clone(), size.clone());
    let leaf = prop_oneof![
        5 => pair().prop_map(|(key, size)| Op::Add(key, size)),
        3 => pair().prop_map(|(key, size)| Op::Replace(key, size)),
        1 => pair().prop_map(|(key, size)| Op::AddIfAbsent(key, size)),
        1 => pair().prop_map(|(key, size)| Op::GetOrInsert(key, size)),
        1 => (key.clone(), prop::option::of(size.clone())).prop_map(|(key, size)| Op::Update(key, size)),
        1 => pair().prop_map(|(key, size)| Op::Swap(key, size)),
        1 => (pair(), any::<bool>()).prop_map(|((key, size), wanted)| Op::CompareExchange(key, size, wanted)),
        1 => key.clone().prop_map(Op::Find),
        1 => key.clone().prop_map(Op::FindAll),
        1 => key.clone().prop_map(Op::Contains),
        3 => key.clone().prop_map(Op::Remove),
        1 => key.clone().prop_map(Op::Pop),
        1 => key.clone().prop_map(Op::RemoveAll),
        1 => (key.clone(), flows()).prop_map(|(key, flows)| Op::ReadBlocks(key, flows)),
        1 => (key.clone(), flows(), 0..80_usize).prop_map(|(key, flows, element)| Op::WriteBlocks(key, flows, element)),
        1 => prop_oneof![Just(Way::ForEach), Just(Way::Fold), Just(Way::Scan)].prop_map(Op::Visit),
        1 => Just(Op::Keys),
        1 => Just(Op::Len),
        1 => Just(Op::Clear),
    ];
    let end = prop_oneof![Just(End::Commit), Just(End::Error), Just(End::Panic)];
    leaf.prop_recursive(3, 24, 8, move |inner| {
        (prop::collection::vec(inner, 0..8), end.clone()).prop_map(|(ops, end)| Op::Group(ops, end))
    })
}

fn shape() -> impl Strategy<Value = Shape> {
    prop::sample::select(Shape::all())
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(prop_oneof![20 => op(), 1 => Just(Op::Reopen), 1 => Just(Op::Check)], 1..60)
}

fn short_trace<T: Verbs>(subject: &str, shape: Shape, ops: &[Op]) {
    let mut trace = Trace::<T>::start(subject, shape);
    trace.run(ops);
    trace.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_primitive_table_is_its_model(shape in shape(), ops in ops()) {
        short_trace::<Table>("primitive", shape, &ops);
    }

    #[test]
    fn string_to_sequence_is_its_model(shape in shape(), ops in ops()) {
        short_trace::<HashTable<String, Vec<i32>>>("string", shape, &ops);
    }

    #[test]
    fn number_to_number_is_its_model(shape in shape(), ops in ops()) {
        short_trace::<HashTable<u64, u64>>("number", shape, &ops);
    }

    #[test]
    fn number_to_string_is_its_model(shape in shape(), ops in ops()) {
        short_trace::<HashTable<i64, String>>("text", shape, &ops);
    }
}

#[test]
fn keys_and_values_of_every_length_around_pages() {
    for pagesize in [256, 1024] {
        let shape = Shape { locking: Locking::None, pagesize, stripes: 1 };
        let scratch = netshm_tests::Scratch::posix("lengths");
        let table = <HashTable<String, String> as Verbs>::open(scratch.open(), shape).unwrap();
        let text = |length: u64| "x".repeat(length as usize);
        for length in 0..2 * pagesize + 50 {
            table.add(&text(length), &text(length % 50)).unwrap();
            table.add("value", &text(length)).unwrap();
            assert_eq!(table.find("value").unwrap(), Some(text(length)));
        }
        for length in 0..2 * pagesize + 50 {
            assert_eq!(table.find(&text(length)).unwrap(), Some(text(length % 50)), "a key of {length} bytes");
        }
        assert!(table.check().unwrap().is_clean());
    }
}

#[test]
fn keys_that_agree_in_their_low_halves_are_visited_once() {
    let scratch = netshm_tests::Scratch::posix("halves");
    let table: HashTable<u64, u64> = HashTable::manage(scratch.open(), Locking::Record).unwrap();
    // The bindings of the keys alternate.
    for round in 0..3 {
        for key in 0..200 {
            table.add(&(key << 32), &round).unwrap();
        }
    }
    let mut keys = Vec::new();
    table.for_each_key(|key| keys.push(key >> 32)).unwrap();
    keys.sort_unstable();
    assert_eq!(keys, (0..200).collect::<Vec<_>>());
    assert_eq!(table.len().unwrap(), 600);
}

#[test]
fn an_error_of_the_visitor_ends_the_iteration_and_is_passed_on() {
    #[derive(Debug, PartialEq)]
    enum Mine {
        Enough,
        Failed,
    }
    impl From<netshm::Error> for Mine {
        fn from(_: netshm::Error) -> Self {
            Mine::Failed
        }
    }
    let scratch = netshm_tests::Scratch::posix("visitor");
    let table: HashTable<u64, u64> = HashTable::manage(scratch.open(), Locking::Record).unwrap();
    (0..100).for_each(|key| table.add(&key, &key).unwrap());
    let mut visited = 0;
    let outcome = table.try_for_each(|_, _| {
        visited += 1;
        if visited == 10 { Err(Mine::Enough) } else { Ok(()) }
    });
    assert_eq!((outcome, visited), (Err(Mine::Enough), 10));
    // The lock is gone with the iteration.
    table.add(&1, &2).unwrap();
}

#[test]
fn a_recreated_table_shows_nothing_old() {
    for locking in [Locking::None, Locking::Record, Locking::Futex] {
        let scratch = netshm_tests::Scratch::posix("recreate");
        let table: HashTable<u64, String> = HashTable::manage(scratch.open(), locking).unwrap();
        (0..2000).for_each(|key| table.add(&key, "old").unwrap());
        drop(table);
        let options = HashTable::<u64, String>::options().locking(locking).recreate(true);
        let table = options.manage(scratch.open()).unwrap();
        assert!(table.is_empty().unwrap());
        assert_eq!(table.scan().count(), 0);
        (0..100).for_each(|key| assert!(!table.contains(&key).unwrap()));
        (0..100).for_each(|key| table.add(&key, "new").unwrap());
        assert_eq!(table.fold(0, |count, _, value| count + usize::from(value == "new")).unwrap(), 100);
        assert!(table.check().unwrap().is_clean());
    }
}

#[test]
fn a_read_only_descriptor_can_be_managed_and_read() {
    for locking in [Locking::None, Locking::Record, Locking::Futex] {
        let scratch = netshm_tests::Scratch::posix("read-only");
        let table = Table::manage(scratch.open(), locking).unwrap();
        table.add(-3, &[1, 2]).unwrap();
        table.add(-3, &[]).unwrap();
        let shm = netshm::Shm::options().read_only(true).open(scratch.name()).unwrap();
        // A process that only reads need not know the method.
        let reader = Table::manage(shm, Locking::None).unwrap();
        assert_eq!(reader.find_all(-3).unwrap(), [vec![], vec![1, 2]]);
        assert_eq!(reader.fold(0, |count, _, value| count + value.len()).unwrap(), 2);
        let mut blocks = 0;
        reader
            .read_blocks(-3, |_| {
                blocks += 1;
                Flow::Next
            })
            .unwrap();
        assert_eq!(blocks, 2);
        assert!(matches!(reader.add(1, &[]), Err(netshm::Error::ReadOnly { .. })));
        assert!(matches!(reader.group(|| Ok::<_, netshm::Error>(())), Err(netshm::Error::ReadOnly { .. })));
    }
}
