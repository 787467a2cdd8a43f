//! Stop strings: texts that end a reply, wherever tokens begin and end.

/// Searches a stream for stop strings, and holds back text that may be the beginning of one.
#[derive(Clone, Debug, Default)]
pub(super) struct Stops {
    stops: Vec<String>,
    pending: String,
}

impl Stops {
    /// Ends a reply before the first of these strings. Empty strings are ignored.
    pub fn new(stops: Vec<String>) -> Self {
        Self {
            stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(),
            pending: String::new(),
        }
    }

    /// Adds text. Returns the text that no stop string can contain, and whether the reply ends
    /// there.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        self.pending.push_str(text);
        if let Some(at) = self
            .stops
            .iter()
            .filter_map(|stop| self.pending.find(stop))
            .min()
        {
            self.pending.truncate(at);
            return (std::mem::take(&mut self.pending), true);
        }
        let may_begin = |at: usize| {
            self.stops
                .iter()
                .any(|stop| stop.starts_with(&self.pending[at..]))
        };
        let certain = self
            .pending
            .char_indices()
            .map(|(at, _)| at)
            .find(|&at| may_begin(at));
        let rest = self
            .pending
            .split_off(certain.unwrap_or(self.pending.len()));
        (std::mem::replace(&mut self.pending, rest), false)
    }

    /// The text that was held back, at the end of the stream.
    pub fn take_rest(&mut self) -> String {
        std::mem::take(&mut self.pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], chunks: &[&str]) -> (Vec<String>, bool) {
        let mut all = Stops::new(stops.iter().map(|&stop| stop.to_owned()).collect());
        let mut texts = Vec::new();
        for chunk in chunks {
            let (text, ends) = all.push(chunk);
            texts.push(text);
            if ends {
                return (texts, true);
            }
        }
        texts.push(all.take_rest());
        (texts, false)
    }

    #[test]
    fn stops_are_found_across_chunks() {
        assert_eq!(
            run(&["END"], &["a E", "N", "D b"]),
            (vec!["a ".into(), String::new(), String::new()], true)
        );
        assert_eq!(
            run(&["END"], &["a E", "X"]),
            (vec!["a ".into(), "EX".into(), String::new()], false)
        );
        assert_eq!(run(&["b", "ab"], &["xab"]), (vec!["x".into()], true));
        assert_eq!(
            run(&["éé"], &["aé", "é"]),
            (vec!["a".into(), String::new()], true)
        );
    }

    #[test]
    fn nothing_is_lost_without_a_stop() {
        assert_eq!(
            run(&[], &["a", "b"]),
            (vec!["a".into(), "b".into(), String::new()], false)
        );
        assert_eq!(run(&[""], &["a"]), (vec!["a".into(), String::new()], false));
        assert_eq!(
            run(&["END"], &["the E"]),
            (vec!["the ".into(), "E".into()], false)
        );
    }
}
