//! A bucket with versions as it was at a moment; and keys that a token service lends. The server is a socket that says what
//! it is told to.

use super::failures::{Request, answer, check, options, server};
use packhorse::base::{ErrorClass, SystemClock, Timestamp};
use packhorse::blob::remote::Timeouts;
use packhorse::blob::{ByteRange, Error, S3, S3Options, Storage, StorageExt};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

/// Key, version, time, and what is written: nothing for a mark of deletion. Newest first, as servers have it.
const VERSIONS: [(&str, &str, &str, &str); 7] = [
    ("p1", "v3", "2024-01-03T00:00:00Z", ""),
    ("p1", "v2", "2024-01-02T00:00:00Z", "second"),
    ("p1", "v1", "2024-01-01T00:00:00Z", "first"),
    ("p11", "w2", "2024-01-02T00:00:00Z", "back"),
    ("p11", "w1", "2024-01-01T00:00:00Z", ""),
    ("p2", "x1", "2024-01-03T00:00:00Z", "late"),
    ("q/deeper", "y1", "2024-01-01T00:00:00Z", "no blob"),
];

/// Two entries a page, so that versions of one key are on several.
fn page(query: &str) -> String {
    let parameter = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name));
    let prefix = parameter("prefix=").unwrap_or_default();
    let all: Vec<_> = VERSIONS.iter().filter(|version| version.0.starts_with(prefix)).collect();
    let at = parameter("version-id-marker=")
        .map_or(0, |marker| all.iter().position(|version| version.1 == marker).unwrap() + 1);
    let shown = &all[at..all.len().min(at + 2)];
    let is_truncated = at + 2 < all.len();
    let mut text = format!("<ListVersionsResult><Name>b</Name><IsTruncated>{is_truncated}</IsTruncated>");
    if let (true, Some(last)) = (is_truncated, shown.last()) {
        let (key, id) = (last.0, last.1);
        write!(text, "<NextKeyMarker>{key}</NextKeyMarker><NextVersionIdMarker>{id}</NextVersionIdMarker>")
            .unwrap();
    }
    for (key, id, time, data) in shown {
        let kind = if data.is_empty() { "DeleteMarker" } else { "Version" };
        let is_latest = !VERSIONS.iter().any(|other| other.0 == *key && other.2 > *time);
        write!(
            text,
            "<{kind}><Key>{key}</Key><VersionId>{id}</VersionId><IsLatest>{is_latest}</IsLatest>\
             <LastModified>{time}</LastModified><Size>{}</Size></{kind}>",
            data.len()
        )
        .unwrap();
    }
    text + "</ListVersionsResult>"
}

fn bucket(socket: &mut TcpStream, request: &Request) {
    let line = request.head.lines().next().unwrap();
    let query = line.split_whitespace().nth(1).unwrap().split_once('?').map_or("", |(_, query)| query);
    let reply = if query.split('&').any(|part| part.starts_with("versioning")) {
        answer(200, "", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
    } else if query.split('&').any(|part| part.starts_with("versions")) {
        answer(200, "", &page(query))
    } else {
        let version = VERSIONS.iter().find(|version| query.contains(&format!("versionId={}", version.1)));
        answer(200, "ETag: \"x\"\r\n", version.unwrap().3)
    };
    socket.write_all(reply.as_bytes()).ok();
}

fn at(address: &str, moment: &str) -> Result<Arc<dyn Storage>, Error> {
    let moment = moment.parse::<Timestamp>().unwrap();
    let options = S3Options { point_in_time: Some(moment), ..options(address) };
    S3::open(options, Timeouts::DEFAULT, Arc::new(SystemClock))
}

#[test]
fn a_bucket_is_seen_as_it_was() {
    let address = server(bucket);
    for (moment, p1, listed) in [
        ("2023-12-31T00:00:00Z", None, &[][..]),
        ("2024-01-01T00:00:00Z", Some("first"), &["p1"]),
        ("2024-01-02T12:00:00Z", Some("second"), &["p1", "p11"]),
        ("2024-01-04T00:00:00Z", None, &["p11", "p2"]),
    ] {
        let store = at(&address, moment).unwrap();
        let found = store.get_optional(&"p1".into()).unwrap();
        assert_eq!(found.as_deref(), p1.map(str::as_bytes), "{moment}");
        let names: Vec<_> = store.list_all("").unwrap().iter().map(|blob| blob.id.to_string()).collect();
        assert_eq!(names, listed, "{moment}");
        assert!(store.is_read_only());
        assert_eq!(store.put_now(&"p3".into(), b"x").unwrap_err().class(), ErrorClass::ReadOnly);
        assert_eq!(store.delete(&"p11".into()).unwrap_err().class(), ErrorClass::ReadOnly);
        assert!(store.metadata(&"p".into()).unwrap_err().is_not_found());
        let nothing = ByteRange { offset: 0, length: 0 };
        assert_eq!(store.get(&"p1".into(), Some(nothing)).is_ok(), p1.is_some());
    }
}

#[test]
fn a_bucket_without_versions_has_no_past() {
    let address = server(|socket, _| {
        socket.write_all(answer(200, "", "<VersioningConfiguration/>").as_bytes()).ok();
    });
    let error = at(&address, "2024-01-01T00:00:00Z").unwrap_err();
    check(&error, ErrorClass::Unsupported, &["keeps no versions"]);
}

/// The role is asked for with the keys, and what is lent signs the request.
#[test]
fn a_role_lends_its_keys() {
    let lender = server(|socket, request| {
        request.skip_body(socket);
        let reply = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>LENTKEY</AccessKeyId>\
            <SecretAccessKey>HUSH</SecretAccessKey><SessionToken>LENTTOKEN</SessionToken>\
            <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
        let status = if request.head.contains("Credential=HUSH-id/") { 200 } else { 403 };
        socket.write_all(answer(status, "", reply).as_bytes()).ok();
    });
    let address = server(|socket, request| {
        let is_lent = request.head.contains("Credential=LENTKEY/") && request.head.contains("LENTTOKEN");
        let body = if is_lent { "lent" } else { "own" };
        socket.write_all(answer(200, "ETag: \"x\"\r\n", body).as_bytes()).ok();
    });
    let role = S3Options {
        role_arn: "arn:aws:iam::1:role/x".into(),
        role_endpoint: format!("http://{lender}"),
        duration: "15m0s".into(),
        ..options(&address)
    };
    let store = S3::open(role.clone(), Timeouts::DEFAULT, Arc::new(SystemClock)).unwrap();
    assert_eq!(store.get(&"p1".into(), None).unwrap(), b"lent");

    let refused = server(|socket, request| {
        request.skip_body(socket);
        let body =
            "<ErrorResponse><Error><Code>AccessDenied</Code><Message>HUSH</Message></Error></ErrorResponse>";
        socket.write_all(answer(403, "", body).as_bytes()).ok();
    });
    let role = S3Options { role_endpoint: format!("http://{refused}"), ..role };
    let error = S3::open(role, Timeouts::DEFAULT, Arc::new(SystemClock)).unwrap_err();
    check(&error, ErrorClass::Denied, &["no credentials", "provider refused"]);
}
