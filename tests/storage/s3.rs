//! A store in a bucket keeps the contract, on a server that checks keys.

use super::*;
use crate::support::chain;
use crate::support::s3_server::S3Server;
use packhorse::blob::S3Options;

fn open(options: &S3Options) -> Arc<dyn Storage> {
    blob::open(&ConnectionInfo::s3(options).unwrap(), OpenMode::Connect, clock()).unwrap()
}

#[test]
fn s3_conforms() {
    let server = S3Server::start();
    conformance(&|| open(&server.options(&server.new_bucket())));
}

#[test]
fn s3_conforms_below_a_prefix() {
    let server = S3Server::start();
    conformance(&|| {
        let bucket = server.new_bucket();
        let options = server.options(&bucket);
        // What is beside the prefix, deeper, or no blob is foreign.
        for foreign in ["kopia.repository", "backups", "backup/deeper/p1", "backup/.storageconfig"] {
            write(&server.path_of(&bucket).join(foreign), "{}");
        }
        open(&S3Options { prefix: "backup/".into(), ..options })
    });
}

/// More names than a page has: cut into stretches, every one once, whatever it looks like.
#[test]
fn s3_lists_many_pages() {
    let server = S3Server::start();
    let bucket = server.new_bucket();
    let mut all: Vec<String> = (0..2_600_u32)
        .map(|n| format!("p{:08x}{n:024x}-s1", n.wrapping_mul(0x9e37_79b9)))
        .chain((0..300_u32).map(|n| format!("q{:032x}", u128::from(n) << 116)))
        .chain(["kopia.repository", "pz", "p", "p0", "pf", "p~x", "xn0_1", "_log_1"].map(str::to_owned))
        .filter(|name| !name.contains('~'))
        .collect();
    for name in &all {
        write(&server.path_of(&bucket).join(name), name);
    }
    all.sort();
    let store = open(&server.options(&bucket));
    for prefix in ["", "p", "p0", "q", "k", "nothing"] {
        let wanted: Vec<_> = all.iter().filter(|name| name.starts_with(prefix)).cloned().collect();
        assert!(names(&*store, prefix) == wanted, "{prefix:?}");
    }
    for stop_at in [1, 999, 1000, 1001, 2_000] {
        let mut seen = 0;
        let stopped = store.list("p", &mut |_| {
            seen += 1;
            if seen == stop_at { Err(planted(ErrorClass::Canceled)) } else { Ok(()) }
        });
        assert_eq!((seen, stopped.unwrap_err().class()), (stop_at, ErrorClass::Canceled));
    }
    // More than one request takes, some of them twice.
    let ids: Vec<_> = all[..1_500].iter().chain(&all[..10]).map(|name| id(name)).collect();
    store.delete_many(&ids).unwrap();
    assert_eq!(names(&*store, ""), all[1_500..]);
}

#[test]
fn s3_without_a_bucket_or_with_wrong_keys_is_not_opened() {
    let server = S3Server::start();
    let bucket = server.new_bucket();
    let fails = |options: S3Options| {
        let info = ConnectionInfo::s3(&options).unwrap();
        blob::open(&info, OpenMode::Create, clock()).unwrap_err()
    };
    let good = server.options(&bucket);
    let missing = fails(S3Options { bucket: "nowhere".into(), ..good.clone() });
    assert_eq!(missing.class(), ErrorClass::NoRepository, "{}", chain(&missing));
    for wrong in [
        S3Options { access_key_id: "AKIAWRONG".into(), ..good.clone() },
        S3Options { secret_access_key: "HUSH-wrong".into(), ..good.clone() },
    ] {
        let error = fails(wrong);
        assert_eq!(error.class(), ErrorClass::Denied, "{}", chain(&error));
        assert!(!chain(&error).contains("HUSH"));
    }
    assert_eq!(fails(S3Options { bucket: String::new(), ..good }).class(), ErrorClass::Invalid);
}
