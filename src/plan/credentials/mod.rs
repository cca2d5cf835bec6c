//! Device credentials. Keys, passwords and device lists come in; the user name and password of each CONNECT go out. Start
//! with `auth`.
//!
//! Must not depend on sockets or clocks: `now` is an argument. Secrets must not appear in logs, errors or `Debug` output.

mod auth;
mod credential_file;
mod credential_format;
mod device_list;
mod file_messages;
mod refusal;
mod row;
mod table;
mod token;

pub use crate::scenario::Secret;
pub use auth::{Auth, Credentials, Keys};
pub(super) use credential_file::{BadLine, CredentialFile, Oddities, parse};
pub(super) use credential_format::CredentialFormat;
pub use device_list::DeviceList;
pub(super) use file_messages::{REPORTED_LINES_MAX, WITHOUT_KEYS_FIX, notes, place, skipped, without_keys};
pub use token::{Renew, TokenLife};
