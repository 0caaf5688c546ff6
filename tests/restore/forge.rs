//! Directories that mean harm, made from a seed.

use super::*;
use crate::support::trees::Dice;
use packhorse::repo::RepositoryWriter;
use serde_json::{Value, json};

/// Most directories below each other that the dice make.
const DEPTH_MAX: u64 = 4;
/// Names of leftovers that trees and targets have by chance.
pub(super) const LEFTOVER: &str = ".packhorse-restore-0123456789abcdef01234567";

/// Makes trees; what it stores can be read after [`Forge::flush`].
pub(super) struct Forge<'r> {
    writer: RepositoryWriter<'r>,
    pub(super) dice: Dice,
    /// Where links lead that want to be out.
    outside: String,
    /// What has been stored: names of files, lists and directories, to be used where they do not belong.
    stored: Vec<ObjectId>,
    resumable: Vec<String>,
    repository: &'r Repository,
}

impl<'r> Forge<'r> {
    pub(super) fn new(repository: &'r Repository, seed: u64, outside: &Path) -> Self {
        let writer = repository.begin(&write_options()).unwrap();
        let (dice, outside) = (Dice::new(seed), outside.to_str().unwrap().to_owned());
        Self { writer, dice, outside, stored: Vec::new(), resumable: Vec::new(), repository }
    }

    /// Ends the making; gives back the temporary names that stored members bear on purpose.
    pub(super) fn flush(mut self) -> Vec<String> {
        self.writer.flush().unwrap();
        self.resumable
    }

    fn store(&mut self, data: &[u8], prefix: IdPrefix, compressor: Option<&str>) -> ObjectId {
        let compressor = compressor.map(|name| packhorse::compression::by_name(name).unwrap());
        let options = ObjectOptions { prefix, compressor, metadata_compressor: None };
        let id = self.writer.objects().write(&mut data.to_vec(), &options, &mut Scratch::default()).unwrap();
        self.stored.push(id);
        id
    }

    pub(super) fn root(&mut self) -> DirEntry {
        let obj = self.directory(0);
        let mode = self.dice.pick(&[0o755, 0o700, 0o1777, 0o6755]);
        entry("", EntryType::Directory, 0, mode, obj)
    }

    fn directory(&mut self, depth: u64) -> ObjectId {
        let count = self.dice.below(9);
        let mut members: Vec<Vec<u8>> = (0..count).map(|_| self.member(depth)).collect();
        if depth == 0 && self.dice.percent(20) {
            members.extend(self.link_and_what_is_behind_it());
        }
        let mut json = br#"{"stream":"kopia:directory","entries":["#.to_vec();
        json.extend(members.join(&b','));
        json.extend(b"]");
        if self.dice.percent(40) {
            let specials: Vec<Value> = (0..self.dice.below(5)).map(|_| self.special()).collect();
            json.extend(json!({ "specials": specials }).to_string().into_bytes().splice(0..0, *b",\"ph\":"));
        }
        json.extend(b"}\n");
        if self.dice.percent(3) {
            let at = self.dice.below(json.len() as u64) as usize;
            json[at] ^= 1 << self.dice.below(8);
        }
        if self.dice.percent(2) {
            json.truncate(self.dice.below(json.len() as u64) as usize);
        }
        self.store(&json, IdPrefix::DIRECTORY, None)
    }

    /// A link to the outside and a directory of the same name, in some order.
    fn link_and_what_is_behind_it(&mut self) -> Vec<Vec<u8>> {
        let outside = self.outside.clone();
        let target = self.store(outside.as_bytes(), IdPrefix::NONE, None);
        let file = self.store(b"overwritten", IdPrefix::NONE, None);
        let below = json!({"stream": "kopia:directory", "entries": [
            {"name": "canary", "type": "f", "mode": "0666", "size": 11, "obj": file.to_string()},
            {"name": "sub", "type": "s", "mode": "0777", "obj": target.to_string()}]});
        let below = self.store(below.to_string().as_bytes(), IdPrefix::DIRECTORY, None);
        let link = json!({"name": "way", "type": "s", "mode": "0777", "obj": target.to_string()});
        let way = json!({"name": "way", "type": "d", "mode": "0755", "obj": below.to_string()});
        let mut members: Vec<_> =
            [&link, &way, &link].into_iter().map(|member| member.to_string().into_bytes()).collect();
        members.rotate_left(self.dice.below(3) as usize);
        members
    }

    fn member(&mut self, depth: u64) -> Vec<u8> {
        let kind = self.dice.below(100);
        let (letter, size, obj) = match kind {
            0..30 => self.file(),
            30..40 => self.list(),
            40..60 => self.link(),
            60..85 if depth < DEPTH_MAX => ("d", 0, self.directory(depth + 1)),
            60..90 => ("f", 7, self.anything()),
            90..95 => ("d", 7, self.anything()),
            _ => ("s", 7, self.anything()),
        };
        let letter = if self.dice.percent(4) { self.dice.pick(&["", "q", "x", "ff", "D"]) } else { letter };
        let mut member = json!({"type": letter, "obj": obj.to_string(), "size": size});
        self.lie(&mut member);
        if self.dice.percent(40) {
            member["ph"] = self.supplement();
        }
        let name = self.name(obj);
        let mut text = member.to_string().into_bytes();
        let mut head = b"{\"name\":".to_vec();
        head.extend(name);
        head.push(b',');
        text.splice(0..1, head);
        text
    }

    /// A name, quoted.
    fn name(&mut self, obj: ObjectId) -> Vec<u8> {
        let outside = self.outside.clone();
        let plain =
            ["a", "a", "b", "c", "canary", "sub", "link", "x.kopia-entry", ".kopia-entry", "-rf", "A"];
        let bad = ["..", ".", "", "/", "a/b", "../outside/canary", "nul\0", "\0", "../..", "a/../../outside"];
        let odd =
            ["\u{1}\n\u{7f}\u{1b}[2J", "\u{fffd}", "\u{202e}txt", "...", ".. ", "~", "a\\..\\b", LEFTOVER];
        let text = match self.dice.below(100) {
            0..60 => format!("{}{}", self.dice.pick(&plain), self.dice.below(4)),
            60..75 => self.dice.pick(&plain).to_owned(),
            75..79 => self.dice.pick(&bad).to_owned(),
            79..80 => outside,
            80..84 => "n".repeat(self.dice.pick(&[255, 256, 5000])),
            84..88 => {
                // The temporary name of a member that may be beside it.
                let what = format!("{obj}/a0");
                let hash = self.repository.contents().format().crypto.hasher().hash(what.as_bytes());
                let name = format!(".packhorse-restore-{}", &hex::encode(hash.as_bytes())[..24]);
                self.resumable.push(name.clone());
                name
            }
            88..92 => return b"\"raw \xff\xfe\"".to_vec(),
            _ => self.dice.pick(&odd).to_owned(),
        };
        Value::from(text).to_string().into_bytes()
    }

    fn file(&mut self) -> (&'static str, u64, ObjectId) {
        let length = self.dice.pick(&[0, 1, 100, 5000, 300_000]);
        let data = if self.dice.percent(50) { self.dice.bytes(length) } else { vec![0; length] };
        let compressor = self.dice.percent(30).then_some("zstd");
        ("f", length as u64, self.store(&data, IdPrefix::NONE, compressor))
    }

    /// A list of parts that promises what is not there, or the same again and again.
    fn list(&mut self) -> (&'static str, u64, ObjectId) {
        let part = self.store(b"part", IdPrefix::NONE, None);
        let mut object = if self.dice.percent(30) { self.anything() } else { part };
        let lengths = [4, 4, 4, 0, 5, 1 << 40, (1 << 63) - 10, u64::MAX];
        let fan_out = self.dice.pick(&[1, 2, 10, 300]);
        let mut length = 4;
        for _ in 0..self.dice.between(1, 6) {
            let (mut start, mut parts) = (0_u64, Vec::new());
            for _ in 0..fan_out {
                let length = if self.dice.percent(1) { self.dice.pick(&lengths) } else { length };
                let start_at = if self.dice.percent(1) { start / 2 } else { start };
                parts.push(json!({"s": start_at, "l": length, "o": object.to_string()}));
                start = start.saturating_add(length);
            }
            let list = json!({"stream": "kopia:indirect", "entries": parts});
            let list = self.store(list.to_string().as_bytes(), IdPrefix::NONE, None);
            let Some(next) = ObjectId::indirect(list) else { break };
            (object, length) = (next, start);
        }
        ("f", length, object)
    }

    fn link(&mut self) -> (&'static str, u64, ObjectId) {
        let outside = self.outside.clone();
        let targets = [
            "/".to_owned(),
            "/etc/passwd".to_owned(),
            "../../..".to_owned(),
            "../outside".to_owned(),
            format!("{outside}/canary"),
            format!("{outside}/new"),
            outside,
            "a".to_owned(),
            ".".to_owned(),
            String::new(),
            "x/".repeat(2047),
            "x".repeat(5000),
            "nul\0nul".to_owned(),
        ];
        let target = self.dice.pick(&targets);
        ("s", target.len() as u64, self.store(target.as_bytes(), IdPrefix::NONE, None))
    }

    /// What is stored somewhere else, or nowhere.
    fn anything(&mut self) -> ObjectId {
        let missing = format!("{}{:032x}", self.dice.pick(&["", "k", "I", "IIk", "Z"]), self.dice.seed());
        match self.dice.below(4) {
            0 => missing.parse().unwrap_or(ObjectId::NONE),
            1 => ObjectId::NONE,
            2 if !self.stored.is_empty() => {
                let stored = self.dice.pick(&self.stored.clone());
                ObjectId::indirect(stored).unwrap_or(stored)
            }
            _ if self.stored.is_empty() => ObjectId::NONE,
            _ => self.dice.pick(&self.stored.clone()),
        }
    }

    fn lie(&mut self, member: &mut Value) {
        let modes =
            ["0644", "0600", "0", "07777", "040000755", "060000777", "0777", "037777777777", "0x1", ""];
        let times = [
            "2024-05-01T10:00:00.123456789Z",
            "2024-05-01T10:00:00Z",
            "1969-12-31T23:59:59.999999999Z",
            "0001-01-01T00:00:00Z",
            "2262-04-11T23:47:16.854775807Z",
            "9999-12-31T23:59:59Z",
            "1677-09-21T00:12:43.145224192Z",
        ];
        let id = [0, 0, 1000, 65_534, u32::MAX - 1, u32::MAX];
        let mode = if self.dice.percent(85) { self.dice.pick(&modes[..6]) } else { self.dice.pick(&modes) };
        member["mode"] = mode.into();
        member["mtime"] = if self.dice.percent(70) { times[0] } else { self.dice.pick(&times) }.into();
        member["uid"] = self.dice.pick(&id).into();
        member["gid"] = self.dice.pick(&id).into();
        if self.dice.percent(15) {
            member["size"] = self.dice.pick(&[0, 1, 1 << 40, 1 << 63, u64::MAX, 4096]).into();
        }
    }

    fn supplement(&mut self) -> Value {
        let mut lies = json!({"i": self.dice.below(3), "t": 5});
        if self.dice.percent(60) {
            lies["h"] = self.dice.below(2).into();
            lies["n"] = self.dice.pick(&[0, 1, 2, 3, u64::MAX]).into();
        }
        if self.dice.percent(30) {
            let holes = [
                json!(true),
                json!([[0, 4096]]),
                json!([[0, u64::MAX]]),
                json!([[1, 3], [5, 1_u64 << 40]]),
                json!([[0, 10], [5, 10]]),
                json!([[1_u64 << 62, 5], [0, 1]]),
                Value::from((0..255_u64).map(|at| json!([at * 3, 2])).collect::<Vec<_>>()),
                Value::from((0..20_000_u64).map(|at| json!([at * 3, 2])).collect::<Vec<_>>()),
            ];
            lies["s"] = self.dice.pick(&holes);
        }
        if self.dice.percent(30) {
            let long = "A".repeat(90_000);
            let attributes = [
                json!({"user.a": "AQ=="}),
                json!({"user.long": long, "user.b": ""}),
                json!({"security.capability": "AQAAAgAgAAAAAAAAAAAAAAAAAAA="}),
                json!({"system.posix_acl_access": "AgAAAAEA"}),
                json!({"trusted.overlay.opaque": "eQ==", "nonsense": "", "user.%FF%00": "AA=="}),
                json!({"security.selinux": "AAAA", "user.": "", "x".repeat(300): ""}),
            ];
            lies["x"] = self.dice.pick(&attributes);
        }
        lies
    }

    fn special(&mut self) -> Value {
        let names = [
            "a",
            "b0",
            "canary",
            "sub",
            "pipe",
            "..",
            "",
            "/",
            "../outside/fifo",
            "%00",
            "p%FF",
            ".",
            LEFTOVER,
        ];
        let name = if self.dice.percent(15) { "s".repeat(256) } else { self.dice.pick(&names).to_owned() };
        let mut special = json!({
            "name": name,
            "type": self.dice.pick(&["p", "s", "c", "b", "q", "", "p"]),
            "major": self.dice.pick(&[0, 1, 4095, u32::MAX]),
            "minor": self.dice.pick(&[0, 3, u32::MAX]),
        });
        self.lie(&mut special);
        special.as_object_mut().unwrap().remove("size");
        if self.dice.percent(50) {
            special["ph"] = self.supplement();
        }
        special
    }
}
