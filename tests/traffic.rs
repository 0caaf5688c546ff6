//! How the store is used: limits, how many requests a run costs, how many are in flight.

use crate::cli::{Home, write};
use crate::support::world::{World, noise, small_format, snapshot};
use packhorse::base::{SeededEntropy, Stopwatch, SystemClock};
use packhorse::blob::{
    Call, Counted, Distance, Latency, Operation, Recording, RequestCounters, Storage, StorageExt,
};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const UNLIMITED: &str = "\
Max Download Speed:            (unlimited)
Max Upload Speed:              (unlimited)
Max Read Requests Per Second:  (unlimited)
Max Write Requests Per Second: (unlimited)
Max List Requests Per Second:  (unlimited)
Max Concurrent Reads:          (unlimited)
Max Concurrent Writes:         (unlimited)
";

const LIMITED: &str = "\
Max Download Speed:            1.5 MB/s
Max Upload Speed:              100 MB/s
Max Read Requests Per Second:  (unlimited)
Max Write Requests Per Second: 300
Max List Requests Per Second:  (unlimited)
Max Concurrent Reads:          7
Max Concurrent Writes:         (unlimited)
";

fn limits(home: &Home) -> serde_json::Value {
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(home.config()).unwrap()).unwrap();
    file["throttlingLimits"].clone()
}

#[test]
fn limits_are_shown_and_changed_as_kopia_does() {
    let home = Home::new_with(&["--max-upload-speed=100000000"]);
    assert_eq!(
        home.run(&["repository", "throttle", "get", "--json"]).expect(0).json(),
        json!({
            "maxUploadSpeedBytesPerSecond": 100_000_000
        })
    );
    assert!(home.run(&["repository", "throttle", "set"]).expect(0).stderr.contains("No changes made."));
    assert!(limits(&home).is_null());
    let said = home
        .run(&[
            "repository",
            "throttle",
            "set",
            "--download-bytes-per-second=1500000",
            "--write-requests-per-second=300",
            "--concurrent-reads=7",
        ])
        .expect(0);
    for line in ["max download speed to 1.5 MB/s.", "writes per second to 300.", "concurrent reads to 7."] {
        assert!(said.stderr.contains(&format!("Setting {line}")), "{said:?}");
    }
    assert_eq!(home.run(&["repository", "throttle", "get"]).expect(0).stdout, LIMITED);
    assert_eq!(
        limits(&home),
        json!({"maxUploadSpeedBytesPerSecond": 100_000_000, "maxDownloadSpeedBytesPerSecond": 1_500_000,
               "writesPerSecond": 300, "concurrentReads": 7})
    );
    for bad in ["--concurrent-reads=1.5", "--list-requests-per-second=-1", "--upload-bytes-per-second=fast"] {
        home.run(&["repository", "throttle", "set", bad]).expect(1);
    }
    let all = [
        "--download-bytes-per-second=-",
        "--upload-bytes-per-second=unlimited",
        "--write-requests-per-second=-",
        "--concurrent-reads",
        "-",
    ];
    home.run(&[&["repository", "throttle", "set"], &all[..]].concat()).expect(0);
    assert_eq!(home.run(&["repository", "throttle", "get"]).expect(0).stdout, UNLIMITED);
    assert_eq!(limits(&home), json!({}), "the limits of the client count instead of those of the store");
}

#[test]
fn limits_slow_a_run_down_and_a_change_counts_while_it_goes_on() {
    let home = Home::connected();
    std::fs::create_dir_all(home.path("data")).unwrap();
    write(&home.path("data/file"), &noise(7, 3_000_000));
    let data = home.path("data");
    let snapshot = ["snapshot", "create", data.to_str().unwrap(), "--limit-upload=1MB"];
    let start = Stopwatch::start();
    home.run(&snapshot).expect(0);
    assert!(start.elapsed() > Duration::from_millis(1500), "{:?}", start.elapsed());

    // A thousand seconds, if nobody came to the rescue.
    write(&home.path("data/file"), &noise(8, 3_000_000));
    home.run(&["repository", "throttle", "set", "--upload-bytes-per-second=3000"]).expect(0);
    let mut slow = home.packhorse(&snapshot[..3]);
    let start = Stopwatch::start();
    let mut running = slow.stdout(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert!(running.try_wait().unwrap().is_none());
    home.run(&["repository", "throttle", "set", "--upload-bytes-per-second=-"]).expect(0);
    assert!(running.wait().unwrap().success());
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
}

#[test]
fn requests_are_counted_and_a_budget_warns_or_refuses() {
    let home = Home::connected();
    let run = home.run(&["snapshot", "list"]).expect(0);
    assert!(!run.stderr.contains("Requests:") && run.stdout.is_empty(), "{run:?}");
    let counted = home.run(&["snapshot", "list", "--json", "--request-counts"]).expect(0);
    assert!(
        counted.stderr.contains("Requests: 1 of class A, 4 of class B, 0 deletes; 0 B up"),
        "{counted:?}"
    );
    counted.json();
    let budget = |budget: &str, extra: &[&str]| {
        let flag = format!("--request-budget-class-a={budget}");
        home.run(&[&["snapshot", "list", flag.as_str()], extra].concat())
    };
    assert!(!budget("3", &[]).expect(0).stderr.contains("warning"));
    let near = budget("2", &[]).expect(0);
    assert!(near.stderr.contains("2 of the month's 2 requests of class A are used"), "{near:?}");
    let over = budget("2", &[]).expect(0);
    assert!(over.stderr.contains("going on all the same"), "{over:?}");
    let refused = budget("2", &["--request-budget-enforce"]).expect(1);
    assert!(refused.stderr.contains("3 of the month's 2"), "{refused:?}");
    let by_variable =
        [("PACKHORSE_REQUEST_BUDGET_CLASS_A", Some("1")), ("PACKHORSE_REQUEST_BUDGET_ENFORCE", Some("1"))];
    home.run_with(&["snapshot", "list"], &by_variable).expect(1);
    // A count that cannot be kept never costs a run.
    let file = home.path("config/repository.config.requests");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert!(budget("2", &["--request-budget-enforce"]).expect(0).stderr.contains("cannot count"));
}

#[test]
fn nonsense_in_the_connection_file_is_one_clear_error() {
    let home = Home::connected();
    let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(home.config()).unwrap()).unwrap();
    file["throttlingLimits"] = json!({"readsPerSecond": -3});
    write(&home.config(), file.to_string().as_bytes());
    let run = home.run(&["snapshot", "list"]).expect(1);
    assert!(run.stderr.contains("limits cannot be used"), "{run:?}");
}

/// A tree of 300 files in 20 folders.
fn tree(root: &Path) {
    for folder in 0..20_u64 {
        let folder_path = root.join(format!("folder-{folder}"));
        std::fs::create_dir_all(&folder_path).unwrap();
        for file in 0..15_u64 {
            write(&folder_path.join(format!("file-{file}")), &noise(folder * 100 + file, 3000));
        }
    }
}

/// The same store, 20 ms away.
fn far_away(storage: Arc<dyn Storage>) -> Arc<dyn Storage> {
    let distance = Distance { request: Duration::from_millis(20), ..Distance::default() };
    Arc::new(Latency::new(storage, distance, Arc::new(SystemClock)))
}

#[test]
fn an_unchanged_run_costs_few_requests() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let world = World::new(small_format());
    snapshot(&world.open(), dir.path());
    let recording = Arc::new(Recording::new(world.storage.clone()));
    let counters = Arc::new(RequestCounters::default());
    let store: Arc<dyn Storage> = Arc::new(Counted::new(recording.clone(), counters.clone()));
    snapshot(&world.open_through(store), dir.path());
    let is_request = |call: &&Call| !matches!(call.operation, Operation::Barrier | Operation::Capacity);
    let calls: Vec<_> = recording.calls().into_iter().filter(|call| is_request(&call)).collect();
    let asked: Vec<_> = calls
        .iter()
        .map(|call| {
            let name = call.id_or_prefix.as_str();
            let kind = if name.starts_with("kopia.") { name } else { &name[..1] };
            format!("{:?} {kind}", call.operation)
        })
        .collect();
    // Kopia makes 18 with an empty cache, one for its log among them.
    let wanted = [
        "Get kopia.repository",
        "Get kopia.blobcfg",
        "List x",
        "Get x",
        "Get q",
        "List s",
        "Put s",
        "Put q",
        "Put x",
        "List x",
        "Delete s",
    ];
    assert_eq!(asked, wanted, "{calls:#?}");
    let counts = counters.counts();
    assert_eq!((counts.class_a(), counts.class_b(), counts.deletes), (6, 4, 1));
}

#[test]
fn many_index_blobs_far_away_are_fetched_side_by_side() {
    let world = World::new(small_format());
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    snapshot(&world.open(), dir.path());
    let repository = world.open();
    let (crypto, entropy) = (&repository.contents().format().crypto, SeededEntropy::new(9));
    let first = world.storage.list_all("xn").unwrap().remove(0).id;
    let index = crypto.open(first.as_str(), world.storage.get(&first, None).unwrap()).unwrap();
    for number in 0..600 {
        let (name, sealed) = crypto.seal(&entropy, "", &format!("s{number:x}-c1"), &index).unwrap();
        world.storage.put_now(&format!("xn0_{name}").into(), &sealed).unwrap();
    }
    let start = Stopwatch::start();
    world.open_through(far_away(world.storage.clone()));
    // One after the other they would take 12 s, and 16 at once 750 ms and more.
    assert!(start.elapsed() < Duration::from_millis(2500), "{:?}", start.elapsed());
}
