//! The colors of the page and its charts, by role, for light and dark schemes. Called by the charts and by `page`. Independent of
//! results.
//!
//! Charts contain the light colors as presentation attributes, so they are readable without a style sheet. [`css`] maps these
//! attributes to variables, which the dark scheme changes.

use std::fmt::Write as _;

/// A color, identified by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) struct Role {
    /// Name of the CSS variable, without the dashes.
    pub(in crate::report) name: &'static str,
    /// Color on a light page. It must be unique, because the style sheet selects chart elements by this color.
    pub(in crate::report) light: (u8, u8, u8),
    /// Color on a dark page.
    pub(in crate::report) dark: (u8, u8, u8),
}

const fn role(name: &'static str, light: (u8, u8, u8), dark: (u8, u8, u8)) -> Role {
    Role { name, light, dark }
}

/// Background of the page.
pub(in crate::report) const PAPER: Role = role("paper", (0xff, 0xff, 0xff), (0x12, 0x16, 0x1c));
/// Background of panels.
pub(in crate::report) const PANEL: Role = role("panel", (0xf6, 0xf7, 0xf9), (0x1a, 0x20, 0x28));
/// Text.
pub(in crate::report) const INK: Role = role("ink", (0x18, 0x1d, 0x25), (0xe6, 0xea, 0xf0));
/// Secondary text, axis labels.
pub(in crate::report) const MUTED: Role = role("muted", (0x55, 0x5f, 0x6e), (0x9c, 0xa8, 0xb8));
/// Rules and grid lines.
pub(in crate::report) const RULE: Role = role("rule", (0xd9, 0xde, 0xe5), (0x2f, 0x38, 0x44));
/// Every second phase band.
pub(in crate::report) const BAND: Role = role("band", (0xf1, 0xf4, 0xf8), (0x1b, 0x22, 0x2c));
/// First series.
pub(in crate::report) const FIRST: Role = role("first", (0x1d, 0x5f, 0xc4), (0x6c, 0xa8, 0xff));
/// Second series.
pub(in crate::report) const SECOND: Role = role("second", (0xb4, 0x53, 0x09), (0xf5, 0xa5, 0x4a));
/// Third series.
pub(in crate::report) const THIRD: Role = role("third", (0x7a, 0x2d, 0xb8), (0xc7, 0x93, 0xff));
/// Fourth series.
pub(in crate::report) const FOURTH: Role = role("fourth", (0x0b, 0x74, 0x6c), (0x4f, 0xd0, 0xc0));
/// Fifth series.
pub(in crate::report) const FIFTH: Role = role("fifth", (0xc0, 0x2e, 0x82), (0xff, 0x8a, 0xc8));
/// Planned or offered values, drawn dashed.
pub(in crate::report) const PLANNED: Role = role("planned", (0x6b, 0x75, 0x84), (0x93, 0x9f, 0xb0));
/// Pass.
pub(in crate::report) const GOOD: Role = role("good", (0x13, 0x6b, 0x3a), (0x5c, 0xc9, 0x8a));
/// Fail, errors.
pub(in crate::report) const BAD: Role = role("bad", (0xb0, 0x1e, 0x28), (0xff, 0x86, 0x86));
/// Invalid, warnings.
pub(in crate::report) const WARN: Role = role("warn", (0x85, 0x55, 0x00), (0xe9, 0xb9, 0x49));

const ALL: [Role; 15] =
    [PAPER, PANEL, INK, MUTED, RULE, BAND, FIRST, SECOND, THIRD, FOURTH, FIFTH, PLANNED, GOOD, BAD, WARN];

/// Returns the style sheet: variables for light and dark schemes, and rules that map chart elements to them.
pub(in crate::report) fn css() -> String {
    let mut css = String::new();
    let variables = |pick: fn(&Role) -> (u8, u8, u8)| {
        ALL.iter().fold(String::new(), |mut text, role| {
            let (red, green, blue) = pick(role);
            let _ = write!(text, "--{}:#{red:02x}{green:02x}{blue:02x};", role.name);
            text
        })
    };
    let light = variables(|role| role.light);
    let dark = variables(|role| role.dark);
    let _ = writeln!(css, ":root{{{light}}}");
    let _ = writeln!(css, "@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}");
    for role in ALL {
        let (red, green, blue) = role.light;
        for property in ["fill", "stroke"] {
            let _ = writeln!(
                css,
                ":is(.chart,.sample) [{property}=\"#{red:02X}{green:02X}{blue:02X}\"]{{{property}:var(--{})}}",
                role.name
            );
        }
    }
    css
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.2, "contrast ratio".
    fn contrast(a: (u8, u8, u8), b: (u8, u8, u8)) -> f64 {
        let luminance = |(red, green, blue): (u8, u8, u8)| {
            let channel = |value: u8| {
                let value = f64::from(value) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue)
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_and_lines_meet_contrast_aa() {
        for ground in [PAPER, PANEL, BAND] {
            for (front, least) in [
                (INK, 4.5),
                (MUTED, 4.5),
                (GOOD, 4.5),
                (BAD, 4.5),
                (WARN, 4.5),
                // Also the color of links.
                (FIRST, 4.5),
                (SECOND, 3.0),
                (THIRD, 3.0),
                (FOURTH, 3.0),
                (FIFTH, 3.0),
                (PLANNED, 3.0),
            ] {
                for (a, b) in [(front.light, ground.light), (front.dark, ground.dark)] {
                    let found = contrast(a, b);
                    assert!(found >= least, "{} on {}: {found:.2}", front.name, ground.name);
                }
            }
        }
    }

    #[test]
    fn no_two_roles_share_a_light_color() {
        for (i, role) in ALL.iter().enumerate() {
            assert!(ALL[i + 1..].iter().all(|other| other.light != role.light), "{}", role.name);
        }
    }
}
