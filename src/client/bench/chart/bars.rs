//! Values side by side: a group for each thing, a bar in it for each rival.

use std::fmt::Write as _;

use super::axis::{Axis, Scale};
use super::{COLOURS, escape, legend, open, text};

/// A plot of bars that lie, so that what they are of has room beside them.
#[derive(Clone, Debug)]
pub struct Bars<'a> {
    /// Above it.
    pub title: &'a str,
    /// What the values are.
    pub scale: Scale,
    /// Whose they are, at most four.
    pub names: Vec<&'a str>,
    /// From top to bottom.
    pub groups: Vec<Group<'a>>,
}

/// One thing that was measured.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// What.
    pub name: &'a str,
    /// Of each of the names, where there is one.
    pub values: Vec<Option<f64>>,
}

const WIDTH: f64 = 640.0;
const LEFT: f64 = 200.0;
/// For the number behind a bar.
const RIGHT: f64 = 64.0;
const BAR: f64 = 13.0;
const GAP: f64 = 10.0;

impl Bars<'_> {
    /// The plot.
    pub fn svg(&self) -> String {
        let names: Vec<(&str, &str)> = self.names.iter().copied().zip(COLOURS).collect();
        let mut head = String::new();
        let mut at = legend(&mut head, &names, 8.0, 42.0, WIDTH - RIGHT);
        let bars: usize = self.groups.iter().map(|group| group.values.iter().flatten().count().max(1)).sum();
        let height = at + bars as f64 * BAR + self.groups.len() as f64 * GAP + 6.0;
        let values = self.groups.iter().flat_map(|group| group.values.iter().flatten().copied());
        let axis = Axis::new(self.scale, values, LEFT, WIDTH - RIGHT, 5.0);

        let mut svg = open(WIDTH, height, self.title);
        text(&mut svg, (8.0, 20.0), "start", "title", self.title);
        svg.push_str(&head);
        for group in &self.groups {
            let count = group.values.iter().flatten().count().max(1) as f64;
            let middle = at + count * BAR / 2.0 + 4.0;
            text(&mut svg, (LEFT - 8.0, middle), "end", "", group.name);
            let shown = group.values.iter().zip(self.names.iter().zip(COLOURS));
            for (value, (name, colour)) in shown {
                let Some(value) = value else { continue };
                let width = (axis.place(*value) - LEFT).max(1.0);
                let tip = format!("{}, {name}: {}", group.name, self.scale.show(*value));
                let _ = write!(
                    svg,
                    "<rect class=\"f{colour}\" x=\"{LEFT}\" y=\"{at:.1}\" width=\"{width:.1}\" height=\"{:.1}\" \
                     rx=\"2\"><title>{}</title></rect>",
                    BAR - 2.0,
                    escape(&tip)
                );
                let place = (LEFT + width + 5.0, at + BAR - 4.0);
                text(&mut svg, place, "start", "muted", &self.scale.show(*value));
                at += BAR;
            }
            if group.values.iter().all(Option::is_none) {
                at += BAR;
            }
            at += GAP;
        }
        svg.push_str("</svg>");
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_drawn_for_each_value_there_is() {
        let group = |name, values: &[Option<f64>]| Group { name, values: values.to_vec() };
        let svg = Bars {
            title: "CPU",
            scale: Scale::Micros,
            names: vec!["floe", "other"],
            groups: vec![
                group("up", &[Some(2.0), Some(4.5)]),
                group("tcp", &[Some(3.0), None]),
                group("none", &[None, None]),
            ],
        }
        .svg();
        assert_eq!(svg.matches("<title>").count(), 3);
        assert!(svg.contains("up, other: 4.5 µs") && svg.ends_with("</svg>"));
    }
}
