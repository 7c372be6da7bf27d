//! Looking at values without building them.

use bytemuck::Pod;

use super::{DataError, DataManager};

/// Types whose values can be looked at without being built: texts, bytes, and sequences and arrays of plain numbers, for
/// [`HashTable::find_with`](crate::HashTable::find_with) and [`HashTable::find_into`](crate::HashTable::find_into).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be looked at without being built",
    label = "neither a text nor bytes or plain numbers in a row",
    note = "values of other types are found by `find`"
)]
pub trait Viewed: DataManager {
    /// Type of the view: `str` for texts, a slice for sequences.
    type View: ?Sized;

    /// Returns the value that words are, checked as if it were decoded.
    #[doc(hidden)]
    fn view(words: &[u64]) -> Result<&Self::View, DataError>;

    /// Overwrites itself with a value, reusing its memory.
    #[doc(hidden)]
    fn refill(&mut self, view: &Self::View);
}

mod sealed {
    pub trait Sealed {}
}

/// Numbers whose bytes are stored as they are, and for which any bytes are a number.
pub trait Plain: DataManager + Pod + sealed::Sealed {}

macro_rules! plain {
    ($($type:ty),*) => { $(
        impl sealed::Sealed for $type {}
        impl Plain for $type {}
        // Words are aligned for them.
        const _: () = assert!(align_of::<$type>() <= align_of::<u64>() && size_of::<$type>() == <$type>::PACKED);
    )* };
}

plain!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, f32, f64);

const OTHER_LENGTH: DataError = DataError::new("a value", "another number of words than it needs");

/// Returns the first elements of words that hold nothing else.
fn elements<T: Plain>(words: &[u64], len: usize) -> Result<&[T], DataError> {
    let bytes = len.checked_mul(size_of::<T>()).ok_or(OTHER_LENGTH)?;
    if bytes.div_ceil(8) != words.len() {
        return Err(OTHER_LENGTH);
    }
    Ok(&bytemuck::cast_slice(words)[..len])
}

/// Returns the elements of a sequence, whose words begin with their number.
fn sequence<T: Plain>(words: &[u64]) -> Result<&[T], DataError> {
    let (len, words) = words.split_first().ok_or(OTHER_LENGTH)?;
    elements(words, usize::try_from(*len).map_err(|_| OTHER_LENGTH)?)
}

fn text(words: &[u64]) -> Result<&str, DataError> {
    std::str::from_utf8(sequence(words)?).map_err(|_| DataError::new("String", "no UTF-8"))
}

impl Viewed for String {
    type View = str;

    fn view(words: &[u64]) -> Result<&str, DataError> {
        text(words)
    }

    fn refill(&mut self, view: &str) {
        self.clear();
        self.push_str(view);
    }
}

impl Viewed for Box<str> {
    type View = str;

    fn view(words: &[u64]) -> Result<&str, DataError> {
        text(words)
    }

    fn refill(&mut self, view: &str) {
        *self = view.into();
    }
}

impl<T: Plain> Viewed for Vec<T> {
    type View = [T];

    fn view(words: &[u64]) -> Result<&[T], DataError> {
        sequence(words)
    }

    fn refill(&mut self, view: &[T]) {
        self.clear();
        self.extend_from_slice(view);
    }
}

impl<T: Plain> Viewed for Box<[T]> {
    type View = [T];

    fn view(words: &[u64]) -> Result<&[T], DataError> {
        sequence(words)
    }

    fn refill(&mut self, view: &[T]) {
        if self.len() == view.len() {
            self.copy_from_slice(view);
        } else {
            *self = view.into();
        }
    }
}

impl<T: Plain, const N: usize> Viewed for [T; N] {
    type View = [T; N];

    fn view(words: &[u64]) -> Result<&[T; N], DataError> {
        elements(words, N)?.first_chunk().ok_or(OTHER_LENGTH)
    }

    fn refill(&mut self, view: &[T; N]) {
        *self = *view;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::to_words;

    #[test]
    fn views_are_what_is_decoded() {
        assert_eq!(String::view(&to_words("grüße").unwrap()).unwrap(), "grüße");
        assert_eq!(<Vec<u16>>::view(&to_words(&vec![1u16, 2, 3]).unwrap()).unwrap(), [1, 2, 3]);
        assert_eq!(<Box<[f64]>>::view(&to_words(&vec![0.5f64; 3]).unwrap()).unwrap(), [0.5; 3]);
        assert_eq!(<[u8; 3]>::view(&to_words(&[1u8, 2, 3]).unwrap()).unwrap(), &[1, 2, 3]);
        assert_eq!(<Vec<u8>>::view(&[0]).unwrap(), [0u8; 0]);
    }

    #[test]
    fn words_of_no_value_are_refused() {
        for words in [&[][..], &[1], &[9, 0], &[1, 0, 0], &[u64::MAX], &[u64::MAX, 0], &[1 << 61, 0]] {
            assert!(<Vec<u8>>::view(words).is_err(), "{words:?}");
            assert!(<Vec<u64>>::view(words).is_err() || words == [1, 0], "{words:?}");
            assert!(String::view(words).is_err(), "{words:?}");
        }
        assert!(String::view(&[1, 0xff]).is_err());
        assert!(<[u32; 3]>::view(&[0]).is_err() && <[u32; 3]>::view(&[0; 3]).is_err());
    }
}
