//! Extended headers of tars: what the fields of a header have no room for.
//!
//! Source: POSIX.1-2017, `pax`, "pax Header Block"; GNU tar `xheader.c` for the names of extended attributes.

use super::member::Member;
use std::io::Write;

/// Longest name in a header.
pub(super) const NAME_BYTES: usize = 100;
/// Owners beyond this do not fit into seven octal digits.
const ID_MAX: u32 = 0o7_777_777;
/// Sizes beyond this do not fit into eleven.
const SIZE_MAX: u64 = 0o77_777_777_777;

/// The records for an entry; empty if its header says all.
pub(super) fn records(member: &Member, path: &[u8], target: &[u8], size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, name) in [("path", path), ("linkpath", target)] {
        if name.len() > NAME_BYTES || !name.is_ascii() && std::str::from_utf8(name).is_ok() {
            push(&mut out, key.as_bytes(), name);
        }
    }
    for (key, id) in [("uid", member.uid), ("gid", member.gid)] {
        if id > ID_MAX {
            push(&mut out, key.as_bytes(), id.to_string().as_bytes());
        }
    }
    if size > SIZE_MAX {
        push(&mut out, b"size", size.to_string().as_bytes());
    }
    let nanos = member.mtime.as_nanos();
    if nanos < 0 || nanos % 1_000_000_000 != 0 {
        push(&mut out, b"mtime", time(nanos).as_bytes());
    }
    for (name, value) in &member.xattrs {
        push(&mut out, &[b"SCHILY.xattr.", keyword(name).as_slice()].concat(), value);
    }
    out
}

/// Seconds as a decimal fraction.
fn time(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let (seconds, rest) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    format!("{sign}{seconds}.{rest:09}")
}

/// An equals sign would end the keyword.
fn keyword(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'%' => out.extend_from_slice(b"%25"),
            b'=' => out.extend_from_slice(b"%3D"),
            byte => out.push(*byte),
        }
    }
    out
}

/// Adds a record. Its length counts its own digits.
fn push(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + digits(length) > length {
        length += 1;
    }
    write!(out, "{length} ").expect("memory takes every write");
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    #[test]
    fn a_record_counts_itself() {
        for length in 0..2000 {
            let mut out = Vec::new();
            push(&mut out, b"path", &vec![b'x'; length]);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.split(' ').next().unwrap().parse::<usize>().unwrap(), text.len(), "{length}");
        }
    }

    #[test]
    fn only_what_does_not_fit_is_said() {
        let mut member = Member {
            path: b"a".to_vec(),
            mode: 0o644,
            uid: ID_MAX,
            gid: 0,
            mtime: Timestamp::from_nanos(5_000_000_000),
            xattrs: Vec::new(),
        };
        assert!(records(&member, &[b'a'; NAME_BYTES], b"", SIZE_MAX).is_empty());
        member.uid += 1;
        member.mtime = Timestamp::from_nanos(-1_500_000_000);
        member.xattrs = vec![(b"user.a=%".to_vec(), b"\0\n".to_vec())];
        let text = records(&member, "é".as_bytes(), &[b'b'; NAME_BYTES + 1], SIZE_MAX + 1);
        let text = String::from_utf8(text).unwrap();
        for part in ["path=é\n", "linkpath=bbb", "uid=2097152\n", "size=8589934592\n", "mtime=-1.500000000\n"]
        {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.ends_with(" SCHILY.xattr.user.a%3D%25=\0\n\n"), "{text}");
    }
}
