//! Values from JSON, by a plan.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::known;
use crate::data::{Field, Fields, Scalar, Schema};
use crate::dynamic::Unfit;
use crate::dynamic::decode::MOST_STEPS;
use crate::dynamic::encode::Number;
use crate::dynamic::plan::{Id, Node, Parts, Plan, VariantPlan};
use crate::dynamic::value::{Enum, FieldValues, Struct, Value};

impl Value {
    /// Makes a value of the type out of JSON as [`to_json`](Value::to_json) and `serde_json` write it. Objects name all fields, in
    /// any order; only options may be left out, which are `None` then.
    ///
    /// ```
    /// use netshm::data::Schema;
    /// use netshm::dynamic::Value;
    ///
    /// let schema: Schema = "Session { user: u64, name: Option<String> }".parse()?;
    /// let session = Value::from_json(&serde_json::json!({"name": "Ada", "user": 7}), &schema)?;
    /// assert_eq!(session.field("user"), Some(&Value::from(7u64)));
    ///
    /// let unfit = Value::from_json(&serde_json::json!({"name": null, "user": -7}), &schema).unwrap_err();
    /// assert_eq!(unfit.to_string(), ".user: u64 expected, found an integer out of its range");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Which part does not fit the type, and why.
    pub fn from_json(json: &Json, schema: &Schema) -> Result<Value, Unfit> {
        let plan = Plan::new(schema)?;
        Reader { plan: &plan, steps: 0 }.value(plan.root(), json)
    }

    /// Works like [`from_json`](Value::from_json), but fields of the outermost struct that were added later, which the
    /// schema of an object marks (`hits?: u32`), or that have a default, may be left out at the end. They become
    /// [`Value::Missing`].
    ///
    /// ```
    /// use netshm::data::Schema;
    /// use netshm::dynamic::Value;
    ///
    /// let schema: Schema = "Session { user: u64, hits?: u32 }".parse()?;
    /// let session = Value::from_json_row(&serde_json::json!({"user": 7}), &schema)?;
    /// assert_eq!(session.field("hits"), Some(&Value::Missing));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`from_json`](Value::from_json).
    pub fn from_json_row(json: &Json, schema: &Schema) -> Result<Value, Unfit> {
        let plan = Plan::new(schema)?;
        let mut reader = Reader { plan: &plan, steps: 0 };
        match (plan.node(plan.root()), json) {
            (Node::Struct { name, fields: Parts::Named(fields), always }, Json::Object(object)) => {
                // One that all rows have is asked for.
                reader.growing(name, fields, [always_there(schema), *always], object)
            }
            _ => reader.value(plan.root(), json),
        }
    }
}

/// Returns the number of fields that no row of the outermost struct lacks.
fn always_there(schema: &Schema) -> usize {
    match schema {
        Schema::Struct(_, Fields::Named(fields)) => {
            let is_needed = |field: &Field| !field.is_added && !field.has_default;
            fields.iter().rposition(is_needed).map_or(0, |last| last + 1)
        }
        _ => 0,
    }
}

struct Reader<'a> {
    plan: &'a Plan,
    steps: u32,
}

impl Reader<'_> {
    fn value(&mut self, id: Id, json: &Json) -> Result<Value, Unfit> {
        if self.steps == MOST_STEPS {
            return Err(Unfit::new("types nested too deep"));
        }
        self.steps += 1;
        let value = self.node(id, json);
        self.steps -= 1;
        value
    }

    /// Handles a node. Each kind has a function of its own, with plain loops, to keep the stack frames small.
    fn node(&mut self, id: Id, json: &Json) -> Result<Value, Unfit> {
        match (self.plan.node(id), json) {
            (Node::Scalar(scalar), _) => number(*scalar, json),
            (Node::Text, Json::String(text)) => Ok(Value::Text(text.clone())),
            (Node::Box(content) | Node::Back { target: content, .. }, _) => self.value(*content, json),
            (Node::Option { .. }, Json::Null) => Ok(Value::None),
            (Node::Option { content, .. }, _) => self.some(*content, json),
            (Node::Result { ok, err, .. }, Json::Object(object)) => self.result(*ok, *err, object),
            (Node::Vec(element) | Node::Array(element, _), Json::Array(items)) => self.elements(*element, items),
            (Node::Set { element, .. }, Json::Array(items)) => self.each(*element, items).map(Value::Seq),
            (Node::Map { key, value, .. }, _) => self.map([*key, *value], json),
            (Node::Tuple(items), Json::Null) if items.is_empty() => Ok(Value::Unit),
            (Node::Tuple(ids), Json::Array(items)) if !ids.is_empty() => self.items(ids, items).map(Value::Tuple),
            (Node::Extensible(content), _) => self.extensible(*content, json),
            (Node::Struct { name, fields, .. }, _) => match known::read(self.plan, id, name, json) {
                Some(value) => Ok(value),
                None => self.structure(id, name, fields, json),
            },
            (Node::Enum { name, variants }, _) => self.enumeration(name, variants, json),
            (node, _) => Err(Unfit::expected(node, kind(json))),
        }
    }

    fn some(&mut self, content: Id, json: &Json) -> Result<Value, Unfit> {
        let json = match json {
            Json::Object(object) if self.may_be_null(content) => match single(object) {
                Some(("Some", content)) => content,
                _ => json,
            },
            other => other,
        };
        Ok(Value::Some(Box::new(self.value(content, json)?)))
    }

    /// Returns whether the type is an option, which may be left out.
    fn is_option(&self, id: Id) -> bool {
        match self.plan.node(id) {
            Node::Option { .. } => true,
            Node::Box(content) => matches!(self.plan.node(*content), Node::Option { .. }),
            _ => false,
        }
    }

    /// Returns whether values of the type can be `null`.
    fn may_be_null(&self, mut id: Id) -> bool {
        for _ in 0..MOST_STEPS {
            id = match self.plan.node(id) {
                Node::Option { .. } | Node::Struct { fields: Parts::Unit, .. } => return true,
                Node::Tuple(items) => return items.is_empty(),
                Node::Struct { fields: Parts::Tuple(items), .. } if items.len() == 1 => items[0],
                Node::Box(content) | Node::Extensible(content) | Node::Back { target: content, .. } => *content,
                _ => return false,
            };
        }
        false
    }

    fn result(&mut self, ok: Id, err: Id, object: &Map<String, Json>) -> Result<Value, Unfit> {
        match single(object) {
            Some(("Ok", content)) => Ok(Value::Ok(Box::new(self.value(ok, content)?))),
            Some(("Err", content)) => Ok(Value::Err(Box::new(self.value(err, content)?))),
            _ => Err(Unfit::expected("an object with the only field `Ok` or `Err`", "another object")),
        }
    }

    fn elements(&mut self, element: Id, items: &[Json]) -> Result<Value, Unfit> {
        if self.plan.scalar(element) == Some(Scalar::U8) {
            let byte = |(i, item): (usize, &Json)| match item.as_u64().and_then(|number| u8::try_from(number).ok()) {
                Some(byte) => Ok(byte),
                None => Err(Unfit::expected("u8", kind(item)).inside(format!("[{i}]"))),
            };
            return items.iter().enumerate().map(byte).collect::<Result<_, Unfit>>().map(Value::Bytes);
        }
        self.each(element, items).map(Value::Seq)
    }

    fn each(&mut self, element: Id, items: &[Json]) -> Result<Vec<Value>, Unfit> {
        let mut values = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            values.push(self.value(element, item).map_err(|unfit| unfit.inside(format!("[{i}]")))?);
        }
        Ok(values)
    }

    fn map(&mut self, [key, value]: [Id; 2], json: &Json) -> Result<Value, Unfit> {
        let mut entries = Vec::new();
        match json {
            Json::Object(object) => {
                for (name, item) in object {
                    let at = |unfit: Unfit| unfit.inside(format!("[{name:?}]"));
                    let key = self.value(key, &self.key(key, name)).map_err(at)?;
                    entries.push((key, self.value(value, item).map_err(at)?));
                }
            }
            Json::Array(pairs) => {
                for (i, pair) in pairs.iter().enumerate() {
                    let at = |unfit: Unfit| unfit.inside(format!("[{i}]"));
                    let Some([of, to]) = pair.as_array().map(Vec::as_slice) else {
                        return Err(at(Unfit::expected("a pair of a key and a value", kind(pair))));
                    };
                    entries.push((self.value(key, of).map_err(at)?, self.value(value, to).map_err(at)?));
                }
            }
            other => return Err(Unfit::expected("a map", kind(other))),
        }
        Ok(Value::Map(entries))
    }

    /// Returns the JSON of a key whose name in an object is given: numbers and bools lose their quotes.
    fn key(&self, mut id: Id, name: &str) -> Json {
        for _ in 0..MOST_STEPS {
            id = match self.plan.node(id) {
                Node::Struct { name, .. } if known::is_known(self.plan, id, name) => break,
                Node::Struct { fields: Parts::Tuple(items), .. } if items.len() == 1 => items[0],
                Node::Box(content) | Node::Extensible(content) | Node::Back { target: content, .. } => *content,
                Node::Scalar(Scalar::Bool | Scalar::F32 | Scalar::F64) => {
                    return name.parse().unwrap_or_else(|_| Json::String(name.to_owned()));
                }
                _ => break,
            };
        }
        Json::String(name.to_owned())
    }

    fn items(&mut self, ids: &[Id], items: &[Json]) -> Result<Vec<Value>, Unfit> {
        if ids.len() != items.len() {
            return Err(Unfit::expected(format!("an array of {}", ids.len()), format!("{} elements", items.len())));
        }
        let mut values = Vec::with_capacity(ids.len());
        for (i, (id, item)) in ids.iter().zip(items).enumerate() {
            values.push(self.value(*id, item).map_err(|unfit| unfit.inside(format!(".{i}")))?);
        }
        Ok(values)
    }

    fn structure(&mut self, id: Id, name: &Arc<str>, fields: &Parts, json: &Json) -> Result<Value, Unfit> {
        if let Json::String(text) = json
            && known::is_known(self.plan, id, name)
        {
            return Err(Unfit::expected(name, format!("the text {text:?}")));
        }
        let fields = self.fields(fields, json)?;
        Ok(Value::Struct(Box::new(Struct { name: name.clone(), fields })))
    }

    /// Reads a struct that may lack its last fields, but for those that are there `always`.
    fn growing(
        &mut self,
        name: &Arc<str>,
        fields: &[(Arc<str>, Id)],
        [needed, always]: [usize; 2],
        object: &Map<String, Json>,
    ) -> Result<Value, Unfit> {
        // An option that values may lack, and that is not there, is lacking.
        let is_present = |(i, (name, id)): (usize, &(Arc<str>, Id))| {
            object.contains_key(&**name) || i < always && self.is_option(*id)
        };
        let present = fields.iter().enumerate().rposition(is_present).map_or(0, |last| last + 1);
        let (present, missing) = fields.split_at(present.max(needed));
        let mut values = self.named(present, object)?;
        values.extend(missing.iter().map(|(name, _)| (name.clone(), Value::Missing)));
        Ok(Value::Struct(Box::new(Struct { name: name.clone(), fields: FieldValues::Named(values) })))
    }

    fn extensible(&mut self, content: Id, json: &Json) -> Result<Value, Unfit> {
        let (target, _) = self.plan.resolved(content);
        match (self.plan.node(target), json) {
            (Node::Struct { name, fields: Parts::Named(fields), always }, Json::Object(object)) => {
                self.growing(name, fields, [*always; 2], object)
            }
            _ => self.value(target, json),
        }
    }

    fn enumeration(&mut self, name: &Arc<str>, variants: &[VariantPlan], json: &Json) -> Result<Value, Unfit> {
        let (tag, content) = match json {
            Json::String(variant) => (variant.as_str(), &Json::Null),
            Json::Object(object) => match single(object) {
                Some(tagged) => tagged,
                None => {
                    return Err(Unfit::expected(format!("an object with only a variant of {name}"), "another object"));
                }
            },
            other => return Err(Unfit::expected(format!("a variant of {name}"), kind(other))),
        };
        let Some(variant) = variants.iter().find(|variant| &*variant.name == tag) else {
            return Err(Unfit::expected(format!("a variant of {name}"), format!("{tag:?}")));
        };
        let fields = self.fields(&variant.fields, content).map_err(|unfit| unfit.inside(format!(".{tag}")))?;
        Ok(Value::Enum(Box::new(Enum { name: name.clone(), variant: variant.name.clone(), fields })))
    }

    fn fields(&mut self, fields: &Parts, json: &Json) -> Result<FieldValues, Unfit> {
        match (fields, json) {
            (Parts::Unit, Json::Null) => Ok(FieldValues::Unit),
            (Parts::Unit, Json::Object(object)) if object.is_empty() => Ok(FieldValues::Unit),
            (Parts::Tuple(ids), _) if ids.len() == 1 => Ok(FieldValues::Tuple(vec![self.value(ids[0], json)?])),
            (Parts::Tuple(ids), Json::Array(items)) => self.items(ids, items).map(FieldValues::Tuple),
            (Parts::Named(fields), Json::Object(object)) => self.named(fields, object).map(FieldValues::Named),
            (Parts::Unit, other) => Err(Unfit::expected("null, for there are no fields", kind(other))),
            (Parts::Tuple(_), other) => Err(Unfit::expected("an array of fields", kind(other))),
            (Parts::Named(_), other) => Err(Unfit::expected("an object with the fields", kind(other))),
        }
    }

    fn named(
        &mut self,
        fields: &[(Arc<str>, Id)],
        object: &Map<String, Json>,
    ) -> Result<Vec<(Arc<str>, Value)>, Unfit> {
        let mut values = Vec::with_capacity(fields.len());
        for (name, id) in fields {
            let json = match object.get(&**name) {
                Some(json) => json,
                None if self.is_option(*id) => &Json::Null,
                None => return Err(Unfit::new(format!("the field `{name}` is not there"))),
            };
            values.push((name.clone(), self.value(*id, json).map_err(|unfit| unfit.inside(format!(".{name}")))?));
        }
        match object.keys().find(|key| !fields.iter().any(|(name, _)| **name == ***key)) {
            Some(unknown) => Err(Unfit::new(format!("there is no field `{unknown}`"))),
            None => Ok(values),
        }
    }
}

/// Returns the only field of an object.
fn single(object: &Map<String, Json>) -> Option<(&str, &Json)> {
    let mut fields = object.iter();
    fields.next().filter(|_| object.len() == 1).map(|(name, json)| (name.as_str(), json))
}

fn number(scalar: Scalar, json: &Json) -> Result<Value, Unfit> {
    fn exact<T: Number + Into<Value>>(value: &Value) -> Result<Value, Unfit> {
        T::of(value).map(Into::into)
    }
    let value = match (scalar, json) {
        (Scalar::Bool, Json::Bool(value)) => Some(Value::Bool(*value)),
        (Scalar::Char, Json::String(text)) => {
            let mut chars = text.chars();
            chars.next().filter(|_| chars.as_str().is_empty()).map(Value::Char)
        }
        (Scalar::F32, _) => float(json).and_then(narrow).map(Value::F32),
        (Scalar::F64, _) => float(json).map(Value::F64),
        (Scalar::Bool | Scalar::Char, _) => None,
        (_, Json::Number(number)) => match number.as_u64() {
            Some(number) => Some(Value::from(number)),
            None => number.as_i64().map(Value::from),
        },
        (_, Json::String(digits)) => match digits.parse() {
            Ok(number) => Some(Value::UInt(number)),
            Err(_) => digits.parse().ok().map(Value::Int),
        },
        _ => None,
    };
    let value = value.ok_or_else(|| Unfit::expected(scalar.name(), kind(json)))?;
    with_type!(scalar, exact(&value))
}

fn float(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse().ok().filter(|float: &f64| !float.is_finite()),
        _ => None,
    }
}

/// Returns the nearest `f32`, unless the number is out of its range.
fn narrow(float: f64) -> Option<f32> {
    let narrow = float as f32;
    (narrow.is_finite() || !float.is_finite()).then_some(narrow)
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a bool",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}
