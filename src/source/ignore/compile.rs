//! From the text of a rule to its tokens.
//!
//! Source: kopia `internal/wcmatch/wcmatch.go` (`NewWildcardMatcher`).

use super::class::{Class, Item, Set};
use super::pattern::Token;
use crate::base::gojson;

/// More stars than this are refused: each one is a level of recursion while matching.
const MAX_STARS: usize = 256;

const DANGLING: &str = "ends after a backslash; a backslash itself is written twice";
const UNTERMINATED: &str = "has a set that is not closed by ']'";

/// What compiling found.
pub(super) struct Compiled {
    pub(super) tokens: Vec<Token>,
    pub(super) directories_only: bool,
    pub(super) negated: bool,
}

/// Compiles a rule that holds below `base` (empty for the root, else `/…`); the error is the reason.
pub(super) fn compile(rule: &[u8], base: &str) -> Result<Compiled, &'static str> {
    let text = gojson::lossy(rule);
    // Go looks at bytes here: an escaped blank at the end must survive.
    let trimmable = rule.len() > 2 && rule.get(rule.len() - 2) != Some(&b'\\');
    let rule = if trimmable { text.trim() } else { &text };
    let mut scanner = Scanner { text: rule.chars().collect(), at: 0 };
    while scanner.peek(0).is_whitespace() {
        scanner.read();
    }
    let negated = scanner.peek(0) == '!';
    if negated {
        scanner.read();
    }
    let mut tokens = anchor(rule, &scanner, base);
    let directories_only = scanner.text.last() == Some(&'/');
    if directories_only {
        scanner.text.pop();
    }
    scan(&mut scanner, &mut tokens)?;
    if tokens.iter().filter(|token| matches!(token, Token::Star | Token::DoubleStar)).count() > MAX_STARS {
        return Err("has too many stars");
    }
    Ok(Compiled { tokens, directories_only, negated })
}

/// The tokens in front of the rule's own: its base, and what lets it match at any depth.
fn anchor(rule: &str, scanner: &Scanner, base: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let rooted = scanner.peek(0) == '/';
    let base = if base.len() > 1 { base.strip_suffix('/').unwrap_or(base) } else { base };
    if !base.is_empty() && !rule.is_empty() {
        tokens.extend(base.chars().map(|c| if c == '/' { Token::Separator } else { Token::Literal(c) }));
        if !rooted {
            tokens.push(Token::Separator);
        }
    }
    if !rooted && rule != "**" && !rule.is_empty() {
        let rest = scanner.rest();
        match rest.iter().position(|c| *c == '/') {
            Some(first) if first + 1 != rest.len() => {
                if base.is_empty() {
                    tokens.push(Token::Separator);
                }
            }
            _ => tokens.extend([Token::DoubleStar, Token::Separator]),
        }
    }
    tokens
}

fn scan(scanner: &mut Scanner, tokens: &mut Vec<Token>) -> Result<(), &'static str> {
    loop {
        tokens.push(match scanner.read() {
            // The end, or a NUL, which Go takes for it.
            '\0' => return Ok(()),
            '\\' if scanner.is_at_end() => return Err(DANGLING),
            '\\' => Token::Literal(scanner.read()),
            '?' => Token::Any,
            '/' => Token::Separator,
            '*' => star(scanner),
            '[' => Token::Set(Box::new(set(scanner)?)),
            c => Token::Literal(c),
        });
    }
}

/// After a star: more of them make a double star only if they stand alone between slashes.
fn star(scanner: &mut Scanner) -> Token {
    if scanner.peek(0) != '*' {
        return Token::Star;
    }
    let before = scanner.peek(-2);
    while scanner.peek(0) == '*' {
        scanner.read();
    }
    let ends = scanner.peek(0) == '/' || scanner.is_at_end();
    if before == '\0' || (before == '/' && ends) { Token::DoubleStar } else { Token::Star }
}

/// After an opening bracket.
fn set(scanner: &mut Scanner) -> Result<Set, &'static str> {
    let mut c = scanner.read();
    let negated = c == '!';
    if negated {
        c = scanner.read();
    }
    let mut items = Vec::new();
    while c != ']' {
        if c == '\0' {
            return Err(UNTERMINATED);
        }
        if c == '\\' {
            c = scanner.read_escaped()?;
        }
        items.push(item(scanner, c)?);
        c = scanner.read();
    }
    Ok(Set { negated, items })
}

/// The part of a set that begins with `c`, which is already read.
fn item(scanner: &mut Scanner, c: char) -> Result<Item, &'static str> {
    if scanner.peek(0) == '-' && !matches!(scanner.peek(1), ']' | '\0') {
        scanner.read();
        let last = match scanner.read() {
            '\\' => scanner.read_escaped()?,
            last => last,
        };
        return Ok(Item::Range(c, last));
    }
    if c == '[' && scanner.peek(0) == ':' {
        let close = scanner.rest().iter().position(|c| *c == ']').ok_or(UNTERMINATED)?;
        // Kopia compares a distance with a position, so classes are known only near the start of a pattern.
        if close > scanner.at + 1 && scanner.rest().get(close - 1) == Some(&':') {
            let name: String = scanner.rest().iter().take(close - 1).skip(1).collect();
            scanner.at += close + 1;
            let class = Class::named(&name.to_lowercase()).ok_or("names a class that does not exist")?;
            return Ok(Item::Class(class));
        }
    }
    Ok(Item::Range(c, c))
}

/// Characters with a position; NUL stands for what is outside.
struct Scanner {
    text: Vec<char>,
    at: usize,
}

impl Scanner {
    fn peek(&self, offset: isize) -> char {
        self.at.checked_add_signed(offset).and_then(|at| self.text.get(at)).copied().unwrap_or('\0')
    }

    /// The next character; does not move past a NUL.
    fn read(&mut self) -> char {
        let c = self.peek(0);
        if c != '\0' {
            self.at += 1;
        }
        c
    }

    fn read_escaped(&mut self) -> Result<char, &'static str> {
        match self.read() {
            '\0' => Err(DANGLING),
            c => Ok(c),
        }
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    fn rest(&self) -> &[char] {
        self.text.get(self.at..).unwrap_or_default()
    }
}
