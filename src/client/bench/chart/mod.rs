//! Plots as SVG, with colours that follow the reader's light or dark scheme:
//! [`Lines`] over an axis, and [`Bars`] in groups.
//!
//! Written here because of those colours: `plotters` bakes each one in, and
//! `poloto`, which has style sheets, knows no logarithmic axis. Text and marks carry
//! classes, and [`STYLE`] gives them their look; [`standalone`] makes a file of its
//! own of a plot. Nothing is loaded from elsewhere, and no script runs.

mod axis;
mod bars;
mod lines;

use std::borrow::Cow;
use std::fmt::Write as _;

pub use axis::{Axis, Scale};
pub use bars::{Bars, Group};
pub use lines::{Line, Lines};

/// What the classes look like; for a page, or within a file.
pub const STYLE: &str = "\
svg{--ink:#1d2733;--muted:#5b6875;--grid:#dfe4ea;--a:#0b6bcb;--b:#c2410c;--c:#4d7c0f;--d:#7c3aed;\
font:12px system-ui,sans-serif}\
@media(prefers-color-scheme:dark){svg{--ink:#e6ebf1;--muted:#9aa7b5;--grid:#323c48;--a:#5aa9f5;--b:#fb923c;\
--c:#a3d65c;--d:#b79bfb}}\
svg text{fill:var(--ink)}svg .muted{fill:var(--muted)}svg .title{font-weight:600;font-size:14px}\
svg .grid{stroke:var(--grid);stroke-width:1}\
svg .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}svg .dashed{stroke-dasharray:5 5}\
svg .a{stroke:var(--a)}svg .b{stroke:var(--b)}svg .c{stroke:var(--c)}svg .d{stroke:var(--d)}\
svg .fa{fill:var(--a)}svg .fb{fill:var(--b)}svg .fc{fill:var(--c)}svg .fd{fill:var(--d)}";

/// Classes of the colours, in the order of the series.
const COLOURS: [&str; 4] = ["a", "b", "c", "d"];

/// A plot as a file of its own.
pub fn standalone(svg: &str) -> String {
    svg.replacen('>', &format!("><style>{STYLE}</style>"), 1)
}

/// Text between tags, or within quotes.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text.into();
    }
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped.into()
}

/// The beginning of a plot of that size; `says` is for who does not see it.
fn open(width: f64, height: f64, says: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
         aria-label=\"{}\">",
        escape(says)
    )
}

/// Text at a place; `anchor` is `start`, `middle` or `end`.
fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, class: &str, what: &str) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let _ = write!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{class}>{}</text>",
        escape(what)
    );
}

/// How wide a text is, about: there is nobody here who knows the font.
fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * 6.8
}

/// The names of the series, each with its colour, from `x` on; what does not fit
/// begins a new row. Returns where the next row would be.
fn legend(svg: &mut String, names: &[(&str, &str)], x: f64, y: f64, right: f64) -> f64 {
    let (mut at, mut row) = (x, y);
    for (name, class) in names {
        let width = 18.0 + width_of(name) + 14.0;
        if at > x && at + width > right {
            (at, row) = (x, row + 18.0);
        }
        let _ = write!(
            svg,
            "<rect class=\"f{class}\" x=\"{at:.1}\" y=\"{:.1}\" width=\"12\" height=\"4\" rx=\"2\"/>",
            row - 6.0
        );
        text(svg, (at + 18.0, row), "start", "muted", name);
        at += width;
    }
    row + 18.0
}
