//! Texts that end a reply.

/// Looks for texts that end a reply, and holds back what may be the beginning of one.
#[derive(Clone, Debug, Default)]
pub struct Stops {
    stops: Vec<String>,
    held: String,
}

impl Stops {
    /// Ends a reply before the first of these; empty ones are none.
    pub fn new(stops: Vec<String>) -> Self {
        Self {
            stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(),
            held: String::new(),
        }
    }

    /// Takes the next piece. Returns the text that is certain by now, and whether the reply ends
    /// with it.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        if let Some(at) = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop))
            .min()
        {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let may_begin = |at: usize| {
            self.stops
                .iter()
                .any(|stop| stop.starts_with(&self.held[at..]))
        };
        let certain = self
            .held
            .char_indices()
            .map(|(at, _)| at)
            .find(|&at| may_begin(at));
        let rest = self.held.split_off(certain.unwrap_or(self.held.len()));
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back, once nothing follows any more.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let mut all = Stops::new(stops.iter().map(|&stop| stop.to_owned()).collect());
        let mut texts = Vec::new();
        for piece in pieces {
            let (text, ends) = all.push(piece);
            texts.push(text);
            if ends {
                return (texts, true);
            }
        }
        texts.push(all.finish());
        (texts, false)
    }

    #[test]
    fn stops_are_found_across_pieces() {
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
