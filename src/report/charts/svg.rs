//! Writes the elements of a chart as SVG. Called by `figure`. Independent of the meaning of the shapes.
//!
//! Colors are presentation attributes, so that a chart is readable without a style sheet; [`theme`](super::theme) maps them to variables.

use super::theme::{self, Role};
use std::fmt::Write as _;

/// The pattern of a line, so that lines differ in more than their color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    /// Uninterrupted.
    #[default]
    Solid,
    /// Long dashes.
    Dashed,
    /// Dots.
    Dotted,
    /// A dash and a dot.
    DashDot,
}

impl Style {
    /// All patterns, from the plainest.
    pub(super) const ALL: [Style; 4] = [Style::Solid, Style::Dashed, Style::DashDot, Style::Dotted];

    /// Returns the attribute, with a leading space.
    fn attribute(self) -> &'static str {
        match self {
            Style::Solid => "",
            Style::Dashed => " stroke-dasharray=\"6 4\"",
            Style::Dotted => " stroke-dasharray=\"1.5 3.5\"",
            Style::DashDot => " stroke-dasharray=\"7 3 1.5 3\"",
        }
    }
}

/// The form of a single point, so that points differ in more than their color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A filled circle.
    Disc,
    /// A diagonal cross.
    Cross,
    /// An empty circle.
    Ring,
    /// A horizontal bar.
    Dash,
}

/// Half the size of a mark in CSS pixels.
const MARK: f64 = 3.5;

impl Mark {
    /// Returns the element that draws the mark.
    fn element(self, role: Role, (x, y): (f64, f64)) -> String {
        let (color, paper) = (hex(role), hex(theme::PAPER));
        let [left, right, top, bottom] = [x - MARK, x + MARK, y - MARK, y + MARK].map(number);
        let circle = format!("<circle cx=\"{}\" cy=\"{}\" r=\"{MARK}\"", number(x), number(y));
        match self {
            Mark::Disc => format!("{circle} fill=\"{color}\"/>"),
            Mark::Ring => format!("{circle} fill=\"{paper}\" stroke=\"{color}\" stroke-width=\"1.75\"/>"),
            Mark::Dash => {
                let y = number(y);
                format!(
                    "<path d=\"M{left},{y}H{right}\" stroke=\"{color}\" stroke-width=\"2.75\" fill=\"none\"/>"
                )
            }
            Mark::Cross => format!(
                "<path d=\"M{left},{top}L{right},{bottom}M{left},{bottom}L{right},{top}\" stroke=\"{color}\" stroke-width=\"2.25\" \
                 fill=\"none\"/>"
            ),
        }
    }
}

/// How a text is aligned to its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn attribute(self) -> &'static str {
        match self {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        }
    }
}

/// The content of an `<svg>` element.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    body: String,
}

impl Canvas {
    /// Opens a group with these attributes.
    pub(super) fn open(&mut self, attributes: &str) {
        let _ = writeln!(self.body, "<g {attributes}>");
    }

    /// Closes the last group.
    pub(super) fn close(&mut self) {
        self.body.push_str("</g>\n");
    }

    /// Draws a straight line of one pixel.
    pub(super) fn rule(&mut self, role: Role, from: (f64, f64), to: (f64, f64)) {
        let (from, to) = (pair(from), pair(to));
        let _ = writeln!(self.body, "<path d=\"M{from}L{to}\" stroke=\"{}\" fill=\"none\"/>", hex(role));
    }

    /// Draws the parts of a line; a part with a single point becomes a dot.
    pub(super) fn line(&mut self, (role, style, width): (Role, Style, f64), parts: &[Vec<(f64, f64)>]) {
        let mut path = String::new();
        for part in parts.iter().filter(|part| part.len() > 1) {
            for (n, point) in part.iter().enumerate() {
                path.push(if n == 0 { 'M' } else { 'L' });
                path.push_str(&pair(*point));
            }
        }
        let (color, dashes, cap) =
            (hex(role), style.attribute(), if style == Style::Solid { "round" } else { "butt" });
        if !path.is_empty() {
            let _ = writeln!(
                self.body,
                "<path class=\"line\" d=\"{path}\" stroke=\"{color}\" fill=\"none\" stroke-width=\"{}\" \
                 stroke-linejoin=\"round\" stroke-linecap=\"{cap}\"{dashes}/>",
                number(width)
            );
        }
        for part in parts {
            if let [(x, y)] = part.as_slice() {
                let (x, y) = (number(*x), number(*y));
                let _ = writeln!(self.body, "<circle cx=\"{x}\" cy=\"{y}\" r=\"2\" fill=\"{color}\"/>");
            }
        }
    }

    /// Draws single points.
    pub(super) fn marks(&mut self, role: Role, mark: Mark, points: &[(f64, f64)]) {
        for point in points {
            let _ = writeln!(self.body, "{}", mark.element(role, *point));
        }
    }

    /// Fills rectangles, each given by its left, top, right and bottom.
    pub(super) fn fill(&mut self, role: Role, opacity: Option<f64>, rectangles: &[[f64; 4]]) {
        let mut path = String::new();
        for [left, top, right, bottom] in rectangles {
            let _ = write!(
                path,
                "M{}H{}V{}H{}z",
                pair((*left, *top)),
                number(*right),
                number(*bottom),
                number(*left)
            );
        }
        if path.is_empty() {
            return;
        }
        let opacity = opacity.map(|opacity| format!(" fill-opacity=\"{opacity}\"")).unwrap_or_default();
        let _ = writeln!(self.body, "<path d=\"{path}\" fill=\"{}\"{opacity}/>", hex(role));
    }

    /// Draws text on its baseline.
    pub(super) fn text(&mut self, (role, font): (Role, f64), anchor: Anchor, at: (f64, f64), text: &str) {
        self.write_text((role, font), anchor, at, text, "");
    }

    /// Draws a text that belongs to the range from its position to `until`, which the script of the page reads.
    pub(super) fn text_until(&mut self, style: (Role, f64), at: (f64, f64), until: f64, text: &str) {
        self.write_text(style, Anchor::Start, at, text, &format!(" data-until=\"{}\"", number(until)));
    }

    /// Draws text with a rim in the color of the page, so that it is readable on lines.
    pub(super) fn text_on_lines(&mut self, style: (Role, f64), anchor: Anchor, at: (f64, f64), text: &str) {
        let rim = format!(" stroke=\"{}\" stroke-width=\"3\" paint-order=\"stroke\"", hex(theme::PAPER));
        self.write_text(style, anchor, at, text, &rim);
    }

    fn write_text(
        &mut self,
        (role, font): (Role, f64),
        anchor: Anchor,
        (x, y): (f64, f64),
        text: &str,
        more: &str,
    ) {
        if !text.is_empty() {
            let _ = writeln!(
                self.body,
                "<text x=\"{}\" y=\"{}\" font-size=\"{}\" font-family=\"sans-serif\" fill=\"{}\"{}{more}>{}</text>",
                number(x),
                number(y),
                number(font),
                hex(role),
                anchor.attribute(),
                escape(text)
            );
        }
    }

    /// Returns the elements.
    pub(super) fn finish(self) -> String {
        self.body
    }
}

/// Returns a small picture of a line for a legend.
pub(super) fn line_sample(role: Role, style: Style) -> String {
    sample(&format!(
        "<path d=\"M1,5H25\" stroke=\"{}\" stroke-width=\"2\" fill=\"none\"{}/>",
        hex(role),
        style.attribute()
    ))
}

/// Returns a small picture of a point for a legend.
pub(super) fn mark_sample(role: Role, mark: Mark) -> String {
    sample(&mark.element(role, (13.0, 5.0)))
}

/// Returns a small picture of a filled area for a legend.
pub(super) fn area_sample(role: Role, opacity: f64) -> String {
    sample(&format!("<path d=\"M1,0H25V10H1z\" fill=\"{}\" fill-opacity=\"{opacity}\"/>", hex(role)))
}

fn sample(content: &str) -> String {
    format!(
        "<svg class=\"sample\" viewBox=\"0 0 26 10\" width=\"26\" height=\"10\" aria-hidden=\"true\">{content}</svg>"
    )
}

/// Returns a color as an attribute's value. The style sheet selects elements by it.
pub(super) fn hex(role: Role) -> String {
    let (red, green, blue) = role.light;
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// Formats a coordinate with at most one decimal.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

fn pair((x, y): (f64, f64)) -> String {
    format!("{},{}", number(x), number(y))
}

/// Escapes text inside an element or a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_splits_a_line_and_a_single_point_is_a_dot() {
        let mut canvas = Canvas::default();
        let parts = [vec![(0.0, 1.0), (2.25, 3.0)], vec![(5.0, 5.0)], vec![(7.0, 1.0), (8.0, 1.0)]];
        canvas.line((theme::FIRST, Style::Dashed, 1.5), &parts);
        let svg = canvas.finish();
        assert!(svg.contains("d=\"M0,1L2.2,3M7,1L8,1\"") && svg.contains("stroke-dasharray"), "{svg}");
        assert!(svg.contains("<circle cx=\"5\" cy=\"5\""), "{svg}");
    }

    #[test]
    fn text_is_escaped() {
        let mut canvas = Canvas::default();
        canvas.text((theme::INK, 12.0), Anchor::End, (1.0, 2.0), "<a & \"b\">");
        assert!(canvas.finish().contains(">&lt;a &amp; &quot;b&quot;&gt;</text>"));
    }
}
