//! The lines of a `turnserver.conf`, read as coturn reads them: one key a line,
//! any run of blanks and `=` behind it, then the rest of the line as its value;
//! optional double quotes; `#` only at the start of a line.

/// One line that says something.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    /// As written, without the blanks around it.
    pub(super) text: &'a str,
    /// Lower case names are the only ones there are.
    pub(super) key: &'a str,
    /// Empty when there is none, which means "yes" to a switch.
    pub(super) value: &'a str,
}

impl Line<'_> {
    /// A switch's value; coturn takes the first letter for the whole.
    pub(super) fn on(&self) -> bool {
        let value = self.value.to_ascii_lowercase();
        !(value.starts_with(['0', 'n', 'f']) || value == "off")
    }

    /// Nothing but "no", for a key that may take any text: `proc-user=nobody` is not.
    pub(super) fn says_off(&self) -> bool {
        matches!(&*self.value.to_ascii_lowercase(), "0" | "n" | "no" | "f" | "false" | "off")
    }
}

/// All of them, in order.
#[derive(Debug)]
pub(super) struct Lines<'a>(Vec<Line<'a>>);

impl<'a> Lines<'a> {
    pub(super) fn read(text: &'a str) -> Self {
        let line = |(index, text): (usize, &'a str)| {
            let text = text.trim().trim_start_matches('\u{feff}');
            if text.is_empty() || text.starts_with('#') {
                return None;
            }
            let end = text.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(text.len());
            let (key, rest) = text.split_at(end);
            let rest = rest.trim_start_matches(|c: char| c == '=' || c.is_whitespace());
            let key = key.trim_start_matches('-');
            Some(Line { number: index + 1, text, key, value: unquoted(rest) })
        };
        Self(text.lines().enumerate().filter_map(line).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Line<'a>> {
        self.0.iter()
    }

    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &Line<'a>> {
        self.0.iter().filter(move |line| line.key == key)
    }

    /// Of several lines of a key that takes one value, coturn keeps the last.
    pub(super) fn last(&self, key: &str) -> Option<&Line<'a>> {
        self.0.iter().rfind(|line| line.key == key)
    }

    /// A switch that is there and not off.
    pub(super) fn on(&self, key: &str) -> bool {
        self.last(key).is_some_and(Line::on)
    }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value)
}
