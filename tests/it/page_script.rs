//! The script of the HTML page in Chromium: values under the cursor, zoom, switches for series, and a page whose script is blocked.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use crate::browser::{chromium, dump_dom};
use crate::report::sample;
use hubstorm::report;
use std::path::Path;

/// Loads a page into a frame with scripts, performs `steps` (JavaScript), and returns the values that the steps put into `found`.
fn driven(folder: &Path, html: &str, steps: &str) -> serde_json::Value {
    std::fs::write(folder.join("driven.html"), html).unwrap();
    let harness = folder.join("driver.html");
    let text = format!(
        r#"<!DOCTYPE html><body style="margin:0"><pre id="output"></pre>
<iframe id="frame" style="border:0;width:1280px;height:4000px" src="driven.html"></iframe>
<script>
frame.onload = () => {{
  const inner = frame.contentDocument, view = frame.contentWindow, found = {{}};
  const all = selector => [...inner.querySelectorAll(selector)];
  const figure = id => inner.getElementById(`chart-${{id}}`);
  const pad = id => figure(id).querySelector('.pad');
  const values = id => [...figure(id).querySelectorAll('.value')].map(one => one.textContent);
  // Sends a pointer event at a share of the plot's width.
  const point = (id, type, share) => {{
    const svg = [...figure(id).querySelectorAll('svg.chart')].find(one => one.getClientRects().length > 0);
    const box = svg.getBoundingClientRect(), plot = svg.querySelector('.plot'), scale = box.width / svg.viewBox.baseVal.width;
    const [x0, x1] = ['data-x0', 'data-x1'].map(name => Number(plot.getAttribute(name)) * scale);
    const clientX = box.left + x0 + share * (x1 - x0), clientY = box.top + box.height / 2;
    pad(id).dispatchEvent(new view.PointerEvent(type, {{bubbles: true, button: 0, pointerType: 'mouse', clientX, clientY}}));
  }};
  const press = (id, key) => pad(id).dispatchEvent(new view.KeyboardEvent('keydown', {{bubbles: true, cancelable: true, key}}));
  const line = (id, series) => figure(id).querySelector(`svg.wide [data-series="${{series}}"] path`).getAttribute('d');
  const ticks = id => [...figure(id).querySelectorAll('svg.wide text')]
    .filter(text => text.getClientRects().length > 0 && /^\d+:\d\d/.test(text.textContent)).map(text => text.textContent);
  try {{ {steps} }} catch (error) {{ found.error = String(error); }}
  output.textContent = JSON.stringify(found);
}};
</script>"#
    );
    std::fs::write(&harness, text).unwrap();
    let dom = dump_dom(&chromium(), &harness);
    let json =
        dom.split_once("<pre id=\"output\">").and_then(|(_, rest)| rest.split_once("</pre>")).unwrap().0;
    let found = serde_json::from_str(&json.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"));
    let found: serde_json::Value = found.unwrap_or_else(|error| panic!("{error}: {dom:.2000}"));
    assert_eq!(found.get("error"), None, "{found}");
    found
}

#[test]
fn pointer_shows_the_values_of_all_charts() {
    let folder = tempfile::tempdir().unwrap();
    let found = driven(
        folder.path(),
        &report::html(&sample::pass()).unwrap(),
        r#"
  found.before = values('online');
  point('messages', 'pointermove', 0.5);
  found.online = values('online');
  found.messages = values('messages');
  found.time = figure('online').querySelector('.cursor').dataset.time;
  found.lines = all('.cursor').filter(one => !one.hidden).length === all('.pad').length;
  point('messages', 'pointerleave', 0.5);
  found.after = values('online');
"#,
    );
    // The middle of a run of 90 s.
    assert_eq!(found["time"], "0:45", "{found}");
    assert_eq!(found["online"], serde_json::json!(["1,000", "1,000"]), "{found}");
    assert_eq!(found["messages"], serde_json::json!(["400/s", "400/s"]), "{found}");
    assert_eq!((&found["before"], &found["lines"]), (&found["after"], &true.into()), "{found}");
    assert_eq!(found["before"], serde_json::json!(["", ""]), "{found}");
}

#[test]
fn dragging_zooms_all_charts_and_escape_resets() {
    let folder = tempfile::tempdir().unwrap();
    let found = driven(
        folder.path(),
        &report::html(&sample::pass()).unwrap(),
        r#"
  const start = [line('messages', 'achieved'), ticks('messages')];
  point('online', 'pointerdown', 0.5);
  point('online', 'pointermove', 0.7);
  found.selection = pad('online').querySelector('.selection').hidden;
  point('online', 'pointerup', 0.7);
  found.shown = inner.querySelector('.shown').textContent;
  found.ticks = ticks('messages');
  // "evening peak" begins at 60 s; "steady" began before the range.
  found.phases = [...figure('headline').querySelectorAll('svg.wide text[data-until]')]
    .filter(text => text.getClientRects().length > 0).map(text => text.textContent);
  found.moved = line('messages', 'achieved') !== start[0];
  press('online', 'Escape');
  found.restored = line('messages', 'achieved') === start[0] && String(ticks('messages')) === String(start[1]);
  found.all = inner.querySelector('.shown').textContent;
"#,
    );
    // From 45 s to 63 s of 90 s.
    assert_eq!(found["shown"], "Shown: 0:45.0 to 1:03.0", "{found}");
    let ticks: Vec<&str> =
        found["ticks"].as_array().unwrap().iter().map(|tick| tick.as_str().unwrap()).collect();
    assert!(ticks.len() > 3 && ticks.iter().all(|tick| ("0:45"..="1:03").contains(tick)), "{found}");
    assert_eq!(found["phases"], serde_json::json!(["steady", "evening peak"]), "{found}");
    for key in ["moved", "restored"] {
        assert_eq!(found[key], true, "{key}: {found}");
    }
    assert_eq!((&found["selection"], &found["all"]), (&false.into(), &"Shown: the whole run".into()));
}

#[test]
fn keyboard_moves_the_cursor_and_zooms() {
    let folder = tempfile::tempdir().unwrap();
    let found = driven(
        folder.path(),
        &report::html(&sample::pass()).unwrap(),
        r#"
  press('cpu', 'Home');
  found.first = pad('cpu').getAttribute('aria-valuenow');
  press('cpu', 'ArrowRight');
  press('cpu', 'ArrowRight');
  found.second = pad('cpu').getAttribute('aria-valuenow');
  found.text = pad('online').getAttribute('aria-valuetext');
  press('cpu', '+');
  found.zoomed = inner.querySelector('.shown').textContent;
  press('cpu', 'Escape');
  found.reset = inner.querySelector('.shown').textContent;
  press('cpu', 'End');
  found.end = pad('cpu').getAttribute('aria-valuenow');
  found.focusable = all('.pad').every(one => one.tabIndex === 0 && one.getAttribute('role') === 'slider');
"#,
    );
    assert_eq!(
        (&found["first"], &found["second"], &found["end"]),
        (&"0".into(), &"2".into(), &"90".into()),
        "{found}"
    );
    assert!(found["text"].as_str().unwrap().starts_with("0:02, online 100, planned 100"), "{found}");
    assert!(found["zoomed"].as_str().unwrap().starts_with("Shown: 0:0"), "{found}");
    assert_eq!(
        (&found["reset"], &found["focusable"]),
        (&"Shown: the whole run".into(), &true.into()),
        "{found}"
    );
}

#[test]
fn legend_switches_series_off_and_on() {
    let folder = tempfile::tempdir().unwrap();
    let found = driven(
        folder.path(),
        &report::html(&sample::pass()).unwrap(),
        r#"
  const button = figure('messages').querySelector('button.key[data-key="offered"]');
  const drawn = () => figure('messages').querySelector('svg.wide [data-series="offered"]').getClientRects().length > 0;
  found.states = [[button.getAttribute('aria-pressed'), drawn()]];
  for (let n = 0; n < 2; n += 1) {
    button.click();
    found.states.push([button.getAttribute('aria-pressed'), drawn()]);
  }
  found.beside = button.nextElementSibling.className === 'value' && button.parentElement.className === 'entry';
  found.others = figure('messages').querySelector('svg.wide [data-series="achieved"]').getClientRects().length > 0;
"#,
    );
    assert_eq!(
        found["states"],
        serde_json::json!([["true", true], ["false", false], ["true", true]]),
        "{found}"
    );
    assert_eq!((&found["others"], &found["beside"]), (&true.into(), &true.into()), "{found}");
}

/// The policy of the page admits its own script only, and a page without scripts has no controls.
#[test]
fn page_without_its_script_has_no_controls() {
    let folder = tempfile::tempdir().unwrap();
    let steps = r#"
  found.controls = all('button, .pad, .tools').length;
  found.charts = all('svg.chart').filter(svg => svg.getClientRects().length > 0).length;
  found.drawn = all('svg.chart.wide').length;
  found.keys = all('.key').length > 0;
  found.scripts = all('script:not([type])').length;
"#;
    let page = report::html(&sample::pass()).unwrap();
    let with = driven(folder.path(), &page, steps);
    assert!(with["controls"].as_u64().unwrap() > 10, "{with}");
    // Another script than the admitted one does not run.
    let changed = page.replacen("'use strict';", "'use strict' ;", 1);
    assert_ne!(changed, page);
    let without = driven(folder.path(), &changed, steps);
    assert_eq!(without["controls"], 0, "{without}");
    assert_eq!((&without["charts"], &without["keys"]), (&with["charts"], &true.into()), "{without}");
    let hostile = driven(folder.path(), &report::html(&sample::hostile()).unwrap(), steps);
    assert_eq!((&hostile["charts"], &hostile["scripts"]), (&hostile["drawn"], &1.into()), "{hostile}");
    assert!(hostile["drawn"].as_u64() > with["drawn"].as_u64(), "there are charts by fleet: {hostile}");
    assert!(hostile["controls"].as_u64().unwrap() > 10, "{hostile}");
}
