//! `set-parameters`, and object-lock settings.

use super::{PASSWORD, create, dying, edit, names, open};
use crate::cli::Home;
use crate::support::fixture::Fixture;
use crate::support::live_tree::write;
use crate::support::world::{self, World};
use packhorse::base::{ErrorClass, MIB};
use packhorse::blob::{Memory, Recording, RetentionMode, Storage, StorageExt};
use packhorse::format::{BlobConfig, EpochParameters, FormatBlob, NewFormat};
use packhorse::repo::Parameters;
use serde_json::{Value, json};
use std::sync::Arc;

fn set(
    storage: &Arc<dyn Storage>,
    change: impl FnOnce(&mut Parameters),
) -> Result<(), packhorse::repo::Error> {
    let mut editor = edit(storage, PASSWORD)?;
    let mut parameters = editor.parameters()?;
    change(&mut parameters);
    editor.set_parameters(&parameters)
}

fn locked(mode: &str, hours: i64) -> BlobConfig {
    let retention_period = hours * 3600 * 1_000_000_000;
    BlobConfig { retention_mode: mode.to_owned(), retention_period, ..BlobConfig::default() }
}

#[test]
fn parameters_that_make_no_sense_change_nothing() {
    let (_, storage) = create(BlobConfig::default());
    let before = storage.get(&"kopia.repository".into(), None).unwrap();
    let bad: [fn(&mut Parameters); 5] = [
        |to| to.max_pack_size = 9 * MIB,
        |to| to.index_version = 3,
        |to| to.epochs.min_epoch_duration = 1,
        |to| to.config = locked("GOVERNANCE", 23),
        |to| to.config = BlobConfig { retention_period: 0, ..locked("GOVERNANCE", 1) },
    ];
    for change in bad {
        let class = set(&storage, change).unwrap_err().class();
        assert!(matches!(class, ErrorClass::Invalid | ErrorClass::Unsupported), "{class:?}");
    }
    assert_eq!(storage.get(&"kopia.repository".into(), None).unwrap(), before);
}

#[test]
fn a_crash_between_the_two_blobs_leaves_a_repository_that_opens() {
    for survived in 0..3 {
        let (_, storage) = create(BlobConfig::default());
        let result = set(&dying(&storage, survived), |to| {
            to.max_pack_size = 30 * MIB;
            to.config = locked("COMPLIANCE", 48);
        });
        assert_eq!(result.is_ok(), survived == 2);
        let repository = open(&storage, PASSWORD).unwrap();
        assert_eq!(repository.config().is_retention_enabled(), survived >= 1);
        assert_eq!(
            repository.format().max_pack_size,
            if survived >= 2 { 30 * MIB } else { world::PACK_BYTES }
        );
    }
}

#[test]
fn what_a_later_client_wrote_survives() {
    let (_, storage) = create(BlobConfig::default());
    let id = "kopia.repository".into();
    let mut outer: Value = serde_json::from_slice(&storage.get(&id, None).unwrap()).unwrap();
    outer["later"] = json!({"a": [1, 2]});
    storage.put_now(&id, outer.to_string().as_bytes()).unwrap();
    let blob = FormatBlob::parse(&storage.get(&id, None).unwrap()).unwrap();
    let key = blob.derive_key(&PASSWORD.into()).unwrap();
    let sealed = |json: &str| {
        let entropy = packhorse::base::SeededEntropy::new(77);
        packhorse::format::seal(&entropy, &key, &blob.unique_id, "test", json.as_bytes()).unwrap()
    };
    storage.put_now(&"kopia.blobcfg".into(), &sealed(r#"{"legalHold":true}"#)).unwrap();
    set(&storage, |to| to.max_pack_size = 30 * MIB).unwrap();
    edit(&storage, PASSWORD).unwrap().change_password(&"second".into()).unwrap();

    let outer: Value = serde_json::from_slice(&storage.get(&id, None).unwrap()).unwrap();
    assert_eq!(outer["later"], json!({"a": [1, 2]}));
    let config = serde_json::to_value(open(&storage, "second").unwrap().config()).unwrap();
    assert_eq!(config, json!({"legalHold": true}));
}

#[test]
fn the_store_is_asked_to_lock_what_the_settings_lock() {
    let clock = world::clock();
    let store = Arc::new(Recording::new(Arc::new(Memory::new(clock.clone()))));
    let world = World::on(store.clone(), clock, world::small_format());
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("file"), b"data");
    let dynamic: Arc<dyn Storage> = store.clone();
    set(&dynamic, |to| to.config = locked("GOVERNANCE", 48)).unwrap();
    world::snapshot(&world.open(), folder.path());
    let calls = store.calls();
    let locked_names: Vec<_> = calls
        .iter()
        .filter(|call| call.options.is_some_and(|options| options.retention.is_some()))
        .map(|call| &call.id_or_prefix[..1])
        .collect();
    assert_eq!(locked_names[..2], ["k", "k"]);
    assert!(["p", "q", "x"].iter().all(|kind| locked_names.contains(kind)), "{locked_names:?}");
    assert!(!locked_names.contains(&"s"), "markers must go");
    let last = calls.iter().rev().find_map(|call| call.options?.retention).unwrap();
    assert_eq!((last.mode, last.period.as_secs()), (RetentionMode::Governance, 48 * 3600));
}

/// What a snapshot of unchanged files may bring: its manifest.
const MANIFEST_BYTES: u64 = 5000;

/// An old repository with a snapshot in it.
fn old_world() -> (World, tempfile::TempDir) {
    let world = World::new(NewFormat { version: 1, ..world::small_format() });
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("file"), &world::noise(1, 100_000));
    world::snapshot(&world.open(), folder.path());
    (world, folder)
}

#[test]
fn an_upgrade_moves_the_index_into_epochs() {
    let (world, folder) = old_world();
    let before: Vec<_> = world.open().contents().index().iter(true).map(|e| e.to_entry()).collect();
    set(&world.storage, Parameters::upgrade).unwrap();
    let repository = world.open();
    let format = repository.format();
    assert_eq!((format.version, format.index_version, format.enable_password_change), (2, 2, false));
    assert_eq!(format.epoch_parameters, EpochParameters::DEFAULT);
    let after: Vec<_> = repository.contents().index().iter(true).map(|e| e.to_entry()).collect();
    assert_eq!(after, before);
    assert!(names(&world.storage).iter().any(|name| name.contains("repository_unreadable")));
    assert!(world::snapshot(&repository, folder.path()).new_bytes < MANIFEST_BYTES);
    // Again: nothing is left to upgrade.
    let count = names(&world.storage).len();
    set(&world.storage, Parameters::upgrade).unwrap();
    assert_eq!(names(&world.storage).len(), count);
}

#[test]
fn an_upgrade_killed_anywhere_can_be_repeated() {
    // An index, kopia.blobcfg, kopia.repository, the poison.
    for survived in 0..4 {
        let (world, folder) = old_world();
        set(&dying(&world.storage, survived), Parameters::upgrade).unwrap_err();
        let run = world::snapshot(&world.open(), folder.path());
        assert!(run.new_bytes < MANIFEST_BYTES, "{survived}: {}", run.new_bytes);
        set(&world.storage, Parameters::upgrade).unwrap();
        let run = world::snapshot(&world.open(), folder.path());
        assert!(run.new_bytes < MANIFEST_BYTES, "{survived}: {}", run.new_bytes);
    }
}

#[test]
fn an_upgrade_is_refused_over_a_newer_index_in_epochs() {
    let (world, _) = old_world();
    let newer = world.copy();
    set(&newer.storage, Parameters::upgrade).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("other"), &world::noise(2, 50_000));
    world::snapshot(&newer.open(), folder.path());
    // As if that upgrade had been rolled back.
    for blob in newer.storage.list_all("x").unwrap() {
        world.storage.put_now(&blob.id, &newer.storage.get(&blob.id, None).unwrap()).unwrap();
    }
    let error = set(&world.storage, Parameters::upgrade).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Locked);
    assert!(!world.open().format().epoch_parameters.enabled);
}

#[test]
fn an_upgraded_fixture_is_what_kopia_makes_of_it() {
    for (name, facts) in [("format-v1", "format-v1-upgraded"), ("format-v1-index-v2", "format-v1-upgraded")] {
        let fixture = Fixture::load(name);
        let folder = fixture.unpack();
        let clock = world::clock();
        let storage = crate::support::fixture::storage(folder.path(), clock.clone());
        let before: Vec<_> = fixture
            .open(folder.path())
            .unwrap()
            .contents()
            .index()
            .iter(true)
            .map(|e| e.to_entry())
            .collect();
        let environment = world::environment(clock, 9);
        let options = packhorse::repo::OpenOptions::default();
        let mut editor =
            packhorse::repo::FormatEditor::open(storage, &fixture.password(), environment, &options).unwrap();
        let mut parameters = editor.parameters().unwrap();
        parameters.upgrade();
        editor.set_parameters(&parameters).unwrap();
        let repository = fixture.open(folder.path()).unwrap();
        let after: Vec<_> = repository.contents().index().iter(true).map(|e| e.to_entry()).collect();
        assert_eq!(after, before, "{name}");
        let kopias = &Fixture::load(facts).facts["repository"]["contentFormat"];
        let ours = repository.format();
        assert_eq!(kopias["version"], ours.version);
        assert_eq!(kopias["indexVersion"], ours.index_version);
        assert_eq!(kopias["enablePasswordChange"], ours.enable_password_change);
        assert_eq!(kopias["epochParameters"], json!(ours.epoch_parameters));
    }
}

#[test]
fn the_command_has_kopias_flags_and_outcomes() {
    let home = Home::connected();
    let status = || home.run(&["repository", "status", "--json"]).expect(0).json();
    let set = |args: &[&str]| home.run(&[&["repository", "set-params"], args].concat());
    let run = set(&[]).expect(0);
    assert!(run.stdout.is_empty(), "{run:?}");
    set(&["--max-pack-size-mb=30"]).expect(0);
    assert_eq!(status()["contentFormat"]["maxPackSize"], 30 * MIB);
    for refused in [
        "--max-pack-size-mb=1",
        "--max-pack-size-mb=500",
        "--max-pack-size-mb=-1",
        "--index-version=9",
        "--index-version=1",
        "--epoch-refresh-frequency=100h",
        "--epoch-cleanup-safety-margin=1m",
        "--epoch-advance-on-count=9",
        "--epoch-checkpoint-frequency=-1",
    ] {
        set(&[refused]).expect(1);
    }
    set(&["--index-version=2", "--retention-mode=none"]).expect(0);
    set(&["--epoch-refresh-frequency=10m", "--epoch-min-duration=12h", "--epoch-cleanup-safety-margin=8h"])
        .expect(0);
    set(&[
        "--epoch-advance-on-count=30",
        "--epoch-advance-on-size-mb=20",
        "--epoch-delete-parallelism=8",
        "--epoch-checkpoint-frequency=5",
    ])
    .expect(0);
    let minute: i64 = 60_000_000_000;
    assert_eq!(
        status()["contentFormat"]["epochParameters"],
        json!({
            "Enabled": true, "EpochRefreshFrequency": 10 * minute, "FullCheckpointFrequency": 5,
            "CleanupSafetyMargin": 480 * minute, "MinEpochDuration": 720 * minute,
            "EpochAdvanceOnCountThreshold": 30, "EpochAdvanceOnTotalSizeBytesThreshold": 20 << 20,
            "DeleteParallelism": 8,
        })
    );
    set(&["--upgrade"]).expect(0);
    set(&["--retention-mode=X"]).expect(2);
    // A folder has no locks.
    let run = set(&["--retention-mode=COMPLIANCE", "--retention-period=48h"]).expect(1);
    assert!(run.stderr.contains("object lock"), "{run:?}");
    assert_eq!(status()["blobRetention"], json!({}));
    set(&["--add-required-feature=x"]).expect(2);
}

#[test]
fn required_features_keep_out_whoever_does_not_know_them() {
    let home = Home::connected();
    let allowed = [("KOPIA_TESTONLY_FLAGS", Some("1"))];
    let set = |args: &[&str]| home.run_with(&[&["repository", "set-parameters"], args].concat(), &allowed);
    set(&["--add-required-feature=later", "--warn-on-missing-required-feature"]).expect(0);
    let run = home.run(&["repository", "status"]).expect(0);
    assert!(run.stderr.contains("later") && run.stdout.contains("Required Features:   later"), "{run:?}");
    set(&["--add-required-feature=later"]).expect(0);
    home.run(&["repository", "status"]).expect(1);
    set(&["--remove-required-feature=later"]).expect(1);
    set(&["--remove-required-feature=later", "--ignore-missing-required-features"]).expect(0);
    assert!(home.run(&["repository", "status"]).expect(0).stderr.is_empty());
}
