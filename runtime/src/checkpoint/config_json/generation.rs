//! `generation_config.json`: how tokens are chosen.

use super::Settings;
use crate::checkpoint::config_keys;
use crate::checkpoint::json_file::JsonFile;
use crate::gguf::Value;

/// The names of GGUF's sampling keys in `generation_config.json`.
const SAMPLING: [(&str, &str); 5] = [
    ("temperature", "general.sampling.temp"),
    ("top_k", "general.sampling.top_k"),
    ("top_p", "general.sampling.top_p"),
    ("min_p", "general.sampling.min_p"),
    ("repetition_penalty", "general.sampling.penalty_repeat"),
];

impl Settings {
    /// Reads `generation_config.json`: how tokens are chosen.
    pub(in crate::checkpoint) fn generation(&mut self, file: &JsonFile) {
        const TEMPERATURE: &str = "general.sampling.temp";
        let ignored = file
            .root
            .iter()
            .filter(|(key, value)| config_keys::changes_choice(key, value));
        let ignored: Vec<&str> = ignored.map(|(key, _)| key.as_str()).collect();
        if !ignored.is_empty() {
            self.notes.push(format!(
                "{}: not supported, and ignored when tokens are chosen: {}",
                file.name,
                ignored.join(", ")
            ));
        }
        match file.bool("do_sample") {
            Ok(Some(false)) => self.insert(TEMPERATURE, file, "do_sample", Value::F64(0.0)),
            Ok(_) => {}
            Err(error) => {
                self.metadata
                    .set_origin(TEMPERATURE, &file.name, "do_sample");
                self.metadata.set_unusable(TEMPERATURE, error);
                return self.sampling(file, &SAMPLING[1..]);
            }
        }
        self.sampling(file, &SAMPLING);
    }

    fn sampling(&mut self, file: &JsonFile, keys: &[(&str, &str)]) {
        for (key, ours) in keys {
            let whole = *key == "top_k";
            let number = file.get(key, "a number", |value| {
                match (value.as_u64(), value.as_f64()?) {
                    (Some(count), _) if whole => Some(Value::U64(count)),
                    // -1 is how other tools write that all tokens stay.
                    (None, -1.0) if whole => Some(Value::U64(0)),
                    (_, number) => Some(Value::F64(number)),
                }
            });
            self.take(ours, file, key, number);
        }
    }
}
