//! `cream devices`

use anyhow::Result;
use cream::engine::{Backend, Cpu};
use serde_json::json;

use crate::files::say;

/// List the devices that --device can name
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let name = Cpu::new().name();
    if args.json {
        say(&json!({"device": "cpu", "name": name, "auto": true}).to_string())
    } else {
        say(&format!("cpu  {name} (auto)"))
    }
}
