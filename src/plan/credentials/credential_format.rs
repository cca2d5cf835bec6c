//! The contents of a credential file: keys or passwords. Used by the other files in this folder and by `resolve`.

/// The format of a credential file.
#[derive(Clone, Copy, Debug)]
pub(in crate::plan) enum CredentialFormat<'a> {
    /// Keys for an IoT hub.
    Keys {
        /// Hosts that connection strings may name. Empty for the built-in hub, which accepts any host.
        hosts: &'a [&'a str],
    },
    /// Passwords for a broker.
    Passwords,
}

impl CredentialFormat<'_> {
    /// Returns a description of the permitted lines, for error messages.
    pub(in crate::plan) fn allowed(self) -> &'static str {
        match self {
            CredentialFormat::Keys { .. } => {
                "id,key; a connection string (HostName=..;DeviceId=..;SharedAccessKey=..); or the JSON of az iot hub state export, \
                 device-identity export --include-keys, or device-identity show"
            }
            CredentialFormat::Passwords => {
                "id,username,password, or username,password when the user name is the id"
            }
        }
    }
}
