//! Real Kopia and this program edit the policies and snapshots of one repository in turn; what each then says of all
//! policies, and of all snapshots with the reasons they are kept for, must be the same. Runs where
//! `PACKHORSE_TEST_KOPIA` names a kopia executable; `PACKHORSE_POLICY_SEEDS` plays more seeds than the usual one.

use crate::support::live_tree::write;
use crate::support::programs::{Program, named};
use packhorse::base::{Entropy, SeededEntropy};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Edits of one seed, and how many there are between two comparisons.
const EDITS: usize = 36;
const AT_ONCE: usize = 6;

/// Flags of `policy set`, each with values that policies can hold here.
const FLAGS: &[(&str, &[&str])] = &[
    ("keep-latest", &["1", "3", "10", "inherit"]),
    ("keep-hourly", &["0", "2", "inherit"]),
    ("keep-daily", &["0", "3", "-1", "inherit"]),
    ("keep-weekly", &["0", "2", "inherit"]),
    ("keep-monthly", &["0", "2", "inherit"]),
    ("keep-annual", &["0", "1", "inherit"]),
    ("ignore-identical-snapshots", &["true", "false", "inherit"]),
    ("add-ignore", &["*.tmp", "/cache/", "!keep.tmp", "a b"]),
    ("remove-ignore", &["*.tmp", "nothing"]),
    ("add-dot-ignore", &[".gitignore", ".kopiaignore"]),
    ("remove-dot-ignore", &[".kopiaignore"]),
    ("max-file-size", &["5000000", "inherit"]),
    ("one-file-system", &["true", "false", "inherit"]),
    ("ignore-cache-dirs", &["true", "false", "inherit"]),
    ("ignore-file-errors", &["true", "false", "inherit"]),
    ("ignore-dir-errors", &["true", "false", "inherit"]),
    ("ignore-unknown-types", &["true", "false", "inherit"]),
    ("compression", &["zstd", "s2-default", "none", "inherit"]),
    ("compression-min-size", &["100", "inherit"]),
    ("compression-max-size", &["1000000", "inherit"]),
    ("add-only-compress", &[".txt", ".log"]),
    ("remove-only-compress", &[".txt"]),
    ("add-never-compress", &[".zip", ".jpg"]),
    ("remove-never-compress", &[".zip"]),
    ("metadata-compression", &["none", "zstd-fastest", "inherit"]),
    ("splitter", &["FIXED-1M", "DYNAMIC-1M-BUZHASH", "inherit"]),
    ("snapshot-interval", &["1h", "0s"]),
    ("snapshot-time", &["12:30,6:05", "18:00", "inherit", "18:00,inherit"]),
    ("snapshot-time-crontab", &["0 * * * *;5 4 * * *", "inherit", "default"]),
    ("run-missed", &["true", "false", "inherit"]),
    ("before-folder-action", &["/bin/echo \"a b\" c", ""]),
    ("after-snapshot-root-action", &["/bin/true", ""]),
    ("inherit", &["true", "true", "true", "false"]),
    ("max-parallel-file-reads", &["4", "inherit"]),
    ("parallel-upload-above-size-mib", &["10", "inherit"]),
    ("enable-volume-shadow-copy", &["never", "always", "when-available", "inherit"]),
    ("log-dir-snapshotted", &["3", "inherit"]),
    ("log-dir-ignored", &["10", "inherit"]),
    ("log-entry-snapshotted", &["0", "inherit"]),
    ("log-entry-ignored", &["5", "inherit"]),
    ("log-entry-cache-hit", &["2", "inherit"]),
    ("log-entry-cache-miss", &["1", "inherit"]),
];

struct Game {
    entropy: SeededEntropy,
    source: PathBuf,
    /// Policies are set for these: all four levels, folders below the source, and somebody else's.
    targets: Vec<String>,
    /// What was done, for the report of a failure.
    done: Vec<String>,
}

impl Game {
    fn new(seed: u64, source: &Path) -> Self {
        let path = |below: &str| format!("groom@stable:{}{below}", source.display());
        let others = ["(global)", "@stable", "groom@stable", "bob@other:/x"].map(str::to_owned);
        let targets = others.into_iter().chain([path(""), path("/sub"), path("/sub/deep")]).collect();
        Self { entropy: SeededEntropy::new(seed), source: source.to_owned(), targets, done: Vec::new() }
    }

    fn draw(&self, below: usize) -> usize {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % below as u64).unwrap()
    }

    fn pick<'a, T>(&self, among: &'a [T]) -> &'a T {
        &among[self.draw(among.len())]
    }

    /// Runs a command, and keeps record of it. Manual mode goes together with no schedule: what is refused for that has
    /// changed nothing, or has made its snapshot.
    fn run(&mut self, name: &str, program: &Program, args: &[String]) {
        self.done.push(format!("{name} {}", args.join(" ")));
        if let Err(failure) = program.result(args) {
            let is_refused =
                (args[1] == "set" || args[1] == "create") && failure.to_lowercase().contains("manual");
            assert!(is_refused, "{failure}\n{}", self.done.join("\n"));
        }
    }

    fn edit(&mut self, name: &str, program: &Program) {
        let ids = ids(program);
        let args = match self.draw(12) {
            0..=4 => self.set(),
            5 => vec!["policy".into(), "delete".into(), self.pick(&self.targets[1..]).clone()],
            6 if !ids.is_empty() => self.pin(&ids),
            7 if !ids.is_empty() => {
                ["snapshot", "delete", "--delete", self.pick(&ids).as_str()].map(str::to_owned).to_vec()
            }
            8 => ["snapshot", "expire", "--all", "--delete"].map(str::to_owned).to_vec(),
            9 => return self.interrupted(name, program),
            _ => self.create(),
        };
        self.run(name, program, &args);
    }

    fn set(&mut self) -> Vec<String> {
        let mut args = vec!["policy".to_owned(), "set".to_owned(), self.pick(&self.targets).clone()];
        if self.draw(10) == 0 {
            args.push("--manual".to_owned());
            return args;
        }
        for _ in 0..=self.draw(8) {
            let &(flag, values) = self.pick(FLAGS);
            let flag = format!("--{flag}=");
            if !args.iter().any(|arg| arg.starts_with(&flag)) {
                let value: &&str = self.pick(values);
                args.push(flag + value);
            }
        }
        args
    }

    fn pin(&mut self, ids: &[String]) -> Vec<String> {
        let mut args = ["snapshot", "pin", self.pick(ids).as_str()].map(str::to_owned).to_vec();
        args.push(format!(
            "--{}={}",
            self.pick(&["add", "add", "remove"]),
            self.pick(&["x", "y", "ü & <z>"])
        ));
        args
    }

    fn create(&mut self) -> Vec<String> {
        let number = self.draw(1000);
        write(
            &self.source.join(self.pick(&["a", "b.tmp", "sub/c", "sub/deep/d.txt"])),
            &[b'x'; 1000][..number],
        );
        let mut args = vec!["snapshot".to_owned(), "create".to_owned()];
        args.push(self.source.join(self.pick(&["", "", "", "sub"])).display().to_string());
        if self.draw(2) == 0 {
            let (year, month, day, hour) =
                (2023 + self.draw(3), 1 + self.draw(12), 1 + self.draw(28), self.draw(24));
            args.push(format!("--start-time={year}-{month:02}-{day:02} {hour:02}:10:00 UTC"));
        }
        for (one_in, flag) in [
            (4, "--pin=new"),
            (4, "--tags=env:prod"),
            (4, "--tags=a:b:c"),
            (4, "--description=more & more"),
            (5, "--override-source=bob@other:/x"),
        ] {
            if self.draw(one_in) == 0 {
                args.push(flag.to_owned());
            }
        }
        args
    }

    /// A snapshot that ends at its limit, and is incomplete.
    fn interrupted(&mut self, name: &str, program: &Program) {
        for part in 0..4 {
            let mut noise = vec![0; 1_500_000];
            self.entropy.fill(&mut noise);
            write(&self.source.join(format!("sub/noise-{part}")), &noise);
        }
        let source = self.source.display().to_string();
        let args = ["snapshot", "create", source.as_str(), "--upload-limit-mb=1"].map(str::to_owned);
        self.run(name, program, &args);
    }

    fn compare(&self, ours: &Program, kopia: &Program) {
        let mut questions = vec![
            ["policy", "list", "--json"].map(str::to_owned).to_vec(),
            ["snapshot", "list", "--json", "--all", "--incomplete"].map(str::to_owned).to_vec(),
        ];
        for target in &self.targets {
            questions.push(["policy", "show", "--json", target.as_str()].map(str::to_owned).to_vec());
        }
        for question in &questions {
            let [mine, theirs] = [ours, kopia].map(|program| json(&program.ok(question)));
            assert!(
                mine == theirs,
                "{question:?}\nours   {mine}\nkopias {theirs}\nafter\n{}",
                self.done.join("\n")
            );
        }
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn ids(program: &Program) -> Vec<String> {
    let snapshots = json(&program.ok(["snapshot", "list", "--json", "--all", "--incomplete"]));
    let id = |snapshot: &Value| snapshot["id"].as_str().unwrap().to_owned();
    snapshots.as_array().unwrap().iter().map(id).collect()
}

fn play(seed: u64) -> Option<()> {
    let (ours, kopia) = (Program::packhorse().plain(), Program::kopia()?);
    let base = tempfile::tempdir().unwrap();
    let (repository, source) = (base.path().join("repository"), base.path().join("source"));
    for name in ["a", "sub/c", "sub/deep/d.txt"] {
        write(&source.join(name), name.as_bytes());
    }
    if seed.is_multiple_of(2) {
        kopia.create(&repository, &[]);
        ours.connect(&repository);
    } else {
        ours.create(&repository, &[]);
        kopia.connect(&repository);
    }
    let mut game = Game::new(seed, &source);
    for number in 0..EDITS {
        let (name, program) = *game.pick(&[("ours", &ours), ("kopia", &kopia)]);
        game.edit(name, program);
        if number % AT_ONCE == AT_ONCE - 1 {
            game.compare(&ours, &kopia);
        }
    }
    ours.verify();
    kopia.verify();
    Some(())
}

#[test]
fn edits_in_turn_are_seen_alike() {
    let seeds = named("PACKHORSE_POLICY_SEEDS").map_or(1, |seeds| seeds.to_str().unwrap().parse().unwrap());
    for seed in 1..=seeds {
        eprintln!("seed {seed}");
        if play(seed).is_none() {
            return;
        }
    }
}
