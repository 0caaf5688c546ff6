//! Applies settings to fields, and keeps record of it.

use super::setting::Setting;
use std::fmt::Display;

/// What was changed, a line for each flag.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<String>);

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Notes that a value was set.
    pub(super) fn note(&mut self, name: &str, value: impl Display) {
        self.0.push(format!("{name} = {value}"));
    }

    /// Notes that a value was removed.
    pub(super) fn note_removed(&mut self, name: &str) {
        self.0.push(format!("{name} is inherited"));
    }

    /// A value that is absent when it is not set.
    pub(super) fn set<T: Clone + Display>(
        &mut self,
        name: &str,
        given: Option<&Setting<T>>,
        field: &mut Option<T>,
    ) {
        match given {
            None | Some(Setting::Nothing) => {}
            Some(Setting::Inherit) => {
                *field = None;
                self.note_removed(name);
            }
            Some(Setting::To(value)) => {
                *field = Some(value.clone());
                self.note(name, value);
            }
        }
    }

    /// A number that is 0 when it is not set.
    pub(super) fn set_number(&mut self, name: &str, given: Option<&Setting<i64>>, field: &mut i64) {
        let mut value = Some(*field);
        self.set(name, given, &mut value);
        *field = value.unwrap_or(0);
    }

    /// A name that is empty when it is not set.
    pub(super) fn set_name(&mut self, name: &str, given: Option<&String>, field: &mut String) {
        match given.map(String::as_str) {
            None => {}
            Some("inherit") => {
                field.clear();
                self.note_removed(name);
            }
            Some(value) => {
                value.clone_into(field);
                self.note(name, value);
            }
        }
    }

    /// A list, kept sorted and without doubles. To clear it outweighs what is added and removed.
    pub(super) fn set_list(&mut self, name: &str, edit: &ListEdit<'_>, field: &mut Vec<String>) {
        if edit.clear {
            field.clear();
            self.0.push(format!("{name} is empty"));
            return;
        }
        if edit.add.is_empty() && edit.remove.is_empty() {
            return;
        }
        field.extend_from_slice(edit.add);
        field.retain(|entry| !edit.remove.contains(entry));
        field.sort_unstable();
        field.dedup();
        edit.add.iter().for_each(|entry| self.0.push(format!("{name} + {entry}")));
        edit.remove.iter().for_each(|entry| self.0.push(format!("{name} - {entry}")));
    }
}

/// How a list is to be changed.
pub(super) struct ListEdit<'a> {
    pub(super) clear: bool,
    pub(super) add: &'a [String],
    pub(super) remove: &'a [String],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stay_sorted_and_clearing_wins() {
        let (add, remove) = (["c".to_owned(), "a".to_owned(), "c".to_owned()], ["b".to_owned()]);
        let mut list = vec!["b".to_owned()];
        let mut changes = Changes::default();
        changes.set_list("l", &ListEdit { clear: false, add: &[], remove: &[] }, &mut list);
        assert!(changes.is_empty());
        changes.set_list("l", &ListEdit { clear: false, add: &add, remove: &remove }, &mut list);
        assert_eq!(list, ["a", "c"]);
        changes.set_list("l", &ListEdit { clear: true, add: &add, remove: &remove }, &mut list);
        assert!(list.is_empty() && !changes.is_empty());
    }

    #[test]
    fn nothing_given_changes_nothing() {
        let mut changes = Changes::default();
        let mut value = Some(1);
        changes.set("v", None, &mut value);
        changes.set("v", Some(&Setting::Nothing), &mut value);
        assert!(changes.is_empty() && value == Some(1));
        changes.set("v", Some(&Setting::Inherit), &mut value);
        assert_eq!((value, changes.lines().count()), (None, 1));
    }
}
