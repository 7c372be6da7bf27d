//! Expressions as a person writes them: the tokens' own text has a space between any two.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Returns the expression on one line.
pub(crate) fn spell(tokens: TokenStream) -> String {
    let mut speller = Speller::default();
    speller.tokens(tokens);
    speller.out
}

/// The kind of the last token, as far as spacing depends on it.
#[derive(Default, Clone, Copy, PartialEq)]
enum Last {
    /// The beginning, or something that what follows belongs to: `.`, `::`, a sign.
    #[default]
    Glue,
    /// The first character of an operator.
    Part,
    /// Something that can be called or subscribed: `(` and `[` follow without a space.
    Value,
    /// An operator, a comma or a colon.
    Operator,
}

#[derive(Default)]
struct Speller {
    out: String,
    last: Last,
    /// Open angle brackets of generic arguments.
    angles: usize,
    /// True if the last word begins with a capital letter, as types do.
    capital: bool,
}

impl Speller {
    fn tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => self.word(&ident.to_string()),
                TokenTree::Literal(literal) => self.word(&literal.to_string()),
                TokenTree::Group(group) if group.delimiter() == Delimiter::None => self.tokens(group.stream()),
                TokenTree::Group(group) => {
                    let inner = spell(group.stream());
                    let (close, inner) = match group.delimiter() {
                        Delimiter::Brace if inner.is_empty() => ("{}", inner),
                        Delimiter::Brace => ("{}", format!(" {inner} ")),
                        Delimiter::Bracket => ("[]", inner),
                        Delimiter::Parenthesis | Delimiter::None => ("()", inner),
                    };
                    let (open, close) = close.split_at(1);
                    if self.last == Last::Operator || self.last == Last::Value && open == "{" {
                        self.out.push(' ');
                    }
                    self.out.extend([open, &inner, close]);
                    (self.last, self.capital) = (Last::Value, false);
                }
                TokenTree::Punct(punct) => self.sign(punct.as_char(), punct.spacing() == Spacing::Joint),
            }
        }
    }

    fn word(&mut self, word: &str) {
        if matches!(self.last, Last::Value | Last::Operator) {
            self.out.push(' ');
        }
        self.out.push_str(word);
        self.last = Last::Value;
        self.capital = word.starts_with(|c: char| c.is_ascii_uppercase());
    }

    fn sign(&mut self, sign: char, joint: bool) {
        let path = self.out.ends_with("::");
        let (space, last) = match sign {
            ':' if self.last == Last::Part => (false, Last::Glue),
            '<' if path || self.last == Last::Value && self.capital => {
                self.angles += 1;
                (false, Last::Glue)
            }
            '>' if self.angles > 0 => {
                self.angles -= 1;
                (false, Last::Value)
            }
            _ if self.last == Last::Part => (false, if joint { Last::Part } else { Last::Operator }),
            ':' if joint => (self.last == Last::Operator, Last::Part),
            '?' => (false, Last::Value),
            '.' => (false, Last::Glue),
            ',' | ';' | ':' => (false, Last::Operator),
            '!' if self.last == Last::Value && !joint => (false, Last::Glue),
            '-' | '!' | '&' | '*' if self.last != Last::Value => (self.last == Last::Operator, Last::Glue),
            _ if joint => (self.last != Last::Glue, Last::Part),
            _ => (self.last != Last::Glue, Last::Operator),
        };
        if space {
            self.out.push(' ');
        }
        self.out.push(sign);
        self.last = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_look_as_they_are_written() {
        for text in [
            "-1",
            "0",
            "\"a . b\"",
            "1 - 2 * -(3 + 4)",
            "!true && a != b",
            "String::from(\"none\")",
            "::std::string::String::new()",
            "City { name: String::new(), at: (1, 2), none: None }",
            "vec![1, 2].into_iter().map(u8::from).collect()",
            "Vec::<Option<u8>>::with_capacity(5)",
            "a[3].b?.c",
            "1 << 24",
            "x < y",
            "&*TEXT",
            "Unit {}",
            "Duration::from_secs(5)",
        ] {
            let tokens: TokenStream = text.parse().expect("tokens");
            assert_eq!(spell(tokens), text);
        }
    }
}
