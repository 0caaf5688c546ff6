//! Sets of characters in brackets.

use unicode_general_category::{GeneralCategory as Category, get_general_category};

/// `[…]` in a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) negated: bool,
    pub(super) items: Vec<Item>,
}

impl Set {
    pub(super) fn contains(&self, c: char) -> bool {
        self.items.iter().any(|item| item.contains(c)) != self.negated
    }
}

/// One part of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// From one character to another, both included.
    Range(char, char),
    /// A named class.
    Class(Class),
}

impl Item {
    fn contains(&self, c: char) -> bool {
        match self {
            Self::Range(first, last) => (*first..=*last).contains(&c),
            Self::Class(class) => class.contains(c),
        }
    }
}

/// A POSIX class, in Go's reading of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Alnum,
    Alpha,
    Ascii,
    Blank,
    Cntrl,
    Digit,
    Graph,
    Lower,
    Print,
    Punct,
    Space,
    Upper,
    Xdigit,
}

impl Class {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "alnum" => Self::Alnum,
            "alpha" => Self::Alpha,
            "ascii" => Self::Ascii,
            "blank" => Self::Blank,
            "cntrl" => Self::Cntrl,
            "digit" => Self::Digit,
            "graph" => Self::Graph,
            "lower" => Self::Lower,
            "print" => Self::Print,
            "punct" => Self::Punct,
            "space" => Self::Space,
            "upper" => Self::Upper,
            "xdigit" => Self::Xdigit,
            _ => return None,
        })
    }

    fn contains(self, c: char) -> bool {
        let category = get_general_category(c);
        match self {
            Self::Alnum => is_letter(category) || category == Category::DecimalNumber,
            Self::Alpha => is_letter(category),
            Self::Ascii => c.is_ascii(),
            Self::Blank => category == Category::SpaceSeparator || c == '\t',
            Self::Cntrl => category == Category::Control,
            Self::Digit => category == Category::DecimalNumber,
            Self::Graph => is_visible(category) || category == Category::SpaceSeparator,
            Self::Lower => category == Category::LowercaseLetter,
            Self::Print => is_visible(category) || c == ' ',
            Self::Punct => is_punctuation(category) || is_symbol(category),
            Self::Space => c.is_whitespace(),
            Self::Upper => category == Category::UppercaseLetter,
            Self::Xdigit => c.is_ascii_hexdigit() || category == Category::DecimalNumber,
        }
    }
}

fn is_letter(category: Category) -> bool {
    use Category::{LowercaseLetter, ModifierLetter, OtherLetter, TitlecaseLetter, UppercaseLetter};
    matches!(category, LowercaseLetter | ModifierLetter | OtherLetter | TitlecaseLetter | UppercaseLetter)
}

fn is_punctuation(category: Category) -> bool {
    use Category::{
        ClosePunctuation, ConnectorPunctuation, DashPunctuation, FinalPunctuation, InitialPunctuation,
        OpenPunctuation, OtherPunctuation,
    };
    matches!(
        category,
        ClosePunctuation
            | ConnectorPunctuation
            | DashPunctuation
            | FinalPunctuation
            | InitialPunctuation
            | OpenPunctuation
            | OtherPunctuation
    )
}

fn is_symbol(category: Category) -> bool {
    use Category::{CurrencySymbol, MathSymbol, ModifierSymbol, OtherSymbol};
    matches!(category, CurrencySymbol | MathSymbol | ModifierSymbol | OtherSymbol)
}

/// Letters, marks, numbers, punctuation and symbols.
fn is_visible(category: Category) -> bool {
    use Category::{DecimalNumber, EnclosingMark, LetterNumber, NonspacingMark, OtherNumber, SpacingMark};
    is_letter(category)
        || is_punctuation(category)
        || is_symbol(category)
        || matches!(
            category,
            DecimalNumber | EnclosingMark | LetterNumber | NonspacingMark | OtherNumber | SpacingMark
        )
}
