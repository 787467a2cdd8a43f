//! Filters, with jinja2's names and arguments: their names, and those of any value.
//!
//! The others are in `filters_sequence`, `filters_text`, `filters_number` and `json`.

use super::budget::check_depth;
use super::call::{Call, shared_text};
use super::error::Error;
use super::interpreter::Interpreter;
use super::iterate::{Generator, Iter, Step};
use super::operate::too_large;
use super::text::shown;
use super::value::Value;

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
                Ok(if replaced {
                    default.unwrap_or_else(|| Value::from(""))
                } else {
                    value
                })
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
                let mut iter = if name == "first" {
                    self.iter(&value)?
                } else {
                    self.reversed(&value)?
                };
                match self.next(&mut iter)? {
                    Some(item) => Ok(item),
                    None => self.undefined(format!("there is no {name} item")),
                }
            }
            "reverse" => {
                call.none(name)?;
                if let Value::Str(text) = &value {
                    self.charge_bytes(text.text.len())?;
                    return Ok(Value::text(
                        text.text.chars().rev().collect::<String>(),
                        text.safe,
                    ));
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
            "sort" | "unique" | "min" | "max" | "dictsort" | "groupby" => {
                self.ordering(name, value, call)
            }
            "sum" => self.sum(value, call),
            "batch" | "slice" => self.parts(name, value, call),
            "int" | "float" => self.number(name, value, call),
            "round" => self.round(value, call),
            "abs" => {
                call.none(name)?;
                match value {
                    Value::Float(number) => Ok(Value::Float(number.abs())),
                    other => match other.as_int() {
                        Some(number) => number.checked_abs().map(Value::Int).ok_or_else(too_large),
                        None => Err(Error::failed(format!(
                            "`abs` does not take '{}'",
                            other.type_name()
                        ))),
                    },
                }
            }
            "attr" => {
                let name = call.one(name)?;
                let name = shared_text(&name)?;
                if matches!(value, Value::Dict(_)) && !super::methods::exists(&value, &name) {
                    return self.missing(&value, &name);
                }
                self.attribute(&value, &name)
            }
            _ => self.text_filter(name, value, call),
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
                return Err(Error::failed(format!(
                    "'{}' object is not reversible",
                    other.type_name()
                )));
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
            other => Err(Error::failed(format!(
                "`items` needs a mapping, not '{}'",
                other.type_name()
            ))),
        }
    }
}

/// `map`, `select` and their like: nothing happens before somebody asks for an item.
fn lazy(name: &str, value: Value, call: Call) -> Result<Value, Error> {
    let Call {
        positional,
        keywords,
    } = call;
    let mut positional = positional.into_iter();
    let step = if name == "map" {
        let mut keywords = keywords;
        let take = |keywords: &mut Vec<(std::sync::Arc<str>, Value)>, name: &str| {
            keywords
                .iter()
                .position(|(found, _)| **found == *name)
                .map(|at| keywords.remove(at).1)
        };
        match positional.next() {
            Some(filter) => {
                let filter = shared_text(&filter)?;
                Step::Map(
                    filter,
                    Call {
                        positional: positional.collect(),
                        keywords,
                    },
                )
            }
            None => {
                let attribute = take(&mut keywords, "attribute");
                let default = take(&mut keywords, "default");
                let attribute = attribute
                    .ok_or_else(|| Error::failed("`map` needs a filter or an attribute"))?;
                if let Some((name, _)) = keywords.first() {
                    return Err(Error::failed(format!(
                        "`map` takes no argument `{}`",
                        shown(name)
                    )));
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
            Some(test) => Some((
                shared_text(&test)?,
                Call {
                    positional: positional.collect(),
                    keywords,
                },
            )),
            None => None,
        };
        Step::Select(attribute, test, wanted)
    };
    let generator = Generator::new(value, step);
    check_depth(generator.extent)?;
    Ok(Value::Generator(generator))
}
