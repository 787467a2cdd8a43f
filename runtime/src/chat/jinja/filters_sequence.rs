//! Filters of sequences: `join`, `sum`, what sorts and groups, and what cuts into parts.

use super::call::{Call, int, width};
use super::error::Error;
use super::interpreter::Interpreter;
use super::iterate::{Generator, Iter};
use super::operate::too_large;
use super::value::Value;

impl Interpreter<'_> {
    pub fn join(&mut self, value: Value, call: Call) -> Result<Value, Error> {
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

    pub fn ordering(&mut self, name: &str, value: Value, call: Call) -> Result<Value, Error> {
        let truth = |value: &Option<Value>| value.as_ref().is_some_and(Value::is_true);
        match name {
            "sort" => {
                let [reverse, cased, attribute] =
                    call.bind(name, ["reverse", "case_sensitive", "attribute"])?;
                let attribute = attribute.unwrap_or(Value::None);
                let attributes: Vec<Value> = match &attribute {
                    Value::Str(names) => {
                        self.charge_bytes(names.text.len())?;
                        let mut attributes = Vec::new();
                        for name in names.text.split(',') {
                            self.charge(2)?;
                            attributes.push(Value::from(name));
                        }
                        attributes
                    }
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
                    return Err(Error::failed(format!(
                        "`dictsort` needs a mapping, not '{}'",
                        value.type_name()
                    )));
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
                Ok(Value::Generator(Generator::of_iter(
                    Iter::Owned(unique.into_iter()),
                    value.extent(),
                )))
            }
            _ => {
                let [cased, attribute] = call.bind(name, ["case_sensitive", "attribute"])?;
                let attribute = attribute.unwrap_or(Value::None);
                let wanted = if name == "max" {
                    std::cmp::Ordering::Greater
                } else {
                    std::cmp::Ordering::Less
                };
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
                match best {
                    Some((_, item)) => Ok(item),
                    None => self.undefined("there is no aggregated item".into()),
                }
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

    pub fn sum(&mut self, value: Value, call: Call) -> Result<Value, Error> {
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

    pub fn parts(&mut self, name: &str, value: Value, call: Call) -> Result<Value, Error> {
        let names = if name == "batch" {
            ["linecount", "fill_with"]
        } else {
            ["slices", "fill_with"]
        };
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
                let missing = count
                    .checked_sub(last.len() as i128)
                    .ok_or_else(too_large)?;
                let missing = width(&Value::Int(missing))?;
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
                let mut part: Vec<Value> = items
                    .by_ref()
                    .take(each + usize::from(number < more))
                    .collect();
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
        Ok(Value::Generator(Generator::of_iter(
            Iter::Owned(lists.into_iter()),
            value.extent(),
        )))
    }
}
