//! How an SFTP store is configured: Kopia's JSON keys.

use crate::base::{ExtraFields, gojson::is_zero, keeps_extra_fields};
use crate::blob::sharded::nullable;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Options of an SFTP store, as they stand in a connection file. Unknown keys are kept, throttling limits among them.
///
/// Source: kopia `repo/blob/sftp/sftp_options.go`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct SftpOptions {
    /// Root of the repository on the server.
    pub path: String,
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who asks.
    pub username: String,
    /// Their password; a key is not looked for then.
    #[serde(deserialize_with = "nullable")]
    pub password: String,
    /// File of a private key.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub keyfile: String,
    /// A private key; goes before the file.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub key_data: String,
    /// File of known hosts.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub known_hosts_file: String,
    /// Lines of such a file; go before the file.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub known_hosts_data: String,
    /// Whether a program makes the connection.
    #[serde(rename = "externalSSH", deserialize_with = "nullable")]
    pub external_ssh: bool,
    /// That program; `ssh` if empty.
    #[serde(rename = "sshCommand", skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub ssh_command: String,
    /// What it is told besides, with single spaces in between.
    #[serde(rename = "sshArguments", skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub ssh_arguments: String,
    /// Widths of the folder names for a store without a `.shards` file; empty means flat.
    pub dir_shards: Option<Vec<u32>>,
    /// Folders listed at once; none or 0 lets the store choose.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub list_parallelism: u32,
    /// Throttling limits, and what newer programs have added.
    #[serde(flatten, skip_deserializing)]
    pub extra: ExtraFields,
}

keeps_extra_fields!(SftpOptions);

/// Without what must stay secret.
impl fmt::Debug for SftpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SftpOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::gojson;

    #[test]
    fn keeps_what_kopia_writes() {
        let text = r#"{"path":"/r","host":"h","port":22,"username":"u","password":"","keyData":"HUSH","knownHostsData":"h ssh-ed25519 A","externalSSH":false,"sshCommand":"ssh","dirShards":null,"readsPerSecond":1.5}"#;
        let options: SftpOptions = serde_json::from_str(text).unwrap();
        assert_eq!(String::from_utf8(gojson::to_vec(&options).unwrap()).unwrap(), text);
        assert!(!format!("{options:?}").contains("HUSH"));
    }
}
