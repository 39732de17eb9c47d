//! Settings whose value is a name with, for some, a number after a colon (`fixed:0.7`): one text in files and flags.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;

pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// The error of `T::from_str` says what was expected.
pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err = &'static str>,
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|expected| D::Error::custom(format_args!("{text:?}, {expected}")))
}

/// The number after `name:`.
pub(crate) fn number(text: &str, name: &str) -> Option<f64> {
    text.strip_prefix(name)?.strip_prefix(':')?.parse().ok()
}
