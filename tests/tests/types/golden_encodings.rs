//! The words of values and the texts of their types, written down: objects of earlier versions must stay readable, so a
//! change here is a change of the format.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::*;
use std::ffi::{CString, OsString};
use std::marker::PhantomData;
use std::net::*;
use std::num::{NonZero, Saturating, Wrapping};
use std::ops::Bound;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use chrono::{FixedOffset, NaiveDate, TimeDelta};
use netshm::data::{DataManager, Schema, Serde, from_words, to_words};
use netshm::{ShmData, ShmKey};
use uuid::Uuid;

/// Returns a line of the table below: the text of the type, and the words.
fn line<T: DataManager>(value: &T) -> String {
    let words: Vec<String> = to_words(value).unwrap().iter().map(|word| format!("{word:x}")).collect();
    format!("{} = {}", Schema::of::<T>(), words.join(" ")).trim_end().to_owned()
}

#[derive(ShmData, ShmKey, Debug, PartialEq, Eq)]
struct Session {
    user: u64,
    name: String,
    flags: [bool; 3],
}

#[derive(ShmData, ShmKey, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Busy(u32),
    #[shm(index = 9)]
    Failed {
        why: String,
    },
}

#[derive(ShmData, Debug, PartialEq)]
struct Tree {
    value: u8,
    left: Option<Box<Tree>>,
    children: Vec<Tree>,
}

fn leaf(value: u8) -> Tree {
    Tree { value, left: None, children: Vec::new() }
}

macro_rules! lines {
    ($($value:expr),* $(,)?) => { vec![$(line(&$value)),*] };
}

#[track_caller]
fn as_written(lines: &[String], written: &str) {
    let written: Vec<&str> = written.trim_start().lines().collect();
    assert_eq!(lines, written, "\n{}\n", lines.join("\n"));
}

#[test]
fn numbers_and_their_kin() {
    let lines = lines![
        0x12u8,
        u16::MAX,
        7u32,
        u64::MAX,
        1u128 << 64 | 5,
        9usize,
        -1i8,
        -2i16,
        i32::MIN,
        -4i64,
        -5i128,
        -6isize,
        1.5f32,
        -0.0f64,
        true,
        'é',
        (),
        PhantomData::<String>,
        NonZero::new(5u16).unwrap(),
        Wrapping(-3i32),
        Saturating(200u8),
        Reverse(1u64),
        Ordering::Less,
    ];
    as_written(
        &lines,
        "
u8 = 12
u16 = ffff
u32 = 7
u64 = ffffffffffffffff
u128 = 5 1
usize = 9
i8 = ffffffffffffffff
i16 = fffffffffffffffe
i32 = ffffffff80000000
i64 = fffffffffffffffc
i128 = fffffffffffffffb ffffffffffffffff
isize = fffffffffffffffa
f32 = 3fc00000
f64 = 8000000000000000
bool = 1
char = e9
() =
() =
NonZero(u16) = 5
Wrapping(i32) = fffffffffffffffd
Saturating(u8) = c8
Reverse(u64) = 1
Ordering(i8) = ffffffffffffffff
",
    );
}

#[test]
fn text_and_sequences() {
    let deque = || VecDeque::from([1u8, 2, 3]);
    let lines = lines![
        String::from("netshm: é"),
        String::new(),
        Box::<str>::from("eight by"),
        Cow::Borrowed("cow"),
        OsString::from("os"),
        CString::new("c").unwrap(),
        PathBuf::from("/a/b"),
        vec![1u8, 2, 3],
        vec![-1i16, 2, 3, 4, 5],
        vec![1u32, 2, 3],
        vec![1u64, 2],
        vec![1u128],
        vec![true, false],
        vec!['a', 'b', 'c'],
        vec![1.5f32],
        vec![(); 3],
        vec![String::from("a"), String::from("bc")],
        vec![NonZero::new(1u8).unwrap(), NonZero::new(2).unwrap()],
        vec![Box::new(1u8), Box::new(2)],
        vec![(1u8, 'x'), (2, 'y')],
        Box::<[u16]>::from([1, 2]),
        deque(),
        LinkedList::from([1u8, 2]),
        BinaryHeap::from([1u32, 2]),
        [1u8; 9],
        [1u16, 2, 3],
        ['a'; 3],
        [[1u8, 2], [3, 4]],
        [(1u8, 2u8); 2],
    ];
    as_written(
        &lines,
        "
String = a 203a6d687374656e a9c3
String = 0
String = 8 7962207468676965
String = 3 776f63
OsString(Vec<u8>) = 2 736f
CString(Vec<u8>) = 1 63
PathBuf(Vec<u8>) = 4 622f612f
Vec<u8> = 3 30201
Vec<i16> = 5 400030002ffff 5
Vec<u32> = 3 200000001 3
Vec<u64> = 2 1 2
Vec<u128> = 1 1 0
Vec<bool> = 2 1
Vec<char> = 3 6200000061 63
Vec<f32> = 1 3fc00000
Vec<()> = 3
Vec<String> = 2 1 61 2 6362
Vec<NonZero(u8)> = 2 1 2
Vec<Box<u8>> = 2 1 2
Vec<(u8, char)> = 2 1 78 2 79
Vec<u16> = 2 20001
Vec<u8> = 3 30201
Vec<u8> = 2 201
Vec<u32> = 2 100000002
[u8; 9] = 101010101010101 1
[u16; 3] = 300020001
[char; 3] = 6100000061 61
[[u8; 2]; 2] = 201 403
[(u8, u8); 2] = 1 2 1 2
",
    );
}

#[test]
fn equal_hash_maps_and_sets_have_equal_words() {
    // Each has a hash function of its own.
    let set = |number: u16| HashSet::from([number, number + 3, 1000 - number]);
    let map =
        || -> HashMap<String, HashSet<u16>> { (0..50).map(|number| (format!("{number}"), set(number))).collect() };
    assert_eq!(to_words(&map()), to_words(&map()));
    let lines = lines![HashSet::from([3u16, 1, 2]), HashMap::from([("b".to_owned(), 1u8), ("a".to_owned(), 2)])];
    as_written(&lines, "HashSet<u16> = 3 1 2 3\nHashMap<String, u8> = 2 1 61 2 1 62 1");
    // Those that are stored are in any order.
    assert_eq!(from_words(&[2, 9, 1, 7, 1]), Ok(HashMap::from([(7u8, 1u8), (9, 1)])));
}

#[test]
fn choices_and_compositions() {
    let lines = lines![
        None::<u32>,
        Some(7u32),
        None::<String>,
        Some(String::from("s")),
        Some(None::<u8>),
        None::<[u8; 9]>,
        Ok::<u8, u128>(1),
        Err::<u8, u128>(2),
        Ok::<String, u8>(String::from("ok")),
        Err::<String, u8>(3),
        Box::new(7u64),
        None::<Box<u64>>,
        Box::new(String::from("b")),
        (1u8, String::from("t"), -1i64),
        (1u8,),
        BTreeMap::from([(2u8, 'b'), (1, 'a')]),
        BTreeSet::from([3u16, 1]),
        HashMap::from([(1u8, 2u64)]),
        HashSet::from([5u32]),
        1u8..5,
        1u8..=5,
        1u8..,
        ..5u8,
        ..=5u8,
        Bound::Included(1u8),
        Bound::Excluded(2u8),
        Bound::<u8>::Unbounded,
        Session { user: 1, name: "ann".to_owned(), flags: [true, false, true] },
        State::Idle,
        State::Busy(3),
        State::Failed { why: "x".to_owned() },
        Tree { value: 1, left: Some(Box::new(leaf(2))), children: vec![leaf(3), leaf(4)] },
    ];
    as_written(
        &lines,
        "
Option<u32> = 0 0
Option<u32> = 1 7
Option<String> = 0
Option<String> = 1 1 73
Option<Option<u8>> = 1 0 0
Option<[u8; 9]> = 0 0 0
Result<u8, u128> = 0 1 0
Result<u8, u128> = 1 2 0
Result<String, u8> = 0 2 6b6f
Result<String, u8> = 1 3
Box<u64> = 7
Option<Box<u64>> = 0
String = 1 62
(u8, String, i64) = 1 1 74 ffffffffffffffff
(u8,) = 1
BTreeMap<u8, char> = 2 1 61 2 62
BTreeSet<u16> = 2 1 3
HashMap<u8, u64> = 1 1 2
HashSet<u32> = 1 5
Range { start: u8, end: u8 } = 1 5
RangeInclusive { start: u8, end: u8 } = 1 5
RangeFrom { start: u8 } = 1
RangeTo { end: u8 } = 5
RangeToInclusive { end: u8 } = 5
enum Bound { Included(u8), Excluded(u8), Unbounded } = 0 1
enum Bound { Included(u8), Excluded(u8), Unbounded } = 1 2
enum Bound { Included(u8), Excluded(u8), Unbounded } = 2
Session { user: u64, name: String, flags: [bool; 3] } = 1 3 6e6e61 10001
enum State { Idle, Busy(u32), 9: Failed { why: String } } = 0
enum State { Idle, Busy(u32), 9: Failed { why: String } } = 1 3
enum State { Idle, Busy(u32), 9: Failed { why: String } } = 9 1 78
Tree { value: u8, left: Option<^Tree>, children: Vec<^Tree> } = 1 1 2 0 0 2 3 0 0 4 0 0
",
    );
}

#[test]
fn times_and_addresses() {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let lines = lines![
        Duration::new(1, 500),
        SystemTime::UNIX_EPOCH + Duration::new(1, 5),
        SystemTime::UNIX_EPOCH - Duration::new(0, 1),
        Ipv4Addr::LOCALHOST,
        v6,
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(v6),
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80),
        SocketAddrV6::new(v6, 80, 1, 2),
        SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
        SocketAddr::from((v6, 80)),
    ];
    as_written(
        &lines,
        "
Duration { seconds: u64, nanos: u32 } = 1 1f4
SystemTime { nanos: i128 } = 3b9aca05 0
SystemTime { nanos: i128 } = ffffffffffffffff ffffffffffffffff
Ipv4Addr(u32) = 7f000001
Ipv6Addr(u128) = 1 20010db800000000
IpAddr(Result<Ipv4Addr(u32), Ipv6Addr(u128)>) = 0 7f000001 0
IpAddr(Result<Ipv4Addr(u32), Ipv6Addr(u128)>) = 1 1 20010db800000000
SocketAddrV4((Ipv4Addr(u32), u16)) = 7f000001 50
SocketAddrV6((Ipv6Addr(u128), u16, u32, u32)) = 1 20010db800000000 50 1 2
SocketAddr(Result<SocketAddrV4((Ipv4Addr(u32), u16)), SocketAddrV6((Ipv6Addr(u128), u16, u32, u32))>) = 0 7f000001 50 0 0 0
SocketAddr(Result<SocketAddrV4((Ipv4Addr(u32), u16)), SocketAddrV6((Ipv6Addr(u128), u16, u32, u32))>) = 1 1 20010db800000000 50 0 0
",
    );
}

#[test]
fn types_of_other_crates() {
    let date = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    let leap = date.and_hms_nano_opt(23, 59, 59, 1_500_000_000).unwrap();
    let east = FixedOffset::east_opt(-3600).unwrap();
    let day = time::Date::from_calendar_date(2024, time::Month::February, 29).unwrap();
    let moment = time::PrimitiveDateTime::new(day, time::Time::from_hms_nano(1, 2, 3, 4).unwrap());
    let west = time::UtcOffset::from_whole_seconds(-3600).unwrap();
    let lines = lines![
        Uuid::from_u128(0x00112233_4455_6677_8899_aabbccddeeff),
        Bytes::from_static(b"bytes"),
        BytesMut::from(&b"mut"[..]),
        date,
        leap.time(),
        leap,
        leap.and_utc(),
        east,
        leap.and_utc().with_timezone(&east),
        TimeDelta::nanoseconds(-1),
        day,
        moment.time(),
        moment,
        moment.as_utc(),
        west,
        moment.assume_offset(west),
        time::Duration::nanoseconds(-1),
        Serde((300u16, String::from("serde"), Some(true))),
    ];
    as_written(
        &lines,
        "
Uuid([u8; 16]) = 7766554433221100 ffeeddccbbaa9988
Vec<u8> = 5 7365747962
Vec<u8> = 3 74756d
NaiveDate { day: i32 } = b4681
NaiveTime { seconds: u32, nanos: u32 } = 1517f 59682f00
NaiveDateTime { date: NaiveDate { day: i32 }, time: NaiveTime { seconds: u32, nanos: u32 } } = b4681 1517f 59682f00
DateTime { utc: NaiveDateTime { date: NaiveDate { day: i32 }, time: NaiveTime { seconds: u32, nanos: u32 } } } = b4681 1517f 59682f00
FixedOffset { seconds_east: i32 } = fffffffffffff1f0
DateTime { utc: NaiveDateTime { date: NaiveDate { day: i32 }, time: NaiveTime { seconds: u32, nanos: u32 } }, offset: FixedOffset { seconds_east: i32 } } = b4681 1517f 59682f00 fffffffffffff1f0
TimeDelta { seconds: i64, nanos: u32 } = ffffffffffffffff 3b9ac9ff
Date { julian_day: i32 } = 258ad2
Time { nanos: u64 } = 362d417ae04
PrimitiveDateTime { date: Date { julian_day: i32 }, time: Time { nanos: u64 } } = 258ad2 362d417ae04
UtcDateTime { date: Date { julian_day: i32 }, time: Time { nanos: u64 } } = 258ad2 362d417ae04
UtcOffset { seconds_east: i32 } = fffffffffffff1f0
OffsetDateTime { date: Date { julian_day: i32 }, time: Time { nanos: u64 }, offset: UtcOffset { seconds_east: i32 } } = 258ad2 362d417ae04 fffffffffffff1f0
Duration { seconds: i64, nanos: i32 } = 0 ffffffffffffffff
Postcard(Vec<u8>) = a 65647265730502ac 101
",
    );
}
