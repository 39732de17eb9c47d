//! The model as a judge of its own completions (LLM-as-a-judge, arXiv 2401.10020): it is asked several times for points
//! from 0 to 5, which are added up point by point, and the votes are averaged.
//!
//! Departures from that paper: the prompt is in other words, and a vote without a score that can be read does not count.

mod parse;

use cream_engine::Message;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::rows::{Completion, Completions, Prompt, Rewards, Turns};
use crate::sample::SampleOptions;

pub use parse::parse_score;

/// How the model judges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JudgeOptions {
    /// Judgements of each completion, whose points are averaged.
    pub votes: usize,
    /// Longest judgement, in tokens.
    pub max_new_tokens: usize,
    /// Divides the logits.
    pub temperature: f32,
    /// Keeps the most probable tokens that together have this probability; 1 keeps all.
    pub top_p: f32,
}

impl Default for JudgeOptions {
    fn default() -> Self {
        JudgeOptions { votes: 3, max_new_tokens: 256, temperature: 0.7, top_p: 0.9 }
    }
}

impl JudgeOptions {
    /// Whether every option lies in its range.
    ///
    /// # Errors
    /// The first that does not.
    pub fn validate(&self) -> Result<()> {
        if self.votes == 0 {
            return Err(Error::setting("votes", 0, "at least 1"));
        }
        self.sampling(&SampleOptions::default()).validate()
    }

    /// How judgements are drawn, as many at once as completions are.
    pub(crate) fn sampling(&self, completions: &SampleOptions) -> SampleOptions {
        let JudgeOptions { votes, max_new_tokens, temperature, top_p } = *self;
        let SampleOptions { slots, chunk_size, .. } = *completions;
        SampleOptions {
            completions: votes,
            max_new_tokens,
            temperature,
            top_k: 0,
            top_p,
            min_p: 0.0,
            repetition_penalty: 1.0,
            slots,
            chunk_size,
        }
    }
}

const INSTRUCTION: &str = "Judge the answer below to a user's request. Begin with 0 points and add 1 point for each of these \
    that holds, up to 5 points in all:\n\
    - It is relevant to the request and offers something useful, even if it is incomplete.\n\
    - It deals with a substantial part of what was asked.\n\
    - It settles the essentials of the request in a helpful way.\n\
    - It is clearly an assistant's answer: direct, complete and well organised.\n\
    - It is made for this very request, shows real expertise and holds nothing superfluous.";

const CLOSING: &str = "Explain your points in at most 100 words, then end with one line, \"Score: N\", where N is the sum of the \
    points.";

/// What the judge is asked: a prompt for each completion of each row, in order.
pub fn judge_prompts(rows: &[Completions]) -> Vec<Prompt> {
    let of_row = |row: &Completions| {
        let request = match &row.prompt {
            Turns::Text(text) => text.clone(),
            Turns::Messages(messages) => messages.iter().map(turn).collect::<Vec<_>>().join("\n"),
        };
        let prompt = |(i, completion): (usize, &Completion)| Prompt {
            id: format!("judgement {i} of {}", row.id),
            prompt: Turns::Text(format!(
                "{INSTRUCTION}\n\n<request>\n{request}\n</request>\n\n<answer>\n{}\n</answer>\n\n{CLOSING}",
                completion.text
            )),
        };
        row.completions.iter().enumerate().map(prompt).collect::<Vec<_>>()
    };
    rows.iter().flat_map(of_row).collect()
}

fn turn(message: &Message) -> String {
    format!("{}: {}", message.role, message.content)
}

/// The mean points of each completion over the votes with a score that can be read, and none without such a vote.
/// `judgements`: completions of [`judge_prompts`] of the same rows, in their order; those that were too long to be asked
/// are missing.
///
/// # Errors
/// Judgements of other rows.
pub fn judge_rewards(rows: &[Completions], judgements: &[Completions]) -> Result<Vec<Rewards>> {
    let mut left = judgements.iter().peekable();
    let mut points = Vec::new();
    for prompt in judge_prompts(rows) {
        let judgement = left.next_if(|judgement| judgement.id == prompt.id && judgement.prompt == prompt.prompt);
        let votes = judgement.iter().flat_map(|row| &row.completions).filter_map(|vote| parse_score(&vote.text));
        let votes: Vec<f64> = votes.collect();
        points.push((!votes.is_empty()).then(|| votes.iter().sum::<f64>() / votes.len() as f64));
    }
    if left.next().is_some() {
        return Err(Error::file("judgements", "of other completions than those that are to be rewarded"));
    }
    let mut points = points.into_iter();
    let row = |row: &Completions| Rewards {
        id: row.id.clone(),
        rewards: points.by_ref().take(row.completions.len()).collect(),
    };
    Ok(rows.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Completions> {
        let message = |role: &str, content: &str| Message { role: role.into(), content: content.into() };
        let chat = Turns::Messages(vec![message("system", "Be kind."), message("user", "Why?")]);
        vec![
            Completions {
                id: "a".into(),
                prompt: Turns::Text("Why?".into()),
                completions: vec!["No.".into(), "Yes.".into()],
            },
            Completions { id: "b".into(), prompt: chat, completions: vec!["So.".into()] },
        ]
    }

    #[test]
    fn request_and_answer_are_in_the_prompt() {
        let prompts = judge_prompts(&rows());
        assert_eq!(prompts.len(), 3);
        let Turns::Text(text) = &prompts[1].prompt else { panic!("a text") };
        assert!(text.contains("<request>\nWhy?\n</request>\n\n<answer>\nYes.\n</answer>"), "{text}");
        let Turns::Text(text) = &prompts[2].prompt else { panic!("a text") };
        assert!(text.contains("<request>\nsystem: Be kind.\nuser: Why?\n</request>"), "{text}");
        assert_eq!(prompts[2].id, "judgement 0 of b");
    }

    #[test]
    fn votes_are_averaged_and_those_without_a_score_left_out() {
        let votes = [["Score: 3", "Good.\nScore: 4"], ["Score: 5", "I cannot say."], ["?", ""]];
        let judgement = |(prompt, votes): (Prompt, [&str; 2])| Completions {
            id: prompt.id,
            prompt: prompt.prompt,
            completions: votes.map(Completion::from).to_vec(),
        };
        let mut judgements: Vec<_> = judge_prompts(&rows()).into_iter().zip(votes).map(judgement).collect();
        let rewards = judge_rewards(&rows(), &judgements).unwrap();
        assert_eq!(rewards[0], Rewards { id: "a".into(), rewards: vec![Some(3.5), Some(5.0)] });
        assert_eq!(rewards[1].rewards, [None]);
        // One that was too long to be asked for is missing.
        let without = judge_rewards(&rows(), &judgements[1..]).unwrap();
        assert_eq!((&without[0].rewards[..], &without[1]), (&[None, Some(5.0)][..], &rewards[1]));
        judgements.swap(0, 1);
        assert!(judge_rewards(&rows(), &judgements).is_err());
    }
}
