//! Filters, with jinja2's names and arguments; `tojson` is that of transformers.

use super::call::{Call, int, text, width};
use super::error::Error;
use super::interpreter::{Interpreter, check_depth};
use super::iterate::{Generator, Iter, Step};
use super::methods::split_lines;
use super::text::{capitalize, escape_html, is_space, parse_float, parse_int};
use super::value::{Text, Value};

const NAMES: [&str; 54] = [
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "items",
    "map",
    "min",
    "max",
    "pprint",
    "random",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "urlize",
    "wordcount",
    "wordwrap",
    "xmlattr",
    "tojson",
];

pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

impl Interpreter<'_> {
    pub fn filter(&mut self, name: &str, value: Value, call: Call) -> Result<Value, Error> {
        self.charge(1)?;
        match name {
            "default" | "d" => {
                let [default, boolean] = call.bind(name, ["default_value", "boolean"])?;
                let boolean = boolean.is_some_and(|value| value.is_true());
                let replaced = matches!(value, Value::Undefined(_)) || boolean && !value.is_true();
                Ok(if replaced { default.unwrap_or_else(|| Value::from("")) } else { value })
            }
            "length" | "count" => {
                call.none(name)?;
                Ok(Value::Int(self.length(&value)? as i128))
            }
            "tojson" => self.json_filter(&value, call),
            "map" | "select" | "reject" | "selectattr" | "rejectattr" => lazy(name, value, call),
            "list" => {
                call.none(name)?;
                let items = self.collect(&value)?;
                self.list(items)
            }
            "items" => self.items_filter(value, call),
            "first" | "last" => {
                call.none(name)?;
                let mut iter = if name == "first" { self.iter(&value)? } else { self.reversed(&value)? };
                let item = self.next(&mut iter)?;
                Ok(item.unwrap_or_else(|| Value::undefined(format!("there is no {name} item"))))
            }
            "reverse" => {
                call.none(name)?;
                if let Value::Str(text) = &value {
                    self.charge_bytes(text.text.len())?;
                    return Ok(Value::text(text.text.chars().rev().collect::<String>(), text.safe));
                }
                let extent = value.extent();
                let iter = match self.reversed(&value) {
                    Ok(iter) => iter,
                    Err(_) => {
                        let mut items = self.collect(&value)?;
                        items.reverse();
                        return self.list(items);
                    }
                };
                Ok(Value::Generator(Generator::of_iter(iter, extent)))
            }
            "join" => self.join(value, call),
            "sort" | "unique" | "min" | "max" | "dictsort" | "groupby" => self.ordering(name, value, call),
            "sum" => self.sum(value, call),
            "batch" | "slice" => self.parts(name, value, call),
            "int" | "float" => self.number(name, value, call),
            "round" => round(value, call),
            "abs" => {
                call.none(name)?;
                match value {
                    Value::Float(number) => Ok(Value::Float(number.abs())),
                    other => match other.as_int() {
                        Some(number) => number.checked_abs().map(Value::Int).ok_or_else(|| int_error("abs")),
                        None => Err(Error::failed(format!("`abs` does not take '{}'", other.type_name()))),
                    },
                }
            }
            "attr" => {
                let name = call.one(name)?;
                let name: std::sync::Arc<str> = text(&name)?.into();
                if matches!(value, Value::Dict(_)) && !super::methods::exists(&value, &name) {
                    return Ok(Value::undefined(format!("'dict' object has no attribute '{name}'")));
                }
                self.attribute(&value, &name)
            }
            _ => self.text_filter(name, value, call),
        }
    }

    fn text_filter(&mut self, name: &str, value: Value, call: Call) -> Result<Value, Error> {
        let own = match &value {
            Value::Str(text) => text.clone(),
            other => Text { text: self.stringify(other)?, safe: false },
        };
        self.charge_bytes(own.text.len())?;
        let result = |text: String| Ok(Value::text(text, own.safe));
        match name {
            "string" => call.none(name).map(|()| Value::Str(own)),
            "upper" => call.none(name).and_then(|()| result(own.text.to_uppercase())),
            "lower" => call.none(name).and_then(|()| result(own.text.to_lowercase())),
            "capitalize" => call.none(name).and_then(|()| result(capitalize(&own.text))),
            "title" => call.none(name).map(|()| Value::from(title(&own.text))),
            "trim" => {
                let [characters] = call.bind(name, ["chars"])?;
                let call = Call { positional: characters.into_iter().collect(), keywords: Vec::new() };
                self.method(&Value::Str(own), "strip", call)
            }
            "replace" => {
                let [old, new, count] = call.bind_required(name, ["old", "new", "count"], 2)?;
                let old = self.stringify(&old.unwrap_or(Value::None))?;
                let new = self.stringify(&new.unwrap_or(Value::None))?;
                let count = count.filter(|count| !matches!(count, Value::None));
                let count = count.as_ref().map_or(Ok(-1), int)?;
                self.replaced(&own.text, &old, &new, count).map(Value::from)
            }
            "format" => {
                if !call.positional.is_empty() && !call.keywords.is_empty() {
                    return Err(Error::failed("`format` takes arguments by position or by name, not both"));
                }
                let values = if call.keywords.is_empty() {
                    self.tuple(call.positional)?
                } else {
                    let pairs = call.keywords.into_iter();
                    self.dict(
                        pairs.map(|(name, value)| (super::value::Key(Value::text(name, false)), value)).collect(),
                    )?
                };
                self.percent_format(&own, &values)
            }
            "safe" => call.none(name).map(|()| Value::text(own.text, true)),
            "escape" | "e" if own.safe => call.none(name).map(|()| Value::Str(own)),
            "escape" | "e" | "forceescape" => {
                call.none(name)?;
                self.charge_bytes(5 * own.text.len())?;
                Ok(Value::text(escape_html(&own.text), true))
            }
            "center" => {
                let [width] = call.bind(name, ["width"])?;
                let width = width.unwrap_or(Value::Int(80));
                self.method(&Value::Str(own), name, Call { positional: vec![width], keywords: Vec::new() })
            }
            "wordcount" => {
                call.none(name)?;
                let words = own.text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
                Ok(Value::Int(words.filter(|word| !word.is_empty()).count() as i128))
            }
            "indent" => self.indent(&value, call),
            "truncate" => self.truncate(&value, call),
            _ if exists(name) => Err(Error::failed(format!("the filter `{name}` is not supported"))),
            _ => Err(Error::failed(format!("there is no filter `{name}`"))),
        }
    }

    /// Python's `reversed`.
    fn reversed(&mut self, value: &Value) -> Result<Iter, Error> {
        Ok(match value {
            Value::List(items) | Value::Tuple(items) | Value::View(items, _) => {
                Iter::Reversed(items.clone(), items.items.len())
            }
            Value::Str(_) | Value::Dict(_) | Value::Range(_) => {
                let mut items = self.collect(value)?;
                items.reverse();
                Iter::Owned(items.into_iter())
            }
            other => {
                other.defined()?;
                return Err(Error::failed(format!("'{}' object is not reversible", other.type_name())));
            }
        })
    }

    fn items_filter(&mut self, value: Value, call: Call) -> Result<Value, Error> {
        call.none("items")?;
        match value {
            Value::Undefined(_) => {
                let empty = Iter::Owned(Vec::new().into_iter());
                Ok(Value::Generator(Generator::of_iter(empty, value.extent())))
            }
            Value::Dict(_) => {
                let items = self.method(&value, "items", Call::default())?;
                let iter = self.iter(&items)?;
                Ok(Value::Generator(Generator::of_iter(iter, value.extent())))
            }
            other => Err(Error::failed(format!("`items` needs a mapping, not '{}'", other.type_name()))),
        }
    }

    fn join(&mut self, value: Value, call: Call) -> Result<Value, Error> {
        let [separator, attribute] = call.bind("join", ["d", "attribute"])?;
        let separator = match separator {
            Some(separator) => self.stringify(&separator)?,
            None => "".into(),
        };
        let attribute = attribute.filter(|attribute| !matches!(attribute, Value::None));
        let mut iter = self.iter(&value)?;
        let mut out = String::new();
        let mut first = true;
        while let Some(item) = self.next(&mut iter)? {
            let item = match &attribute {
                Some(attribute) => self.attribute_path(item, attribute, None)?,
                None => item,
            };
            let text = self.stringify(&item)?;
            self.charge_bytes(text.len() + separator.len())?;
            out.push_str(if first { "" } else { &separator });
            out.push_str(&text);
            first = false;
        }
        Ok(Value::from(out))
    }

    /// The key by which `sort` and its like compare: an attribute, in lower case.
    fn sort_key(&mut self, item: &Value, attribute: &Value, cased: bool) -> Result<Value, Error> {
        let key = self.attribute_path(item.clone(), attribute, None)?;
        self.folded(key, cased)
    }

    fn folded(&mut self, key: Value, cased: bool) -> Result<Value, Error> {
        match &key {
            Value::Str(text) if !cased => {
                self.charge_bytes(text.text.len())?;
                Ok(Value::from(text.text.to_lowercase()))
            }
            _ => Ok(key),
        }
    }

    fn ordering(&mut self, name: &str, value: Value, call: Call) -> Result<Value, Error> {
        let truth = |value: &Option<Value>| value.as_ref().is_some_and(Value::is_true);
        match name {
            "sort" => {
                let [reverse, cased, attribute] = call.bind(name, ["reverse", "case_sensitive", "attribute"])?;
                let attribute = attribute.unwrap_or(Value::None);
                let attributes: Vec<Value> = match &attribute {
                    Value::Str(names) => names.text.split(',').map(Value::from).collect(),
                    other => vec![other.clone()],
                };
                let mut keyed = Vec::new();
                for item in self.collect(&value)? {
                    let mut keys = Vec::new();
                    for attribute in &attributes {
                        keys.push(self.sort_key(&item, attribute, truth(&cased))?);
                    }
                    keyed.push((self.list(keys)?, item));
                }
                let sorted = self.sort(keyed, truth(&reverse))?;
                self.list(sorted)
            }
            "dictsort" => {
                let [cased, by, reverse] = call.bind(name, ["case_sensitive", "by", "reverse"])?;
                let at = match by.as_ref().map(|by| by.as_str()) {
                    None | Some(Some("key")) => 0,
                    Some(Some("value")) => 1,
                    _ => return Err(Error::failed("`dictsort` sorts by \"key\" or \"value\"")),
                };
                let Value::Dict(dict) = &value else {
                    return Err(Error::failed(format!("`dictsort` needs a mapping, not '{}'", value.type_name())));
                };
                let mut keyed = Vec::new();
                for (key, value) in &dict.items {
                    let pair = [key.0.clone(), value.clone()];
                    let key = self.folded(pair[at].clone(), truth(&cased))?;
                    keyed.push((key, self.tuple(pair.into())?));
                }
                let sorted = self.sort(keyed, truth(&reverse))?;
                self.list(sorted)
            }
            "groupby" => self.group_by(&value, call),
            "unique" => {
                let [cased, attribute] = call.bind(name, ["case_sensitive", "attribute"])?;
                let attribute = attribute.unwrap_or(Value::None);
                let mut seen = indexmap::IndexSet::new();
                let mut unique = Vec::new();
                for item in self.collect(&value)? {
                    let key = self.sort_key(&item, &attribute, truth(&cased))?;
                    if seen.insert(self.key(key)?) {
                        unique.push(item);
                    }
                }
                Ok(Value::Generator(Generator::of_iter(Iter::Owned(unique.into_iter()), value.extent())))
            }
            _ => {
                let [cased, attribute] = call.bind(name, ["case_sensitive", "attribute"])?;
                let attribute = attribute.unwrap_or(Value::None);
                let wanted = if name == "max" { std::cmp::Ordering::Greater } else { std::cmp::Ordering::Less };
                let mut best: Option<(Value, Value)> = None;
                for item in self.collect(&value)? {
                    let key = self.sort_key(&item, &attribute, truth(&cased))?;
                    let better = match &best {
                        Some((other, _)) => self.order(&key, other)? == Some(wanted),
                        None => true,
                    };
                    if better {
                        best = Some((key, item));
                    }
                }
                Ok(best.map_or_else(|| Value::undefined("there is no aggregated item"), |(_, item)| item))
            }
        }
    }

    fn group_by(&mut self, value: &Value, call: Call) -> Result<Value, Error> {
        let names = ["attribute", "default", "case_sensitive"];
        let [attribute, default, cased] = call.bind_required("groupby", names, 1)?;
        let attribute = attribute.unwrap_or(Value::None);
        let cased = cased.is_some_and(|cased| cased.is_true());
        let mut keyed = Vec::new();
        for item in self.collect(value)? {
            let key = self.attribute_path(item.clone(), &attribute, default.as_ref())?;
            keyed.push((self.folded(key, cased)?, item));
        }
        let sorted = self.sort(keyed, false)?;
        let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
        for item in sorted {
            let key = self.attribute_path(item.clone(), &attribute, default.as_ref())?;
            let folded = self.folded(key.clone(), cased)?;
            match groups.last_mut() {
                Some((_, last, items)) if self.equal(last, &folded)? => items.push(item),
                _ => groups.push((key, folded, vec![item])),
            }
        }
        let mut out = Vec::new();
        for (key, _, items) in groups {
            let items = self.list(items)?;
            out.push(self.tuple(vec![key, items])?);
        }
        self.list(out)
    }

    fn sum(&mut self, value: Value, call: Call) -> Result<Value, Error> {
        let [attribute, start] = call.bind("sum", ["attribute", "start"])?;
        let attribute = attribute.unwrap_or(Value::None);
        let mut sum = start.unwrap_or(Value::Int(0));
        if matches!(sum, Value::Str(_)) {
            return Err(Error::failed("`sum` can't add strings"));
        }
        for item in self.collect(&value)? {
            let item = self.attribute_path(item, &attribute, None)?;
            sum = self.operate(super::ast::Operator::Add, &sum, &item)?;
        }
        Ok(sum)
    }

    fn parts(&mut self, name: &str, value: Value, call: Call) -> Result<Value, Error> {
        let names = if name == "batch" { ["linecount", "fill_with"] } else { ["slices", "fill_with"] };
        let [count, fill] = call.bind_required(name, names, 1)?;
        let count = int(&count.unwrap_or(Value::None))?;
        let fill = fill.filter(|fill| !matches!(fill, Value::None));
        let items = self.collect(&value)?;
        let mut parts: Vec<Vec<Value>> = Vec::new();
        if name == "batch" {
            for item in items {
                match parts.last_mut() {
                    Some(part) if part.len() as i128 != count => part.push(item),
                    _ => parts.push(vec![item]),
                }
            }
            if let (Some(fill), Some(last)) = (fill, parts.last_mut()) {
                let missing = width(&Value::Int(count - last.len() as i128))?;
                self.charge(missing)?;
                last.extend(std::iter::repeat_n(fill, missing));
            }
        } else {
            if count == 0 {
                return Err(Error::failed("`slice` needs more than zero slices"));
            }
            let count = width(&Value::Int(count))?;
            self.charge(count)?;
            let (each, more) = (items.len() / count.max(1), items.len() % count.max(1));
            let mut items = items.into_iter();
            for number in 0..count {
                let mut part: Vec<Value> = items.by_ref().take(each + usize::from(number < more)).collect();
                if number >= more {
                    part.extend(fill.clone());
                }
                parts.push(part);
            }
        }
        let mut lists = Vec::new();
        for part in parts {
            lists.push(self.list(part)?);
        }
        Ok(Value::Generator(Generator::of_iter(Iter::Owned(lists.into_iter()), value.extent())))
    }

    fn number(&mut self, name: &str, value: Value, call: Call) -> Result<Value, Error> {
        value.defined()?;
        self.charge_bytes(value.extent().bytes)?;
        if name == "float" {
            let [default] = call.bind(name, ["default"])?;
            let number = match &value {
                Value::Str(text) => parse_float(&text.text),
                other => other.as_number(),
            };
            return Ok(number.map_or_else(|| default.unwrap_or(Value::Float(0.0)), Value::Float));
        }
        let [default, base] = call.bind(name, ["default", "base"])?;
        let base = base.as_ref().map_or(Ok(10), int)?;
        let whole = |number: f64| (number.is_finite() && number.abs() < 1e38).then_some(number.trunc() as i128);
        let number = match &value {
            Value::Str(text) => {
                let number = u32::try_from(base).ok().and_then(|base| parse_int(&text.text, base));
                number.or_else(|| parse_float(&text.text).and_then(whole))
            }
            Value::Float(number) if number.is_infinite() => {
                return Err(Error::failed("infinity is no integer"));
            }
            Value::Float(number) => whole(*number),
            other => other.as_int(),
        };
        Ok(number.map_or_else(|| default.unwrap_or(Value::Int(0)), Value::Int))
    }

    fn indent(&mut self, value: &Value, call: Call) -> Result<Value, Error> {
        let [width_value, first, blank] = call.bind("indent", ["width", "first", "blank"])?;
        let Value::Str(own) = value else {
            return Err(Error::failed(format!("`indent` needs a string, not '{}'", value.type_name())));
        };
        let indention = match width_value {
            Some(Value::Str(text)) => text.text.to_string(),
            Some(other) => {
                let width = width(&other)?;
                self.charge_bytes(width)?;
                " ".repeat(width)
            }
            None => "    ".into(),
        };
        let truth = |value: Option<Value>| value.is_some_and(|value| value.is_true());
        let (first, blank) = (truth(first), truth(blank));
        let with_end = format!("{}\n", own.text);
        let lines = split_lines(&with_end, false);
        let size = lines.len().saturating_mul(indention.len() + 1).saturating_add(own.text.len());
        self.charge_bytes(size)?;
        let mut out = String::with_capacity(size);
        for (number, line) in lines.iter().enumerate() {
            let indented = if number == 0 { first } else { blank || !line.is_empty() };
            out.push_str(if number == 0 { "" } else { "\n" });
            out.push_str(if indented { &indention } else { "" });
            out.push_str(line);
        }
        Ok(Value::text(out, own.safe))
    }

    fn truncate(&mut self, value: &Value, call: Call) -> Result<Value, Error> {
        let [length, kill_words, end, leeway] = call.bind("truncate", ["length", "killwords", "end", "leeway"])?;
        let Value::Str(own) = value else {
            return Err(Error::failed(format!("`truncate` needs a string, not '{}'", value.type_name())));
        };
        let length = length.as_ref().map_or(Ok(255), width)?;
        let leeway = leeway.filter(|leeway| !matches!(leeway, Value::None));
        let leeway = leeway.as_ref().map_or(Ok(5), width)?;
        let end = end.unwrap_or_else(|| Value::from("..."));
        let end = text(&end)?;
        let kept = length.checked_sub(end.chars().count());
        let kept = kept.ok_or_else(|| Error::failed("`truncate` needs a length of its end at least"))?;
        if own.text.chars().count() <= length.saturating_add(leeway) {
            return Ok(value.clone());
        }
        let mut out: String = own.text.chars().take(kept).collect();
        if !kill_words.is_some_and(|kill| kill.is_true())
            && let Some(at) = out.rfind(' ')
        {
            out.truncate(at);
        }
        out.push_str(end);
        Ok(Value::text(out, own.safe))
    }
}

fn int_error(name: &str) -> Error {
    Error::failed(format!("`{name}`: an integer has more than 127 bits"))
}

/// `map`, `select` and their like: nothing happens before somebody asks for an item.
fn lazy(name: &str, value: Value, call: Call) -> Result<Value, Error> {
    let Call { positional, keywords } = call;
    let mut positional = positional.into_iter();
    let step = if name == "map" {
        let mut keywords = keywords;
        let take = |keywords: &mut Vec<(std::sync::Arc<str>, Value)>, name: &str| {
            keywords.iter().position(|(found, _)| **found == *name).map(|at| keywords.remove(at).1)
        };
        match positional.next() {
            Some(filter) => {
                let filter = text(&filter)?.into();
                Step::Map(filter, Call { positional: positional.collect(), keywords })
            }
            None => {
                let attribute = take(&mut keywords, "attribute");
                let default = take(&mut keywords, "default");
                let attribute = attribute.ok_or_else(|| Error::failed("`map` needs a filter or an attribute"))?;
                if let Some((name, _)) = keywords.first() {
                    return Err(Error::failed(format!("`map` takes no argument `{name}`")));
                }
                Step::MapAttribute(attribute, default)
            }
        }
    } else {
        let wanted = name.starts_with("select");
        let attribute = if name.ends_with("attr") {
            let attribute = positional.next();
            Some(attribute.ok_or_else(|| Error::failed(format!("`{name}` needs an attribute")))?)
        } else {
            None
        };
        let test = match positional.next() {
            Some(test) => Some((text(&test)?.into(), Call { positional: positional.collect(), keywords })),
            None => None,
        };
        Step::Select(attribute, test, wanted)
    };
    let generator = Generator::new(value, step);
    check_depth(generator.extent)?;
    Ok(Value::Generator(generator))
}

/// jinja2's own `title`: words begin after spaces, hyphens and opening brackets.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for character in text.chars() {
        let separates = is_space(character) || matches!(character, '-' | '(' | '{' | '[' | '<');
        if separates {
            out.push(character);
        } else if begins {
            out.extend(character.to_uppercase());
        } else {
            out.extend(character.to_lowercase());
        }
        begins = separates;
    }
    out
}

fn round(value: Value, call: Call) -> Result<Value, Error> {
    let [precision, method] = call.bind("round", ["precision", "method"])?;
    let precision = precision.as_ref().map_or(Ok(0), int)?;
    let method = method.unwrap_or_else(|| Value::from("common"));
    let places = i32::try_from(precision).unwrap_or(if precision < 0 { i32::MIN } else { i32::MAX });
    let number = match value.as_number() {
        Some(number) => number,
        None => {
            value.defined()?;
            return Err(Error::failed(format!("`round` does not take '{}'", value.type_name())));
        }
    };
    match text(&method)? {
        "common" => match value.as_int() {
            Some(number) if places >= 0 => Ok(Value::Int(number)),
            Some(number) => {
                let unit = 10_i128.checked_pow(places.unsigned_abs()).filter(|unit| *unit > 0);
                let Some(unit) = unit else { return Ok(Value::Int(0)) };
                let (floor, rest) = (number.div_euclid(unit), number.rem_euclid(unit));
                let up = rest * 2 > unit || rest * 2 == unit && floor % 2 != 0;
                Ok(Value::Int((floor + i128::from(up)) * unit))
            }
            None if places > 300 => Ok(Value::Float(number)),
            None if places >= 0 => {
                let text = format!("{number:.*}", places as usize);
                Ok(Value::Float(text.parse().unwrap_or(number)))
            }
            None => {
                let unit = 10_f64.powi(places.saturating_neg());
                if !unit.is_finite() {
                    return Ok(Value::Float(0.0_f64.copysign(number)));
                }
                Ok(Value::Float((number / unit).round_ties_even() * unit))
            }
        },
        method @ ("ceil" | "floor") => {
            let unit = 10_f64.powi(places);
            let scaled = number * unit;
            if !scaled.is_finite() {
                return Err(Error::failed("`round` of a number that is too large"));
            }
            Ok(Value::Float(if method == "ceil" { scaled.ceil() } else { scaled.floor() } / unit))
        }
        _ => Err(Error::failed("`round` goes by \"common\", \"ceil\" or \"floor\"")),
    }
}
