//! From values to places, and which values are written beside.

use crate::client::bench::units::{count, micros, show_percent};

/// What an axis shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// Numbers from 0.
    Count,
    /// Bytes from 0.
    Bytes,
    /// Seconds from 0.
    Seconds,
    /// Percent from 0.
    Percent,
    /// Microseconds, logarithmic.
    Latency,
    /// Microseconds from 0.
    Micros,
    /// Ratios to 1, from 0.
    Ratio,
}

impl Scale {
    fn is_logarithmic(self) -> bool {
        self == Self::Latency
    }

    /// A value as a reader has it.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Count => count(value),
            Self::Bytes => format!("{}B", count(value)),
            Self::Seconds => format!("{} s", count(value)),
            Self::Percent => show_percent(value),
            Self::Latency | Self::Micros => micros(value),
            Self::Ratio => format!("{value:.2}"),
        }
    }

    /// The same beside an axis, where digits that say nothing are left out.
    fn tick(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{}%", count(value)),
            Self::Micros => format!("{} µs", count(value)),
            Self::Latency => micros(value).replace(".0 ", " "),
            Self::Ratio => count(value),
            _ => self.show(value),
        }
    }
}

/// One axis, with its values between two places.
#[derive(Clone, Debug)]
pub struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    step: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Of these values, from the place `from` to the place `to`, with about so
    /// many ticks.
    pub fn new(scale: Scale, values: impl Iterator<Item = f64>, from: f64, to: f64, ticks: f64) -> Self {
        let values = values.filter(|value| value.is_finite());
        let (mut least, mut most) =
            values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        if scale.is_logarithmic() {
            least = least.clamp(0.1, 1e12);
            most = most.max(least * 1.001);
            let (low, high) = (least.log10().floor(), most.log10().ceil());
            return Self { scale, low, high: high.max(low + 1.0), step: 1.0, from, to };
        }
        if most <= 0.0 {
            most = 1.0;
        }
        let step = nice(most / ticks);
        Self { scale, low: 0.0, high: (most / step).ceil() * step, step, from, to }
    }

    /// Where a value lies.
    pub fn place(&self, value: f64) -> f64 {
        let value = if self.scale.is_logarithmic() { value.max(1e-3).log10() } else { value };
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + part * (self.to - self.from)
    }

    /// Places and what is written there.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let steps = ((self.high - self.low) / self.step).round() as usize;
        let values = (0..=steps).map(|i| self.low + i as f64 * self.step);
        let values = values.map(|value| if self.scale.is_logarithmic() { 10_f64.powf(value) } else { value });
        values.map(|value| (self.place(value), self.scale.tick(value))).collect()
    }

    /// See [`Scale::show`].
    pub fn show(&self, value: f64) -> String {
        self.scale.show(value)
    }
}

/// 1, 2 or 5 and zeros, not below this.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let digit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * power >= step * 0.999_999);
    digit.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(scale: Scale, values: &[f64]) -> Vec<String> {
        let axis = Axis::new(scale, values.iter().copied(), 0.0, 100.0, 5.0);
        axis.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_numbers_that_hold_all_values() {
        assert_eq!(ticks(Scale::Count, &[3.0, 43_000.0]), ["0", "10k", "20k", "30k", "40k", "50k"]);
        assert_eq!(ticks(Scale::Percent, &[0.4]), ["0%", "0.1%", "0.2%", "0.3%", "0.4%"]);
        assert_eq!(ticks(Scale::Latency, &[48.0, 3_000.0]), ["10 µs", "100 µs", "1 ms", "10 ms"]);
        // Nothing at all, zeros, and what no axis has room for.
        for values in [&[][..], &[0.0], &[f64::NAN, f64::INFINITY]] {
            assert_eq!(ticks(Scale::Seconds, values).first().map(String::as_str), Some("0 s"));
            assert!(ticks(Scale::Latency, values).len() >= 2);
        }
    }

    #[test]
    fn places_lie_on_the_axis() {
        let axis = Axis::new(Scale::Count, [10.0].into_iter(), 200.0, 100.0, 5.0);
        assert_eq!([0.0, 5.0, 10.0, 99.0].map(|value| axis.place(value)), [200.0, 150.0, 100.0, 100.0]);
        let axis = Axis::new(Scale::Latency, [1.0, 10_000.0].into_iter(), 0.0, 4.0, 5.0);
        assert_eq!([1.0, 100.0, 0.0].map(|value| axis.place(value).round()), [0.0, 2.0, 0.0]);
    }
}
