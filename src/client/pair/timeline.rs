//! What happened, on which side, at which millisecond.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Events kept and shown; a far side that floods is cut off here.
const MAX_EVENTS: usize = 2_000;

/// Who an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The run as a whole: probe, adapter, metrics.
    Pair,
    /// The peer that makes the offer.
    Offer,
    /// The peer that answers it.
    Answer,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pair => "pair",
            Self::Offer => "offer",
            Self::Answer => "answer",
        })
    }
}

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Milliseconds since the run began.
    pub ms: u64,
    /// Whose event it is.
    pub side: Side,
    /// A word to look for: `candidate`, `gathering`, `ice`, `message`, …
    pub topic: &'static str,
    /// What happened; no control characters.
    pub text: String,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} ms  {:<6}  {:<10}  {}", self.ms, self.side, self.topic, self.text)
    }
}

/// A record of events that also tells a watcher of each as it happens. Clones
/// share the record.
#[derive(Clone)]
pub struct Timeline(Arc<Record>);

struct Record {
    start: Instant,
    events: Mutex<Vec<Event>>,
    watch: Box<dyn Fn(&Event) + Send + Sync>,
}

impl Timeline {
    /// Begins at zero milliseconds now.
    pub fn start(watch: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Record {
            start: Instant::now(),
            events: Mutex::new(Vec::new()),
            watch: Box::new(watch),
        }))
    }

    /// Adds an event now. `text` may hold what a far side sent: control
    /// characters are replaced.
    pub fn add(&self, side: Side, topic: &'static str, text: impl AsRef<str>) {
        let text = text.as_ref().replace(char::is_control, " ");
        let mut events = self.0.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() >= MAX_EVENTS {
            return;
        }
        let ms = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let event = Event { ms, side, topic, text };
        (self.0.watch)(&event);
        events.push(event);
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// All events so far, in order.
    pub fn events(&self) -> Vec<Event> {
        self.0.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_watcher_and_keeps_the_order() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let watched = Arc::clone(&seen);
        let timeline = Timeline::start(move |event| watched.lock().unwrap().push(event.clone()));
        timeline.add(Side::Offer, "gathering", "gathering");
        timeline.clone().add(Side::Answer, "ice", "checking");
        let events = timeline.events();
        assert_eq!(events, *seen.lock().unwrap());
        assert_eq!(events.iter().map(|event| event.topic).collect::<Vec<_>>(), ["gathering", "ice"]);
        assert!(events[0].ms <= events[1].ms);
    }

    #[test]
    fn a_line_is_aligned_and_holds_no_escape_sequence() {
        let timeline = Timeline::start(|_| {});
        timeline.add(Side::Answer, "candidate", "relay\u{1b}[2J\nudp");
        let mut event = timeline.events().remove(0);
        event.ms = 12;
        assert_eq!(event.to_string(), "    12 ms  answer  candidate   relay [2J udp");
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"ms": 12, "side": "answer", "topic": "candidate", "text": "relay [2J udp"})
        );
    }

    #[test]
    fn is_bounded() {
        let timeline = Timeline::start(|_| {});
        for _ in 0..MAX_EVENTS + 10 {
            timeline.add(Side::Pair, "x", "y");
        }
        assert_eq!(timeline.events().len(), MAX_EVENTS);
    }
}
