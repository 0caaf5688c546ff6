//! The binary as scripts see it: arguments, exit status, streams, files.
//!
//! Expected texts and documents are what Kopia printed and wrote for the same arguments; prose is our own and is not
//! compared.

use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PASSWORD: &str = "correct horse";

/// A home of its own for one test: connection file, caches, repositories.
pub(crate) struct Home {
    dir: tempfile::TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl Home {
    /// A home without a repository.
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A home with a repository in `repo`, connected.
    pub(crate) fn connected() -> Self {
        Self::new_with(&[])
    }

    /// The same with flags of `create`.
    pub(crate) fn new_with(flags: &[&str]) -> Self {
        let home = Self::empty();
        let path = home.path_flag("repo");
        home.run(&[&["repository", "create", "filesystem", &path], flags].concat()).expect(0);
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn path_flag(&self, name: &str) -> String {
        format!("--path={}", self.path(name).display())
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("config/repository.config")
    }

    fn config_json(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.config()).unwrap()).unwrap()
    }

    pub(crate) fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("HOME", self.path("home"))
            .env("TZ", "UTC")
            .env("KOPIA_CONFIG_PATH", self.config())
            .env("KOPIA_CACHE_DIRECTORY", self.path("cache"))
            .env("KOPIA_LOG_DIR", self.path("logs"))
            .env("KOPIA_CHECK_FOR_UPDATES", "false")
            .env("KOPIA_PASSWORD", PASSWORD)
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn packhorse(&self, args: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_packhorse"), args)
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        finish(&mut self.packhorse(args))
    }

    pub(crate) fn run_with(&self, args: &[&str], environment: &[(&str, Option<&str>)]) -> Run {
        let mut command = self.packhorse(args);
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        finish(&mut command)
    }
}

pub(crate) fn finish(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

pub(crate) fn write(path: &Path, data: &[u8]) {
    packhorse::base::file::replace(path, data, 0o600).unwrap();
}

#[test]
fn lines_that_make_no_sense_are_status_2_and_one_line_on_stderr() {
    let home = Home::empty();
    for args in [
        &["nosuch"][..],
        &["--nosuch"],
        &["-q"],
        &["repository"],
        &["repository", "nosuch"],
        &["repo", "status", "--nosuch"],
        &["repository", "status", "extra"],
        &["repository", "status", "--js"],
        &["repository", "status", "--JSON"],
        &["REPOSITORY", "status"],
        &["repository", "status", "--json", "--json"],
        &["repository", "status", "--progress=false"],
        &["repository", "status", "--config-file"],
        &["--log-level=warn", "repository", "status"],
        &["--log-level=info", "--log-level=info", "repository", "status"],
        &["--log-dir-max-files=x", "repository", "status"],
        &["--log-dir-max-age=x", "repository", "status"],
        &["--error-notifications=x", "repository", "status"],
        &["--memory-limit=much", "repository", "status"],
        &["repository", "connect", "filesystem"],
        &["repository", "connect", "filesystem", "--path=relative"],
        &["repository", "create", "filesystem", "--path=/x", "--encryption=NONE"],
        &["repository", "create", "filesystem", "--path=/x", "--block-hash=MD5"],
        &["repository", "create", "filesystem", "--path=/x", "--object-splitter=X"],
        &["repository", "create", "filesystem", "--path=/x", "--compression=zstd"],
        &["policy", "show"],
        &["policy", "set", "--global", "/x", "--keep-latest=1"],
        &["policy", "set", "/x", "--ignore-cache-dirs"],
        &["policy", "set", "/x", "--ignore-cache-dirs=maybe"],
        &["policy", "set", "/x", "--compression=ZSTD"],
        &["policy", "set", "/x", "--inherit"],
        &["policy", "set", "/x", "--keep-daily=1.5"],
        &["policy", "set", "/x", "--keep-latest=99999999999999999999"],
        &["policy", "set", "/x", "--log-dir-snapshotted=11"],
        &["policy", "set", "/x", "--snapshot-interval=abc"],
    ] {
        let run = home.run(args).expect(2);
        assert_eq!((run.stdout.as_str(), run.stderr.lines().count()), ("", 1), "{args:?}: {run:?}");
        assert!(run.stderr.starts_with("packhorse: error: "), "{run:?}");
    }
    assert!(!home.path("config").exists());
}

#[test]
fn help_and_version_are_results() {
    let home = Home::empty();
    for args in [
        &[][..],
        &["--help"],
        &["help"],
        &["help", "repository", "create"],
        &["policy", "set", "--help"],
        &["--help-full"],
        &["--version"],
        &["--version", "nosuch"],
    ] {
        let run = home.run(args).expect(0);
        assert!(!run.stdout.is_empty() && run.stderr.is_empty(), "{args:?}: {run:?}");
    }
    let version = home.run(&["--version"]).stdout;
    assert!(
        version.contains(" build: ") && version.contains(" from: ") && version.ends_with('\n'),
        "{version:?}"
    );
    assert!(!home.run(&["--help"]).stdout.contains("--metrics-push-addr"));
    assert!(home.run(&["--help-full"]).stdout.contains("--metrics-push-addr"));
}

#[test]
fn every_global_flag_of_kopia_is_accepted_anywhere() {
    let home = Home::connected();
    for flags in [
        "--no-progress --log-level=error --file-log-level=debug --no-auto-maintenance --timezone=utc",
        "--no-persist-credentials --use-keyring --no-use-keyring --no-disable-content-log",
        "--disable-file-logging --log-dir=/x --log-file=/x --log-dir-max-files=1e2 --log-dir-max-age=7d",
        "--console-timestamps --json-log-console --force-color --disable-color --trace-storage",
        "--progress-update-interval=1s --progress-estimation-type=rough --adaptive-estimation-threshold=5",
        "--update-check-interval=1w --initial-update-check-delay=1h30m --error-notifications=never",
        "--dangerous-commands=enabled --upgrade-owner-id=x --no-upgrade-no-block --metrics-push-interval=5s",
        "--profile-memory-rate=-1 --metrics-push-grouping=a:b --metrics-push-grouping=c:d --otlp-trace",
        "--progress --no-progress --memory-limit=256MiB --threads=2",
    ] {
        let flags: Vec<_> = flags.split(' ').collect();
        let before = [&flags[..], &["policy", "list"]].concat();
        let after = [&["policy", "list"], &flags[..]].concat();
        assert_eq!(home.run(&before).expect(0).stdout, home.run(&after).expect(0).stdout);
    }
    let path = home.config();
    let flag = format!("--config-file={}", path.display());
    home.run_with(&["repo", "status", &flag], &[("KOPIA_CONFIG_PATH", None)]).expect(0);
    home.run_with(&["repo", &flag, "status"], &[("KOPIA_CONFIG_PATH", Some("/nowhere"))]).expect(0);
    home.run_with(&["repo", "status", "--config-file=repository.config"], &[]).expect(10);
}

#[test]
fn the_exit_status_tells_what_is_wrong() {
    let home = Home::empty();
    home.run(&["repository", "status"]).expect(10);
    home.run(&["repository", "status", "--json"]).expect(10);
    home.run(&["repository", "disconnect"]).expect(10);
    home.run(&["repository", "connect", "filesystem", &home.path_flag("none")]).expect(10);
    std::fs::create_dir(home.path("empty")).unwrap();
    home.run(&["repository", "connect", "filesystem", &home.path_flag("empty")]).expect(10);
    assert_eq!(std::fs::read_dir(home.path("empty")).unwrap().count(), 0);

    let home = Home::connected();
    let wrong = home.run(&["repository", "status", "--password=wrong secret"]).expect(12);
    assert!(wrong.stdout.is_empty() && !wrong.stderr.contains("wrong secret"), "{wrong:?}");
    let again = home.run(&["repository", "create", "filesystem", &home.path_flag("repo")]).expect(1);
    assert!(again.stderr.contains("found existing data in storage location"), "{again:?}");
    home.run(&["repository", "status"]).expect(0);

    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = finish(home.packhorse(&["repository", "status"]).stdout(full)).expect(1);
    assert!(run.stderr.contains("standard output"), "{run:?}");

    write(&home.config(), b"{");
    home.run(&["repository", "status"]).expect(1);
}

#[test]
fn a_damaged_format_blob_is_corruption() {
    let home = Home::connected();
    let blob = home.path("repo/kopia.repository.f");
    let mut document: Value = serde_json::from_slice(&std::fs::read(&blob).unwrap()).unwrap();
    document["encryptedBlockFormat"] = json!("AAAA");
    write(&blob, document.to_string().as_bytes());
    home.run(&["repository", "status"]).expect(13);
    write(&blob, b"null");
    home.run(&["repository", "status"]).expect(13);
}

#[test]
fn create_refuses_whatever_is_not_empty() {
    let home = Home::empty();
    let create = |name: &str| {
        home.run(&["repository", "create", "filesystem", &home.path_flag(name), "--create-only"])
    };
    for (name, file, status) in [("foreign", "foreign.txt", 0), ("blob", "foreign.f", 1)] {
        std::fs::create_dir(home.path(name)).unwrap();
        write(&home.path(name).join(file), b"x");
        create(name).expect(status);
    }
    assert!(!home.path("blob/kopia.repository.f").exists());
    assert!(!home.config().exists(), "--create-only does not connect");
    let args = ["repository", "create", "filesystem", &home.path_flag("r2"), "-c", "--block-hash=BLAKE3-256"];
    home.run(&[&args[..], &["--encryption=CHACHA20-POLY1305-HMAC-SHA256", "--format-version=2"]].concat())
        .expect(0);
    for refused in ["--format-version=4", "--retention-mode=GOVERNANCE"] {
        let path = home.path_flag("r3");
        home.run(&["repository", "create", "filesystem", &path, refused]).expect(1);
        assert!(!home.path("r3/kopia.repository.f").exists());
    }
}

#[test]
fn a_new_connection_file_is_kopias() {
    let home = Home::connected();
    let path = home.path("repo");
    let mut wanted = json!({
        "storage": {"type": "filesystem",
            "config": {"path": path, "fileMode": 384, "dirMode": 448, "dirShards": null}},
        "caching": {"cacheDirectory": "../cache", "maxCacheSize": 5_242_880_000_u64,
            "maxMetadataCacheSize": 5_242_880_000_u64, "maxListCacheDuration": 30},
        "hostname": "H", "username": "U", "description": format!("Repository in Filesystem: {}", path.display()),
        "enableActions": false, "formatBlobCacheDuration": 900_000_000_000_u64
    });
    let connect = |flags: &str| {
        let flags: Vec<_> = flags.split(' ').filter(|flag| !flag.is_empty()).collect();
        let path = home.path_flag("repo");
        let names = ["--override-username=U", "--override-hostname=H"];
        home.run(&[&["repo", "connect", "filesystem", &path][..], &names, &flags].concat()).expect(0);
        home.config_json()
    };
    assert_eq!(connect(""), wanted);
    assert_eq!((mode(&home.config()), mode(&home.path("config"))), (0o600, 0o700));

    wanted["storage"]["config"] = json!({"path": path, "fileMode": 416, "dirMode": 488, "uid": 0, "gid": 0,
        "dirShards": [], "maxUploadSpeedBytesPerSecond": 1_000_000, "maxDownloadSpeedBytesPerSecond": 2_000_000.5});
    let storage = "--flat --file-mode=0640 --dir-mode=0750 --owner-uid=0 --owner-gid=0 --max-upload-speed=1000000 \
                   --max-download-speed=2000000.5";
    assert_eq!(connect(storage)["storage"], wanted["storage"]);

    let flags = "--content-cache-size-mb=100 --content-cache-size-limit-mb=200 --metadata-cache-size-mb=50 \
        --metadata-cache-size-limit-mb=80 --max-list-cache-duration=10s --content-min-sweep-age=1h \
        --metadata-min-sweep-age=2h --index-min-sweep-age=3h --readonly --description=D --enable-actions \
        --repository-format-cache-duration=1m";
    let written = connect(&flags.split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(
        written["caching"],
        json!({"cacheDirectory": "../cache", "maxCacheSize": 104_857_600, "contentCacheSizeLimitBytes": 209_715_200,
            "maxMetadataCacheSize": 52_428_800, "metadataCacheSizeLimitBytes": 83_886_080, "maxListCacheDuration": 10,
            "minMetadataSweepAge": 7200, "minContentSweepAge": 3600, "minIndexSweepAge": 10800})
    );
    for (key, value) in [
        ("readonly", json!(true)),
        ("description", json!("D")),
        ("enableActions", json!(true)),
        ("formatBlobCacheDuration", json!(60_000_000_000_u64)),
    ] {
        assert_eq!(written[key], value, "{key}");
    }
    assert_eq!(connect("--content-cache-size-mb=0")["caching"], json!({}));
    assert_eq!(connect("--disable-repository-format-cache")["formatBlobCacheDuration"], json!(-1));
}

#[test]
fn without_a_cache_folder_given_the_repository_names_it() {
    let home = Home::empty();
    let args = ["repository", "create", "filesystem", &home.path_flag("repo")];
    home.run_with(&args, &[("KOPIA_CACHE_DIRECTORY", None), ("HOME", None)]).expect(1);
    assert!(!home.path("repo").exists(), "nothing is made before it is known where the connection goes");
    home.run_with(&args, &[("KOPIA_CACHE_DIRECTORY", None)]).expect(0);
    let folder = home.config_json()["caching"]["cacheDirectory"].as_str().unwrap().to_owned();
    let name = folder.strip_prefix("../home/.cache/kopia/").unwrap_or_else(|| panic!("{folder}"));
    assert!(name.len() == 16 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
}

#[test]
fn a_failed_connect_leaves_everything_as_it_was() {
    let home = Home::connected();
    let before = std::fs::read(home.config()).unwrap();
    let connect = ["repository", "connect", "filesystem", &home.path_flag("repo"), "--description=new"];
    home.run_with(&connect, &[("KOPIA_PASSWORD", Some("wrong"))]).expect(12);
    home.run_with(&connect, &[("KOPIA_PASSWORD", None)]).expect(1);
    assert_eq!(std::fs::read(home.config()).unwrap(), before);
    home.run(&["repository", "disconnect"]).expect(0);
    std::fs::create_dir_all(home.path("cache")).unwrap();
    write(&home.path("cache/foreign.txt"), b"x");
    home.run_with(&connect, &[("KOPIA_PASSWORD", Some("wrong"))]).expect(12);
    assert_eq!(std::fs::read_dir(home.path("config")).unwrap().count(), 0);
    assert!(home.path("cache/foreign.txt").exists());
}

#[test]
fn the_password_comes_from_flag_file_variable_or_the_kept_one() {
    let home = Home::connected();
    let kept = home.path("config/repository.config.kopia-password");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "Y29ycmVjdCBob3JzZQ==");
    assert_eq!(mode(&kept), 0o600);
    let file = home.path("password");
    write(&file, format!("{PASSWORD}\n").as_bytes());
    let file_flag = format!("--password-file={}", file.display());
    let none = [("KOPIA_PASSWORD", None)];
    let wrong = [("KOPIA_PASSWORD", Some("wrong"))];
    home.run_with(&["repo", "status"], &none).expect(0);
    home.run_with(&["repo", "status"], &[("KOPIA_PASSWORD", Some(""))]).expect(0);
    home.run_with(&["repo", "status"], &wrong).expect(12);
    home.run_with(&["repo", "status", "-p", PASSWORD], &wrong).expect(0);
    home.run_with(&["repo", "status", &format!("--password=  {PASSWORD} ")], &wrong).expect(0);
    home.run_with(&["repo", "status", &file_flag], &wrong).expect(0);
    home.run_with(&["repo", "status", &file_flag, "--password=x"], &none).expect(2);
    write(&file, format!("{PASSWORD}\n\n").as_bytes());
    home.run_with(&["repo", "status", &file_flag], &none).expect(12);
    home.run_with(&["repo", "status", "--password-file=/nowhere"], &none).expect(1);
    write(&kept, b"not base64!");
    home.run_with(&["repo", "status"], &none).expect(1);

    let connect = ["repository", "connect", "filesystem", &home.path_flag("repo")];
    home.run(&[&connect[..], &["--no-persist-credentials"]].concat()).expect(0);
    assert!(!kept.exists());
    let run = home.run_with(&["repo", "status"], &none).expect(1);
    assert!(run.stderr.contains("KOPIA_PASSWORD"), "{run:?}");
    let variable = "KOPIA_PERSIST_CREDENTIALS_ON_CONNECT";
    home.run_with(&connect, &[(variable, Some("false"))]).expect(0);
    assert!(!kept.exists());
    home.run_with(&[&connect[..], &["--persist-credentials"]].concat(), &[(variable, Some("false"))])
        .expect(0);
    assert!(kept.exists());
}

#[test]
fn disconnect_forgets_the_connection_and_only_that() {
    let home = Home::connected();
    for name in
        ["cache/contents/x", "cache/CACHEDIR.TAG", "cache/foreign.txt", "config/repository.config.mlock"]
    {
        std::fs::create_dir_all(home.path(name).parent().unwrap()).unwrap();
        write(&home.path(name), b"x");
    }
    home.run(&["repository", "disconnect"]).expect(0);
    assert_eq!(std::fs::read_dir(home.path("config")).unwrap().count(), 0);
    assert!(!home.path("cache/contents").exists() && home.path("cache/foreign.txt").exists());
    home.run(&["repository", "status"]).expect(10);
    home.run(&["repository", "connect", "filesystem", &home.path_flag("repo")]).expect(0);
}

#[test]
fn status_has_kopias_shape() {
    let home = Home::connected();
    let run = home.run(&["repository", "status", "--json"]).expect(0);
    assert_eq!(run.stdout.lines().count(), 1);
    let document = run.json();
    let keys: Vec<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
    let wanted = [
        "blobRetention",
        "clientOptions",
        "configFile",
        "contentFormat",
        "objectFormat",
        "storage",
        "uniqueIDHex",
        "volume",
    ];
    assert_eq!(keys, wanted);
    assert_eq!(
        document["contentFormat"],
        json!({"hash": "BLAKE2B-256-128", "encryption": "AES256-GCM-HMAC-SHA256", "version": 3,
            "maxPackSize": 20_971_520, "indexVersion": 2, "epochParameters": {"Enabled": true,
            "EpochRefreshFrequency": 1_200_000_000_000_u64, "FullCheckpointFrequency": 7,
            "CleanupSafetyMargin": 14_400_000_000_000_u64, "MinEpochDuration": 86_400_000_000_000_u64,
            "EpochAdvanceOnCountThreshold": 20, "EpochAdvanceOnTotalSizeBytesThreshold": 10_485_760,
            "DeleteParallelism": 4}, "enablePasswordChange": true})
    );
    assert_eq!(document["objectFormat"], json!({"splitter": "DYNAMIC-4M-BUZHASH"}));
    assert_eq!(document["storage"], home.config_json()["storage"]);
    assert_eq!(document["uniqueIDHex"].as_str().unwrap().len(), 64);
    let indented = home.run(&["repository", "status", "--json", "--json-indent"]).expect(0);
    assert!(indented.stdout.starts_with("{\n  \"configFile\""), "{indented:?}");

    let text = home.run(&["repository", "status"]).expect(0).stdout;
    for line in [
        "Read-only:           false",
        "Format blob cache:   15m0s",
        "Storage type:        filesystem",
        "Max pack length:     21 MB",
        "Epoch Manager:       enabled",
        "Current Epoch: 0",
        "Epoch advance on:        20 blobs or 10.5 MB, minimum 24h0m0s",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(!home.run(&["repository", "status", "-s"]).stdout.contains("--token"));
}

#[test]
fn a_token_holds_the_storage_and_the_password_only_if_asked() {
    use base64::Engine;
    let home = Home::connected();
    let token = |flags: &[&str]| -> Value {
        let run = home.run(&[&["repository", "status"], flags].concat()).expect(0);
        let token =
            run.stdout.lines().find_map(|line| line.split_once("--token ")).unwrap().1.trim().to_owned();
        let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token).unwrap();
        serde_json::from_slice(&json).unwrap()
    };
    let mut wanted = json!({"version": "1", "storage": home.config_json()["storage"]});
    assert_eq!(token(&["-t"]), wanted);
    wanted["password"] = json!(PASSWORD);
    assert_eq!(token(&["-t", "-s"]), wanted);
}

#[test]
fn policies_are_set_shown_listed_and_deleted() {
    let home = Home::connected();
    let list = || home.run(&["policy", "list", "--json"]).expect(0).json();
    let global = list();
    assert_eq!(global.as_array().unwrap().len(), 1);
    assert_eq!(global[0]["target"], json!({"host": "", "userName": "", "path": ""}));
    assert_eq!(
        global[0]["upload"],
        json!({"maxParallelSnapshots": 1, "parallelUploadAboveSize": 2_147_483_648_u64})
    );

    home.run(&["policy", "set", "--global"]).expect(1);
    home.run(&["policy", "set", "u@h:/p", "--keep-latest="]).expect(1);
    home.run(&["policy", "set", "u@h:/p/", "--keep-latest=1"]).expect(1);
    home.run(&["policy", "set", "u@h:/p", "--max-parallel-snapshots=2"]).expect(1);
    assert_eq!(list(), global, "refused changes write nothing");

    let flags = "--keep-latest=5 --keep-hourly=inherit --keep-daily=-1 --add-ignore=*.tmp --add-ignore=/cache/ \
        --add-dot-ignore=.gitignore --max-file-size=100000000 --one-file-system=true --ignore-cache-dirs=false \
        --ignore-file-errors=true --compression=zstd --compression-min-size=100 --add-never-compress=.zip \
        --metadata-compression=none --splitter=FIXED-1M --max-parallel-file-reads=4 \
        --parallel-upload-above-size-mib=10 --snapshot-time=18:00,12:30 --run-missed=false --log-entry-ignored=0";
    let set = |flags: &str| {
        let flags: Vec<_> = flags.split_whitespace().collect();
        home.run(&[&["policy", "set", "u@h:/p"][..], &flags].concat()).expect(0)
    };
    set(flags);
    let stored = list()[1].clone();
    assert_eq!(stored["target"], json!({"host": "h", "userName": "u", "path": "/p"}));
    for (section, wanted) in [
        ("retention", json!({"keepLatest": 5, "keepDaily": -1})),
        (
            "files",
            json!({"ignore": ["*.tmp", "/cache/"], "ignoreDotFiles": [".gitignore"], "ignoreCacheDirs": false,
            "maxFileSize": 100_000_000, "oneFileSystem": true}),
        ),
        ("errorHandling", json!({"ignoreFileErrors": true})),
        ("compression", json!({"compressorName": "zstd", "neverCompress": [".zip"], "minSize": 100})),
        ("metadataCompression", json!({"compressorName": "none"})),
        ("splitter", json!({"algorithm": "FIXED-1M"})),
        ("upload", json!({"maxParallelFileReads": 4, "parallelUploadAboveSize": 10_485_760})),
        (
            "scheduling",
            json!({"timeOfDay": [{"hour": 12, "min": 30}, {"hour": 18, "min": 0}], "runMissed": false}),
        ),
        ("logging", json!({"directories": {}, "entries": {"ignored": 0}})),
    ] {
        assert_eq!(stored[section], wanted, "{section}");
    }
    let again = set("--keep-latest=5");
    assert_eq!(list()[1]["id"], stored["id"], "a set that changes nothing writes nothing: {again:?}");
    set("--clear-ignore --remove-dot-ignore=.gitignore --max-file-size=inherit --inherit=false");
    let changed = list()[1].clone();
    assert_eq!(changed["files"], json!({"ignoreCacheDirs": false, "oneFileSystem": true}));
    assert_eq!(changed["noParent"], json!(true));
    set("--inherit=true");

    let shown = home.run(&["policy", "show", "u@h:/p/deep", "--json"]).expect(0).json();
    assert_eq!(
        (&shown["retention"]["keepLatest"], &shown["retention"]["keepAnnual"]),
        (&json!(5), &json!(3))
    );
    let text = home.run(&["policy", "get", "u@h:/p/deep"]).expect(0).stdout;
    assert!(text.starts_with("Policy for u@h:/p/deep:\n"), "{text}");
    assert!(text.contains("inherited from u@h:/p\n") && text.contains("inherited from (global)\n"), "{text}");

    let id = list()[1]["id"].as_str().unwrap().to_owned();
    home.run(&["policy", "delete", "--dry-run", &id]).expect(0);
    assert_eq!(list().as_array().unwrap().len(), 2);
    home.run(&["policy", "rm", &id]).expect(0);
    home.run(&["policy", "delete", "u@h:/p"]).expect(0);
    assert_eq!(list(), global);
    home.run(&["policies", "remove", "--global"]).expect(0);
    assert_eq!(home.run(&["policy", "list", "--json"]).expect(0).stdout, "[\n]");
}

#[test]
fn manual_and_scheduled_exclude_each_other() {
    let home = Home::connected();
    home.run(&["policy", "set", "/x", "--manual", "--snapshot-interval=1h"]).expect(2);
    home.run(&["policy", "set", "/x", "--snapshot-time=25:00"]).expect(2);
    home.run(&["policy", "set", "/x", "--snapshot-time-crontab=nonsense"]).expect(1);
    home.run(&["policy", "set", "/x", "--snapshot-interval=1h"]).expect(0);
    home.run(&["policy", "set", "/x", "--manual"]).expect(0);
    let scheduling = || home.run(&["policy", "list", "--json"]).expect(0).json()[1]["scheduling"].clone();
    assert_eq!(scheduling(), json!({"manual": true}));
    home.run(&["policy", "set", "/x", "--keep-latest=1"]).expect(0);
    assert_eq!(scheduling(), json!({}), "any other change ends manual mode, as in Kopia");
}

#[test]
fn schedules_are_reset_by_a_word() {
    let home = Home::connected();
    let scheduling = |flags: &[&str]| {
        home.run(&[&["policy", "set", "u@h:/x"], flags].concat()).expect(0);
        home.run(&["policy", "export", "u@h:/x"]).expect(0).json()["u@h:/x"]["scheduling"].clone()
    };
    let set = scheduling(&["--snapshot-time=5:00", "--snapshot-time=inherit", "--snapshot-time=18:00"]);
    assert_eq!(set, json!({"timeOfDay": [{"hour": 18, "min": 0}]}));
    assert_eq!(scheduling(&["--snapshot-time=18:00,inherit,5:00"]), json!({}));
    assert_eq!(scheduling(&["--snapshot-time-crontab=0 1 * * *"]), json!({"cron": ["0 1 * * *"]}));
    assert_eq!(scheduling(&["--snapshot-time-crontab=default"]), json!({}));
}

#[test]
fn a_read_only_connection_refuses_changes_and_reads() {
    let home = Home::connected();
    home.run(&["repository", "connect", "filesystem", &home.path_flag("repo"), "--readonly"]).expect(0);
    home.run(&["policy", "list"]).expect(0);
    home.run(&["policy", "set", "--global", "--keep-latest=5"]).expect(1);
    home.run(&["policy", "delete", "--global"]).expect(1);
}

#[test]
fn kopia_and_packhorse_use_the_same_connection() {
    let Some(kopia) = kopia() else {
        eprintln!("skipped: PACKHORSE_TEST_KOPIA names no kopia");
        return;
    };
    let home = Home::connected();
    let none = |command: &mut Command| finish(command.env_remove("KOPIA_PASSWORD"));
    let ours = home.run(&["repository", "status", "--json"]).expect(0).json();
    let theirs = none(&mut home.command(&kopia, &["repository", "status", "--json"])).expect(0).json();
    assert_eq!(without_volume(ours), without_volume(theirs));
    let show = ["policy", "show", "/x", "--json"];
    none(&mut home.command(&kopia, &["policy", "set", "/x", "--keep-latest=7", "--add-ignore=*.tmp"]))
        .expect(0);
    assert_eq!(home.run(&show).expect(0).json(), none(&mut home.command(&kopia, &show)).expect(0).json());
    home.run(&["policy", "set", "/x", "--compression=zstd"]).expect(0);
    assert_eq!(home.run(&show).expect(0).json(), none(&mut home.command(&kopia, &show)).expect(0).json());

    finish(&mut home.command(&kopia, &["repository", "disconnect"])).expect(0);
    let create = ["repository", "create", "filesystem", &home.path_flag("theirs")];
    std::fs::create_dir(home.path("theirs")).unwrap();
    finish(&mut home.command(&kopia, &create)).expect(0);
    let theirs = none(&mut home.command(&kopia, &["repository", "status", "--json"])).expect(0).json();
    let ours =
        home.run_with(&["repository", "status", "--json"], &[("KOPIA_PASSWORD", None)]).expect(0).json();
    assert_eq!(without_volume(ours), without_volume(theirs));
    let written = home.config_json();
    home.run(&["repository", "connect", "filesystem", &home.path_flag("theirs")]).expect(0);
    assert_eq!(home.config_json(), written, "the same connection, whoever made it");
}

#[expect(clippy::disallowed_methods, reason = "where to find kopia is the tests' own business")]
pub(crate) fn kopia() -> Option<String> {
    std::env::var("PACKHORSE_TEST_KOPIA").ok()
}

fn without_volume(mut status: Value) -> Value {
    status.as_object_mut().unwrap().remove("volume");
    status
}
