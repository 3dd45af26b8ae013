//! What goes on, on a terminal: crate `indicatif`, which finds out whether
//! standard error is one and redraws at a bounded rate (`pbr` does neither).

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::client::bench::Progress;
use crate::client::bench::units::count;

/// One line that is redrawn; nothing where there is no terminal.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{wide_bar:.cyan/dim} {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(super) fn show(&mut self, progress: Progress) {
        let (done, of, text) = match progress {
            Progress::Preparing { ready, clients } => {
                (ready as u64, clients as u64, format!("{ready} of {clients} clients ready"))
            }
            Progress::Running { rate, done, of, sent, arrived } => {
                let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                let left = of.saturating_sub(done).as_secs_f64().ceil();
                let text = format!(
                    "{rate}: {} sent, {} arrived, {left:.0} s left",
                    count(sent as f64),
                    count(arrived as f64)
                );
                (millis(done), millis(of), text)
            }
        };
        self.0.set_length(of);
        self.0.set_position(done);
        self.0.set_message(text);
    }

    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
