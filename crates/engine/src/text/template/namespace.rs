//! jinja2's `namespace`: the one value of a template that changes.
//!
//! It holds plain data: no namespace, nothing that holds one, and nothing nested deeper than [`DEPTH`]. So no value holds
//! itself, and whatever goes through a value, to print it or to drop it, comes to an end before the stack does.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::value::{Kwargs, Object, ObjectRepr, Serde, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use serde::{Serialize, Serializer};

/// How deep lists and dicts may lie in each other. Those of a conversation lie three deep.
pub(super) const DEPTH: usize = 100;

#[derive(Debug, Default)]
struct Namespace {
    attributes: Mutex<Vec<(String, Value)>>,
}

impl Namespace {
    /// A panic of another thread leaves the list whole.
    fn attributes(&self) -> MutexGuard<'_, Vec<(String, Value)>> {
        self.attributes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: &State, name: &str, value: &Value) -> Result<(), Error> {
        if name.starts_with('_') {
            return Err(refused(format!("a namespace has no attribute {name:?}, as none begins with an underscore")));
        }
        let value = plain(state, value, DEPTH)?;
        let mut attributes = self.attributes();
        match attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => attributes.push((name.to_owned(), value)),
        }
        Ok(())
    }
}

impl Object for Namespace {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        self.attributes().iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    }

    fn render(self: &Arc<Self>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dict: Kwargs = self.attributes().iter().cloned().collect();
        write!(out, "<Namespace {}>", Value::from(dict))
    }
}

/// The function `namespace`: attributes from a dict and from keywords.
pub(super) fn namespace(state: &State, dict: Option<Value>, keywords: Kwargs) -> Result<Value, Error> {
    let namespace = Namespace::default();
    if let Some(dict) = dict {
        if dict.kind() != ValueKind::Map {
            return Err(refused(format!("namespace({dict}), expected a dict or keywords")));
        }
        for key in dict.try_iter()? {
            let Some(name) = key.as_str() else { return Err(refused(format!("namespace: a key is {key}, no text"))) };
            namespace.set(state, name, &dict.get_item(&key)?)?;
        }
    }
    for name in keywords.args() {
        namespace.set(state, name, &keywords.peek(name)?)?;
    }
    keywords.assert_all_used().ok();
    Ok(Value::from_object(namespace))
}

/// What `{% set namespace.name = value %}` calls.
pub(super) fn set(state: &State, target: &Value, name: &str, value: &Value) -> Result<(), Error> {
    match target.downcast_object_ref::<Namespace>() {
        Some(namespace) => namespace.set(state, name, value),
        None => Err(refused("cannot assign attribute on non-namespace object".to_owned())),
    }
}

/// A copy of the value if it is plain data: what it is made of lies in it, and nothing else does, such as the items that a
/// loop has yet to come to.
fn plain(state: &State, value: &Value, depth: usize) -> Result<Value, Error> {
    state.consume_fuel(1)?;
    let deeper =
        || depth.checked_sub(1).ok_or_else(|| refused(format!("a namespace holds values {DEPTH} deep at most")));
    let only_data = || Err(refused(format!("a namespace holds plain data only, not {value}")));
    // A macro looks like a map, and holds all that is around it.
    if value.as_object().is_some_and(|object| object.type_name().ends_with("::Macro")) {
        return only_data();
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let depth = deeper()?;
            let items = value.try_iter()?.map(|item| plain(state, &item, depth)).collect::<Result<Vec<_>, _>>()?;
            let is_tuple = value.downcast_object_ref::<Tuple>().is_some();
            Ok(if is_tuple { Value::from(Tuple::from(items)) } else { Value::from(items) })
        }
        ValueKind::Map => {
            let depth = deeper()?;
            let pair = |key: Value| Ok((plain(state, &key, depth)?, plain(state, &value.get_item(&key)?, depth)?));
            Ok(Value::from(Serde(Dict(value.try_iter()?.map(pair).collect::<Result<_, Error>>()?))))
        }
        ValueKind::Plain | ValueKind::Invalid => only_data(),
        _ => Ok(value.clone()),
    }
}

/// A dict by its pairs, in their order.
struct Dict(Vec<(Value, Value)>);

impl Serialize for Dict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

fn refused(problem: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem)
}
