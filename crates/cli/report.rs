//! `cream report`

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use cream::{Directory, Report, Store};
use pollster::block_on;

use crate::inputs::Inputs;
use crate::output::Place;

/// Name of the page in a run directory.
pub(crate) const FILE: &str = "report.html";

const PAGE: &str = include_str!("report/page.html");
const STYLE: &str = include_str!("report/page.css");
const SCRIPT: &str = include_str!("report/page.js");
const UPLOT: &str = include_str!("report/uplot/uPlot.iife.min.js");
const UPLOT_STYLE: &str = include_str!("report/uplot/uPlot.min.css");
const UPLOT_LICENCE: &str = include_str!("report/uplot/LICENSE");

/// Make the page that shows a run: rankings, curves, texts, settings, time
///
/// One HTML file that needs no network and no other file; `cream run` leaves it as RUN/report.html. Of a run under way it
/// shows what there is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cream report RUN
  cream report --output page.html RUN")]
pub(crate) struct Args {
    /// A run folder, as `cream run --output` made it
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The page; - is standard output [default: RUN/report.html]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    // `Directory::open` would make one.
    ensure!(args.run.is_dir(), "{}: not there, expected the folder of a run", args.run.display());
    let output = args.output.clone().unwrap_or_else(|| args.run.join(FILE));
    let mut place = Place::open(&output, &Inputs::files([])?.with_run(&args.run))?;
    let page = page(&Directory::open(&args.run)?).with_context(|| args.run.display().to_string())?;
    place.write(page.as_bytes())
}

/// The page of a run.
pub(crate) fn page(store: &dyn Store) -> Result<String> {
    let report = serde_json::to_string(&block_on(Report::read(store))?)?;
    // In a script element only "</script" and "<!--" mean anything, and JSON has other ways to write "<".
    let report = report.replace('<', "\\u003c");
    // The run's own words come last, so that they are never taken for a place to fill.
    let parts = [
        ("/* page.css */", STYLE),
        ("/* uPlot.min.css */", UPLOT_STYLE),
        ("/* LICENSE */", UPLOT_LICENCE),
        ("/* uPlot.iife.min.js */", UPLOT),
        ("/* page.js */", SCRIPT),
        ("/* report.json */", &report),
    ];
    Ok(parts.into_iter().fold(PAGE.to_owned(), |page, (place, part)| page.replacen(place, part, 1)))
}
