//! The HTML page in Chromium: it fits the window at every width and for every result, and axe-core finds no fault in it.
//!
//! The browser's path comes from `HUBSTORM_TEST_CHROMIUM`, which `tests/run` sets.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use crate::committed_results::{self, RESULTS};
use crate::report::sample;
use crate::support::sdk::{node, script};
use hubstorm::measure::Culprit;
use hubstorm::report;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn chromium() -> PathBuf {
    let path = std::env::var_os("HUBSTORM_TEST_CHROMIUM").map(PathBuf::from);
    path.filter(|path| path.is_file()).expect(
        "HUBSTORM_TEST_CHROMIUM must name a Chromium: run the tests with `tests/run`, which installs one",
    )
}

/// Returns the DOM after the page has loaded.
pub(crate) fn dump_dom(chromium: &Path, page: &Path) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        // The harness file reads sizes in the framed file.
        .args(["--allow-file-access-from-files", "--virtual-time-budget=10000", "--window-size=2000,1200"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg("--dump-dom")
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Loads a page into a frame of this width, without scripts. Returns its measured sizes by name.
pub(crate) fn measured(chromium: &Path, folder: &Path, page: &Path, width: u32) -> Vec<(String, f64)> {
    let harness = folder.join(format!("harness-{width}.html"));
    let page = page.file_name().unwrap().to_str().unwrap();
    // Without `allow-scripts` the framed page runs no scripts, but the harness can read it.
    let text = format!(
        r#"<!DOCTYPE html><body style="margin:0"><pre id="found"></pre>
<iframe id="frame" sandbox="allow-same-origin" style="border:0;width:{width}px;height:900px" src="{page}"></iframe>
<script>
frame.onload = () => {{
  const inner = frame.contentDocument, root = inner.documentElement;
  const shown = [...inner.querySelectorAll('svg.chart')].filter(svg => svg.getBoundingClientRect().width > 0);
  const text = shown.flatMap(svg => {{
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    return [...svg.querySelectorAll('text')].map(one => parseFloat(one.getAttribute('font-size')) * scale);
  }});
  // A single word that breaks over several lines.
  const broken = one => {{
    const range = inner.createRange();
    range.selectNodeContents(one);
    return !one.textContent.includes(' ') && range.getClientRects().length > 1;
  }};
  found.textContent = JSON.stringify({{
    client: root.clientWidth, scroll: root.scrollWidth, charts: shown.length,
    scenario: inner.querySelector('details pre')?.checkVisibility({{contentVisibilityProperty: true}}) ? 1 : 0,
    broken: [...inner.querySelectorAll('.errors .culprit, .metric')].filter(broken).length,
    smallest: text.length ? Math.min(...text) : 12, largest: text.length ? Math.max(...text) : 12,
  }});
}};
</script>"#
    );
    std::fs::write(&harness, text).unwrap();
    let dom = dump_dom(chromium, &harness);
    let json = dom
        .split_once("<pre id=\"found\">")
        .and_then(|(_, rest)| rest.split_once("</pre>"))
        .expect("a harness")
        .0;
    let found: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {dom:.2000}"));
    found.into_iter().map(|(key, value)| (key, value.as_f64().unwrap())).collect()
}

#[test]
fn page_fits_every_width_and_charts_are_readable() {
    let chromium = chromium();
    let folder = tempfile::tempdir().unwrap();
    for (name, result) in
        [("pass", sample::pass()), ("hostile", sample::hostile()), ("empty", sample::empty())]
    {
        let page = folder.path().join(format!("{name}.html"));
        let html = report::html(&result).unwrap();
        std::fs::write(&page, &html).unwrap();
        let charts = f64::from(u32::try_from(html.matches("class=\"chart wide\"").count()).unwrap());
        assert_eq!(charts > 0.0, name != "empty");
        for width in [360, 768, 1920] {
            let found = measured(&chromium, folder.path(), &page, width);
            let get = |key: &str| found.iter().find(|(name, _)| name == key).unwrap().1;
            assert!(get("client") > 0.0, "{name} at {width}: the frame exists");
            assert!(get("scroll") <= get("client"), "{name} at {width}: {found:?}");
            assert_eq!(get("charts"), charts, "{name} at {width}: each chart in one size");
            assert!(get("smallest") >= 10.0 && get("largest") <= 18.0, "{name} at {width}: {found:?}");
        }
    }
}

/// Culprits such as `network` and metrics such as `connect{phase:ramp}` do not break. Folded sections are open in print.
#[test]
fn words_do_not_break_and_print_shows_the_scenario() {
    let chromium = chromium();
    let folder = tempfile::tempdir().unwrap();
    let mut result = sample::fail();
    for error in &mut result.measurement.errors {
        (error.culprit, error.example) = (Culprit::Network, "reset by peer ".repeat(40));
    }
    let screen = report::html(&result).unwrap();
    // A headless browser cannot measure a printed page, so the print styles become screen styles.
    let print = screen.replace("@media print", "@media all").replace("@media screen", "@media speech");
    for (name, page, widths, scenario) in
        [("screen", screen, [800, 1200], 0.0), ("print", print, [718, 760], 1.0)]
    {
        let path = folder.path().join(format!("{name}.html"));
        std::fs::write(&path, page).unwrap();
        for width in widths {
            let found = measured(&chromium, folder.path(), &path, width);
            let get = |key: &str| found.iter().find(|(name, _)| name == key).unwrap().1;
            assert_eq!((get("broken"), get("scenario")), (0.0, scenario), "{name} at {width}: {found:?}");
            assert!(get("scroll") <= get("client"), "{name} at {width}: {found:?}");
        }
    }
}

#[test]
fn harness_detects_a_page_that_is_too_wide() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("wide.html");
    std::fs::write(&page, "<!DOCTYPE html><div style='width:500px'>wide</div>").unwrap();
    let found = measured(&chromium(), folder.path(), &page, 360);
    let get = |key: &str| found.iter().find(|(name, _)| name == key).unwrap().1;
    assert!(get("scroll") > get("client"), "{found:?}");
}

/// Returns the faults that axe-core finds in the pages, light and dark, wide and narrow, and the pages that scroll sideways.
pub(crate) fn faults(pages: &[PathBuf]) -> String {
    let output = script(node(), "node/page_audit.js").arg(chromium()).args(pages).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn assert_no_faults(names: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &&str| {
        let page = folder.path().join(format!("{name}.html"));
        std::fs::write(&page, report::html(&committed_results::read(name)).unwrap()).unwrap();
        page
    };
    let pages: Vec<PathBuf> = names.iter().map(write).collect();
    assert_eq!(faults(&pages), "");
}

#[test]
fn pages_of_real_runs_are_accessible_and_fit_a_phone() {
    assert_no_faults(
        &RESULTS.map(|(name, ..)| name).into_iter().filter(|name| *name != "large").collect::<Vec<_>>(),
    );
}

/// The largest page takes as long as all others.
#[test]
fn largest_page_is_accessible_and_fits_a_phone() {
    assert_no_faults(&["large"]);
}

#[test]
fn audit_detects_poor_contrast_and_wide_pages() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("poor.html");
    let text = "<!DOCTYPE html><html lang=en><title>Poor</title><style>@media (prefers-color-scheme: dark) \
                { p { color: #ccc } }</style><main style='width:380px'><h1>Poor</h1><p>Text</p></main>";
    std::fs::write(&page, text).unwrap();
    let faults = faults(&[page]);
    let starts = [
        "poor.html: dark at 1280: color-contrast:",
        "poor.html: dark at 390: color-contrast:",
        "poor.html: at 360: 28 pixels too wide: main",
    ];
    let lines: Vec<&str> = faults.lines().collect();
    assert_eq!(lines.len(), starts.len(), "{faults}");
    assert!(lines.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{faults}");
}
