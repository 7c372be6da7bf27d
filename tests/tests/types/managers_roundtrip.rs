//! Every manager gives a value back from its words, and from no part of them; keys have equal words if and only if they
//! are equal.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::*;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::*;
use std::num::{NonZero, Saturating, Wrapping};
use std::ops::{Bound, Range, RangeFrom, RangeInclusive, RangeTo, RangeToInclusive};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::managers_types as of;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use netshm::ShmKey;
use netshm::data::{DataManager, Schema, Serde, from_words, to_words};
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

/// Checks what holds for the words of every type.
#[track_caller]
fn whole_or_nothing<T: DataManager>(words: &[u64]) {
    let fixed = T::FIXED.map(|fixed| fixed as u64);
    let schema = Schema::of::<T>();
    assert_eq!(schema.fixed_words(), fixed, "{schema}");
    assert_eq!(schema.to_string().parse::<Schema>().unwrap(), schema);
    assert!(fixed.is_none_or(|fixed| fixed == words.len() as u64));
    // All lengths of short values; of long ones those at the ends, for each costs a decoding.
    for len in (0..words.len()).filter(|len| *len < 40 || *len + 40 > words.len()) {
        assert!(from_words::<T>(&words[..len]).is_err(), "{len} of {} words suffice", words.len());
    }
    let mut longer = words.to_vec();
    longer.push(0);
    assert!(from_words::<T>(&longer).is_err(), "a word too many goes unnoticed");
}

fn words_come_back<T: DataManager>(value: &T) {
    let words = to_words(value).unwrap();
    let back: T = from_words(&words).unwrap();
    assert_eq!(to_words(&back).unwrap(), words);
    whole_or_nothing::<T>(&words);
}

fn value_comes_back<T: DataManager + PartialEq + Debug>(value: &T) {
    let words = to_words(value).unwrap();
    assert_eq!(&from_words::<T>(&words).unwrap(), value);
    whole_or_nothing::<T>(&words);
}

fn equal_like_words<T: ShmKey + Debug>(one: &T, other: &T) {
    let (words, other_words) = (to_words(one).unwrap(), to_words(other).unwrap());
    assert_eq!(one == other, words == other_words, "{one:?} and {other:?}");
    assert_eq!(to_words(one).unwrap(), words);
}

macro_rules! tests {
    (@check key $value:ident, $other:ident) => {
        words_come_back(&$value);
        value_comes_back(&$value);
        equal_like_words(&$value, &$other);
        equal_like_words(&$value, &from_words(&to_words(&$value).unwrap()).unwrap());
    };
    (@check value $value:ident, $other:ident) => {
        value_comes_back(&$value);
        value_comes_back(&$other);
    };
    (@check words $value:ident, $other:ident) => {
        words_come_back(&$value);
        words_come_back(&$other);
    };
    ($($kind:ident $name:ident: $type:ty $(= $strategy:expr)?;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
            $(
                #[test]
                fn $name(value in strategy!($type $(, $strategy)?), other in strategy!($type $(, $strategy)?)) {
                    let (value, other): ($type, $type) = (value, other);
                    tests!(@check $kind value, other);
                }
            )*
        }
    };
}

each_manager!(tests);
