//! What a server says of files and folders: the answer to PROPFIND.

use super::Entry;
use crate::base::Timestamp;
use quick_xml::Reader;
use quick_xml::events::Event;

/// Deeper documents are no answers to PROPFIND.
const DEPTH_MAX: usize = 64;

/// One file or folder of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Member {
    /// Names from the root of the server to it, decoded.
    path: Vec<String>,
    is_folder: bool,
    length: u64,
    modified_seconds: i64,
}

impl Member {
    pub(super) fn entry(&self) -> Entry {
        Entry {
            name: self.path.last().cloned().unwrap_or_default(),
            is_folder: self.is_folder,
            length: self.length,
            timestamp: Timestamp::from_seconds(self.modified_seconds, 0),
        }
    }
}

/// Reads an answer; none if it is not one.
pub(super) fn parse(body: &[u8]) -> Option<Vec<Member>> {
    let mut reader = Reader::from_str(std::str::from_utf8(body).ok()?);
    reader.config_mut().trim_text(true);
    let (mut members, mut open) = (Vec::new(), Vec::<String>::new());
    let (mut member, mut text, mut is_whole) = (Member::default(), String::new(), false);
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) if open.len() < DEPTH_MAX => {
                open.push(tag.local_name().as_ref().to_owned());
                text.clear();
                if open.len() == 2 && tag.local_name().as_ref() == "response" {
                    member = Member::default();
                }
            }
            Event::Start(_) => return None,
            Event::Empty(tag) => {
                member.is_folder |= tag.local_name().as_ref() == "collection" && is_in(&open, "resourcetype");
            }
            Event::Text(part) => text.push_str(part.as_ref()),
            Event::GeneralRef(name) => text.push(character(name.as_ref())?),
            Event::End(tag) => {
                let name = tag.local_name().as_ref().to_owned();
                note(&mut member, &open, &name, text.trim())?;
                text.clear();
                open.pop()?;
                if open.len() == 1 && name == "response" {
                    members.push(std::mem::take(&mut member));
                }
                is_whole |= open.is_empty() && name == "multistatus";
            }
            Event::Eof => break,
            _ => {}
        }
    }
    is_whole.then_some(members)
}

fn is_in(open: &[String], name: &str) -> bool {
    open.last().is_some_and(|last| last == name)
}

/// Takes what an element that ends has said.
fn note(member: &mut Member, open: &[String], name: &str, text: &str) -> Option<()> {
    match name {
        "href" if open.len() == 3 => member.path = names(text)?,
        "collection" => member.is_folder = true,
        "getcontentlength" if !text.is_empty() => member.length = text.parse().ok()?,
        "getlastmodified" if !text.is_empty() => member.modified_seconds = seconds(text)?,
        _ => {}
    }
    Some(())
}

/// The character behind `&name;`.
fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

/// Names of a path, or of the path of an address; an escape stands for a byte.
fn names(href: &str) -> Option<Vec<String>> {
    let path = match href.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => href,
    };
    path.split('/').filter(|name| !name.is_empty()).map(decoded).collect()
}

fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        bytes.push(u8::from_str_radix(std::str::from_utf8(tail.get(..2)?).ok()?, 16).ok()?);
        rest = tail.get(2..)?;
    }
    String::from_utf8(bytes).ok()
}

/// A time such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn seconds(text: &str) -> Option<i64> {
    if let Ok(time) = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text) {
        return Some(time.as_second());
    }
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

/// The members of a folder out of an answer about it: all but the folder itself, which is above all others.
pub(super) fn without_folder(mut found: Vec<Member>) -> Option<Vec<Member>> {
    let is_above = |candidate: &Member| {
        let depth = candidate.path.len();
        candidate.is_folder
            && found
                .iter()
                .filter(|other| *other != candidate)
                .all(|other| other.path.len() == depth + 1 && other.path.starts_with(&candidate.path))
    };
    let at = found.iter().position(is_above)?;
    found.remove(at);
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"<?xml version="1.0"?>
        <D:multistatus xmlns:D="DAV:">
          <D:response><D:href>http://h:1/dav/a%20b/</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype>
            </D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>
          <D:response><D:href>/dav/a%20b/p.f</D:href><D:propstat><D:prop><D:resourcetype/>
            <D:getcontentlength>12</D:getcontentlength><D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified>
            </D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>
          <response><href>/dav/a%20b/q&amp;</href><prop><resourcetype><collection></collection></resourcetype></prop></response>
        </D:multistatus>"#;

    #[test]
    fn an_answer_is_the_folder_and_its_members() {
        let members = without_folder(parse(ANSWER.as_bytes()).unwrap()).unwrap();
        let entries: Vec<_> = members.iter().map(Member::entry).collect();
        assert_eq!((entries[0].name.as_str(), entries[0].length, entries[0].is_folder), ("p.f", 12, false));
        assert_eq!(entries[0].timestamp.as_seconds(), 784_111_777);
        assert_eq!((entries[1].name.as_str(), entries[1].is_folder), ("q&", true));
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn what_is_no_answer_is_no_empty_folder() {
        let whole = ANSWER.as_bytes();
        for cut in [0, 10, 200, whole.len() - 20] {
            assert_eq!(parse(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(parse(b"<html><body>log in</body></html>"), None);
        assert_eq!(without_folder(Vec::new()), None);
        let stranger = ANSWER.replace("/dav/a%20b/p.f", "/elsewhere/p.f");
        assert_eq!(without_folder(parse(stranger.as_bytes()).unwrap()), None);
    }
}
