//! Values over an axis: lines with a mark and a tip at each point.

use std::fmt::Write as _;

use super::axis::{Axis, Scale};
use super::{COLOURS, escape, legend, open, text};

/// A plot. It is as wide as a phone, so that its text can be read on one.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    /// Above it.
    pub title: &'a str,
    /// What is on the axis below, and its name.
    pub x: (Scale, &'a str),
    /// On the axis at the left.
    pub y: Scale,
    /// At most four.
    pub lines: Vec<Line<'a>>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// In the legend.
    pub name: &'a str,
    /// In the order of x.
    pub points: Vec<(f64, f64)>,
    /// Not a measurement: dashed, without marks.
    pub dashed: bool,
}

const WIDTH: f64 = 400.0;
const BOTTOM: f64 = 40.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const PLOT: f64 = 170.0;
/// With more points than this, marks would hide the line.
const MAX_MARKS: usize = 40;

impl Lines<'_> {
    /// The plot.
    pub fn svg(&self) -> String {
        let names: Vec<(&str, &str)> =
            self.lines.iter().zip(COLOURS).map(|(line, colour)| (line.name, colour)).collect();
        let mut head = String::new();
        let top = legend(&mut head, &names, LEFT, 42.0, WIDTH - RIGHT) - 4.0;
        let (floor, height) = (top + PLOT, top + PLOT + BOTTOM);

        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Axis::new(self.x.0, points().map(|point| point.0), LEFT, WIDTH - RIGHT, 5.0);
        let y = Axis::new(self.y, points().map(|point| point.1), floor, top, 5.0);

        let mut svg = open(WIDTH, height, self.title);
        text(&mut svg, (LEFT, 20.0), "start", "title", self.title);
        svg.push_str(&head);
        for (at, what) in y.ticks() {
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>",
                WIDTH - RIGHT
            );
            text(&mut svg, (LEFT - 6.0, at + 4.0), "end", "muted", &what);
        }
        for (at, what) in x.ticks() {
            text(&mut svg, (at, floor + 16.0), "middle", "muted", &what);
        }
        text(&mut svg, ((LEFT + WIDTH - RIGHT) / 2.0, height - 6.0), "middle", "muted", self.x.1);
        for (line, colour) in self.lines.iter().zip(COLOURS) {
            line.draw(&mut svg, colour, &x, &y);
        }
        svg.push_str("</svg>");
        svg
    }
}

impl Line<'_> {
    fn draw(&self, svg: &mut String, colour: &str, x: &Axis, y: &Axis) {
        let dashed = if self.dashed { " dashed" } else { "" };
        let _ = write!(svg, "<polyline class=\"line {colour}{dashed}\" points=\"");
        for (at, value) in &self.points {
            let _ = write!(svg, "{:.1},{:.1} ", x.place(*at), y.place(*value));
        }
        svg.push_str("\"/>");
        if self.dashed {
            return;
        }
        let radius = if self.points.len() > MAX_MARKS { 1.5 } else { 3.5 };
        for (at, value) in &self.points {
            let tip = format!("{}: {} at {}", self.name, y.show(*value), x.show(*at));
            let _ = write!(
                svg,
                "<circle class=\"f{colour}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\"><title>{}</title></circle>",
                x.place(*at),
                y.place(*value),
                escape(&tip)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_drawn_within_the_plot() {
        let line = |name, points| Line { name, points, dashed: false };
        let svg = Lines {
            title: "a < b & \"c\"",
            x: (Scale::Count, "offered"),
            y: Scale::Latency,
            lines: vec![
                line("p50", vec![(0.0, 1.0), (500.0, 40.0), (1_000.0, 1e9)]),
                Line { dashed: true, ..line("ideal", vec![(0.0, 1.0), (1_000.0, 2.0)]) },
            ],
        }
        .svg();
        assert_eq!(svg.matches("<circle").count(), 3);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("a &lt; b &amp; &quot;c&quot;") && svg.contains("p50: 40 µs at 500"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let nothing =
            Lines { title: "", x: (Scale::Seconds, ""), y: Scale::Count, lines: vec![line("x", vec![])] };
        assert!(nothing.svg().ends_with("</svg>"));
    }
}
