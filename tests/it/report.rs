//! The faces of a result: what they say, and that nothing in a result can break out of them.

use crate::sample;
use hubstorm::report;

#[test]
#[ignore = "writes pages for a person to look at"]
fn write_pages() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, result) in sample::all() {
        std::fs::write(folder.join(format!("{name}.html")), report::html(&result).unwrap()).unwrap();
        std::fs::write(folder.join(format!("{name}.txt")), report::text(&result, false)).unwrap();
    }
}
