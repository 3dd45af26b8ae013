//! The stories that wait, all at once.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};
use std::thread::{self, JoinHandle};

use crate::clock::Time;
use crate::{allocation, channel, data_connection, permission, reservation};

type Story = fn(Time);

const STORIES: [(&str, Story); 6] = [
    ("permission", permission::lasts_300_seconds),
    ("channel", channel::lasts_600_seconds),
    ("channel that keeps its permission", channel::keeps_its_permission),
    ("allocation", allocation::lasts_600_seconds),
    ("reservation", reservation::lasts_30_seconds),
    ("data connection", data_connection::waits_for_30_seconds),
];

/// Each in a thread, by name; all of them begin when one is asked for.
static BEGUN: LazyLock<Mutex<HashMap<&str, JoinHandle<()>>>> = LazyLock::new(|| {
    let begin = |(name, story): (_, Story)| {
        let thread = thread::Builder::new().name(format!("the story of a {name}"));
        (name, thread.spawn(move || story(Time::Real)).expect("a thread"))
    };
    Mutex::new(STORIES.map(begin).into())
});

/// Waits for the end of a story, and panics if that was an unhappy one.
pub(crate) fn finish(name: &str) {
    let story = BEGUN.lock().expect("nobody panics with it").remove(name).expect("one of the stories");
    if let Err(why) = story.join() {
        let text = why.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| why.downcast_ref::<&str>().copied());
        panic!("{}", text.unwrap_or("the story has panicked"));
    }
}
