//! `change-password`.

use super::{PASSWORD, create, dying, edit, names, open};
use crate::cli::{Home, Run};
use crate::support::world;
use packhorse::base::{ErrorClass, Secret};
use packhorse::blob::{Memory, Storage, StorageExt};
use packhorse::format::{BlobConfig, NewFormat};
use std::sync::Arc;

const NEW: &str = "battery staple";

fn locked() -> BlobConfig {
    BlobConfig {
        retention_mode: "GOVERNANCE".to_owned(),
        retention_period: 48 * 3600 * 1_000_000_000,
        ..BlobConfig::default()
    }
}

fn change(storage: &Arc<dyn Storage>) -> Result<(), packhorse::repo::Error> {
    edit(storage, PASSWORD)?.change_password(&Secret::from(NEW))
}

#[test]
fn only_the_new_password_opens_what_was_changed() {
    for config in [BlobConfig::default(), locked()] {
        let (_, storage) = create(config.clone());
        let format = open(&storage, PASSWORD).unwrap().format().clone();
        change(&storage).unwrap();
        assert_eq!(open(&storage, PASSWORD).unwrap_err().class(), ErrorClass::WrongPassword);
        let repository = open(&storage, NEW).unwrap();
        assert_eq!((repository.format(), repository.config()), (&format, &config));
        assert_eq!(names(&storage), ["kopia.blobcfg", "kopia.repository"]);
    }
}

#[test]
fn without_settings_a_crash_leaves_one_password_that_opens() {
    for survived in 0..3 {
        let (_, storage) = create(BlobConfig::default());
        change(&dying(&storage, survived)).unwrap_err();
        let (old, new) = (open(&storage, PASSWORD), open(&storage, NEW));
        assert_eq!((old.is_ok(), new.is_ok()), (survived < 2, survived >= 2), "{survived}");
        let refused = old.err().or(new.err()).unwrap();
        assert_eq!(refused.class(), ErrorClass::WrongPassword);
    }
}

#[test]
fn with_settings_the_same_change_again_completes_what_a_crash_left() {
    for survived in 0..2 {
        let (_, storage) = create(locked());
        change(&dying(&storage, survived)).unwrap_err();
        if survived == 1 {
            for password in [PASSWORD, NEW] {
                let error = open(&storage, password).unwrap_err();
                assert_eq!(error.class(), ErrorClass::Corrupt);
                let chain = crate::support::chain(&error);
                assert!(chain.contains("interrupted"), "{chain}");
            }
        }
        change(&storage).unwrap();
        assert_eq!(open(&storage, NEW).unwrap().config(), &locked());
    }
}

#[test]
fn a_damaged_configuration_is_not_taken_for_an_interrupted_change() {
    let (_, storage) = create(locked());
    storage.put_now(&"kopia.blobcfg".into(), &[7; 60]).unwrap();
    assert_eq!(change(&storage).unwrap_err().class(), ErrorClass::Corrupt);
    assert!(edit(&storage, PASSWORD).is_ok(), "nothing was written");
}

#[test]
fn two_administrators_do_not_overwrite_each_other() {
    let (_, storage) = create(BlobConfig::default());
    let mut slow = edit(&storage, PASSWORD).unwrap();
    change(&storage).unwrap();
    let error = slow.change_password(&Secret::from("third")).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Locked);
    open(&storage, NEW).unwrap();
}

#[test]
fn the_password_of_version_1_is_fixed() {
    let clock = world::clock();
    let storage: Arc<dyn Storage> = Arc::new(Memory::new(clock.clone()));
    let old = world::World::on(storage.clone(), clock, NewFormat { version: 1, ..world::small_format() });
    let error = change(&storage).unwrap_err();
    assert!(error.to_string().contains("not supported"), "{error}");
    old.open();
}

fn change_in(home: &Home, new: &str, environment: &[(&str, Option<&str>)]) -> Run {
    home.run_with(&["repository", "change-password", "--new-password", new], environment)
}

#[test]
fn the_connection_gets_the_new_password_and_loses_old_copies() {
    let home = Home::connected();
    std::fs::create_dir_all(home.path("cache")).unwrap();
    for name in ["kopia.repository", "kopia.blobcfg"] {
        crate::cli::write(&home.path("cache").join(name), b"old");
    }
    let run = change_in(&home, NEW, &[]).expect(0);
    assert!(run.stdout.is_empty() && !run.stderr.contains(NEW), "{run:?}");
    assert_eq!(std::fs::read_dir(home.path("cache")).unwrap().count(), 0);
    home.run(&["repository", "status"]).expect(12);
    home.run_with(&["repository", "status"], &[("KOPIA_PASSWORD", None)]).expect(0);
    // From the variable, and nothing is kept.
    let kept = home.path("config/repository.config.kopia-password");
    let variables = [("KOPIA_PASSWORD", Some(NEW)), ("KOPIA_NEW_PASSWORD", Some(" third\n"))];
    home.run_with(&["repository", "change-password", "--no-persist-credentials"], &variables).expect(0);
    assert!(!kept.exists());
    home.run_with(&["repository", "status"], &[("KOPIA_PASSWORD", Some("third"))]).expect(0);
    // Neither given nor a terminal to ask on.
    home.run_with(&["repository", "change-password"], &[("KOPIA_PASSWORD", Some("third"))]).expect(1);
    change_in(&home, "x", &[("KOPIA_PASSWORD", Some("wrong"))]).expect(12);
}

#[test]
fn a_connection_for_reading_changes_nothing() {
    let home = Home::connected();
    let path = format!("--path={}", home.path("repo").display());
    home.run(&["repository", "connect", "filesystem", &path, "--readonly"]).expect(0);
    change_in(&home, NEW, &[]).expect(1);
    home.run(&["repository", "status"]).expect(0);
}
