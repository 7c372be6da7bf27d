//! Code that is not known is never shown words that may be in the middle of a change, and does not write under locks.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash};
use std::marker::PhantomData;
use std::sync::atomic::AtomicU64;

use super::{DataError, DataManager, Decoder, Encoder, Schema, Types};

/// Returns the outcome of decoding `words` where others may change them.
fn read_shared<T: DataManager>(words: &[u64]) -> Result<(), DataError> {
    let shared: Vec<AtomicU64> = words.iter().copied().map(AtomicU64::new).collect();
    Decoder::new(&shared, None).take::<T>().map(drop)
}

/// Checks that the type is read from a copy, also inside other types; `words` are those of a value.
#[track_caller]
fn needs_copy<T: DataManager>(words: &[u64]) {
    fn boxed<T: DataManager>(words: &[u64]) {
        let mut several = vec![1];
        several.extend(words);
        assert_eq!(read_shared::<Vec<T>>(&several), Err(DataError::NEEDS_COPY));
        assert_eq!(read_shared::<BTreeMap<(), T>>(&several), Err(DataError::NEEDS_COPY));
        assert_eq!(read_shared::<Option<Box<T>>>(&several), Err(DataError::NEEDS_COPY));
    }
    assert_eq!(read_shared::<T>(words), Err(DataError::NEEDS_COPY));
    assert!(Decoder::from_words(words).take::<T>().is_ok());
    assert_eq!(read_shared::<[T; 1]>(words), Err(DataError::NEEDS_COPY));
    assert_eq!(read_shared::<(T, ())>(words), Err(DataError::NEEDS_COPY));
    boxed::<T>(words);
}

#[derive(Clone, Debug, PartialEq)]
struct Even(u64);
impl From<Even> for u64 {
    fn from(even: Even) -> u64 {
        even.0
    }
}
impl TryFrom<u64> for Even {
    type Error = ();
    fn try_from(number: u64) -> Result<Even, ()> {
        if number.is_multiple_of(2) { Ok(Even(number)) } else { Err(()) }
    }
}

/// The manager of a field.
struct ByHand;
impl ByHand {
    fn encode(number: &u64, out: &mut Encoder<'_>) -> Result<(), DataError> {
        number.encode(out)
    }
    fn decode(input: &mut Decoder<'_>) -> Result<u64, DataError> {
        u64::decode(input)
    }
    fn schema(types: &mut Types) -> Schema {
        u64::schema(types)
    }
}

macro_rules! derived {
    ($(#[$attr:meta])* struct $name:ident $(<$T:ident>)? { $($(#[$of_field:meta])* $field:ident: $ty:ty,)* }) => {
        #[derive(netshm_derive::ShmData)]
        #[shm(crate = crate)]
        $(#[$attr])*
        #[allow(dead_code)]
        struct $name $(<$T>)? { $($(#[$of_field])* $field: $ty,)* }
    };
}

derived!(
    struct Converted {
        #[shm(as = u64)]
        even: Even,
    }
);
derived!(
    struct Handmade {
        #[shm(with = ByHand)]
        number: u64,
    }
);
derived!(
    struct Skipped {
        number: u64,
        #[shm(skip)]
        cache: u64,
    }
);
derived!(
    #[shm(transparent)]
    struct Clear {
        number: u64,
        #[shm(skip)]
        cache: u64,
    }
);
derived!(
    struct Dropped {
        number: u64,
    }
);
impl Drop for Dropped {
    fn drop(&mut self) {}
}
derived!(
    struct Generic<T> {
        content: T,
    }
);
derived!(
    struct GenericDropped<T> {
        content: T,
        text: String,
    }
);
impl<T> Drop for GenericDropped<T> {
    fn drop(&mut self) {}
}
derived!(
    struct Plain {
        number: u64,
        text: String,
        #[shm(skip)]
        nothing: PhantomData<u8>,
        more: Option<Box<Plain>>,
        #[shm(default)]
        known: Vec<u8>,
        #[shm(default = 7)]
        seven: u8,
    }
);
derived!(
    struct WithDefaults {
        number: u64,
        #[shm(default)]
        compared: Compared,
    }
);

/// A key that is compared and hashed by somebody's code.
#[derive(netshm_derive::ShmData, Default)]
#[shm(crate = crate)]
struct Compared(u64);
impl PartialEq for Compared {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Compared {}
impl PartialOrd for Compared {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Compared {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}
impl Hash for Compared {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[test]
fn code_that_is_not_known_reads_copies() {
    needs_copy::<Converted>(&[2]);
    needs_copy::<Handmade>(&[2]);
    needs_copy::<Skipped>(&[2]);
    needs_copy::<Clear>(&[2]);
    needs_copy::<Dropped>(&[2]);
    needs_copy::<Generic<Dropped>>(&[2]);
    needs_copy::<GenericDropped<u64>>(&[2, 0]);
    needs_copy::<BTreeMap<Compared, u8>>(&[1, 2, 3]);
    needs_copy::<BTreeMap<(u8, Vec<Compared>), u8>>(&[0]);
    needs_copy::<BTreeSet<Compared>>(&[1, 2]);
    needs_copy::<HashMap<Compared, u8>>(&[1, 2, 3]);
    needs_copy::<HashSet<Compared>>(&[1, 2]);
    needs_copy::<HashMap<u8, u8, BuildHasherDefault<DefaultHasher>>>(&[1, 2, 3]);
    needs_copy::<HashSet<u8, BuildHasherDefault<DefaultHasher>>>(&[1, 2]);
    needs_copy::<BinaryHeap<Compared>>(&[1, 2]);
    // Short rows.
    assert_eq!(read_shared::<WithDefaults>(&[1]), Err(DataError::NEEDS_COPY));
    assert_eq!(read_shared::<WithDefaults>(&[1, 2]), Ok(()));
}

#[test]
fn known_code_reads_where_it_lies() {
    assert_eq!(read_shared::<Plain>(&[1, 0, 0, 0, 7]), Ok(()));
    assert_eq!(read_shared::<Plain>(&[1, 0, 0]), Ok(()));
    assert_eq!(read_shared::<Generic<u64>>(&[1]), Ok(()));
    assert_eq!(read_shared::<Compared>(&[1]), Ok(()));
    assert_eq!(read_shared::<Vec<Compared>>(&[1, 2]), Ok(()));
    assert_eq!(read_shared::<BTreeMap<(String, u8), Compared>>(&[1, 0, 3, 4]), Ok(()));
    assert_eq!(read_shared::<HashMap<String, Compared>>(&[1, 0, 3]), Ok(()));
    const { assert!(Plain::DIRECT && Generic::<[u8; 3]>::DIRECT && !Generic::<[Dropped; 1]>::DIRECT) };
    const { assert!(!GenericDropped::<u64>::DIRECT && !Converted::DIRECT && !Clear::DIRECT) };
}

#[test]
fn the_encoder_is_told_of_code_that_is_not_known() {
    #[track_caller]
    fn is_foreign<T: DataManager>(value: &T) -> bool {
        let mut counting = Encoder::counting();
        value.encode(&mut counting).unwrap();
        counting.has_foreign()
    }
    let converted = || Converted { even: Even(2) };
    assert!(is_foreign(&vec![converted()]));
    assert!(is_foreign(&Some(Box::new(converted()))));
    assert!(is_foreign(&std::collections::VecDeque::from([converted()])));
    assert!(is_foreign(&std::collections::LinkedList::from([converted()])));
    assert!(is_foreign(&BTreeMap::from([(1u8, converted())])));
    assert!(is_foreign(&HashMap::from([(1u8, vec![converted()])])));
    assert!(is_foreign(&vec![vec![(1u8, [Handmade { number: 1 }])]]));
    assert!(!is_foreign(&vec![vec![(1u8, Some(String::new()))]]));
    assert!(!is_foreign(&HashMap::from([(String::new(), vec![1u8])])));
}
