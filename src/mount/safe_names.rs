//! Sources as names of directories.
//!
//! Source: kopia `snapshot/snapshotfs/source_directories.go`.

use std::collections::BTreeMap;

/// Names of directories for texts, in their order; no two are equal but for upper and lower case.
pub(super) fn safe_names(texts: impl IntoIterator<Item = String>) -> BTreeMap<String, String> {
    let mut names: BTreeMap<String, String> = texts
        .into_iter()
        .map(|text| {
            let name = safe_name(&text);
            (text, name)
        })
        .collect();
    // What is made different may be equal to another.
    while make_different(&mut names) {}
    names
}

fn safe_name(text: &str) -> String {
    if text == "/" {
        return "__root".to_owned();
    }
    let text = text.replace(":/", "_").replace(":\\", "_");
    let text = text.trim_start_matches('/').replace(['/', '\\'], "_");
    text.trim_end_matches('_').trim_end_matches(':').to_owned()
}

/// Numbers those that are equal; says whether there were any.
fn make_different(names: &mut BTreeMap<String, String>) -> bool {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (text, name) in &*names {
        texts.entry(name.to_lowercase()).or_default().push(text.clone());
    }
    let mut had_any = false;
    for equal in texts.into_values() {
        for (number, text) in equal.iter().enumerate().skip(1) {
            had_any = true;
            if let Some(name) = names.get_mut(text) {
                *name = format!("{name} ({})", number + 1);
            }
        }
    }
    had_any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kopias() {
        for (text, name) in [
            ("/", "__root"),
            ("/tmp/foo/bar", "tmp_foo_bar"),
            ("/root", "root"),
            ("/root/", "root"),
            ("c:/tmp/foo/bar", "c_tmp_foo_bar"),
            ("c:\\tmp\\foo\\bar", "c_tmp_foo_bar"),
            ("c:\\", "c"),
            ("c:", "c"),
        ] {
            assert_eq!(safe_name(text), name, "{text}");
        }
    }

    #[test]
    fn equal_names_are_numbered() {
        let of = |texts: &[&str]| safe_names(texts.iter().map(|&text| text.to_owned()));
        let found = of(&["/a", "/A", "/a/", "/b", "/a (2)"]);
        let mut names: Vec<_> = found.values().map(|name| name.to_lowercase()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 5, "{found:?}");
        assert_eq!((found["/A"].as_str(), found["/b"].as_str()), ("A", "b"));
        assert_eq!(of(&["/x/y", "/x_y"])["/x_y"], "x_y (2)");
    }
}
