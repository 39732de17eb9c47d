//! The day that a chat template prints: given, written down by a run, or today's.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use cream::engine::{Date, Text};
use cream::{Directory, Progress, RunConfig};

use crate::files::tell;

/// Today, in UTC.
fn today() -> Date {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Date::of_seconds(i64::try_from(seconds).unwrap_or(0))
}

/// Sets the day for a single call; what it is where the chat template prints it.
pub(crate) fn set(text: &mut Text, given: Option<Date>) -> Option<Date> {
    if !text.reads_date() {
        return None;
    }
    let date = given.unwrap_or_else(|| {
        let date = today();
        tell(&format!("date: {date}, today's, which the chat template prints; --date {date} repeats it"));
        date
    });
    text.set_date(date);
    Some(date)
}

/// Sets the day for a run: that of its settings, else the one in the first of `files`, which an earlier call wrote, else
/// today's, which is written down with the settings.
pub(crate) fn set_for_run(
    config: &mut RunConfig,
    text: &mut Text,
    store: &Directory,
    files: &[String],
    progress: &mut dyn Progress,
) -> Result<()> {
    if !text.reads_date() {
        return Ok(());
    }
    if config.date.is_none() {
        let saved = files.iter().find_map(|file| Some((file, store.read(file).transpose()?)));
        config.date = match saved {
            Some((file, bytes)) => RunConfig::from_toml(file, &String::from_utf8_lossy(&bytes?))?.date,
            None => Some(today()),
        };
    }
    if let Some(date) = config.date {
        progress.log(&format!("date: {date}, which the chat template prints in all of this run"));
        text.set_date(date);
    }
    Ok(())
}
