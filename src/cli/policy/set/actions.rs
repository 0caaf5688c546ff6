//! Commands run around snapshots, by clients that run them.

use super::change::Changes;
use crate::cli::exit::{Explain, Failure};
use crate::cli::{Result, units};
use packhorse::policy::{ActionCommand, ActionsPolicy};
use std::time::Duration;

/// Largest script that is kept in a policy.
const MAX_SCRIPT_BYTES: u64 = 32_000;

/// Flags of the section.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Actions")]
pub(super) struct ActionsFlags {
    /// Command before a folder is read; empty to remove it.
    #[arg(long, value_name = "COMMAND")]
    before_folder_action: Option<String>,
    /// Command after a folder was read.
    #[arg(long, value_name = "COMMAND")]
    after_folder_action: Option<String>,
    /// Command before a snapshot.
    #[arg(long, value_name = "COMMAND")]
    before_snapshot_root_action: Option<String>,
    /// Command after a snapshot.
    #[arg(long, value_name = "COMMAND")]
    after_snapshot_root_action: Option<String>,
    /// How long the commands may take.
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = units::parse_duration)]
    action_command_timeout: Duration,
    /// What a failure of the commands means.
    #[arg(long, default_value = "essential", value_name = "MODE",
          value_parser = ["essential", "optional", "async"])]
    action_command_mode: String,
    /// Keep the files named as scripts in the policy.
    #[arg(long)]
    persist_action_script: bool,
}

impl ActionsFlags {
    pub(super) fn apply(&self, policy: &mut ActionsPolicy, changes: &mut Changes) -> Result<()> {
        for (name, given, field) in [
            ("before-folder-action", &self.before_folder_action, &mut policy.before_folder),
            ("after-folder-action", &self.after_folder_action, &mut policy.after_folder),
            (
                "before-snapshot-root-action",
                &self.before_snapshot_root_action,
                &mut policy.before_snapshot_root,
            ),
            ("after-snapshot-root-action", &self.after_snapshot_root_action, &mut policy.after_snapshot_root),
        ] {
            match given.as_deref() {
                None => {}
                Some("") => {
                    *field = None;
                    changes.note_removed(name);
                }
                Some(text) => {
                    *field = Some(self.command(text)?);
                    changes.note(name, text);
                }
            }
        }
        Ok(())
    }

    fn command(&self, text: &str) -> Result<ActionCommand> {
        let timeout = i64::try_from(self.action_command_timeout.as_secs()).unwrap_or(i64::MAX);
        let mode = self.action_command_mode.clone();
        if self.persist_action_script {
            return Ok(ActionCommand { script: script(text)?, timeout, mode, ..ActionCommand::default() });
        }
        let mut words = split(text).into_iter();
        let path = words.next().ok_or_else(|| Failure::usage("a command must not be blank"))?;
        Ok(ActionCommand { path, args: words.collect(), timeout, mode, ..ActionCommand::default() })
    }
}

fn script(path: &str) -> Result<String> {
    let explain = || format!("cannot read the script {path}");
    if std::fs::metadata(path).explain(explain())?.len() > MAX_SCRIPT_BYTES {
        return Err(Failure::new(format!("the script {path} is longer than {MAX_SCRIPT_BYTES} bytes")));
    }
    std::fs::read_to_string(path).explain(explain())
}

/// Splits at spaces; a word that begins with `"` reaches to the next one, and `""` inside it means `"`.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_matches(' ');
    while !rest.is_empty() {
        let (word, after) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_word(quoted)
        } else {
            let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
            (word.to_owned(), after)
        };
        words.push(word);
        rest = after.trim_start_matches(' ');
    }
    words
}

fn quoted_word(mut rest: &str) -> (String, &str) {
    let mut word = String::new();
    loop {
        let (part, after) = rest.split_once('"').unwrap_or((rest, ""));
        word.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                word.push('"');
                rest = more;
            }
            None => return (word, after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_split_as_in_kopia() {
        assert_eq!(split("/bin/echo a 'b c'"), ["/bin/echo", "a", "'b", "c'"]);
        assert_eq!(split(r#"/bin/echo "a b" "say ""x""" c"#), ["/bin/echo", "a b", r#"say "x""#, "c"]);
        assert_eq!(split(r#"x "open"#), ["x", "open"]);
        assert!(split("  ").is_empty());
    }
}
