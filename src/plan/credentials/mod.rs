//! How devices prove who they are. Keys, passwords and lists of devices come in, the user name and password of each CONNECT go out.
//! Start with `auth`. Secrets reach no log and no error. It must not depend on sockets or clocks: `now` is an argument.

mod auth;
mod credential_file;
mod device_list;
mod token;

pub use crate::scenario::Secret;
pub use auth::{Auth, Credentials, Keys};
pub(super) use credential_file::{CredentialFormat, parse};
pub use device_list::DeviceList;
pub use token::{Renew, TokenLife};
