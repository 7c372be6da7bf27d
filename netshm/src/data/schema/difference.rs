//! Where two schemas part.

/// Characters shown on either side of the difference.
const AROUND: usize = 24;

/// Shows the surroundings of the first difference of two schema texts, with a mark under it.
pub(crate) fn first_difference(stored: &str, expected: &str) -> String {
    let same = stored.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
    // Begin with the word that differs, not within it.
    let start_of_word = stored
        .chars()
        .take(same)
        .enumerate()
        .filter(|(_, c)| !c.is_alphanumeric() && *c != '_')
        .last()
        .map_or(0, |(i, _)| i + 1);
    let from = start_of_word.saturating_sub(AROUND);
    let excerpt = |text: &str| {
        let mut shown = String::from(if from > 0 { "…" } else { "" });
        shown.extend(text.chars().skip(from).take(start_of_word - from + AROUND));
        if text.chars().count() > start_of_word + AROUND {
            shown.push('…');
        }
        shown
    };
    let indent = start_of_word - from + usize::from(from > 0);
    format!("\n    stored:   {}\n    expected: {}\n              {:indent$}^", excerpt(stored), excerpt(expected), "",)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_that_differs_is_marked() {
        assert_eq!(
            first_difference("HashTable<String, Session { user: u64 }>", "HashTable<String, Session { user: u32 }>"),
            "\n    stored:   …String, Session { user: u64 }>\
             \n    expected: …String, Session { user: u32 }>\
             \n                                       ^"
        );
        assert_eq!(first_difference("u64", "i64"), "\n    stored:   u64\n    expected: i64\n              ^");
    }
}
