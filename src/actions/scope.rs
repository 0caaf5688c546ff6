//! A folder, or a snapshot, with its commands before and after.

use super::process::{self, Running};
use super::{Error, Result};
use crate::base::{Entropy, error_chain};
use crate::policy::ActionCommand;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long a command may run for which the policy sets no limit.
const DEFAULT_LIMIT: Duration = Duration::from_mins(3);
/// The variable by which a command before tells what to save instead.
const SNAPSHOT_PATH: &str = "KOPIA_SNAPSHOT_PATH";

/// What the commands are run around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Around {
    /// A whole snapshot.
    SnapshotRoot,
    /// One folder.
    Folder,
}

impl Around {
    fn before(self) -> &'static str {
        match self {
            Self::SnapshotRoot => "before-snapshot-root",
            Self::Folder => "before-folder",
        }
    }

    fn after(self) -> &'static str {
        match self {
            Self::SnapshotRoot => "after-snapshot-root",
            Self::Folder => "after-folder",
        }
    }
}

/// How commands are run.
pub struct Actions {
    /// Whether they are run at all: this client's owner decides, not who writes policies.
    pub enabled: bool,
    /// Where each gets a folder of its own to work in.
    pub temporary: PathBuf,
    /// Names those folders.
    pub entropy: Arc<dyn Entropy>,
    /// When set, commands before are ended. Commands after are not: they may undo what was done before.
    pub stop: Arc<AtomicBool>,
    /// Told of commands that are not run, or failed without consequence.
    pub warn: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Actions {
    /// Runs the command before, if there is one. The command after runs when the scope is dropped.
    ///
    /// # Errors
    /// [`Error::Essential`] when the command must not fail and did; [`Error::Nothing`] and [`Error::Prepare`] when it
    /// cannot be run whatever the policy thinks of it.
    pub fn begin(
        self: &Arc<Self>,
        around: Around,
        (before, after): (Option<&ActionCommand>, Option<&ActionCommand>),
        path: &Path,
    ) -> Result<Option<Scope>> {
        if before.is_none() && after.is_none() {
            return Ok(None);
        }
        if !self.enabled {
            let which = if before.is_some() { around.before() } else { around.after() };
            (self.warn)(&format!(
                "the {which} action of {} is not run: this client does not allow actions",
                path.display()
            ));
            return Ok(None);
        }
        let mut scope = Scope {
            actions: Arc::clone(self),
            around,
            after: None,
            id: hex::encode(self.entropy.bytes::<8>()),
            source: path.to_owned(),
            replacement: None,
            folder: None,
        };
        if let Some(before) = before {
            let told = scope.run(around.before(), before, Some(&self.stop))?;
            scope.replacement = told.filter(|path| !path.as_os_str().is_empty());
        }
        scope.after = after.cloned();
        Ok(Some(scope))
    }
}

/// Between the command before and the command after.
pub struct Scope {
    actions: Arc<Actions>,
    around: Around,
    after: Option<ActionCommand>,
    id: String,
    source: PathBuf,
    replacement: Option<PathBuf>,
    folder: Option<PathBuf>,
}

impl Scope {
    /// What the command before wants to be saved instead.
    pub fn replacement(&self) -> Option<&Path> {
        self.replacement.as_deref()
    }

    /// Runs a command; the path that it told, if it told one.
    fn run(
        &mut self,
        action: &'static str,
        what: &ActionCommand,
        stop: Option<&AtomicBool>,
    ) -> Result<Option<PathBuf>> {
        let command = self.command(action, what)?;
        let is_essential = what.mode == "essential";
        let (told, result) = if what.mode == "async" {
            (None, self.leave_alone(command))
        } else {
            execute(command, what, stop)
        };
        match result {
            Ok(()) => {}
            Err(source) if is_essential => return Err(Error::Essential { action, source: Box::new(source) }),
            Err(error) => {
                (self.actions.warn)(&format!("the {action} action failed: {}", error_chain(&error)));
            }
        }
        Ok(told)
    }

    /// Starts a command that nobody waits for. Its folder is its own from now on, and goes when it has ended.
    fn leave_alone(&mut self, mut command: Command) -> Result<()> {
        command.stdout(Stdio::null());
        let mut running = Running::start(command)?;
        let folder = self.folder.take();
        let end = move || {
            running.wait_to_the_end().ok();
            folder.map(std::fs::remove_dir_all)
        };
        // Without the thread the folder stays.
        std::thread::Builder::new().name("action".to_owned()).spawn(end).ok();
        Ok(())
    }

    fn command(&mut self, action: &'static str, what: &ActionCommand) -> Result<Command> {
        let preparing = |source| Error::Prepare { action, source };
        let folder = self.work_folder().map_err(preparing)?;
        let mut command = if !what.script.is_empty() {
            let script = folder.join(format!("{action}.sh"));
            process::without_starts(|| write_script(&script, &what.script)).map_err(preparing)?;
            if what.script.starts_with("#!") {
                Command::new(script)
            } else {
                let mut shell = Command::new("sh");
                shell.arg("-e").arg(script);
                shell
            }
        } else if !what.path.is_empty() {
            let mut command = Command::new(&what.path);
            command.args(&what.args);
            command
        } else {
            return Err(Error::Nothing { action });
        };
        command.current_dir(folder).envs(self.variables(action));
        Ok(command)
    }

    fn variables(&self, action: &str) -> [(&'static str, OsString); 5] {
        let snapshot = self.replacement.as_deref().unwrap_or(&self.source);
        [
            ("KOPIA_ACTION", action.into()),
            ("KOPIA_SNAPSHOT_ID", self.id.clone().into()),
            ("KOPIA_SOURCE_PATH", self.source.clone().into()),
            (SNAPSHOT_PATH, snapshot.into()),
            ("KOPIA_VERSION", env!("CARGO_PKG_VERSION").into()),
        ]
    }

    /// A folder that nobody else can look into, made when it is first needed.
    fn work_folder(&mut self) -> std::io::Result<PathBuf> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        let unique = hex::encode(self.actions.entropy.bytes::<8>());
        let folder = self.actions.temporary.join(format!("packhorse-action-{unique}"));
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        self.folder = Some(folder.clone());
        Ok(folder)
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if let Some(after) = self.after.take() {
            // Its failure harms no snapshot.
            if let Err(error) = self.run(self.around.after(), &after, None) {
                (self.actions.warn)(&error_chain(&error));
            }
        }
        if let Some(folder) = &self.folder {
            std::fs::remove_dir_all(folder).ok();
        }
    }
}

/// Runs it to its end; what it told, and how it ended.
fn execute(
    mut command: Command,
    what: &ActionCommand,
    stop: Option<&AtomicBool>,
) -> (Option<PathBuf>, Result<()>) {
    command.stdout(Stdio::piped());
    let mut running = match Running::start(command) {
        Ok(running) => running,
        Err(error) => return (None, Err(error)),
    };
    let output = running.collect_output();
    let limit = match u64::try_from(what.timeout) {
        Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
        _ => DEFAULT_LIMIT,
    };
    let result = running.wait(limit, stop);
    (told(&output.take()), result)
}

/// The last value that an output gives to the variable.
fn told(output: &[u8]) -> Option<PathBuf> {
    let value = |line: &[u8]| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let value = line.strip_prefix(SNAPSHOT_PATH.as_bytes())?.strip_prefix(b"=")?;
        Some(PathBuf::from(std::ffi::OsStr::from_bytes(value)))
    };
    output.split(|&byte| byte == b'\n').filter_map(value).next_back()
}

fn write_script(path: &Path, script: &str) -> std::io::Result<()> {
    // The command after may have the same name in the same folder only if it is another action, so this is new.
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(path)?;
    file.write_all(script.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{SeededEntropy, Stopwatch};
    use parking_lot::Mutex;
    use std::sync::atomic::Ordering;

    struct Stage {
        folder: tempfile::TempDir,
        warnings: Arc<Mutex<Vec<String>>>,
        actions: Arc<Actions>,
    }

    impl Stage {
        fn new(enabled: bool) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let warnings = Arc::new(Mutex::new(Vec::new()));
            let heard = Arc::clone(&warnings);
            let actions = Actions {
                enabled,
                temporary: folder.path().to_owned(),
                entropy: Arc::new(SeededEntropy::new(1)),
                stop: Arc::default(),
                warn: Arc::new(move |message: &str| heard.lock().push(message.to_owned())),
            };
            Self { folder, warnings, actions: Arc::new(actions) }
        }

        fn begin(
            &self,
            before: Option<&ActionCommand>,
            after: Option<&ActionCommand>,
        ) -> Result<Option<Scope>> {
            self.actions.begin(Around::Folder, (before, after), Path::new("/some where"))
        }

        fn script(&self, script: &str, mode: &str) -> ActionCommand {
            let script = script.replace("OUT", &self.folder.path().join("out").display().to_string());
            ActionCommand { script, mode: mode.to_owned(), timeout: 20, ..ActionCommand::default() }
        }

        fn out(&self) -> String {
            std::fs::read_to_string(self.folder.path().join("out")).unwrap_or_default()
        }

        fn is_clean(&self) -> bool {
            let names =
                std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
            names.filter(|name| name != "out").count() == 0
        }
    }

    const TELL: &str =
        "echo $KOPIA_ACTION $KOPIA_SNAPSHOT_ID $KOPIA_SOURCE_PATH $KOPIA_SNAPSHOT_PATH $PWD >> OUT";

    #[test]
    fn both_get_kopias_variables_and_the_first_may_lead_elsewhere() {
        let stage = Stage::new(true);
        let before = stage.script(
            &format!(
                "{TELL}\necho KOPIA_SNAPSHOT_PATH=/wrong; echo OTHER=1; echo KOPIA_SNAPSHOT_PATH=/else where"
            ),
            "",
        );
        let after = stage.script(&format!("#!/bin/sh\n{TELL}"), "");
        let scope = stage.begin(Some(&before), Some(&after)).unwrap().unwrap();
        assert_eq!(scope.replacement(), Some(Path::new("/else where")));
        drop(scope);
        let out = stage.out();
        let lines: Vec<_> = out.lines().collect();
        let id = lines[0].split(' ').nth(1).unwrap();
        assert_eq!(id.len(), 16, "{out}");
        assert!(lines[0].starts_with(&format!("before-folder {id} /some where /some where /")), "{out}");
        assert!(lines[1].starts_with(&format!("after-folder {id} /some where /else where /")), "{out}");
        assert!(stage.is_clean() && stage.warnings.lock().is_empty(), "{:?}", stage.warnings.lock());
    }

    #[test]
    fn a_failure_counts_as_the_policy_says() {
        for (mode, fails) in [("essential", true), ("optional", false), ("", false)] {
            let stage = Stage::new(true);
            let (before, after) =
                (stage.script("false\necho not here >> OUT", mode), stage.script("echo after >> OUT", ""));
            let scope = stage.begin(Some(&before), Some(&after));
            assert_eq!(scope.is_err(), fails, "{mode}");
            drop(scope);
            // After an essential failure nothing was begun that would have to be ended.
            assert_eq!(stage.out(), if fails { "" } else { "after\n" }, "{mode}");
            assert_eq!(stage.warnings.lock().len(), usize::from(!fails));
            assert!(stage.is_clean());
        }
        let stage = Stage::new(true);
        assert!(matches!(stage.begin(Some(&ActionCommand::default()), None), Err(Error::Nothing { .. })));
    }

    #[test]
    fn programs_get_their_arguments_as_they_are() {
        let stage = Stage::new(true);
        let args = ["-c", "echo \"$1\" > \"$0\"", "OUT", "a  b$HOME"];
        let out = stage.folder.path().join("out").display().to_string();
        let args = args.iter().map(|arg| arg.replace("OUT", &out)).collect();
        let before = ActionCommand { path: "/bin/sh".to_owned(), args, ..ActionCommand::default() };
        stage.begin(Some(&before), None).unwrap();
        assert_eq!(stage.out(), "a  b$HOME\n");
    }

    #[test]
    fn nothing_outlives_its_time() {
        let stage = Stage::new(true);
        let sleeper =
            ActionCommand { timeout: 1, ..stage.script("sleep 3; echo late >> OUT & wait", "essential") };
        let watch = Stopwatch::start();
        let error = stage.begin(Some(&sleeper), None).err().unwrap();
        assert!(error_chain(&error).contains("ended after 1 seconds"), "{error:?}");
        let patient = stage.script("sleep 60", "essential");
        stage.actions.stop.store(true, Ordering::Relaxed);
        let error = stage.begin(Some(&patient), None).err().unwrap();
        assert_eq!(error.class(), crate::base::ErrorClass::Canceled);
        assert!(watch.elapsed() < Duration::from_secs(15));
        // What undoes something is not hindered by the stop.
        drop(stage.begin(None, Some(&stage.script("sleep 0.1; echo undone >> OUT", ""))).unwrap());
        assert_eq!(stage.out(), "undone\n");
    }

    #[test]
    fn an_asynchronous_command_is_not_waited_for() {
        let stage = Stage::new(true);
        let watch = Stopwatch::start();
        let scope = stage.begin(Some(&stage.script("sleep 30; echo KOPIA_SNAPSHOT_PATH=/x", "async")), None);
        assert_eq!(scope.unwrap().unwrap().replacement(), None);
        assert!(watch.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn nothing_runs_where_it_is_not_allowed() {
        let stage = Stage::new(false);
        let command = stage.script("echo here >> OUT", "essential");
        assert!(stage.begin(Some(&command), Some(&command)).unwrap().is_none());
        assert!(stage.begin(None, None).unwrap().is_none());
        assert_eq!((stage.out().as_str(), stage.warnings.lock().len()), ("", 1));
    }
}
