//! Reads the paths that leave a module out of Rust source: `crate::…`, `super::…`, `packhorse::…`.

/// One use of a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PathUse {
    /// Line, from 1.
    pub(super) line: usize,
    /// First module below the root of the crate, or the name of the library.
    pub(super) target: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    PathSeparator,
    Symbol(char),
}

/// All paths in the text of `module` that begin with `crate`, `super` or the library's name.
pub(super) fn uses(text: &str, module: &[String]) -> Vec<PathUse> {
    Reader { tokens: tokens(text), module: module.to_vec(), inline: Vec::new(), depth: 0, found: Vec::new() }
        .run()
}

struct Reader {
    tokens: Vec<(usize, Token)>,
    module: Vec<String>,
    /// Modules inside the file that are open, with the depth of braces at which each ends.
    inline: Vec<usize>,
    depth: usize,
    found: Vec<PathUse>,
}

impl Reader {
    fn run(mut self) -> Vec<PathUse> {
        let mut at = 0;
        while at < self.tokens.len() {
            at = self.step(at);
        }
        self.found
    }

    fn token(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at).map(|(_, token)| token)
    }

    fn word(&self, at: usize) -> Option<&str> {
        match self.token(at)? {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn first_part(&self, at: usize) -> Option<String> {
        self.word(at).map(str::to_owned).or_else(|| self.is_symbol(at, '*').then(|| "*".to_owned()))
    }

    fn is_symbol(&self, at: usize, symbol: char) -> bool {
        self.token(at) == Some(&Token::Symbol(symbol))
    }

    fn step(&mut self, at: usize) -> usize {
        match self.token(at) {
            Some(Token::Symbol('{')) => self.depth += 1,
            Some(Token::Symbol('}')) => {
                self.depth = self.depth.saturating_sub(1);
                if self.inline.last() == Some(&self.depth) {
                    self.inline.pop();
                    self.module.pop();
                }
            }
            Some(Token::Word(word)) if word == "mod" && self.is_symbol(at + 2, '{') => {
                self.inline.push(self.depth);
                let name = self.word(at + 1).unwrap_or_default().to_owned();
                self.module.push(name);
            }
            Some(Token::Word(_)) if at == 0 || self.token(at - 1) != Some(&Token::PathSeparator) => {
                if let Some((base, rest)) = self.root_of(at, &self.module) {
                    return self.tree(&base, rest);
                }
            }
            _ => {}
        }
        at + 1
    }

    /// The module that a path beginning at `at` starts from, and where its next part stands. `None` for paths that stay
    /// inside the module.
    fn root_of(&self, at: usize, module: &[String]) -> Option<(Vec<String>, usize)> {
        let follows = |at: usize| self.token(at + 1) == Some(&Token::PathSeparator);
        match self.word(at)? {
            "crate" if follows(at) => Some((Vec::new(), at + 2)),
            "packhorse" if follows(at) => Some((vec!["packhorse".to_owned()], at + 2)),
            "super" if follows(at) => {
                let above = module[..module.len().saturating_sub(1)].to_vec();
                match self.word(at + 2) {
                    Some("super") if follows(at + 2) => self.root_of(at + 2, &above),
                    _ => Some((above, at + 2)),
                }
            }
            _ => None,
        }
    }

    /// Follows a path, or a group of them, from `base`; returns where it ends.
    fn tree(&mut self, base: &[String], at: usize) -> usize {
        if !self.is_symbol(at, '{') {
            let first = base.first().cloned().or_else(|| self.first_part(at));
            let line = self.tokens.get(at).map_or(0, |(line, _)| *line);
            self.found.extend(first.map(|target| PathUse { line, target }));
            return at + 1;
        }
        let mut at = at + 1;
        while at < self.tokens.len() && !self.is_symbol(at, '}') {
            at = self.tree(base, at);
            at = self.skip_to_next(at);
        }
        at + 1
    }

    /// Passes over the rest of one member of a group.
    fn skip_to_next(&self, mut at: usize) -> usize {
        let mut open = 0;
        while at < self.tokens.len() {
            match self.token(at) {
                Some(Token::Symbol('{')) => open += 1,
                Some(Token::Symbol('}')) if open == 0 => return at,
                Some(Token::Symbol('}')) => open -= 1,
                Some(Token::Symbol(',')) if open == 0 => return at + 1,
                _ => {}
            }
            at += 1;
        }
        at
    }
}

/// Words, `::` and other symbols with their lines; comments, texts and characters are left out.
fn tokens(text: &str) -> Vec<(usize, Token)> {
    let chars: Vec<char> = text.chars().collect();
    let (mut at, mut line, mut found) = (0, 1, Vec::new());
    while at < chars.len() {
        let (end, token) = next_token(&chars, at);
        found.extend(token.map(|token| (line, token)));
        line += chars[at..end].iter().filter(|c| **c == '\n').count();
        at = end;
    }
    found
}

fn next_token(chars: &[char], at: usize) -> (usize, Option<Token>) {
    let is = |at: usize, c: char| chars.get(at) == Some(&c);
    let until = |from: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        (from..chars.len()).find(|&at| chars[at..].starts_with(&end)).map_or(chars.len(), |at| at + end.len())
    };
    match chars[at] {
        '/' if is(at + 1, '/') => (until(at, "\n"), None),
        '/' if is(at + 1, '*') => (until(at + 2, "*/"), None),
        '"' => (text_end(chars, at + 1), None),
        '\'' => (character_end(chars, at), None),
        ':' if is(at + 1, ':') => (at + 2, Some(Token::PathSeparator)),
        c if c.is_alphanumeric() || c == '_' => {
            let end = (at..chars.len()).find(|&at| !is_word(chars[at])).unwrap_or(chars.len());
            let word: String = chars[at..end].iter().collect();
            let hashes = chars[end..].iter().take_while(|c| **c == '#').count();
            if matches!(word.as_str(), "r" | "br") && is(end + hashes, '"') {
                return (until(end + hashes + 1, &format!("\"{}", "#".repeat(hashes))), None);
            }
            (end, Some(Token::Word(word)))
        }
        c if c.is_whitespace() => (at + 1, None),
        c => (at + 1, Some(Token::Symbol(c))),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn text_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// A character ends with a quote; a lifetime is a quote and a word.
fn character_end(chars: &[char], at: usize) -> usize {
    match chars.get(at + 1) {
        Some('\\') => {
            let from = at + 3;
            (from..chars.len()).find(|&at| chars[at] == '\'').map_or(chars.len(), |at| at + 1)
        }
        Some(_) if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at + 1,
    }
}
