//! `cream devices`

use anyhow::Result;
use cream::DeviceChoice;
use cream::engine::gpu::adapters;
use cream::engine::{Backend, Cpu};
use pollster::block_on;
use serde_json::json;

use crate::files::say;

/// List the devices that --device can name
///
/// The CPU, then every adapter that wgpu sees: its kind, which forms of the kernels it runs, and the largest piece of a
/// buffer that it lets a kernel see. "auto" marks the one that --device auto takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let adapters = block_on(adapters());
    let auto = DeviceChoice::Auto.among(&adapters)?;
    let name = Cpu::new().name();
    if args.json {
        say(&json!({"device": "cpu", "name": name, "kind": "cpu", "auto": auto == DeviceChoice::Cpu}).to_string())?;
    } else {
        say(&format!("cpu    {name}{}", mark(auto == DeviceChoice::Cpu)))?;
    }
    for (index, adapter) in adapters.iter().enumerate() {
        let device = DeviceChoice::Adapter(index);
        if args.json {
            let row = json!({
                "device": device.to_string(), "name": adapter.name, "kind": adapter.kind, "forms": adapter.forms,
                "max_binding_bytes": adapter.max_binding_bytes, "auto": auto == device,
            });
            say(&row.to_string())?;
        } else {
            let (name, kind, forms) = (&adapter.name, adapter.kind, adapter.forms);
            let mib = adapter.max_binding_bytes >> 20;
            say(&format!("{device}  {name}, {kind}; {forms}; {mib} MiB a binding{}", mark(auto == device)))?;
        }
    }
    Ok(())
}

fn mark(auto: bool) -> &'static str {
    if auto { " (auto)" } else { "" }
}
