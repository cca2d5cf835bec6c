//! The characters that are percent-encoded. Used by `sas` and `properties`. This file must not depend on them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// All characters except RFC 3986's unreserved ones, for SAS resources, signatures and property bags.
pub(super) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
