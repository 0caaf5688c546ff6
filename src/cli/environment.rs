//! The world around the process, read once: variables, user, host, current folder.

use super::units;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What flags of stores fall back on.
const STORE_VARIABLES: [&str; 6] = [
    "AZURE_STORAGE_ACCOUNT",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_DOMAIN",
    "AZURE_STORAGE_SAS_TOKEN",
    "KOPIA_WEBDAV_USERNAME",
    "KOPIA_WEBDAV_PASSWORD",
];

/// Everything the commands know of the process's surroundings.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are variables that are set or not")]
pub(crate) struct Environment {
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub(crate) xdg_config_home: Option<PathBuf>,
    /// `XDG_CACHE_HOME`.
    pub(crate) xdg_cache_home: Option<PathBuf>,
    /// `KOPIA_CONFIG_PATH`.
    pub(crate) config_path: Option<PathBuf>,
    /// `KOPIA_PASSWORD`.
    pub(crate) password: Option<packhorse::base::Secret>,
    /// `KOPIA_NEW_PASSWORD`.
    pub(crate) new_password: Option<packhorse::base::Secret>,
    /// `KOPIA_CACHE_DIRECTORY`.
    pub(crate) cache_directory: Option<PathBuf>,
    /// Those of [`STORE_VARIABLES`] that are set.
    pub(crate) store_variables: Vec<(&'static str, packhorse::base::Secret)>,
    /// `PACKHORSE_CACHE`: `always`, `never`, else where it saves time.
    pub(crate) cache: Option<String>,
    /// `PACKHORSE_REQUEST_BUDGET_CLASS_A`.
    pub(crate) request_budget_class_a: Option<u64>,
    /// `PACKHORSE_REQUEST_BUDGET_CLASS_B`.
    pub(crate) request_budget_class_b: Option<u64>,
    /// `PACKHORSE_REQUEST_BUDGET_ENFORCE`.
    pub(crate) request_budget_enforce: bool,
    /// `KOPIA_PERSIST_CREDENTIALS_ON_CONNECT`.
    pub(crate) persist_credentials: Option<bool>,
    /// `KOPIA_SNAPSHOT_FAIL_FAST`.
    pub(crate) snapshot_fail_fast: Option<bool>,
    /// `PACKHORSE_MIRROR`.
    pub(crate) mirror: Option<PathBuf>,
    /// `PACKHORSE_PLAIN_ENTRIES`.
    pub(crate) plain_entries: Option<bool>,
    /// `PACKHORSE_REQUIRE_MOUNT`.
    pub(crate) require_mount: Option<bool>,
    /// `KOPIA_RESTORE_CONSISTENT_ATTRIBUTES`.
    pub(crate) restore_consistent_attributes: Option<bool>,
    /// `VISUAL`, else `EDITOR`.
    pub(crate) editor: Option<String>,
    /// `KOPIA_DIFF`.
    pub(crate) diff_command: Option<String>,
    /// Where short-lived files go: `TMPDIR`, else the system's folder.
    pub(crate) temp_dir: PathBuf,
    /// `KOPIA_BYTES_STRING_BASE_2`.
    pub(crate) sizes_in_base_2: bool,
    /// `KOPIA_REPO_UPGRADE_OWNER_ID`.
    pub(crate) upgrade_owner_id: Option<String>,
    /// `KOPIA_REPO_UPGRADE_NO_BLOCK`.
    pub(crate) upgrade_no_block: bool,
    /// Whether `KOPIA_UPGRADE_LOCK_ENABLED` is set.
    pub(crate) allows_upgrades: bool,
    /// Whether `KOPIA_TESTONLY_FLAGS` is set.
    pub(crate) allows_test_flags: bool,
    /// `AWS_ACCESS_KEY_ID`.
    pub(crate) aws_access_key_id: Option<packhorse::base::Secret>,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub(crate) aws_secret_access_key: Option<packhorse::base::Secret>,
    /// `AWS_SESSION_TOKEN`.
    pub(crate) aws_session_token: Option<packhorse::base::Secret>,
    /// `ROOT_CA_PEM_BASE64`.
    pub(crate) root_ca_pem_base64: Option<String>,
    /// Whether `KOPIA_SKIP_PROVIDER_VALIDATION` is set.
    pub(crate) skips_provider_validation: bool,
    /// Whether `KOPIA_DANGEROUS_COMMANDS` is `enabled`.
    pub(crate) allows_dangerous_commands: bool,
    /// `CARGO_MANIFEST_DIR`: the project, when Cargo started the process.
    pub(crate) cargo_manifest_dir: Option<PathBuf>,
    /// `TMPDIR`, else the system's folder for what is needed for a moment.
    pub(crate) temporary: PathBuf,
    /// Where relative paths begin.
    pub(crate) current_dir: PathBuf,
    /// Who runs the process.
    pub(crate) user_name: String,
    /// The machine, lower case, without domain.
    pub(crate) host_name: String,
}

impl Environment {
    /// Reads it.
    pub(crate) fn read() -> Self {
        Self {
            home: variable("HOME").map(PathBuf::from),
            xdg_config_home: variable("XDG_CONFIG_HOME").map(PathBuf::from),
            xdg_cache_home: variable("XDG_CACHE_HOME").map(PathBuf::from),
            config_path: variable("KOPIA_CONFIG_PATH").map(PathBuf::from),
            password: secret("KOPIA_PASSWORD"),
            new_password: secret("KOPIA_NEW_PASSWORD"),
            cache_directory: variable("KOPIA_CACHE_DIRECTORY").map(PathBuf::from),
            store_variables: STORE_VARIABLES.iter().filter_map(|name| Some((*name, secret(name)?))).collect(),
            cache: variable("PACKHORSE_CACHE").map(|value| value.to_string_lossy().into_owned()),
            request_budget_class_a: number("PACKHORSE_REQUEST_BUDGET_CLASS_A"),
            request_budget_class_b: number("PACKHORSE_REQUEST_BUDGET_CLASS_B"),
            request_budget_enforce: switch("PACKHORSE_REQUEST_BUDGET_ENFORCE").unwrap_or(false),
            persist_credentials: switch("KOPIA_PERSIST_CREDENTIALS_ON_CONNECT"),
            snapshot_fail_fast: switch("KOPIA_SNAPSHOT_FAIL_FAST"),
            mirror: variable("PACKHORSE_MIRROR").map(PathBuf::from),
            plain_entries: switch("PACKHORSE_PLAIN_ENTRIES"),
            require_mount: switch("PACKHORSE_REQUIRE_MOUNT"),
            restore_consistent_attributes: switch("KOPIA_RESTORE_CONSISTENT_ATTRIBUTES"),
            editor: variable("VISUAL")
                .or_else(|| variable("EDITOR"))
                .map(|editor| editor.to_string_lossy().into_owned()),
            diff_command: variable("KOPIA_DIFF").map(|command| command.to_string_lossy().into_owned()),
            temp_dir: std::env::temp_dir(),
            sizes_in_base_2: switch("KOPIA_BYTES_STRING_BASE_2").unwrap_or(false),
            upgrade_owner_id: variable("KOPIA_REPO_UPGRADE_OWNER_ID")
                .map(|value| value.to_string_lossy().into_owned()),
            upgrade_no_block: switch("KOPIA_REPO_UPGRADE_NO_BLOCK").unwrap_or(false),
            allows_upgrades: variable("KOPIA_UPGRADE_LOCK_ENABLED").is_some(),
            allows_test_flags: variable("KOPIA_TESTONLY_FLAGS").is_some(),
            aws_access_key_id: secret("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key: secret("AWS_SECRET_ACCESS_KEY"),
            aws_session_token: secret("AWS_SESSION_TOKEN"),
            root_ca_pem_base64: variable("ROOT_CA_PEM_BASE64")
                .map(|value| value.to_string_lossy().into_owned()),
            skips_provider_validation: variable("KOPIA_SKIP_PROVIDER_VALIDATION").is_some(),
            allows_dangerous_commands: variable("KOPIA_DANGEROUS_COMMANDS")
                .is_some_and(|value| value == "enabled"),
            cargo_manifest_dir: variable("CARGO_MANIFEST_DIR").map(PathBuf::from),
            temporary: std::env::temp_dir(),
            current_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            user_name: user_name(),
            host_name: host_name(rustix::system::uname().nodename().to_str().unwrap_or_default()),
        }
    }

    /// Kopia's folder for connection files.
    pub(crate) fn config_dir(&self) -> Option<PathBuf> {
        let base = self.xdg_config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")))?;
        Some(base.join("kopia"))
    }

    /// Kopia's folder for caches.
    pub(crate) fn cache_dir(&self) -> Option<PathBuf> {
        let base = self.xdg_cache_home.clone().or_else(|| Some(self.home.as_ref()?.join(".cache")))?;
        Some(base.join("kopia"))
    }

    /// The text of a flag, else of a variable of [`STORE_VARIABLES`], else none.
    pub(crate) fn or_store(&self, given: Option<&String>, variable: &str) -> String {
        let of_variable = || {
            let (_, value) = self.store_variables.iter().find(|(name, _)| *name == variable)?;
            Some(String::from_utf8_lossy(value.expose()).into_owned())
        };
        given.cloned().filter(|text| !text.is_empty()).or_else(of_variable).unwrap_or_default()
    }

    /// `path` with a leading `~` resolved.
    pub(crate) fn with_home(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path.to_owned(),
        }
    }

    /// `path` with a leading `~` resolved, absolute.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        self.current_dir.join(self.with_home(path))
    }
}

/// A variable that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn secret(name: &str) -> Option<packhorse::base::Secret> {
    variable(name).map(|value| value.to_string_lossy().as_ref().into())
}

fn switch(name: &str) -> Option<bool> {
    units::parse_bool(variable(name)?.to_str()?).ok()
}

fn number(name: &str) -> Option<u64> {
    variable(name)?.to_str()?.parse().ok()
}

/// The name of the user id in `/etc/passwd`, else `USER`, else `nobody`, as Kopia finds it.
fn user_name() -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(rustix::process::getuid().as_raw(), &passwd)
        .or_else(|| variable("USER").map(|name| name.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "nobody".to_owned())
}

fn name_of(uid: u32, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

fn host_name(node: &str) -> String {
    match node.split('.').next().unwrap_or_default() {
        "" => "nohost".to_owned(),
        name => name.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kopias() {
        assert_eq!(host_name("Node1.example.org"), "node1");
        assert_eq!(host_name(""), "nohost");
        let passwd =
            "root:x:0:0::/root:/bin/sh\n:x:5:5::/:\nalice:x:1000:1000::/home/alice:/bin/sh\nbroken\n";
        assert_eq!(name_of(1000, passwd).as_deref(), Some("alice"));
        assert_eq!(name_of(5, passwd), None);
    }
}
