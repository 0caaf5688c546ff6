//! Wildcards for names, as Go's `path.Match` has them.

use super::{Error, Result};
use std::iter::Peekable;
use std::str::Chars;

/// A pattern that a whole name has to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// `*`: any characters, or none.
    Star,
    /// `?`: one character.
    Any,
    /// One character, perhaps escaped.
    One(char),
    /// `[a-z]`, `[^a-z]`.
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl NamePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`Error::BadPattern`] for a class that is empty or not closed, and for an escape of nothing.
    pub fn parse(text: &str) -> Result<Self> {
        let mut chars = text.chars().peekable();
        let mut tokens = Vec::new();
        while let Some(char) = chars.next() {
            let token = match char {
                '*' => Some(Token::Star),
                '?' => Some(Token::Any),
                '[' => class(&mut chars),
                '\\' => chars.next().map(Token::One),
                other => Some(Token::One(other)),
            };
            tokens.push(token.ok_or_else(|| Error::BadPattern { pattern: text.to_owned() })?);
        }
        Ok(Self(tokens))
    }

    /// Whether all of `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        let (mut at, mut rest) = (0, name.chars());
        // Where to go on when the characters behind the last star do not fit.
        let mut retry: Option<(usize, Chars<'_>)> = None;
        loop {
            match (self.0.get(at), rest.clone().next()) {
                (Some(Token::Star), _) => {
                    at += 1;
                    retry = Some((at, rest.clone()));
                    continue;
                }
                (Some(token), Some(char)) if token.takes(char) => {
                    at += 1;
                    rest.next();
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            let Some((star, from)) = &mut retry else { return false };
            if from.next().is_none() {
                return false;
            }
            (at, rest) = (*star, from.clone());
        }
    }
}

impl Token {
    fn takes(&self, char: char) -> bool {
        match self {
            Self::Star => false,
            Self::Any => char != '/',
            Self::One(own) => *own == char,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&char)) != *negated
            }
        }
    }
}

fn class(chars: &mut Peekable<Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
        let low = member(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { member(chars)? } else { low };
        ranges.push((low, high));
    }
    Some(Token::Class { negated, ranges })
}

fn member(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_gos() {
        for (pattern, name, matches) in [
            ("abc", "abc", true),
            ("*", "", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("[\\]a]", "]", true),
            ("[x\\-]", "-", true),
            ("*x", "xxx", true),
            ("a*a*a*a*a*a*a*a*a*a*b", &"a".repeat(200), false),
        ] {
            assert_eq!(NamePattern::parse(pattern).unwrap().matches(name), matches, "{pattern} {name}");
        }
        for bad in ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "a\\"] {
            assert!(matches!(NamePattern::parse(bad), Err(Error::BadPattern { .. })), "{bad}");
        }
    }
}
