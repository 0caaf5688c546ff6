//! JSON byte for byte as Go's `encoding/json` writes it.
//!
//! Directory manifests are hashed, so a writer whose bytes differ does not share directories with Kopia. Against
//! `serde_json`'s compact form only string escaping differs: `<`, `>`, `&`, U+2028 and U+2029 become `\u00xx` escapes,
//! and bytes that are not UTF-8 become U+FFFD one by one ([`lossy`]).

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::{self, Write};

/// Serialises `value` compactly, without a final newline (Go's `Marshal`).
///
/// # Errors
/// Only what `value`'s own `Serialize` refuses.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(256);
    append(value, &mut out)?;
    Ok(out)
}

/// Serialises `value` compactly with a final newline (Go's `Encoder`).
///
/// # Errors
/// Only what `value`'s own `Serialize` refuses.
pub fn to_line<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = to_vec(value)?;
    out.push(b'\n');
    Ok(out)
}

/// Appends the compact form of `value` to `out`.
///
/// # Errors
/// Only what `value`'s own `Serialize` refuses.
pub fn append<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, GoFormatter))
}

/// Serialises `value` indented by two spaces, with Go's escapes.
///
/// # Errors
/// Only what `value`'s own `Serialize` refuses.
pub fn to_pretty<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(512);
    let formatter = GoPretty(serde_json::ser::PrettyFormatter::new());
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))?;
    Ok(out)
}

/// Serialises `value` as Go's `Encoder` does after `SetIndent(prefix, indent)`: every line but the first begins with
/// `prefix`, and the last is ended.
///
/// # Errors
/// Only what `value`'s own `Serialize` refuses.
pub fn to_indented<T: Serialize + ?Sized>(
    value: &T,
    prefix: &str,
    indent: &str,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut json = Vec::with_capacity(512);
    let formatter = GoPretty(serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes()));
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut json, formatter))?;
    let mut out = Vec::with_capacity(json.len() * 2);
    // Inside strings line feeds are escaped.
    for byte in json {
        out.push(byte);
        if byte == b'\n' {
            out.extend_from_slice(prefix.as_bytes());
        }
    }
    out.push(b'\n');
    Ok(out)
}

/// Whether a field has Go's zero value, which `omitempty` leaves out.
pub fn is_zero<T: PartialEq + Default>(value: &T) -> bool {
    *value == T::default()
}

/// Text as Go's encoder sees arbitrary bytes: each byte that is not part of valid UTF-8 becomes one U+FFFD.
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(std::iter::repeat_n('\u{fffd}', chunk.invalid().len()));
    }
    Cow::Owned(text)
}

/// Bytes as Go's encoder writes a string that holds them: each byte that is not part of valid UTF-8 becomes the escape
/// `\ufffd`, unlike the character U+FFFD, which stands for itself.
pub fn text_of_bytes(bytes: &[u8]) -> Box<RawValue> {
    let mut json = vec![b'"'];
    for chunk in bytes.utf8_chunks() {
        let valid = to_vec(chunk.valid()).expect("a text can always be written");
        json.extend_from_slice(&valid[1..valid.len() - 1]);
        json.extend(chunk.invalid().iter().flat_map(|_| br"\ufffd"));
    }
    json.push(b'"');
    let json = String::from_utf8(json).expect("the encoder writes UTF-8");
    RawValue::from_string(json).expect("the encoder writes JSON")
}

struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        write_fragment(writer, fragment)
    }

    fn write_char_escape<W: Write + ?Sized>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        write_escape(writer, &escape)
    }
}

struct GoPretty<'a>(serde_json::ser::PrettyFormatter<'a>);

impl Formatter for GoPretty<'_> {
    fn begin_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }
    fn end_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }
    fn begin_array_value<W: Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }
    fn end_array_value<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }
    fn begin_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }
    fn end_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }
    fn begin_object_key<W: Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }
    fn begin_object_value<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }
    fn end_object_value<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
    fn write_string_fragment<W: Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        write_fragment(writer, fragment)
    }
    fn write_char_escape<W: Write + ?Sized>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        write_escape(writer, &escape)
    }
}

fn write_fragment<W: Write + ?Sized>(writer: &mut W, fragment: &str) -> io::Result<()> {
    let bytes = fragment.as_bytes();
    let mut done = 0;
    for at in 0..bytes.len() {
        let (escape, width): (&[u8], usize) = match bytes[at] {
            b'<' => (b"\\u003c", 1),
            b'>' => (b"\\u003e", 1),
            b'&' => (b"\\u0026", 1),
            0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa8") => (b"\\u2028", 3),
            0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa9") => (b"\\u2029", 3),
            _ => continue,
        };
        writer.write_all(&bytes[done..at])?;
        writer.write_all(escape)?;
        done = at + width;
    }
    writer.write_all(&bytes[done..])
}

fn write_escape<W: Write + ?Sized>(writer: &mut W, escape: &CharEscape) -> io::Result<()> {
    match escape {
        CharEscape::Quote => writer.write_all(b"\\\""),
        CharEscape::ReverseSolidus => writer.write_all(b"\\\\"),
        CharEscape::Solidus => writer.write_all(b"\\/"),
        CharEscape::Backspace => writer.write_all(b"\\b"),
        CharEscape::FormFeed => writer.write_all(b"\\f"),
        CharEscape::LineFeed => writer.write_all(b"\\n"),
        CharEscape::CarriageReturn => writer.write_all(b"\\r"),
        CharEscape::Tab => writer.write_all(b"\\t"),
        CharEscape::AsciiControl(byte) => write!(writer, "\\u{byte:04x}"),
    }
}

/// A document with line feeds and indentation, members in the order in which they are, as Go's `json.Indent` makes it.
/// `None` for what is no JSON.
pub fn indent(json: &[u8]) -> Option<Vec<u8>> {
    let document: &serde_json::value::RawValue = serde_json::from_slice(json).ok()?;
    let (mut out, mut depth) = (Vec::with_capacity(2 * json.len()), 0_usize);
    let (mut is_text, mut is_escaped) = (false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 2 * depth));
    };
    for byte in document.get().bytes() {
        if is_text || !byte.is_ascii_whitespace() {
            let closes = !is_text && matches!(byte, b'}' | b']');
            if closes {
                depth = depth.saturating_sub(1);
                out.truncate(out.trim_ascii_end().len());
                if !matches!(out.last(), Some(b'{' | b'[')) {
                    line(&mut out, depth);
                }
            }
            out.push(byte);
        }
        match byte {
            b'"' if !is_escaped => is_text = !is_text,
            b'{' | b'[' if !is_text => {
                depth += 1;
                line(&mut out, depth);
            }
            b',' if !is_text => line(&mut out, depth),
            b':' if !is_text => out.push(b' '),
            _ => {}
        }
        is_escaped = is_text && byte == b'\\' && !is_escaped;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_go_does() {
        let text = "a&b<c>\u{2028}\u{2029}/é\u{7f}\"\\\n\r\t\u{8}\u{c}\u{1}\u{e2}\u{2027}";
        let json = String::from_utf8(to_vec(text).unwrap()).unwrap();
        let wanted = concat!(
            r#""a\u0026b\u003cc\u003e\u2028\u2029/"#,
            "é\u{7f}",
            r#"\"\\\n\r\t\b\f\u0001"#,
            "\u{e2}\u{2027}\""
        );
        assert_eq!(json, wanted);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn bad_bytes_are_escaped_and_their_character_is_not() {
        let json = to_vec(&text_of_bytes(b"<\xff\xfe\xef\xbf\xbd\"\xe9")).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), "\"\\u003c\\ufffd\\ufffd\u{fffd}\\\"\\ufffd\"");
    }

    #[test]
    fn every_bad_byte_counts_for_itself() {
        assert_eq!(lossy(b"ok"), "ok");
        assert_eq!(lossy(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
        assert_eq!(
            lossy(b"\xe2\x82x"),
            "\u{fffd}\u{fffd}x",
            "a truncated sequence is two bad bytes, not one"
        );
    }

    #[test]
    fn documents_are_indented_as_they_are() {
        let json = br#" {"b":[1, {"x y":"a \\\" {,: "}],"a":{},"c":[ ],"d":-1e5,"":null} "#;
        let wanted = r#"{
  "b": [
    1,
    {
      "x y": "a \\\" {,: "
    }
  ],
  "a": {},
  "c": [],
  "d": -1e5,
  "": null
}"#;
        assert_eq!(String::from_utf8(indent(json).unwrap()).unwrap(), wanted);
        assert_eq!(indent(b"{"), None);
    }
}
