//! One rule, matched against paths.

use super::class::Set;
use super::compile::compile;
use crate::base::gojson;
use crate::source::{Error, Result};

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// This character.
    Literal(char),
    /// A slash that stars know as one; an escaped slash is a literal.
    Separator,
    /// Any character but a slash.
    Any,
    /// Any run without a slash.
    Star,
    /// Any run.
    DoubleStar,
    /// A character of a set.
    Set(Box<Set>),
}

/// A compiled rule. A rule that begins with `!` brings back what an earlier one left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
    /// What every matching path ends with: tells most paths apart without walking the tokens.
    suffix: Box<str>,
    directories_only: bool,
    negated: bool,
}

impl Pattern {
    /// Compiles a rule given for the directory `base`: empty for the root of the walk, else `/…`.
    ///
    /// # Errors
    /// [`Error::Pattern`].
    ///
    /// Source: kopia `internal/wcmatch/wcmatch.go`.
    pub fn new(rule: &[u8], base: &str) -> Result<Self> {
        let compiled = compile(rule, base)
            .map_err(|reason| Error::Pattern { pattern: gojson::lossy(rule).into_owned(), reason })?;
        let suffix = literal_suffix(&compiled.tokens);
        Ok(Self {
            tokens: compiled.tokens,
            suffix,
            directories_only: compiled.directories_only,
            negated: compiled.negated,
        })
    }

    /// Whether the rule begins with `!`.
    pub fn is_negated(&self) -> bool {
        self.negated
    }

    /// Whether the rule leaves `path` out. A negated rule leaves out what it does **not** match; it is asked only for
    /// paths already left out.
    pub fn excludes(&self, path: &str, is_directory: bool) -> bool {
        if self.directories_only && !is_directory {
            return self.negated;
        }
        let matches = path.ends_with(&*self.suffix) && walk(&self.tokens, path) == Outcome::Match;
        matches != self.negated
    }
}

/// The literal end of a pattern, without a slash that a double star before it can swallow.
fn literal_suffix(tokens: &[Token]) -> Box<str> {
    let literal = |token: &Token| match token {
        Token::Literal(c) => Some(*c),
        Token::Separator => Some('/'),
        _ => None,
    };
    let start = tokens.iter().rposition(|token| literal(token).is_none());
    let mut end = start.map_or(tokens, |start| &tokens[start + 1..]);
    if let (Some(Token::DoubleStar), [Token::Separator, rest @ ..]) = (start.map(|at| &tokens[at]), end) {
        end = rest;
    }
    end.iter().filter_map(literal).collect::<String>().into()
}

/// How walking a pattern ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Match,
    NoMatch,
    /// The text ended before the pattern: no star further out can help.
    AbortAll,
    /// A single star ran into a slash: only a double star can help.
    AbortToDoubleStar,
}

/// Matches tokens against the whole of `text`; the classic `wildmatch` with Kopia's details.
fn walk(tokens: &[Token], text: &str) -> Outcome {
    let mut rest = text;
    for (at, token) in tokens.iter().enumerate() {
        let c = rest.chars().next();
        let matches = match token {
            Token::Star | Token::DoubleStar => {
                let after = &tokens[at + 1..];
                match star(*token == Token::DoubleStar, after, rest, rest.len() == text.len()) {
                    Step::Ends(outcome) => return outcome,
                    Step::Continues(from) => rest = from,
                }
                continue;
            }
            _ if c.is_none() => return Outcome::AbortAll,
            Token::Literal(wanted) => c == Some(*wanted),
            Token::Separator => c == Some('/'),
            Token::Any => c != Some('/'),
            Token::Set(set) => c.is_some_and(|c| set.contains(c)),
        };
        if !matches {
            return Outcome::NoMatch;
        }
        rest = &rest[c.map_or(0, char::len_utf8)..];
    }
    if rest.is_empty() { Outcome::Match } else { Outcome::NoMatch }
}

/// What a star leads to.
enum Step<'a> {
    Ends(Outcome),
    /// The walk goes on here with the next token.
    Continues(&'a str),
}

/// A star before the tokens `after`, at `rest`, which is the start of its text or not.
fn star<'a>(double: bool, after: &[Token], rest: &'a str, at_start: bool) -> Step<'a> {
    let Some(next) = after.first() else {
        let stops = !double && rest.contains('/');
        return Step::Ends(if stops { Outcome::NoMatch } else { Outcome::Match });
    };
    let before_slash = *next == Token::Separator;
    if double && before_slash && after.len() > 1 && walk(&after[1..], rest) == Outcome::Match {
        return Step::Ends(Outcome::Match);
    }
    if !double && before_slash {
        return match rest.find('/') {
            // Kopia steps back one character here, and at the start there is none.
            None => Step::Ends(Outcome::NoMatch),
            Some(0) if at_start => Step::Ends(Outcome::NoMatch),
            Some(slash) => Step::Continues(&rest[slash..]),
        };
    }
    Step::Ends(extend(double, after, rest))
}

/// Lets a star take one character after the other.
fn extend(double: bool, after: &[Token], rest: &str) -> Outcome {
    let mut taken = rest.chars().next();
    for (from, c) in rest.char_indices() {
        match walk(after, &rest[from..]) {
            Outcome::NoMatch if !double && taken == Some('/') => return Outcome::AbortToDoubleStar,
            Outcome::NoMatch => {}
            Outcome::AbortToDoubleStar if double => {}
            outcome => return outcome,
        }
        taken = Some(c);
    }
    Outcome::AbortAll
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `path` ends with a slash if it is a directory.
    fn excludes(rule: &str, base: &str, path: &str) -> bool {
        let (path, is_directory) = match path.strip_suffix('/') {
            Some(path) if !path.is_empty() => (path, true),
            _ => (path, false),
        };
        Pattern::new(rule.as_bytes(), base).unwrap().excludes(path, is_directory)
    }

    #[test]
    fn matches_as_kopia_does() {
        for (rule, path, wanted) in [
            ("", "", true),
            ("*.*", "foo.txt", true),
            ("*/", ".git/", true),
            ("ab[!de]", "abc", true),
            (r"[a\-c]", "b", false),
            ("[[:]", ":", true),
            ("[![:digit:]ab]", "3", false),
            ("ab***cd", "abxxxcd", true),
            ("ab**", "ab/cd", false),
            ("*???", "abc", true),
            ("**", "foo/bar", true),
            ("/a/**/b/foo.txt", "/a/b/c/d/foo.txt", false),
            ("/a/**/b/foo.txt", "/a/b/c/b/foo.txt", true),
            ("/a/**/b/foo.txt", "/a/b/c/b/foo.txt/other", false),
            ("foo/**", "/foo/bar/a/b/c.txt", true),
            ("/foo/**/bar/**/p.txt", "/foo/bar/p.txt", true),
            ("**/bar/a.txt", "/foo/x/x/bar/a.txt", true),
            ("bar/a.txt", "/foo/bar/a.txt", false),
            ("bar/a.txt", "/bar/a.txt", true),
            ("*.txt", "/foo/bar/a.txt", true),
            ("/*.txt", "/foo/bar/a.txt", false),
            ("foo/", "/foo", false),
            ("foo/", "/bar/foo/", true),
            ("foo/", "/foo/bar/", false),
            ("foo/**/bar/", "/foo/xx/yy/bar/", true),
            ("**/", "/foo/", true),
            ("!foo", "/bar", true),
            ("!*/", "/foo/bar/", false),
            ("!foo/bar", "/car/foo/bar", true),
            ("  \tfoo", "foo", true),
            (r" foo\ ", "/foo ", true),
            ("/users/*/logs", "/users/user1/logs", true),
        ] {
            assert_eq!(excludes(rule, "", path), wanted, "{rule:?} {path:?}");
        }
    }

    #[test]
    fn a_base_confines_a_rule() {
        for (rule, base, path, wanted) in [
            ("*", "/base", "/foo", false),
            ("*", "/base/", "/base/foo", true),
            ("*.txt", "/base/", "/other/foo.txt", false),
            ("/src/file.txt", "/base", "/base/src/file.txt", true),
            ("**/src/file.txt", "/base", "/base/foo/src/file.txt", true),
            ("src/file.txt", "/base", "/base/foo/src/file.txt", false),
            ("file.txt", "/base", "/base/foo/src/file.txt", true),
        ] {
            assert_eq!(excludes(rule, base, path), wanted, "{rule:?} {base:?} {path:?}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let many = "*?".repeat(300);
        for rule in
            ["[a", "[a-", "\\", "[\\", "[a-\\", "[[:alnum", "[[:alnum:]", "[[:foobar:]]", many.as_str()]
        {
            assert!(matches!(Pattern::new(rule.as_bytes(), ""), Err(Error::Pattern { .. })), "{rule}");
        }
    }

    #[test]
    fn classes_reach_beyond_ascii() {
        for (class, inside, outside) in [
            ("alpha", "aéª", "1ⅷ "),
            ("digit", "1٣", "²a"),
            ("punct", "!$€«", "a "),
            ("graph", "aé\u{301}\u{a0} ", "\t\u{200b}"),
            ("print", "a ", "\u{a0}\t"),
            ("blank", " \t\u{3000}", "\n"),
            ("lower", "aß", "Aª"),
            ("upper", "AÉ", "aǅ"),
            ("space", " \u{85}\u{2003}", "\u{200b}"),
            ("cntrl", "\u{1}\u{7f}\u{85}", " "),
            ("xdigit", "afAF09", "gG"),
        ] {
            let pattern = Pattern::new(format!("[[:{class}:]]").as_bytes(), "").unwrap();
            for c in inside.chars() {
                assert!(pattern.excludes(&format!("/{c}"), false), "{class} has {c:?}");
            }
            for c in outside.chars() {
                assert!(!pattern.excludes(&format!("/{c}"), false), "{class} lacks {c:?}");
            }
        }
    }
}
