//! Conversations beside the one that is talked in: `/fork`, `/forks`, `/switch`.

use godwit::Message;

use crate::output::shown;

/// The name of the conversation that a chat begins with.
const FIRST: &str = "main";
/// Characters of a question that a list shows.
const MOST_SHOWN: usize = 40;
/// The longest name, in characters.
const LONGEST: usize = 40;

/// The conversations of a chat. The current one's messages are the caller's.
pub struct Forks {
    /// The name of the current conversation.
    pub current: String,
    /// The others, the oldest first.
    others: Vec<(String, Vec<Message>)>,
}

impl Default for Forks {
    fn default() -> Self {
        Self {
            current: FIRST.into(),
            others: Vec::new(),
        }
    }
}

impl Forks {
    /// Keeps the conversation as it is, and makes a copy of it the current one. Without a name the
    /// copy gets a number. Returns the name of the one that is kept.
    ///
    /// # Errors
    /// There is a conversation of that name, or it is no name.
    pub fn fork(&mut self, name: &str, messages: &[Message]) -> Result<String, String> {
        if name.contains(char::is_whitespace) || name.chars().count() > LONGEST {
            return Err(format!(
                "a name is one word of at most {LONGEST} characters: /fork NAME"
            ));
        }
        if self.has(name) {
            return Err(format!(
                "there is a conversation {} already; give another name, or /switch to it",
                shown(name)
            ));
        }
        let name = match name {
            "" => (2..)
                .map(|number| number.to_string())
                .find(|name| !self.has(name)),
            name => Some(shown(name)),
        };
        let from = std::mem::replace(&mut self.current, name.unwrap_or_default());
        self.others.push((from.clone(), messages.to_vec()));
        Ok(from)
    }

    /// The names of all conversations.
    pub fn names(&self) -> Vec<String> {
        let others = self.others.iter().map(|(name, _)| name.clone());
        others.chain([self.current.clone()]).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.current == name || self.others.iter().any(|(other, _)| other == name)
    }

    /// Makes another conversation the current one. `messages` are exchanged for its own.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn switch(&mut self, name: &str, messages: &mut Vec<Message>) -> Result<(), String> {
        if name == self.current {
            return Ok(());
        }
        let names = || {
            let others = self.others.iter().map(|(other, _)| &**other);
            let names: Vec<&str> = others.chain([&*self.current]).collect();
            names.join(", ")
        };
        match self.others.iter().position(|(other, _)| other == name) {
            Some(at) => {
                let (name, own) = self.others.remove(at);
                let left = std::mem::replace(messages, own);
                let left_name = std::mem::replace(&mut self.current, name);
                self.others.push((left_name, left));
                Ok(())
            }
            None if name.is_empty() => Err(format!("/switch needs a name: {}", names())),
            None => Err(format!(
                "there is no conversation {}; there are: {}",
                shown(name),
                names()
            )),
        }
    }

    /// A line for each conversation; a star marks the current one. Conversations of one origin
    /// begin with the same words: each is shown by its last question.
    pub fn list(&self, messages: &[Message]) -> String {
        let line = |mark: char, name: &str, messages: &[Message]| {
            let question = messages.iter().rfind(|message| message.role == "user");
            let words = question.map_or_else(
                || "(no question)".into(),
                |question| first_words(&question.content),
            );
            format!("{mark} {name}: {} messages, {words}", messages.len())
        };
        let others = self.others.iter().map(|(name, own)| line(' ', name, own));
        let lines: Vec<_> = others.chain([line('*', &self.current, messages)]).collect();
        lines.join("\n")
    }
}

/// The beginning of a text, on one line.
pub fn first_words(text: &str) -> String {
    let text = shown(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    match text.char_indices().nth(MOST_SHOWN) {
        Some((at, _)) => format!("{}…", text[..at].trim_end()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversations_are_kept_apart() {
        let mut forks = Forks::default();
        let mut messages = vec![Message::user("a"), Message::assistant("b")];
        assert_eq!(forks.fork("", &messages), Ok("main".into()));
        assert_eq!(forks.current, "2");
        messages.push(Message::user(&*"long words ".repeat(20)));
        assert_eq!(forks.fork("x", &messages), Ok("2".into()));
        messages.clear();
        for (name, says) in [("x", "already"), ("main", "already"), ("a b", "one word")] {
            let error = forks.fork(name, &messages).expect_err("no name");
            assert!(error.contains(says), "{error}");
        }
        let list = forks.list(&messages);
        let lines: Vec<_> = list.lines().collect();
        assert_eq!(
            (lines[0], lines[2]),
            ("  main: 2 messages, a", "* x: 0 messages, (no question)")
        );
        assert!(lines[1].starts_with("  2: 3 messages, long words") && lines[1].ends_with('…'));
        assert_eq!(forks.switch("main", &mut messages), Ok(()));
        assert_eq!(messages.len(), 2);
        assert_eq!(forks.switch("main", &mut messages), Ok(()));
        assert_eq!(forks.switch("x", &mut messages), Ok(()));
        assert!(messages.is_empty());
        for name in ["", "y"] {
            let error = forks.switch(name, &mut messages).expect_err("none");
            assert!(error.contains("main") && error.contains("x"), "{error}");
        }
        assert_eq!(forks.fork("", &messages), Ok("x".into()));
        assert_eq!(forks.current, "3");
    }
}
