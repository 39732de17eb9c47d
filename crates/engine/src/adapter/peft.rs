//! PEFT's adapter_config.json and the names in its adapter_model.safetensors.
//!
//! After PEFT 0.21 (`LoraConfig`, `check_target_module_exists`, `LoraLayer.update_layer`). What changes the result is
//! computed as there or refused; a setting that PEFT adds later is refused by name unless its value is neutral.

use std::collections::BTreeSet;

use fancy_regex::{Regex, RegexBuilder};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Linear, LoraConfig};
use crate::error::{Error, Result};
use crate::neutral::{is_neutral, shown};
use crate::stand_in;

const CONFIG: &str = "adapter_config.json";
const TARGETS: &str = "target_modules";
const EXCLUDED: &str = "exclude_modules";
const PLAIN: &str = "none: only plain LoRA is supported";

/// Settings that tell of an adapter's origin, or of how it was started or trained: with its factors at hand they change
/// nothing.
const DESCRIBING: [&str; 16] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "layers_pattern",
    "loftq_config",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    "velora_config",
];

/// Settings that PEFT acts on wherever they are set, to nothing at all too.
const SWITCHES: [&str; 4] = ["arrow_config", "kasa_config", "monteclora_config", "use_bdlora"];

/// Most steps back that a regular expression may take over the name of one module.
const BACKTRACKS: usize = 10_000;

/// Starts that leave the base's weights alone. Those of PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA change them: an adapter that
/// began so is relative to a base that PEFT makes again when it loads.
const PLAIN_STARTS: [&str; 4] = ["gaussian", "eva", "orthogonal", "mica"];

/// What is written beside an adapter's factors.
#[derive(Serialize)]
pub(super) struct PeftConfig<'a> {
    peft_type: &'static str,
    task_type: &'static str,
    base_model_name_or_path: &'a str,
    inference_mode: bool,
    #[serde(flatten)]
    lora: &'a LoraConfig,
    use_dora: bool,
    use_rslora: bool,
    lora_dropout: f32,
    bias: &'static str,
    layers_to_transform: Option<Vec<usize>>,
    modules_to_save: Option<Vec<String>>,
}

impl<'a> PeftConfig<'a> {
    pub(super) fn new(lora: &'a LoraConfig, base_model: &'a str) -> Self {
        PeftConfig {
            peft_type: "LORA",
            task_type: "CAUSAL_LM",
            base_model_name_or_path: base_model,
            inference_mode: true,
            lora,
            use_dora: false,
            use_rslora: false,
            lora_dropout: 0.0,
            bias: "none",
            layers_to_transform: None,
            modules_to_save: None,
        }
    }
}

/// What an adapter_config.json says.
pub(super) struct Read {
    /// Its shape, with the alpha that gives its scale as alpha / rank.
    pub(super) lora: LoraConfig,
    pub(super) dropout: f32,
}

fn wrong<T>(key: &str, value: &Value, expected: &str) -> Result<T> {
    Err(Error::file(CONFIG, key, format_args!("{}, expected {expected}", shown(value))))
}

/// Reads adapter_config.json for a model of so many layers.
pub(super) fn read(bytes: &[u8], layers: usize) -> Result<Read> {
    let json: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|e| Error::file(CONFIG, "contents", stand_in::or(bytes, e)))?;
    let required = |key: &str| {
        let value = json.get(key).filter(|value| !value.is_null());
        value.ok_or_else(|| Error::file(CONFIG, key, "missing"))
    };
    match required("peft_type")? {
        Value::String(kind) if kind == "LORA" => {}
        other => return wrong("peft_type", other, "\"LORA\""),
    }
    let (rank, alpha) = (required("r")?, required("lora_alpha")?);
    let Some(r) = rank.as_u64().and_then(|r| usize::try_from(r).ok()) else {
        return wrong("r", rank, "a whole number");
    };
    let Some(number) = alpha.as_f64() else { return wrong("lora_alpha", alpha, "a number") };
    let target_modules = targets(&json, required(TARGETS)?, layers)?;
    let mut read = Read { lora: LoraConfig { r, lora_alpha: number as f32, target_modules }, dropout: 0.0 };
    for (key, value) in &json {
        match key.as_str() {
            "peft_type" | "r" | "lora_alpha" | "target_modules" | "exclude_modules" => {}
            "lora_dropout" => match value.as_f64() {
                Some(dropout) if (0.0..1.0).contains(&dropout) => read.dropout = dropout as f32,
                _ if value.is_null() => {}
                _ => return wrong(key, value, "a number from 0 to less than 1"),
            },
            // alpha / sqrt(r), as (alpha sqrt(r)) / r.
            "use_rslora" if *value == true => read.lora.lora_alpha = (number * (r as f64).sqrt()) as f32,
            "init_lora_weights" => start(key, value)?,
            "layers_to_transform" => all_layers(key, value, layers)?,
            "rank_pattern" => same_for_all(key, value, rank)?,
            "alpha_pattern" => same_for_all(key, value, alpha)?,
            describing if DESCRIBING.contains(&describing) => {}
            switch if SWITCHES.contains(&switch) && value.is_object() => return wrong(key, value, PLAIN),
            _ if is_neutral(key, value) => {}
            _ => return wrong(key, value, PLAIN),
        }
    }
    read.lora.check().map_err(|e| Error::file(CONFIG, "contents", e))?;
    Ok(read)
}

/// Whether an adapter that began so is relative to the base as it is.
fn start(key: &str, value: &Value) -> Result<()> {
    let plain = match value {
        Value::Null | Value::Bool(_) => true,
        Value::String(name) => PLAIN_STARTS.contains(&name.to_lowercase().as_str()),
        _ => false,
    };
    if plain {
        return Ok(());
    }
    let expected = "true, false, \"gaussian\", \"eva\", \"orthogonal\" or \"mica\": this start changes the base's weights; \
        save the adapter as plain LoRA (save_pretrained with path_initial_model_for_weight_conversion)";
    wrong(key, value, expected)
}

/// One index or a list; none, or all layers of the model.
fn all_layers(key: &str, value: &Value, layers: usize) -> Result<()> {
    let listed: BTreeSet<u64> = match value {
        Value::Null => return Ok(()),
        Value::Array(list) if list.is_empty() => return Ok(()),
        Value::Number(number) if number.as_i64() == Some(-1) => return Ok(()),
        Value::Array(list) => list.iter().filter_map(Value::as_u64).collect(),
        single => single.as_u64().into_iter().collect(),
    };
    let all = listed.iter().copied().eq(0..layers as u64);
    if all {
        Ok(())
    } else {
        wrong(key, value, &format!("none, or all {layers} layers: an adapter has one rank in all"))
    }
}

/// Exceptions by module: none, or such as are none.
fn same_for_all(key: &str, value: &Value, common: &Value) -> Result<()> {
    let same = match value {
        Value::Object(patterns) => patterns.values().all(|value| value.as_f64() == common.as_f64()),
        other => other.is_null(),
    };
    if same { Ok(()) } else { wrong(key, value, &format!("none, or {common} for all linears")) }
}

/// Modules by name: those with one of these names or with a name that ends so, or those whose whole name is matched.
enum Modules<'a> {
    Named(BTreeSet<&'a str>),
    Matched(&'a Value, Regex),
}

impl<'a> Modules<'a> {
    fn read(key: &str, value: &'a Value) -> Result<Self> {
        if let Some(pattern) = value.as_str() {
            let regex = RegexBuilder::new(&format!("^(?:{pattern})$")).backtrack_limit(BACKTRACKS).build();
            return regex
                .map(|regex| Modules::Matched(value, regex))
                .map_err(|e| Error::file(CONFIG, key, format_args!("{}: {e}", shown(value))));
        }
        let names = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        names.map_or_else(
            || wrong(key, value, "a list of names or a regular expression"),
            |names| Ok(Modules::Named(names)),
        )
    }

    fn have(&self, module: &str) -> Result<bool> {
        match self {
            Modules::Named(names) => {
                let ends = module.match_indices('.').map(|(dot, _)| &module[dot + 1..]);
                Ok(ends.chain([module]).any(|name| names.contains(name)))
            }
            Modules::Matched(value, regex) => {
                regex.is_match(module).map_err(|e| Error::file(CONFIG, TARGETS, format_args!("{}: {e}", shown(value))))
            }
        }
    }
}

/// The linears that `target_modules` and `exclude_modules` leave. Names of modules that a Llama does not have mean nothing.
fn targets(json: &Map<String, Value>, included: &Value, layers: usize) -> Result<Vec<Linear>> {
    let excluded = json.get(EXCLUDED).filter(|value| !is_neutral(EXCLUDED, value));
    let excluded = excluded.map(|value| Modules::read(EXCLUDED, value)).transpose()?;
    let included = match included.as_str() {
        Some(text) if text.eq_ignore_ascii_case("all-linear") => Modules::Named(Linear::ALL.map(Linear::name).into()),
        _ => Modules::read(TARGETS, included)?,
    };
    let meant = |module: &str| -> Result<bool> {
        Ok(included.have(module)? && !excluded.as_ref().map_or(Ok(false), |excluded| excluded.have(module))?)
    };
    let refuse = |problem: String| {
        let supported = Linear::ALL.map(Linear::name).join(", ");
        Err(Error::file(CONFIG, TARGETS, format_args!("{problem}, supported are {supported}")))
    };
    for module in ["lm_head", "model.embed_tokens"] {
        if meant(module)? {
            return refuse(module.to_owned());
        }
    }
    let mut linears = Vec::new();
    for linear in Linear::ALL {
        let modules = (0..layers).map(|layer| meant(&linear.module_name(layer))).collect::<Result<Vec<_>>>()?;
        match modules.iter().filter(|&&meant| meant).count() {
            0 => {}
            all if all == layers => linears.push(linear),
            some => {
                let problem = format!("{} in {some} of {layers} layers, expected all or none", linear.name());
                return Err(Error::file(CONFIG, TARGETS, problem));
            }
        }
    }
    if linears.is_empty() { refuse(shown(&json[TARGETS])) } else { Ok(linears) }
}

/// The name that PEFT gives a factor in a file, for one that may lack the prefix of PEFT or of the model's head, or have the
/// adapter's own name in it, as a state dictionary has. Other names stay as they are.
pub(super) fn factor_name(name: &str) -> String {
    let factor = || {
        let (module, factor) = name.rsplit_once(".lora_")?;
        let (letter, own) = factor.strip_suffix(".weight")?.split_at_checked(1)?;
        let named = ["A", "B"].contains(&letter) && (own.is_empty() || own.starts_with('.'));
        let module = module.strip_prefix("base_model.model.").unwrap_or(module);
        let head = if module.starts_with("layers.") { "model." } else { "" };
        named.then(|| format!("base_model.model.{head}{module}.lora_{letter}.weight"))
    };
    factor().unwrap_or_else(|| name.to_owned())
}
