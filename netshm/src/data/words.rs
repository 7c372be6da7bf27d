//! Values to words and back, without an object.

use super::{DataError, DataManager, Decoder, Encode, Encoder};

/// Returns the words of a value, as they are stored. Useful to test a manager. (Hash maps and sets are stored in any order; here
/// their entries are sorted, so that equal values have equal words.)
///
/// ```
/// use netshm::data::{from_words, to_words};
///
/// let words = to_words(&(7u32, "seven".to_owned()))?;
/// assert_eq!(words, [7, 5, 0x6e_6576_6573]);
/// assert_eq!(from_words::<(u32, String)>(&words)?, (7, "seven".to_owned()));
/// assert!(from_words::<(u32, String)>(&words[..2]).is_err());
/// # Ok::<(), netshm::data::DataError>(())
/// ```
///
/// # Errors
/// If the value has no encoding, or its manager writes another number of words the second time or than `FIXED`.
pub fn to_words<E: Encode + ?Sized>(value: &E) -> Result<Vec<u64>, DataError> {
    let mut count = Encoder::counting();
    value.encode(&mut count)?;
    let len = count.written();
    let mut words = vec![0; len];
    let mut out = Encoder::ordered(&mut words);
    value.encode(&mut out)?;
    if out.written() != len || E::FIXED.is_some_and(|fixed| fixed != len) {
        return Err(DataError::new("a value", "words of another number than announced"));
    }
    Ok(words)
}

/// Decodes a value from words, all of which must belong to it. Useful to test a manager.
///
/// # Errors
/// If these are not the words of a value.
pub fn from_words<T: DataManager>(words: &[u64]) -> Result<T, DataError> {
    let mut input = Decoder::from_words(words);
    let value = T::decode(&mut input)?;
    input.finish()?;
    Ok(value)
}

/// Works like [`from_words`], for a row, of which the type may know less than there is.
pub(crate) fn row_of<T: DataManager>(words: &[u64]) -> Result<T, DataError> {
    let mut input = Decoder::from_words(words);
    T::decode(&mut input)
}
