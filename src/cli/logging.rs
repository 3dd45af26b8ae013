//! The log: to stderr, as text or JSON, through a bounded queue that loses lines
//! rather than make a shard wait for whoever reads them.
//!
//! The queue is a std channel and a thread. `tracing-appender` does the same,
//! but brings rolling files, `time` and a channel crate for these few lines, and
//! says nothing in the log itself about what it lost.

use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::Failure;
use crate::config::{Log, LogFormat};
use crate::server::LogLevel;

/// Lines that may wait to be written.
const QUEUE: usize = 8192;
/// How long the end of the program waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log of this process. When dropped, what is queued is written first.
pub(super) struct Logging {
    queue: Queue,
    written: Receiver<()>,
}

/// Begins logging, for the whole process and once. What is logged can be changed
/// by the second of the pair.
pub(super) fn start(log: &Log) -> Result<(Logging, Arc<dyn LogLevel>), Failure> {
    let filter = filter(&log.level).map_err(Failure::Wrong)?;
    let terminal = io::stderr().is_terminal();
    let (queue, logging) = lossy(io::stderr(), QUEUE)
        .map_err(|error| Failure::Failed(format!("cannot start the log's thread: {error}")))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(queue);
    let is_text = log.format == LogFormat::Text || (log.format == LogFormat::Auto && terminal);
    let (set, begun): (Set, _) = if is_text {
        let coloured = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let subscriber = subscriber.with_ansi(coloured).with_filter_reloading();
        let handle = subscriber.reload_handle();
        (Box::new(move |filter| handle.reload(filter)), subscriber.try_init())
    } else {
        let subscriber = subscriber.json().flatten_event(true).with_filter_reloading();
        let handle = subscriber.reload_handle();
        (Box::new(move |filter| handle.reload(filter)), subscriber.try_init())
    };
    begun.map_err(|error| Failure::Failed(format!("cannot start the log: {error}")))?;
    let level = Arc::new(Level { in_force: Mutex::new(log.level.clone()), set });
    Ok((logging, level))
}

fn filter(directives: &str) -> Result<EnvFilter, String> {
    let wrong = |error| format!("log.level: {directives:?} can't be read: {error}");
    EnvFilter::builder().parse(directives).map_err(wrong)
}

/// Puts another filter in place of the one in force.
type Set = Box<dyn Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send + Sync>;

/// What is logged by this process.
struct Level {
    in_force: Mutex<String>,
    set: Set,
}

impl LogLevel for Level {
    fn level(&self) -> String {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn check(&self, directives: &str) -> Result<(), String> {
        filter(directives).map(drop)
    }

    fn set(&self, directives: &str) -> Result<(), String> {
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        if *in_force != directives {
            (self.set)(filter(directives)?).map_err(|error| error.to_string())?;
            directives.clone_into(&mut in_force);
        }
        Ok(())
    }
}

/// Plain text to stderr, for a command that ends by itself and has no
/// configuration.
#[cfg(feature = "client")]
pub(super) fn plain(directives: &str) -> Result<(), Failure> {
    let filter = EnvFilter::builder()
        .parse(directives)
        .map_err(|error| Failure::Failed(format!("the log's directives can't be read: {error}")))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    subscriber.try_init().map_err(|error| Failure::Failed(format!("cannot start the log: {error}")))
}

impl Logging {
    /// Counts the lines that were lost.
    pub(super) fn lost(&self) -> Arc<AtomicU64> {
        self.queue.lost.clone()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let deadline = Instant::now() + LAST_LINES;
        while let Err(TrySendError::Full(_)) = self.queue.lines.try_send(Entry::End) {
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

enum Entry {
    Line(Box<[u8]>),
    End,
}

/// The end of the queue that lines are put in.
#[derive(Clone)]
struct Queue {
    lines: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
}

/// A queue of at most `bound` lines before `out`, and what ends it.
fn lossy(out: impl Write + Send + 'static, bound: usize) -> io::Result<(Queue, Logging)> {
    let (sender, entries) = sync_channel(bound);
    let (done, written) = sync_channel(1);
    let queue = Queue { lines: sender, lost: Arc::default() };
    let lost = queue.lost.clone();
    thread::Builder::new().name("log".to_owned()).spawn(move || {
        write_all(&entries, out, &lost);
        let _ = done.send(());
    })?;
    Ok((queue.clone(), Logging { queue, written }))
}

/// Writes lines until the end comes. A line that can't be written is lost too.
fn write_all(entries: &Receiver<Entry>, mut out: impl Write, lost: &AtomicU64) {
    let mut told = 0;
    while let Ok(Entry::Line(line)) = entries.recv() {
        if out.write_all(&line).is_err() {
            lost.fetch_add(1, Relaxed);
        }
        let now = lost.load(Relaxed);
        if now != told && writeln!(out, "floe: {} log lines were lost", now - told).is_ok() {
            told = now;
        }
    }
    let _ = out.flush();
}

/// Each event is written as one whole line.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Entry::Line(line.into())).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Queue {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Waits for a permit before each write.
    struct Slow {
        begun: std::sync::mpsc::Sender<()>,
        permits: Receiver<()>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.begun.send(());
            let _ = self.permits.recv();
            self.text.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_too_slow_loses_lines_and_is_told_how_many() {
        let (begun, has_begun) = channel();
        let (permit, permits) = channel();
        let text = Arc::new(Mutex::new(Vec::new()));
        let (mut queue, logging) = lossy(Slow { begun, permits, text: text.clone() }, 2).unwrap();
        queue.write_all(b"one\n").unwrap();
        has_begun.recv().unwrap();
        for line in ["two\n", "three\n", "four\n", "five\n"] {
            queue.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(logging.lost().load(Relaxed), 2);
        // From here on nothing holds the writer up.
        drop(permit);
        drop(logging);
        assert_eq!(
            String::from_utf8(text.lock().unwrap().clone()).unwrap(),
            "one\nfloe: 2 log lines were lost\ntwo\nthree\n"
        );
    }

    #[test]
    fn the_end_waits_for_what_is_queued() {
        let (begun, _has_begun) = channel();
        let (_, permits) = channel();
        let text = Arc::new(Mutex::new(Vec::new()));
        let (mut queue, logging) = lossy(Slow { begun, permits, text: text.clone() }, 100).unwrap();
        for _ in 0..100 {
            queue.write_all(b"x\n").unwrap();
        }
        let lost = logging.lost();
        drop(logging);
        assert_eq!(text.lock().unwrap().len(), 200);
        assert_eq!(lost.load(Relaxed), 0);
    }
}
