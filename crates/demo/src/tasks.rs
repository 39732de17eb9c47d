//! Short tasks with one right answer, drawn at random, and the mistakes that the model's first teacher made.

use std::collections::BTreeSet;

use cream::core::philox::{Stream, prompt_hash, uniform};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A word spelt backwards.
    Reverse,
    /// The letters of a word in the order of the alphabet.
    Sort,
    /// A sum of two numbers below 100.
    Add,
    /// A difference of two numbers below 100, not negative.
    Subtract,
    /// The largest of three numbers below 100.
    Largest,
    /// How often a letter is in a word.
    Count,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 6] =
        [Family::Reverse, Family::Sort, Family::Add, Family::Subtract, Family::Largest, Family::Count];

    /// As it is named in ids.
    pub fn name(self) -> &'static str {
        match self {
            Family::Reverse => "reverse",
            Family::Sort => "sort",
            Family::Add => "add",
            Family::Subtract => "subtract",
            Family::Largest => "largest",
            Family::Count => "count",
        }
    }
}

/// What tasks are for. No question of one of the last two is in any other, and none is in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// What the model is made with.
    Pretraining,
    /// Right answers for supervised fine-tuning.
    Sft,
    /// Questions without answers.
    Prompts,
    /// To choose settings with.
    Validation,
    /// To report with.
    Test,
}

impl Split {
    fn name(self) -> &'static str {
        match self {
            Split::Pretraining => "pretraining",
            Split::Sft => "sft",
            Split::Prompts => "prompts",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }

    /// Whether a question may be in it: one in eight is kept for each of the last two.
    fn has(self, question: &str) -> bool {
        match prompt_hash(question.as_bytes()) >> 61 {
            0 => self == Split::Test,
            1 => self == Split::Validation,
            _ => !matches!(self, Split::Test | Split::Validation),
        }
    }
}

/// A question and its answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Split, family and number.
    pub id: String,
    /// What is asked.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// What somebody lazy says: the word as it is, a sum without its carry.
    pub mistake: String,
}

/// Random numbers of one task, one after the other.
struct Dice {
    place: Stream,
    thrown: u32,
}

impl Dice {
    /// Uniform below `sides`, to 1 in 2^24 / sides.
    fn throw(&mut self, sides: usize) -> usize {
        self.place.counter[3] = self.thrown;
        self.thrown += 1;
        ((uniform(self.place.random()[0]) * sides as f32) as usize).min(sides - 1)
    }

    fn word(&mut self, letters: usize, alphabet: usize) -> String {
        (0..letters).map(|_| char::from(b'a' + self.throw(alphabet) as u8)).collect()
    }
}

/// The first `count` tasks of a split, families in turn. Questions differ, save in pretraining.
pub fn tasks(split: Split, seed: u64, count: usize) -> Vec<Task> {
    let (mut seen, mut out) = (BTreeSet::new(), Vec::with_capacity(count));
    let stream = prompt_hash(split.name().as_bytes());
    for number in 0.. {
        if out.len() == count {
            break;
        }
        let family = Family::ALL[out.len() % Family::ALL.len()];
        let mut dice = Dice { place: Stream::at(seed, stream, number, 0), thrown: 0 };
        let (question, answer, mistake) = draw(family, &mut dice);
        if split.has(&question) && (split == Split::Pretraining || seen.insert(question.clone())) {
            let id = format!("{}-{}-{}", split.name(), family.name(), out.len());
            out.push(Task { id, question, answer, mistake });
        }
    }
    out
}

/// Question, answer and mistake.
fn draw(family: Family, dice: &mut Dice) -> (String, String, String) {
    match family {
        Family::Reverse => {
            let letters = 3 + dice.throw(4);
            let word = dice.word(letters, 26);
            let answer: String = word.chars().rev().collect();
            // The last two letters the wrong way round, or where they are the same one of them.
            let (start, end) = answer.split_at(letters - 2);
            let mut end: Vec<char> = end.chars().rev().collect();
            end.dedup();
            let mistake = end.into_iter().fold(start.to_owned(), |start, letter| format!("{start}{letter}"));
            (format!("Spell {word} backwards."), answer, mistake)
        }
        Family::Sort => {
            let letters = 3 + dice.throw(4);
            let word = dice.word(letters, 26);
            let mut sorted: Vec<char> = word.chars().collect();
            sorted.sort_unstable();
            let answer: String = sorted.iter().collect();
            sorted.dedup();
            let short = if sorted.len() < letters { sorted.iter().collect() } else { answer[..letters - 1].to_owned() };
            (format!("Sort the letters of {word}."), answer, short)
        }
        Family::Add => {
            let (a, b) = (10 + dice.throw(90), 10 + dice.throw(90));
            let without_carry = (a / 10 + b / 10) * 10 + (a % 10 + b % 10) % 10;
            let mistake = if without_carry == a + b { a + b + 1 } else { without_carry };
            (format!("What is {a} + {b}?"), (a + b).to_string(), mistake.to_string())
        }
        Family::Subtract => {
            let (a, b) = (10 + dice.throw(90), 10 + dice.throw(90));
            let (a, b) = (a.max(b), a.min(b));
            let digits = (a / 10 - b / 10) * 10 + (a % 10).abs_diff(b % 10);
            let mistake = if digits == a - b { a - b + 1 } else { digits };
            (format!("What is {a} - {b}?"), (a - b).to_string(), mistake.to_string())
        }
        Family::Largest => {
            let numbers = [10 + dice.throw(90), 10 + dice.throw(90), 10 + dice.throw(90)];
            let [a, b, c] = numbers;
            let largest = a.max(b).max(c);
            let mistake = if a == largest { c } else { a };
            (format!("Which is largest: {a}, {b} or {c}?"), largest.to_string(), mistake.to_string())
        }
        Family::Count => {
            let (letters, wanted) = (4 + dice.throw(4), dice.throw(4));
            let word = dice.word(letters, 4);
            let wanted = char::from(b'a' + wanted as u8);
            let count = word.chars().filter(|&letter| letter == wanted).count();
            let mistake = count + 1;
            (format!("How often is {wanted} in {word}?"), count.to_string(), mistake.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_by_hand() {
        let right = |question: &str, answer: &str| {
            let words: Vec<&str> = question.trim_end_matches(['.', '?']).split(' ').collect();
            let number = |i: usize| words[i].trim_end_matches(',').parse::<usize>().unwrap();
            match words[0] {
                "Spell" => answer.chars().rev().eq(words[1].chars()),
                "Sort" => {
                    let mut letters: Vec<char> = words[4].chars().collect();
                    letters.sort_unstable();
                    letters.into_iter().eq(answer.chars())
                }
                "What" if words[3] == "+" => number(2) + number(4) == answer.parse::<usize>().unwrap(),
                "What" => number(2) - number(4) == answer.parse::<usize>().unwrap(),
                "Which" => [number(3), number(4), number(6)].iter().max() == answer.parse::<usize>().ok().as_ref(),
                "How" => words[5].matches(words[3]).count() == answer.parse::<usize>().unwrap(),
                other => panic!("{other}"),
            }
        };
        for task in tasks(Split::Prompts, 0, 3000) {
            assert!(right(&task.question, &task.answer), "{task:?}");
            assert!(task.mistake != task.answer, "{task:?}");
        }
    }

    #[test]
    fn no_question_of_a_test_is_anywhere_else() {
        let questions = |split| tasks(split, 0, 2400).into_iter().map(|task| task.question).collect::<BTreeSet<_>>();
        let splits = [Split::Pretraining, Split::Sft, Split::Prompts, Split::Validation, Split::Test].map(questions);
        for (i, one) in splits.iter().enumerate() {
            for (j, other) in splits.iter().enumerate().skip(i + 1) {
                assert!(j < 3 || one.is_disjoint(other), "{i} and {j}");
            }
        }
        assert_eq!(splits[4].len(), 2400);
    }

    #[test]
    fn a_seed_is_a_set() {
        assert_eq!(tasks(Split::Test, 1, 50), tasks(Split::Test, 1, 60)[..50]);
        assert_ne!(tasks(Split::Test, 1, 50), tasks(Split::Test, 2, 50));
    }
}
