//! Preference pairs from two OpenAI-compatible servers: the current model samples and scores, its initial model scores too, and
//! the pairs go to whoever trains.
//!
//! ```sh
//! cargo run --package cream-method --example server CURRENT_URL INITIAL_URL prompts.jsonl pairs.jsonl
//! ```
//!
//! It asks for `/v1/completions` with `logprobs`, and for `/tokenize`, as llama.cpp's server has them. That server does not tell
//! the log-probs of a given text: its tokens are forced one by one, by a `logit_bias` that the log-probs do not show. An end of
//! turn is not among the tokens that are told, so that it counts in neither score. Prompts are raw texts.

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::{env, fs};

use cream_method::{PairOptions, Prompt, Rated, Turns, read_jsonl, to_jsonl};
use serde_json::{Value, json};

const ANSWERS: usize = 5;
const BETA: f64 = 0.1;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A model behind an address.
struct Server(String);

impl Server {
    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        Ok(ureq::post(format!("{}{path}", self.0)).send_json(body)?.body_mut().read_json()?)
    }

    fn tokens(&self, text: &str) -> Result<Vec<u64>> {
        let told = self.post("/tokenize", &json!({"content": text, "add_special": true}))?;
        Ok(told["tokens"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect())
    }

    /// A completion: its text, and token by token the log-probs that the server tells.
    fn complete(&self, request: Value) -> Result<(String, Vec<(u64, f64)>)> {
        let told = self.post("/v1/completions", &request)?;
        let choice = &told["choices"][0];
        let text = choice["text"].as_str().ok_or_else(|| format!("no completion in {told}"))?;
        let tokens = choice["logprobs"]["content"].as_array().into_iter().flatten();
        let tokens = tokens.filter_map(|token| Some((token["id"].as_u64()?, token["logprob"].as_f64()?)));
        Ok((text.to_owned(), tokens.collect()))
    }

    /// The log-prob of a completion that another model has sampled; none where the server does not tell it.
    fn score(&self, prompt: &[u64], completion: &[(u64, f64)]) -> Result<Option<f64>> {
        let (mut tokens, mut sum) = (prompt.to_vec(), 0.0);
        for &(forced, _) in completion {
            let bias = json!({forced.to_string(): 100});
            let request =
                json!({"prompt": tokens, "max_tokens": 1, "temperature": 0, "logprobs": 1, "logit_bias": bias});
            match self.complete(request)?.1[..] {
                [(drawn, logp)] if drawn == forced => sum += logp,
                _ => return Ok(None),
            }
            tokens.push(forced);
        }
        Ok(Some(sum))
    }
}

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [current, initial, prompts, output] = &words[..] else {
        return Err("expected CURRENT_URL INITIAL_URL PROMPTS OUTPUT".into());
    };
    let [current, initial] = [current, initial].map(|address| Server(address.trim_end_matches('/').to_owned()));
    let mut rated = Vec::new();
    for Prompt { id, prompt } in read_jsonl::<Prompt>(prompts, BufReader::new(File::open(prompts)?))? {
        let Turns::Text(text) = &prompt else { return Err(format!("{prompts}: {id}: expected a text").into()) };
        let tokens = current.tokens(text)?;
        for seed in 0..ANSWERS {
            let request = json!({"prompt": tokens, "max_tokens": 32, "temperature": 1, "logprobs": 1, "seed": seed});
            let (answer, drawn) = current.complete(request)?;
            // Of tokens that end within a character nothing is told.
            let Some(base) = initial.score(&tokens, &drawn)?.filter(|_| !drawn.is_empty()) else { continue };
            let logps: f64 = drawn.iter().map(|(_, logp)| logp).sum();
            rated.push(Rated {
                id: Some(id.clone()),
                prompt: prompt.clone(),
                completions: vec![answer.into()],
                rewards: vec![Some(cream_method::core::implicit_reward(BETA, logps, base)?)],
                // In the first round the former self is the initial model, which ranks by its mean log-prob per token.
                previous_rewards: Some(vec![Some(cream_method::core::mean_logps(base, drawn.len())?)]),
            });
        }
        eprintln!("{id}: {} answers so far", rated.len());
    }
    let labels = cream_method::label(&rated, &PairOptions::default())?;
    fs::write(output, to_jsonl(&labels.pairs))?;
    println!("{}", serde_json::to_string(&labels.report)?);
    Ok(())
}
