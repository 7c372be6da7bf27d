//! The types that have managers, each with a strategy for its values.

use std::ffi::OsString;
use std::num::NonZero;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use chrono::{FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use netshm::ShmData;
use proptest::prelude::*;

/// Hands the list to a macro: `key` for types that are keys, `value` for those that can be compared, `words` for those
/// of which only the words can be. Without a strategy of its own, a type has proptest's.
macro_rules! each_manager {
    ($take:ident) => {
        $take! {
            key u8s: u8; key u16s: u16; key u32s: u32; key u64s: u64;
            key u128s: u128; key usizes: usize;
            key i8s: i8; key i16s: i16; key i32s: i32; key i64s: i64;
            key i128s: i128; key isizes: isize;
            words f32s: f32 = any::<u32>().prop_map(f32::from_bits);
            words f64s: f64 = any::<u64>().prop_map(f64::from_bits);
            key bools: bool; key chars: char; key units: ();
            key phantoms: PhantomData<String> = Just(PhantomData);
            key non_zero_u8: NonZero<u8> = of::non_zero_u8(); key non_zero_i64: NonZero<i64> = any::<i64>().prop_filter_map("zero", NonZero::new);
            key wrapping: Wrapping<i16>; key saturating: Saturating<u8> = any::<u8>().prop_map(Saturating);
            key reverse: Reverse<char> = any::<char>().prop_map(Reverse); key orderings: Ordering;
            key strings: String; key boxed_str: Box<str>;
            key cow_str: Cow<'static, str> = any::<String>().prop_map(Cow::Owned);
            key cow_bytes: Cow<'static, [u8]> = any::<Vec<u8>>().prop_map(Cow::Owned);
            key cows_packed: Vec<Cow<'static, u16>> = vec(any::<u16>().prop_map(Cow::Owned), 0..9);
            key os_strings: OsString = of::os_string(); key boxed_os: Box<OsStr> = of::os_string().prop_map(Into::into);
            key c_strings: CString; key boxed_c: Box<CStr> = any::<CString>().prop_map(Into::into);
            value paths: PathBuf = of::path(); value boxed_path: Box<Path> = of::path().prop_map(Into::into);
            key vec_u8: Vec<u8>; key vec_i16: Vec<i16>; key vec_u32: Vec<u32>;
            key vec_u64: Vec<u64>; key vec_u128: Vec<u128>; key vec_bool: Vec<bool>;
            key vec_char: Vec<char>; key vec_unit: Vec<()>; key vec_string: Vec<String>;
            key vec_vec: Vec<Vec<Option<u8>>>; key vec_non_zero: Vec<NonZero<u8>> = vec(of::non_zero_u8(), 0..9);
            key boxed_slice: Box<[u16]>; key deque: VecDeque<u8> = of::deque(); key list: LinkedList<u32>;
            key deque_strings: VecDeque<String>;
            words heap: BinaryHeap<i32>; words vec_f32: Vec<f32>;
            key array_u8: [u8; 11]; key array_char: [char; 3]; key array_none: [u64; 0];
            key array_pairs: [(u8, bool); 3]; key array_strings: [String; 2];
            key array_arrays: [[i16; 3]; 2];
            key options: Option<u32>; key option_string: Option<String>;
            key option_option: Option<Option<()>>; key option_array: Option<[u8; 9]>;
            key results: Result<u8, i128>; key result_mixed: Result<String, ()>;
            key boxes: Box<u64>; key option_box: Option<Box<u64>>;
            key vec_boxes: Vec<Box<u8>>; key result_box: Result<Box<u8>, u128>;
            key pairs: (u8, String); key one: (i64,);
            key twelve: of::Twelve = of::twelve();
            key tree_map: BTreeMap<u16, String>; key tree_set: BTreeSet<String>;
            value hash_map: HashMap<u16, Vec<u8>>; value hash_set: HashSet<(u8, char)>;
            key range: Range<u32>; key range_from: RangeFrom<i8>; key range_to: RangeTo<u64>;
            value range_inclusive: RangeInclusive<i64> = any::<(i64, i64)>().prop_map(|(start, end)| start..=end);
            key range_to_inclusive: RangeToInclusive<u16>;
            key bounds: Bound<u32>; key bound_unit: Bound<()>;
            key ranges_strings: Range<String> = any::<(String, String)>().prop_map(|(start, end)| start..end);
            key durations: Duration; key system_time: SystemTime;
            key ipv4: Ipv4Addr; key ipv6: Ipv6Addr; key ip: IpAddr;
            key socket_v4: SocketAddrV4; key socket_v6: SocketAddrV6; key socket: SocketAddr;
            value tree: of::Tree = of::tree();
            key uuid: Uuid = any::<u128>().prop_map(Uuid::from_u128);
            key bytes: Bytes = any::<Vec<u8>>().prop_map(Bytes::from);
            key bytes_mut: BytesMut = any::<Vec<u8>>().prop_map(|bytes| BytesMut::from(&bytes[..]));
            key naive_date: NaiveDate = of::naive_date(); key naive_time: NaiveTime = of::naive_time();
            key naive_date_time: NaiveDateTime = of::naive_date_time();
            key date_time_utc: DateTime<Utc> = of::naive_date_time().prop_map(|naive| naive.and_utc());
            key fixed_offset: FixedOffset = of::fixed_offset(); key time_delta: TimeDelta = of::time_delta();
            value date_time_offset: DateTime<FixedOffset> = (of::naive_date_time(), of::fixed_offset())
                .prop_map(|(utc, offset)| DateTime::from_naive_utc_and_offset(utc, offset));
            key time_date: time::Date = of::date(); key time_time: time::Time = of::time_of_day();
            key primitive: time::PrimitiveDateTime = of::primitive(); key utc_offset: time::UtcOffset = of::utc_offset();
            key utc_date_time: time::UtcDateTime = of::primitive().prop_map(|primitive| primitive.as_utc());
            value offset_date_time: time::OffsetDateTime = (of::primitive(), of::utc_offset())
                .prop_map(|(primitive, offset)| primitive.assume_offset(offset));
            key time_duration: time::Duration = of::time_duration();
            value serde_pairs: Serde<(u16, String, Option<bool>)> = any::<(u16, String, Option<bool>)>().prop_map(Serde);
            value serde_map: Serde<BTreeMap<String, Vec<i32>>> = any::<BTreeMap<String, Vec<i32>>>().prop_map(Serde);
            value serde_tree: Serde<of::Tree> = of::tree().prop_map(Serde);
        }
    };
}

/// The strategy of a line of the list.
macro_rules! strategy {
    ($type:ty) => {
        any::<$type>()
    };
    ($type:ty, $strategy:expr) => {
        $strategy
    };
}

pub(crate) type Twelve = (u8, i8, bool, (), u16, i16, u32, i32, char, u64, i64, String);

pub(crate) fn twelve() -> impl Strategy<Value = Twelve> {
    any::<((u8, i8, bool, (), u16, i16), (u32, i32, char, u64, i64, String))>()
        .prop_map(|((a, b, c, d, e, f), (g, h, i, j, k, l))| (a, b, c, d, e, f, g, h, i, j, k, l))
}

/// A recursive type.
#[derive(ShmData, serde::Serialize, serde::Deserialize, Debug, Clone, PartialEq, Default)]
pub(crate) struct Tree {
    pub(crate) value: u8,
    pub(crate) left: Option<Box<Tree>>,
    pub(crate) children: Vec<Tree>,
}

pub(crate) fn tree() -> impl Strategy<Value = Tree> {
    let leaf = any::<u8>().prop_map(|value| Tree { value, ..Tree::default() });
    leaf.prop_recursive(4, 24, 4, |inner| {
        (any::<u8>(), proptest::option::of(inner.clone()), proptest::collection::vec(inner, 0..4))
            .prop_map(|(value, left, children)| Tree { value, left: left.map(Box::new), children })
    })
}

pub(crate) fn non_zero_u8() -> impl Strategy<Value = NonZero<u8>> {
    any::<u8>().prop_filter_map("zero", NonZero::new)
}

pub(crate) fn os_string() -> impl Strategy<Value = OsString> {
    any::<Vec<u8>>().prop_map(OsString::from_vec)
}

pub(crate) fn path() -> impl Strategy<Value = PathBuf> {
    os_string().prop_map(PathBuf::from)
}

/// Generates deques, some of which wrap around the end of their memory.
pub(crate) fn deque() -> impl Strategy<Value = std::collections::VecDeque<u8>> {
    any::<(Vec<u8>, Vec<u8>)>().prop_map(|(front, back)| {
        let mut deque = std::collections::VecDeque::from(back);
        front.into_iter().for_each(|item| deque.push_front(item));
        deque
    })
}

pub(crate) fn naive_date() -> impl Strategy<Value = NaiveDate> {
    (0..=(NaiveDate::MAX - NaiveDate::MIN).num_days()).prop_map(|days| NaiveDate::MIN + TimeDelta::days(days))
}

/// Generates times, with leap seconds too, at places where only an offset moves them.
pub(crate) fn naive_time() -> impl Strategy<Value = NaiveTime> {
    (0..1440u32, 0..60u32, 0..2_000_000_000u32).prop_filter_map("no such second", |(minute, second, nanos)| {
        use chrono::Timelike;
        NaiveTime::from_num_seconds_from_midnight_opt(minute * 60 + 59, nanos)?.with_second(second)
    })
}

pub(crate) fn naive_date_time() -> impl Strategy<Value = NaiveDateTime> {
    (naive_date(), naive_time()).prop_map(|(date, time)| date.and_time(time))
}

pub(crate) fn fixed_offset() -> impl Strategy<Value = FixedOffset> {
    (-86_399..=86_399).prop_filter_map("a day", FixedOffset::east_opt)
}

pub(crate) fn time_delta() -> impl Strategy<Value = TimeDelta> {
    let edges = prop_oneof![Just(TimeDelta::MIN), Just(TimeDelta::MAX), Just(TimeDelta::nanoseconds(-1))];
    prop_oneof![
        edges,
        any::<i64>().prop_map(TimeDelta::nanoseconds),
        any::<i32>().prop_map(|s| TimeDelta::seconds(s.into()))
    ]
}

pub(crate) fn date() -> impl Strategy<Value = time::Date> {
    (time::Date::MIN.to_julian_day()..=time::Date::MAX.to_julian_day())
        .prop_map(|day| time::Date::from_julian_day(day).unwrap())
}

pub(crate) fn time_of_day() -> impl Strategy<Value = time::Time> {
    (0..24u8, 0..60u8, 0..60u8, 0..1_000_000_000u32)
        .prop_map(|(hour, minute, second, nano)| time::Time::from_hms_nano(hour, minute, second, nano).unwrap())
}

pub(crate) fn primitive() -> impl Strategy<Value = time::PrimitiveDateTime> {
    (date(), time_of_day()).prop_map(|(date, time)| time::PrimitiveDateTime::new(date, time))
}

pub(crate) fn utc_offset() -> impl Strategy<Value = time::UtcOffset> {
    (-93_599..=93_599).prop_map(|seconds| time::UtcOffset::from_whole_seconds(seconds).unwrap())
}

pub(crate) fn time_duration() -> impl Strategy<Value = time::Duration> {
    let edges = prop_oneof![Just(time::Duration::MIN), Just(time::Duration::MAX), Just(time::Duration::ZERO)];
    prop_oneof![
        edges,
        any::<i64>().prop_map(time::Duration::nanoseconds),
        (any::<i32>(), any::<i32>()).prop_map(|(seconds, nanos)| time::Duration::new(seconds.into(), nanos)),
    ]
}
