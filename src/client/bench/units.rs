//! Rates, durations and percentages as people write them, and numbers as they
//! read them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// How much is offered.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rate {
    /// So many a second.
    PerSecond(f64),
    /// As much as the generator can.
    Unlimited,
}

impl Rate {
    /// So many of it.
    pub(super) fn times(self, number: usize) -> Self {
        match self {
            Self::PerSecond(rate) => Self::PerSecond(rate * number as f64),
            Self::Unlimited => Self::Unlimited,
        }
    }
}

/// The highest rate that can be asked for.
const MAX_RATE: f64 = 100e6;

impl FromStr for Rate {
    type Err = String;

    /// `500`, `40k`, `1.5M`, `max`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Unlimited);
        }
        let (number, factor) = match text.strip_suffix(['k', 'K']) {
            Some(number) => (number, 1e3),
            None => text.strip_suffix('M').map_or((text, 1.0), |number| (number, 1e6)),
        };
        match number.parse::<f64>().map(|number| number * factor) {
            Ok(rate) if rate > 0.0 && rate <= MAX_RATE => Ok(Self::PerSecond(rate)),
            _ => Err(format!("{text:?} is no rate; write 500, 40k, 1.5M or max (a second)")),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerSecond(rate) => write!(f, "{}/s", count(*rate)),
            Self::Unlimited => f.write_str("without limit"),
        }
    }
}

/// A number a second, or null for no limit.
impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::PerSecond(rate) => serializer.serialize_some(rate),
            Self::Unlimited => serializer.serialize_none(),
        }
    }
}

/// The longest run: a week.
const MAX_DURATION: f64 = 7.0 * 86_400.0;

/// `10`, `0.5s`, `300ms`, `5m`, `2h`; seconds where no unit is.
///
/// # Errors
/// A sentence that says what to write.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = found.unwrap_or((text, 1.0));
    match number.parse::<f64>().map(|number| number * factor) {
        Ok(seconds) if (0.0..=MAX_DURATION).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("{text:?} is no duration; write 10s, 500ms, 5m or 2h (a week at most)")),
    }
}

/// `0.5` or `0.5%`.
///
/// # Errors
/// A sentence that says what to write.
pub fn percent(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%').unwrap_or(text).parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err(format!("{text:?} is no percentage; write 0.5 or 0.5%")),
    }
}

/// Three digits and a letter: `831`, `39.9k`, `1.24M`.
pub fn count(number: f64) -> String {
    let (scaled, unit) = match number.abs() {
        n if n >= 999.5e6 => (number / 1e9, "G"),
        n if n >= 999.5e3 => (number / 1e6, "M"),
        n if n >= 999.5 => (number / 1e3, "k"),
        _ => (number, ""),
    };
    let digits = match scaled.abs() {
        n if n >= 99.95 || (n.fract() == 0.0 && unit.is_empty()) => 0,
        n if n >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{scaled:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

/// Microseconds as a person reads them: `48 µs`, `1.2 ms`, `3.1 s`.
pub fn micros(micros: f64) -> String {
    match micros {
        m if m < 9.95 => format!("{m:.1} µs"),
        m if m < 999.5 => format!("{m:.0} µs"),
        m if m < 99_950.0 => format!("{:.1} ms", m / 1e3),
        m if m < 999_500.0 => format!("{:.0} ms", m / 1e3),
        m => format!("{:.1} s", m / 1e6),
    }
}

/// A percentage with as many digits as say something.
pub fn show_percent(percent: f64) -> String {
    match percent {
        0.0 => "0%".to_owned(),
        p if p < 0.001 => "<0.001%".to_owned(),
        p if p < 1.0 => format!("{p:.3}%"),
        p => format!("{p:.1}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_with_their_units() {
        for (text, rate) in [("500", 500.0), ("40k", 40e3), ("1.5M", 1.5e6), ("0.5", 0.5)] {
            assert_eq!(text.parse(), Ok(Rate::PerSecond(rate)));
        }
        assert_eq!("max".parse(), Ok(Rate::Unlimited));
        for text in ["", "0", "-1", "k", "nan", "inf", "1e99", "1kk", "fast"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations_and_percentages_are_read_with_their_units() {
        for (text, seconds) in [("10", 10.0), ("0.5s", 0.5), ("300ms", 0.3), ("5m", 300.0), ("2h", 7_200.0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "s", "-1s", "nan", "1d", "999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!((percent("0.5"), percent("1%")), (Ok(0.5), Ok(1.0)));
        assert!(percent("101").is_err() && percent("%").is_err());
    }

    #[test]
    fn numbers_are_shown_with_three_digits() {
        for (number, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (831.0, "831"),
            (999.9, "1k"),
            (39_900.0, "39.9k"),
            (40_000.0, "40k"),
            (1_240_000.0, "1.24M"),
            (100.0, "100"),
            (120_000.0, "120k"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(
            [micros(4.2), micros(48.4), micros(1_234.0), micros(3.1e6)],
            ["4.2 µs", "48 µs", "1.2 ms", "3.1 s"]
        );
        assert_eq!([show_percent(0.0), show_percent(0.01), show_percent(12.34)], ["0%", "0.010%", "12.3%"]);
    }
}
