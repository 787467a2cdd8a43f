//! Parameters of a conversation, which `/set` changes and `/show` lists.

use std::str::FromStr as _;

use godwit::{ContextSize, Error, Sampling};

use super::Chat;
use crate::args::{ChatArgs, most_tokens, seed};
use crate::load;
use crate::output::{note, shown};
use crate::stop::Stop;

/// A parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parameter {
    Temperature,
    TopK,
    TopP,
    MinP,
    RepetitionPenalty,
    PresencePenalty,
    FrequencyPenalty,
    Seed,
    Tokens,
    Stop,
    Context,
    System,
    Verbose,
    Plain,
}

/// A parameter as a person knows it.
struct Setting {
    parameter: Parameter,
    /// The first is the one that is shown; the others are those of other tools.
    names: &'static [&'static str],
    /// What it is set to.
    value: &'static str,
}

const fn setting(
    parameter: Parameter,
    names: &'static [&'static str],
    value: &'static str,
) -> Setting {
    Setting {
        parameter,
        names,
        value,
    }
}

const SETTINGS: [Setting; 14] = [
    setting(
        Parameter::Temperature,
        &["temperature", "temp"],
        "a number; 0 takes the most likely token",
    ),
    setting(Parameter::TopK, &["top_k"], "a whole number; 0: all tokens"),
    setting(Parameter::TopP, &["top_p"], "a number up to 1"),
    setting(Parameter::MinP, &["min_p"], "a number from 0 to 1"),
    setting(
        Parameter::RepetitionPenalty,
        &["repetition_penalty", "repeat_penalty"],
        "a number; 1: none",
    ),
    setting(
        Parameter::PresencePenalty,
        &["presence_penalty"],
        "a number; 0: none",
    ),
    setting(
        Parameter::FrequencyPenalty,
        &["frequency_penalty"],
        "a number; 0: none",
    ),
    setting(Parameter::Seed, &["seed"], "a whole number; -1: any"),
    setting(
        Parameter::Tokens,
        &["tokens", "num_predict", "max_tokens"],
        "the most tokens of an answer; -1: to the end of the turn",
    ),
    setting(
        Parameter::Stop,
        &["stop"],
        "a text that ends answers; - removes all",
    ),
    setting(
        Parameter::Context,
        &["context", "num_ctx"],
        "tokens, such as 8192 or 32k",
    ),
    setting(
        Parameter::System,
        &["system"],
        "the system message; - removes it",
    ),
    setting(Parameter::Verbose, &["verbose"], "on or off: timings"),
    setting(
        Parameter::Plain,
        &["plain"],
        "on or off: answers as they are",
    ),
];

/// The names of all parameters.
pub fn names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.names[0])
}

/// What a parameter is set to, for a hint.
pub fn value_of(name: &str) -> Option<&'static str> {
    find(name).map(|setting| setting.value)
}

fn find(name: &str) -> Option<&'static Setting> {
    let name = name.to_lowercase().replace('-', "_");
    SETTINGS
        .iter()
        .find(|setting| setting.names.contains(&&*name))
}

/// All parameters and their values, a line each.
pub fn list(chat: &Chat<'_>) -> String {
    let lines = SETTINGS.iter().map(|setting| {
        let value = value(chat, setting.parameter);
        format!("{:<20} {}", setting.names[0], shown(&value))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn value(chat: &Chat<'_>, parameter: Parameter) -> String {
    let sampling = &chat.sampling;
    let on = |is_on: bool| if is_on { "on" } else { "off" }.to_owned();
    match parameter {
        Parameter::Temperature => sampling.temperature.to_string(),
        Parameter::TopK => sampling.top_k.to_string(),
        Parameter::TopP => sampling.top_p.to_string(),
        Parameter::MinP => sampling.min_p.to_string(),
        Parameter::RepetitionPenalty => sampling.repetition_penalty.to_string(),
        Parameter::PresencePenalty => sampling.presence_penalty.to_string(),
        Parameter::FrequencyPenalty => sampling.frequency_penalty.to_string(),
        Parameter::Seed => sampling.seed.to_string(),
        Parameter::Tokens if chat.tokens == usize::MAX => "-1 (to the end of the turn)".into(),
        Parameter::Tokens => chat.tokens.to_string(),
        Parameter::Stop if chat.stops.is_empty() => "-".into(),
        Parameter::Stop => format!("{:?}", chat.stops),
        Parameter::Context => format!(
            "{} ({} used)",
            chat.session.context(),
            chat.session.tokens().len()
        ),
        Parameter::System => chat.system_message().unwrap_or("-").to_owned(),
        Parameter::Verbose => on(chat.is_verbose),
        Parameter::Plain => on(chat.is_plain),
    }
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("`{}` is no such number", shown(value)))
}

fn switch(value: &str) -> Result<bool, String> {
    match value.to_lowercase().as_str() {
        "on" | "true" | "1" | "yes" => Ok(true),
        "off" | "false" | "0" | "no" => Ok(false),
        _ => Err(format!("`{}` is neither on nor off", shown(value))),
    }
}

/// Sampling with one parameter changed; none where the parameter is another one.
fn sampled(of: &Sampling, parameter: Parameter, value: &str) -> Result<Option<Sampling>, String> {
    let of = of.clone();
    Ok(Some(match parameter {
        Parameter::Temperature => of.temperature(number(value)?),
        Parameter::TopK => of.top_k(number(value)?),
        Parameter::TopP => of.top_p(number(value)?),
        Parameter::MinP => of.min_p(number(value)?),
        Parameter::RepetitionPenalty => of.repetition_penalty(number(value)?),
        Parameter::PresencePenalty => of.presence_penalty(number(value)?),
        Parameter::FrequencyPenalty => of.frequency_penalty(number(value)?),
        Parameter::Seed => of.seed(seed(value)?),
        _ => return Ok(None),
    }))
}

impl Chat<'_> {
    /// Sets a parameter. Without a value, shows it; without a name, shows all.
    pub(super) async fn set(
        &mut self,
        rest: &str,
        args: &ChatArgs,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let words = |text: &str| -> (String, String) {
            let (name, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            (name.to_owned(), value.trim().to_owned())
        };
        let (mut name, mut value) = words(rest);
        // As another tool has it.
        if name == "parameter" {
            (name, value) = words(&value);
        }
        if name.is_empty() {
            note(&list(self));
            return Ok(());
        }
        let Some(setting) = find(&name) else {
            let all: Vec<_> = names().collect();
            note(&format!(
                "error: there is no parameter {}; there are: {}",
                shown(&name),
                all.join(", ")
            ));
            return Ok(());
        };
        if value.is_empty() {
            let now = self::value(self, setting.parameter);
            note(&format!(
                "{} is {}; it is set to {}",
                setting.names[0],
                shown(&now),
                setting.value
            ));
            return Ok(());
        }
        let changed = match setting.parameter {
            Parameter::Context => return self.set_context(&value, args, stop).await,
            parameter => self.set_value(parameter, &value),
        };
        match changed {
            Ok(()) if setting.parameter == Parameter::System => {}
            Ok(()) => note(&format!(
                "{} is {} now.",
                setting.names[0],
                shown(&self::value(self, setting.parameter))
            )),
            Err(error) => note(&format!(
                "error: {}: {error}; it is set to {}",
                setting.names[0], setting.value
            )),
        }
        Ok(())
    }

    fn set_value(&mut self, parameter: Parameter, value: &str) -> Result<(), String> {
        if let Some(sampling) = sampled(&self.sampling, parameter, value)? {
            let vocab = self.session.engine().model().config().vocab;
            sampling
                .validate(vocab)
                .map_err(|error| error.to_string())?;
            self.sampling = sampling;
            return Ok(());
        }
        match parameter {
            Parameter::Tokens => self.tokens = most_tokens(value)?,
            Parameter::Stop if value == "-" => self.stops.clear(),
            Parameter::Stop => self.stops.push(value.trim_matches('"').to_owned()),
            Parameter::Verbose => self.is_verbose = switch(value)?,
            Parameter::Plain => self.is_plain = switch(value)?,
            Parameter::System => note(&self.system(value)),
            _ => {}
        }
        Ok(())
    }

    /// Loads the model anew with another context. Where that fails, the chat goes on with the
    /// context that it has.
    async fn set_context(
        &mut self,
        value: &str,
        args: &ChatArgs,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let size = match ContextSize::from_str(value) {
            Ok(size) => size,
            Err(error) => {
                note(&format!("error: {error}"));
                return Ok(());
            }
        };
        let mut model_args = args.model.clone();
        model_args.context = Some(size);
        let engine = self.session.engine().clone();
        let loaded = async {
            let engine = load::reload(&engine, &model_args, stop).await?;
            let draft = load::draft(&args.speculation, &model_args, &engine, stop).await?;
            let session = engine.session().await?;
            anyhow::Ok((session, draft))
        };
        match loaded.await {
            Ok((session, draft)) => {
                self.session = session;
                self.draft = draft;
                note(&format!(
                    "The context is {} tokens now; the conversation is read again with the next \
                     message.",
                    self.session.context()
                ));
                Ok(())
            }
            Err(error) if stop.terminated() => Err(error),
            Err(error) => {
                let more = match error.downcast_ref() {
                    Some(Error::Gpu(error)) if error.is_out_of_memory() => {
                        "; start the chat with --context instead"
                    }
                    _ => "",
                };
                note(&format!(
                    "error: {error:#}{more}. The context stays {} tokens.",
                    self.session.context()
                ));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_and_parsed() {
        for name in ["temperature", "temp", "Top-K", "num_ctx", "repeat_penalty"] {
            assert!(find(name).is_some(), "{name}");
        }
        assert!(find("colour").is_none());
        let sampling = Sampling::default();
        let set = |parameter, value| sampled(&sampling, parameter, value);
        let changed = set(Parameter::TopK, "40").expect("a number");
        assert_eq!(changed.map(|s| s.top_k), Some(40));
        for (parameter, value) in [
            (Parameter::TopK, "-1"),
            (Parameter::Temperature, "warm"),
            (Parameter::Seed, "x"),
        ] {
            assert!(set(parameter, value).is_err(), "{value}");
        }
        assert!(set(Parameter::Seed, "-1").is_ok());
        assert_eq!(set(Parameter::Verbose, "on"), Ok(None));
        assert!(switch("on") == Ok(true) && switch("maybe").is_err());
    }
}
