//! `upgrade begin`, `rollback`, `validate`, and what the lock does to everyone else.

use super::{PASSWORD, create, dying, names};
use crate::cli::Home;
use crate::support::live_tree::write;
use crate::support::world::{self, World};
use packhorse::base::{Clock, ErrorClass, ExtraFields, FixedClock};
use packhorse::blob::{Call, Fault, Faulty, Memory, Operation, Recording, Storage, StorageExt};
use packhorse::content::Scratch;
use packhorse::format::{BlobConfig, EpochParameters, IdPrefix, NewFormat, UpgradeLock};
use packhorse::index::IndexEntry;
use packhorse::repo::{self, FormatEditor, LockOutcome, OpenOptions, Parameters, Repository};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const MINUTE: i64 = 60_000_000_000;
const OWNER: &str = "upgrader";

fn owner() -> OpenOptions {
    OpenOptions { upgrade_owner: OWNER.to_owned(), ..OpenOptions::default() }
}

fn lock(clock: &FixedClock) -> UpgradeLock {
    UpgradeLock {
        owner_id: OWNER.to_owned(),
        creation_time: clock.now(),
        advance_notice_duration: 0,
        io_drain_timeout: 15 * MINUTE,
        status_poll_interval: MINUTE,
        message: "wait a moment".to_owned(),
        max_permitted_clock_drift: 5 * MINUTE,
        extra: ExtraFields::NONE,
    }
}

fn edit(storage: &Arc<dyn Storage>, clock: &Arc<FixedClock>) -> FormatEditor {
    static SEED: AtomicUsize = AtomicUsize::new(500);
    let seed = SEED.fetch_add(1, Ordering::Relaxed) as u64;
    let environment = world::environment(clock.clone(), seed);
    FormatEditor::open(storage.clone(), &PASSWORD.into(), environment, &owner()).unwrap()
}

fn open(world: &World, options: &OpenOptions) -> Result<Repository, repo::Error> {
    let environment = world::environment(world.clock.clone(), 4);
    Repository::open_with(world.storage.clone(), &PASSWORD.into(), world::alice(), environment, options)
}

/// All steps, from wherever the repository stands.
fn begin(storage: &Arc<dyn Storage>, clock: &Arc<FixedClock>) -> Result<LockOutcome, repo::Error> {
    let mut editor = edit(storage, clock);
    if editor.place_upgrade_lock(&lock(clock))? == LockOutcome::UpToDate {
        return Ok(LockOutcome::UpToDate);
    }
    if !editor.has_epochs() {
        editor.wait_for_drain(&owner(), &|_| {})?;
        editor.upgrade_index(&owner())?;
    }
    editor.validate_upgrade()?;
    editor.commit_upgrade(&owner())?;
    Ok(LockOutcome::Placed)
}

/// A repository of version 1 with a snapshot.
fn old_world() -> (World, tempfile::TempDir) {
    let clock = world::clock();
    on(Arc::new(Memory::new(clock.clone())), clock)
}

fn on(storage: Arc<dyn Storage>, clock: Arc<FixedClock>) -> (World, tempfile::TempDir) {
    let world = World::on(storage, clock, NewFormat { version: 1, ..world::small_format() });
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("file"), &world::noise(1, 100_000));
    world::snapshot(&world.open(), folder.path());
    (world, folder)
}

fn entries(repository: &Repository) -> Vec<IndexEntry> {
    repository.contents().index().iter(true).map(|entry| entry.to_entry()).collect()
}

#[test]
fn an_upgrade_waits_copies_and_lets_everyone_in_again() {
    let (world, folder) = old_world();
    let before = entries(&world.open());
    let began = world.clock.now();
    assert_eq!(begin(&world.storage, &world.clock).unwrap(), LockOutcome::Placed);
    let waited = world.clock.now().nanos_since(began);
    assert!((35 * MINUTE..37 * MINUTE).contains(&waited), "{waited}");
    let repository = world.open();
    let format = repository.format();
    assert_eq!((format.version, format.index_version, &format.upgrade_lock), (3, 2, &None));
    assert_eq!(format.epoch_parameters, EpochParameters::DEFAULT);
    assert_eq!(entries(&repository), before);
    assert!(!names(&world.storage).iter().any(|name| name.contains("backup")));
    world::snapshot(&repository, folder.path());
    assert_eq!(begin(&world.storage, &world.clock).unwrap(), LockOutcome::UpToDate);
}

#[test]
fn an_upgrade_killed_anywhere_goes_on_or_is_rolled_back() {
    // Copy, lock, index, blobcfg, format, poison, unlocked format, removal of the copy.
    for survived in 0..8 {
        for rolls_back in [false, true] {
            if rolls_back && !(2..7).contains(&survived) {
                continue;
            }
            let (world, folder) = old_world();
            let before = entries(&world.open());
            let killed = begin(&dying(&world.storage, survived), &world.clock);
            assert_eq!(killed.is_ok(), survived == 7, "only the copy of the format is left: {survived}");
            let is_locked = edit(&world.storage, &world.clock).format().upgrade_lock.is_some();
            assert_eq!(is_locked, (2..7).contains(&survived));
            assert_eq!(open(&world, &OpenOptions::default()).is_err(), is_locked, "{survived}");
            if rolls_back {
                edit(&world.storage, &world.clock).roll_back_upgrade().unwrap();
                assert_eq!(world.open().format().version, 1);
            } else {
                begin(&world.storage, &world.clock).unwrap();
            }
            assert_eq!(entries(&world.open()), before, "{survived} {rolls_back}");
            let run = world::snapshot(&world.open(), folder.path());
            assert!(run.new_bytes < 5000, "{survived} {rolls_back}");
            if rolls_back {
                // And on, after more was written.
                begin(&world.storage, &world.clock).unwrap();
                world::snapshot(&world.open(), folder.path());
                assert_eq!(world.open().format().version, 3);
            }
        }
    }
}

#[test]
fn what_a_rolled_back_upgrade_left_does_not_come_back() {
    let (world, _) = old_world();
    let mut editor = edit(&world.storage, &world.clock);
    editor.place_upgrade_lock(&lock(&world.clock)).unwrap();
    editor.wait_for_drain(&owner(), &|_| {}).unwrap();
    editor.upgrade_index(&owner()).unwrap();
    editor.roll_back_upgrade().unwrap();
    // Maintenance drops a content from the old index: the copy in epochs still has it.
    for blob in world.storage.list_all("n").unwrap() {
        world.storage.delete(&blob.id).unwrap();
    }
    begin(&world.storage, &world.clock).unwrap();
    assert!(entries(&world.open()).is_empty());
}

#[test]
fn a_copy_of_the_format_that_another_upgrade_left_is_not_taken() {
    let (world, _) = old_world();
    let old = world.storage.get(&"kopia.repository".into(), None).unwrap();
    world.storage.put_now(&"kopia.repository.backup.a".into(), b"ancient").unwrap();
    world.clock.advance(Duration::from_mins(1));
    let mut editor = edit(&world.storage, &world.clock);
    editor.place_upgrade_lock(&lock(&world.clock)).unwrap();
    editor.roll_back_upgrade().unwrap();
    assert_eq!(world.storage.get(&"kopia.repository".into(), None).unwrap(), old);
    assert!(matches!(editor.roll_back_upgrade(), Err(repo::Error::NoUpgrade)));
    // Without a copy nothing is pretended.
    editor.place_upgrade_lock(&lock(&world.clock)).unwrap();
    world.storage.delete(&format!("kopia.repository.backup.{OWNER}").as_str().into()).unwrap();
    assert!(matches!(editor.roll_back_upgrade(), Err(repo::Error::NoBackup)));
}

#[test]
fn only_the_owner_goes_on_with_an_upgrade() {
    let (world, _) = old_world();
    edit(&world.storage, &world.clock).place_upgrade_lock(&lock(&world.clock)).unwrap();
    // Neither a name that is the client's own nor none opens the door.
    for upgrade_owner in ["", "alice@laptop"] {
        let options = OpenOptions { upgrade_owner: upgrade_owner.to_owned(), ..OpenOptions::default() };
        let error = open(&world, &options).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Locked);
        assert!(crate::support::chain(&error).contains("wait a moment"));
    }
    assert!(open(&world, &OpenOptions { ignores_upgrade: true, ..OpenOptions::default() }).is_ok());
    assert!(open(&world, &owner()).is_ok());
    let other = UpgradeLock { owner_id: "other".to_owned(), ..lock(&world.clock) };
    let mut editor = edit(&world.storage, &world.clock);
    assert_eq!(editor.place_upgrade_lock(&other).unwrap_err().class(), ErrorClass::Invalid);
    assert!(editor.change_password(&"x".into()).is_err(), "the way back leads to the old password");
    let stranger = OpenOptions { upgrade_owner: "other".to_owned(), ..OpenOptions::default() };
    assert!(matches!(editor.commit_upgrade(&stranger), Err(repo::Error::NoUpgrade)));
}

#[test]
fn a_client_that_waits_comes_in_when_the_upgrade_has_ended() {
    let (world, _) = old_world();
    let upgraded = world.copy();
    begin(&upgraded.storage, &world.clock).unwrap();
    edit(&world.storage, &world.clock).place_upgrade_lock(&lock(&world.clock)).unwrap();
    let looks = Arc::new(AtomicUsize::new(0));
    let (seen, inner) = (looks.clone(), world.storage.clone());
    let watching = Faulty::new(world.storage.clone(), move |call: &Call| {
        let is_look = call.operation == Operation::Get && call.id_or_prefix == "kopia.repository";
        if is_look && seen.fetch_add(1, Ordering::Relaxed) == 4 {
            for blob in upgraded.storage.list_all("").unwrap() {
                inner.put_now(&blob.id, &upgraded.storage.get(&blob.id, None).unwrap()).unwrap();
            }
        }
        Fault::None
    });
    let waits = OpenOptions { waits_for_upgrade: true, ..OpenOptions::default() };
    let environment = world::environment(world.clock.clone(), 3);
    let storage: Arc<dyn Storage> = Arc::new(watching);
    Repository::open_with(storage, &PASSWORD.into(), world::alice(), environment, &waits).unwrap();
    assert_eq!(looks.load(Ordering::Relaxed), 5);
    // A signal ends the wait.
    let (world, _) = old_world();
    edit(&world.storage, &world.clock).place_upgrade_lock(&lock(&world.clock)).unwrap();
    let canceled = OpenOptions { cancel: Some(Arc::new(AtomicBool::new(true))), ..waits };
    assert_eq!(open(&world, &canceled).unwrap_err().class(), ErrorClass::Canceled);
}

/// What a writer meets after `minutes` when `change` came right after its start.
fn after(minutes: u64, change: impl FnOnce(&World)) -> (World, Vec<String>, Result<(), ErrorClass>) {
    let (world, _) = old_world();
    let repository = world.open();
    let mut writer = world::begin(&repository);
    change(&world);
    let before = names(&world.storage);
    world.clock.advance(Duration::from_mins(minutes));
    let mut data = world::noise(7, 50_000);
    let contents = writer.objects().contents();
    let written = contents.write(&mut data, IdPrefix::NONE, None, &mut Scratch::default());
    let result = written.map_err(|error| error.class());
    let result = result.and_then(|_| writer.flush().map_err(|error| error.class()));
    drop(writer);
    (world, before, result)
}

#[test]
fn a_lock_stops_whoever_is_writing_within_a_quarter_of_an_hour() {
    let place = |world: &World| {
        edit(&world.storage, &world.clock).place_upgrade_lock(&lock(&world.clock)).unwrap();
    };
    let (_, _, early) = after(14, place);
    assert_eq!(early, Ok(()), "the owner waits for it");
    let (world, before, late) = after(15, place);
    assert_eq!(late, Err(ErrorClass::Locked));
    assert_eq!(names(&world.storage), before, "nothing was written");
}

#[test]
fn an_index_kept_in_another_way_and_another_password_stop_a_writer_too() {
    let upgrade = |world: &World| {
        let mut editor = edit(&world.storage, &world.clock);
        let mut parameters = editor.parameters().unwrap();
        parameters.upgrade();
        editor.set_parameters(&parameters).unwrap();
    };
    assert_eq!(after(15, upgrade).2, Err(ErrorClass::Locked));
    assert_eq!(after(0, upgrade).2, Err(ErrorClass::Locked), "its index is where nobody looks");
    let resize = |world: &World| {
        let mut editor = edit(&world.storage, &world.clock);
        let parameters = editor.parameters().unwrap();
        editor.set_parameters(&Parameters { max_pack_size: 30 << 20, ..parameters }).unwrap();
    };
    assert_eq!(after(15, resize).2, Ok(()), "a larger pack is nobody's harm");
    let (clock, storage) = create(BlobConfig::default());
    let environment = world::environment(clock.clone(), 8);
    let repository =
        Repository::open(storage.clone(), &PASSWORD.into(), world::alice(), environment).unwrap();
    edit(&storage, &clock).change_password(&"other".into()).unwrap();
    clock.advance(Duration::from_mins(16));
    let error = repository.storage().put_now(&"p1".into(), b"x").unwrap_err();
    assert_eq!(error.class(), ErrorClass::WrongPassword);
}

#[test]
fn a_long_run_looks_at_the_format_four_times_an_hour() {
    let clock = world::clock();
    let store = Arc::new(Recording::new(Arc::new(Memory::new(clock.clone()))));
    let (world, _) = on(store.clone(), clock);
    let repository = world.open();
    let before = store.calls().len();
    for minute in 0..60 {
        repository.storage().put_now(&format!("p{minute}").as_str().into(), b"x").unwrap();
        world.clock.advance(Duration::from_mins(1));
    }
    let calls = &store.calls()[before..];
    let looks = calls.iter().filter(|call| call.operation == Operation::Get).count();
    assert_eq!((looks, calls.len()), (3, 63));
}

const BEGIN: [&str; 5] =
    ["repository", "upgrade", "begin", "--allow-unsafe-upgrade", "--io-drain-timeout=1ms"];
const FAST: [&str; 2] = ["--status-poll-interval=1ms", "--max-permitted-clock-drift=1ms"];

#[test]
fn the_commands_need_their_variable_a_name_and_force() {
    let home = Home::new_with(&["--format-version=1"]);
    let enabled = [("KOPIA_UPGRADE_LOCK_ENABLED", Some("1"))];
    home.run(&["repository", "upgrade", "validate"]).expect(2);
    home.run_with(&["repository", "upgrade", "begin"], &enabled).expect(2);
    let name = "--upgrade-owner-id=me";
    home.run_with(&["repository", "upgrade", "begin", name, "--io-drain-timeout=14m"], &enabled).expect(2);
    home.run_with(&[&BEGIN[..], &FAST, &[name, "--lock-only"]].concat(), &enabled).expect(0);
    // Everyone else is kept out.
    let refused = home.run(&["repository", "status", "--upgrade-no-block"]).expect(11);
    assert!(refused.stderr.contains("me is upgrading"), "{refused:?}");
    let no_block = [("KOPIA_REPO_UPGRADE_NO_BLOCK", Some("true"))];
    let source = home.path("repo").display().to_string();
    home.run_with(&["snapshot", "create", &source], &no_block).expect(11);
    let status = home.run(&["repository", "status", name]).expect(0).stdout;
    for row in ["Ongoing upgrade:     Upgrading from format version 1 -> 3\n", "Upgrade Owner:       me\n"] {
        assert!(status.contains(row), "{status}");
    }
    home.run_with(&["repository", "upgrade", "rollback", name], &enabled).expect(2);
    home.run_with(&["repository", "upgrade", "rollback", name, "--force"], &enabled).expect(0);
    home.run(&["repository", "status"]).expect(0);
    // All of it.
    let never = [&BEGIN[..], &FAST, &[name, "--commit-mode=never"]].concat();
    home.run_with(&never, &enabled).expect(0);
    home.run_with(&["repository", "upgrade", "validate", name], &enabled).expect(0);
    home.run_with(&[&BEGIN[..], &FAST, &[name]].concat(), &enabled).expect(0);
    let status = home.run(&["repository", "status", "--json"]).expect(0).json();
    assert_eq!(status["contentFormat"]["version"], 3);
    home.run_with(&[&BEGIN[..], &FAST, &[name]].concat(), &enabled).expect(0);
    home.run(&["snapshot", "create", &source]).expect(0);
}
