//! The letter that an answer to multiple choice says.
//!
//! A text is read sentence by sentence. What says the answer is, in this order:
//! 1. A statement: "the answer is B", "B is correct", "I would choose B", or a sentence that is nothing but the letter. The
//!    last one counts, and one that names two letters ("A or B") leaves no answer. Denials ("not A", "A is wrong"), questions
//!    and "if it were so, it would be A" state nothing.
//! 2. A letter before a choice or a reason: "B) Paris", "B, because …"; not a list of the choices.
//! 3. The last letter in brackets, or after "option".

use super::token::{Line, Token, among, lines, sentences};
use Token::{Close, Colon, Dash, Letter, Pause, Stop, Word};

/// May stand between the words that announce a letter and the letter.
const LEAD: &str = "\
    option choice letter statement alternative the either both only definitely clearly probably most \
    likely therefore thus then indeed simply just now obviously certainly surely still";
/// May stand before a letter that is a sentence of its own, beside those.
const INTRODUCTION: &str = "\
    so hence ok okay yes well sure i we think believe maybe finally in conclusion no wait actually sorry \
    of course by through elimination";
/// Before a letter that is what a sentence comes to.
const CONCLUSION: &str = "so hence thus therefore i.e";
const BEING: &str = "is was are were be being equals seems looks sounds appears remains";
const AUXILIARY: &str = "would should must will can could might may has have had to does do did";
const HEDGE: &str = "could might may";
const PRONOUN: &str = "it that this which";
const DENIAL: &str = "not never neither nor no none without except than wrong incorrect false";
/// Nouns that a letter may be the value of, where something says that the right one is meant.
const NOUN: &str = "option choice statement one selection guess pick solution response";
const RIGHT: &str = "correct right best better";
const QUALIFIER: &str = "correct right best my final likely only appropriate suitable true selected chosen";
/// Between "is" and the verdict.
const MODIFIER: &str = "\
    the a an my most very only single definitely clearly obviously certainly therefore thus indeed \
    probably likely to be final appropriate";
const CHOOSING: &str = "choose chose pick picked select selected go going opt vote say guess settle";
const CHOOSER: &str = "i we let us am would will must should have to had can";
const LEADING: &str = "corresponds matches points leads leaves leaving";
const PREPOSITION: &str = "with for on to as";
/// What the right choice does.
const FITTING: &str = "fits works makes best matches";
/// Begins a clause.
const CLAUSE: &str = "\
    and but so because since therefore thus hence that think believe say then while whereas although \
    however as";
/// May follow a letter, or a verdict, that is not the beginning of something else.
const REASON: &str = "\
    because since as and or nor which not but so due from given here rather instead while whereas \
    according based by among of for";

/// The letter, as a capital.
pub(super) fn letter(text: &str) -> Option<char> {
    let lines = read(text);
    let mut said = None;
    let alone = lines.iter().flatten().filter(|token| matches!(token, Stop { .. })).count() <= 1;
    for line in &joined(&lines) {
        for (start, end) in sentences(line) {
            said = statement(line, start, end, alone).or(said);
        }
    }
    said.unwrap_or_else(|| labelled(&lines).or_else(|| named(&lines)))
}

/// Whether a text is a letter and nothing else, in whatever form.
pub(super) fn is_letter(text: &str) -> bool {
    let tokens = read(text).concat();
    let letters = (0..tokens.len()).filter(|&at| matches!(tokens[at], Letter { .. })).count();
    let bare = |token: &Token| {
        !matches!(token, Word(_)) || among(Some(token), "option choice letter the correct final answer is")
    };
    letters == 1 && tokens.iter().all(bare)
}

/// The choice that a token names.
fn mention(tokens: &[Token], at: usize) -> Option<char> {
    match tokens.get(at) {
        Some(Letter { written, .. }) => Some(written.to_ascii_uppercase()),
        _ => None,
    }
}

/// Whether the letter at `at` is none of a choice: the words "a" and "I", by what follows, and the first of two initials.
fn is_word(line: &[Token], at: usize) -> bool {
    let next = line.get(at + 1);
    match line[at] {
        Letter { bracketed: false, .. }
            if matches!(line.get(at + 1..at + 4), Some([Stop { .. }, second, Stop { .. }])
            if matches!(second, Letter { bracketed: false, .. }) || matches!(second, Word(word) if word.chars().count() == 1)) =>
        {
            true
        }
        Letter { written: 'A' | 'a', bracketed: false } => {
            let follows = [BEING, AUXILIARY, REASON, FITTING].iter().any(|words| among(next, words));
            matches!(next, Some(Word(_) | Letter { .. })) && !follows
        }
        Letter { written: 'I' | 'i', bracketed: false } => {
            !matches!(next, None | Some(Stop { .. } | Close | Colon)) && !among(next, "is because")
        }
        _ => false,
    }
}

/// What a sentence states: nothing, one letter, or too many.
fn statement(line: &[Token], start: usize, end: usize, alone: bool) -> Option<Option<char>> {
    let asks = matches!(line.get(end), Some(Stop { asks: true }));
    let sentence = &line[start..end];
    let has = |words: &str| sentence.iter().any(|token| among(Some(token), words));
    let first = sentence.first();
    let question = among(first, "which what who why")
        || (asks && among(first, "is are was could would should can does how or and but so"));
    let supposed = sentence.windows(2).any(|pair| among(Some(&pair[0]), "if") && !among(Some(&pair[1]), "i we you"));
    let doubted = has("doubt") || (has("not never") && has("think believe sure certain"));
    if question || doubted || (supposed && has("would were could might had")) {
        return None;
    }
    let mut stated = None;
    let mut at = 0;
    while at < sentence.len() {
        let Some(letter) = mention(sentence, at) else {
            at += 1;
            continue;
        };
        let (before, (same, after_at)) = (&sentence[..at], run(sentence, at));
        let after = &sentence[after_at..];
        let whole = if same { Some(letter) } else { None };
        let verb = among(after.first(), BEING) || among(after.first(), AUXILIARY);
        let found = match announced(before) {
            // "… is B, A is a town": the others begin a clause.
            Announced::AsIs if verb && after_at > at + 1 => Some(Some(letter)),
            Announced::AsIs if !denied(after) && !among(after.first(), "equals") => Some(whole),
            Announced::ByName if !verb && !denied(after) => Some(whole),
            _ if begins_clause(before) && judged_right(after) => Some(whole),
            _ if concludes(before, after) => Some(whole),
            _ if bare(before, after) && (!asks || alone) && !labels(line, start + at) => Some(whole),
            _ => None,
        };
        if let Some(found) = found {
            stated = Some(corrected(after).map_or(found, Some));
        }
        at = after_at;
    }
    stated
}

/// The letters from `at` on that "and", "or" and commas join: whether they are one and the same, and where they end.
fn run(tokens: &[Token], at: usize) -> (bool, usize) {
    let (first, mut end, mut same) = (mention(tokens, at), at + 1, true);
    loop {
        let mut next = end;
        while matches!(tokens.get(next), Some(Close)) {
            next += 1;
        }
        let joint = next;
        while matches!(tokens.get(next), Some(Pause)) || among(tokens.get(next), "and or nor") {
            next += 1;
        }
        let joined = next > joint;
        while among(tokens.get(next), LEAD) {
            next += 1;
        }
        match mention(tokens, next) {
            Some(letter) if joined => (end, same) = (next + 1, same && Some(letter) == first),
            _ => return (same, end),
        }
    }
}

/// How the words before a letter announce it.
enum Announced {
    /// As what is: "the answer is", "it must be", "I choose".
    AsIs,
    /// By its name: "answer".
    ByName,
    No,
}

fn announced(before: &[Token]) -> Announced {
    let (mut end, mut colon, mut pause) = (before.len(), false, false);
    loop {
        let tokens = &before[..end];
        match tokens.last() {
            Some(Colon | Dash) => colon = true,
            Some(Pause) => pause = true,
            token if among(token, LEAD) && !(colon && among(token, NOUN)) => {}
            token if among(token, "but") => match denied_before(tokens) {
                Some(at) => {
                    end = at;
                    continue;
                }
                None => return Announced::No,
            },
            _ => break,
        }
        end -= 1;
    }
    let Some(mut last) = end.checked_sub(1) else { return Announced::No };
    let is = |words: &str| among(before.get(last), words);
    if !pause && meant(before, last) {
        if colon && (is("answer ans") || is(RIGHT) || is(NOUN)) {
            return Announced::AsIs;
        }
        if is("answer ans") {
            return Announced::ByName;
        }
    }
    if !is(BEING) {
        while last > 0 && among(before.get(last), PREPOSITION) {
            last -= 1;
        }
        let own = &before[..last];
        let chosen = among(before.get(last), CHOOSING) && begins_with_chooser(own);
        let led = among(before.get(last), LEADING) && !among(own.last(), DENIAL);
        return if chosen || led { Announced::AsIs } else { Announced::No };
    }
    let mut subject = last + 1;
    let mut hedged = false;
    while subject > 0 {
        let token = before.get(subject - 1);
        if among(token, DENIAL) {
            return Announced::No;
        }
        let of_verb = [BEING, AUXILIARY, LEAD].iter().any(|words| among(token, words)) || token == Some(&Pause);
        if !of_verb || among(token, NOUN) {
            break;
        }
        hedged |= among(token, HEDGE);
        subject -= 1;
    }
    let own = &before[..subject];
    let pronoun = (among(own.last(), PRONOUN) || own.is_empty()) && !hedged;
    let noun =
        |at: usize| among(own.get(at), "answer answers ans") || among(own.get(at), NOUN) || among(own.get(at), RIGHT);
    if pronoun || (0..own.len()).any(|at| noun(at) && meant(own, at)) { Announced::AsIs } else { Announced::No }
}

/// Whether a noun is of the right answer: "the other answer" is not, and "option" alone says too little.
fn meant(tokens: &[Token], at: usize) -> bool {
    let before = &tokens[..at];
    if among(before.last(), "wrong incorrect false other another no each every not") {
        return false;
    }
    let qualified = before.iter().rev().take(3).any(|token| among(Some(token), QUALIFIER));
    !among(tokens.get(at), NOUN) || at == 0 || qualified
}

/// Of "… not A, but": where "not" stands.
fn denied_before(tokens: &[Token]) -> Option<usize> {
    let mut end = tokens.len() - 1;
    let passed = |at: usize| {
        matches!(tokens[at], Pause | Close | Letter { .. })
            || among(tokens.get(at), LEAD)
            || among(tokens.get(at), "or nor and")
    };
    while end > 0 && passed(end - 1) {
        end -= 1;
    }
    let at = end.checked_sub(1)?;
    among(tokens.get(at), "not neither").then_some(at)
}

/// Whether the words before a verb say that it is the writer who chooses.
fn begins_with_chooser(before: &[Token]) -> bool {
    let other = before.iter().rposition(|token| !among(Some(token), CHOOSER) && !among(Some(token), LEAD));
    other.is_none_or(|at| matches!(before[at], Pause | Colon | Dash) || among(before.get(at), CLAUSE))
}

/// Whether a letter is what its clause is about.
fn begins_clause(before: &[Token]) -> bool {
    let other = before.iter().rposition(|token| !among(Some(token), LEAD) && !among(Some(token), "answer"));
    other.is_none_or(|at| matches!(before[at], Pause | Colon | Dash) || among(before.get(at), CLAUSE))
}

/// Whether what follows a letter says that it is right: "is the correct answer".
fn judged_right(after: &[Token]) -> bool {
    let (mut verb, mut right, mut definite) = (false, false, false);
    let mut at = 0;
    while let Some(token) = after.get(at) {
        let next = after.get(at + 1);
        match token {
            Close if !verb => {
                if among(next, RIGHT) && !matches!(after.get(at + 2), Some(Word(_))) {
                    return true;
                }
            }
            Colon | Dash if !verb => {
                verb = true;
                if among(next, "yes") {
                    return true;
                }
            }
            token if !verb && among(Some(token), "fits works") => return true,
            token if !verb && among(Some(token), "makes") => {
                return after[at..].iter().any(|t| among(Some(t), "sense"));
            }
            token if !verb && among(Some(token), "best") => {
                return among(next, "fits matches describes answers");
            }
            token if among(Some(token), BEING) || among(Some(token), AUXILIARY) => verb = true,
            token if verb && among(Some(token), RIGHT) => {
                right = true;
                let goes_on = among(next, NOUN) || among(next, "answer") || among(next, RIGHT);
                if !goes_on {
                    return !matches!(next, Some(Word(_) | Letter { .. })) || among(next, REASON);
                }
            }
            token if verb && among(Some(token), "answer") => {
                // "the answer to another question"
                let other = among(next, "to") && among(after.get(at + 2), "a another other");
                return (right || definite) && !other;
            }
            token if verb && right && among(Some(token), NOUN) => return true,
            token if verb && among(Some(token), MODIFIER) => {
                definite |= among(Some(token), "the my");
                right |= among(Some(token), "my");
            }
            _ => return false,
        }
        at += 1;
    }
    false
}

/// Whether what follows a letter says that it is wrong.
fn denied(after: &[Token]) -> bool {
    let rest = after.iter().skip_while(|token| **token == Close);
    let mut verb = false;
    for token in rest {
        match token {
            Colon | Dash if !verb => verb = true,
            token if among(Some(token), BEING) || among(Some(token), AUXILIARY) => verb = true,
            token if verb && among(Some(token), DENIAL) => return true,
            token if verb && among(Some(token), MODIFIER) => {}
            _ => return false,
        }
    }
    false
}

/// Whether a letter is all that its sentence says.
fn bare(before: &[Token], after: &[Token]) -> bool {
    let word = |token: &Token| among(Some(token), LEAD) || among(Some(token), INTRODUCTION);
    before.iter().all(|token| word(token) || matches!(token, Pause | Dash | Colon))
        && after.iter().all(|token| matches!(token, Pause | Close | Colon | Dash))
}

/// Whether a letter is what a sentence comes to: "…, so B", "… makes B the answer", "B it is".
fn concludes(before: &[Token], after: &[Token]) -> bool {
    let ends = after.iter().all(|token| matches!(token, Pause | Close));
    let cause = before.iter().rfind(|token| !among(Some(token), "option choice letter") && **token != Pause);
    let made = among(cause, "makes making") && {
        let verdict = after.iter().find(|token| !among(Some(token), "the only"));
        among(verdict, RIGHT) || among(verdict, "answer")
    };
    let it_is = matches!(after, [Word(it), Word(is)] if it == "it" && is == "is") && begins_clause(before);
    (ends && among(cause, CONCLUSION)) || made || it_is
}

/// The letter that takes an earlier one's place: "or rather B", "no, B".
fn corrected(after: &[Token]) -> Option<char> {
    let filling =
        |token: Option<&Token>, words: &str| matches!(token, Some(Pause | Dash | Close)) || among(token, words);
    let mut at = 0;
    while filling(after.get(at), "or but i") {
        at += 1;
    }
    if !among(after.get(at), "rather no actually wait sorry mean") {
        return None;
    }
    while filling(after.get(at), LEAD) || filling(after.get(at), "rather no actually wait sorry mean") {
        at += 1;
    }
    mention(after, at)
}

/// Whether the letter at the beginning of a line labels what follows on it: "B) Paris".
fn labels(line: &[Token], at: usize) -> bool {
    let begins = line[..at].iter().all(|token| among(Some(token), "option choice"));
    let Some(&Letter { bracketed, .. }) = line.get(at) else { return false };
    let mark = matches!(line.get(at + 1), Some(Close | Colon | Dash | Stop { asks: false }));
    begins && (mark || bracketed) && line[at + 1..].iter().any(|token| matches!(token, Word(_) | Letter { .. }))
}

fn label(line: &[Token]) -> Option<char> {
    let at = line.iter().position(|token| matches!(token, Letter { .. }))?;
    let letter = mention(line, at)?;
    // "(A) … (B) …" is a list on one line.
    let is_next = |next: usize| {
        mention(line, next) == Some('B')
            && (matches!(line[next], Letter { bracketed: true, .. }) || line.get(next + 1) == Some(&Close))
    };
    let in_list = letter == 'A' && (at + 1..line.len()).any(is_next);
    (labels(line, at) && !in_list && !denied(&line[at + 1..])).then_some(letter)
}

/// What is left of letters when the choices are told again: A, B and so on, one after the other.
fn without_list<T: Copy>(letters: &mut Vec<(char, T)>) {
    let mut start = 0;
    while start < letters.len() {
        let run = (start..letters.len()).zip('A'..='J').take_while(|&(at, letter)| letters[at].0 == letter).count();
        if run >= 2 {
            letters.drain(start..start + run);
        } else {
            start += 1;
        }
    }
}

/// The letter before a choice or a reason.
fn labelled(lines: &[Line]) -> Option<char> {
    let mut all: Vec<(char, usize)> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        all.extend(label(line).map(|letter| (letter, number)));
    }
    without_list(&mut all);
    if let Some(&(letter, number)) = all.first()
        && (number == 0 || all.iter().all(|&(other, _)| other == letter))
    {
        return Some(letter);
    }
    let line = lines.first()?;
    let at = line.iter().position(|token| matches!(token, Letter { .. }))?;
    let after = &line[at + 1..];
    let reason = matches!(after.first(), Some(Pause)) || among(after.first(), "because since as");
    let (same, _) = run(line, at);
    (bare(&line[..at], &[]) && reason && same).then(|| corrected(after).or(mention(line, at))).flatten()
}

/// The last letter in brackets, or after "option".
fn named(lines: &[Line]) -> Option<char> {
    let mut all = Vec::new();
    for line in lines {
        let mut at = 0;
        while at < line.len() {
            let (name, next) = (at.checked_sub(1).and_then(|at| line.get(at)), line.get(at + 1));
            let apart = at < 2 || matches!(line[at - 2], Pause | Dash | Colon | Stop { .. });
            let option = among(name, "option choice") && apart && !matches!(next, Some(Word(_) | Letter { .. }));
            match line[at] {
                Letter { bracketed, .. } if bracketed || option => {
                    let (same, end) = run(line, at);
                    let before = line[..at].iter().rev().find(|token| !among(Some(token), LEAD));
                    if let Some(letter) = mention(line, at)
                        && same
                        && !among(before, DENIAL)
                        && !denied(&line[end..])
                    {
                        all.push((letter, ()));
                    }
                    at = end;
                }
                _ => at += 1,
            }
        }
    }
    without_list(&mut all);
    all.last().map(|&(letter, ())| letter)
}

/// Lines, those that end in a colon with the next, if that does not begin a list of the choices.
fn joined(lines: &[Line]) -> Vec<Line> {
    let mut joined: Vec<Line> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let begins_list =
            label(line) == Some('A') && lines.get(number + 1).is_some_and(|next| label(next) == Some('B'));
        match joined.last_mut() {
            Some(last) if last.last() == Some(&Colon) && !begins_list => last.extend_from_slice(line),
            _ => joined.push(line.clone()),
        }
    }
    joined
}

/// The lines of a text, with no letters in them but those of choices.
fn read(text: &str) -> Vec<Line> {
    let mut lines = lines(text);
    for line in &mut lines {
        for at in 0..line.len() {
            if is_word(line, at)
                && let Letter { written, .. } = line[at]
            {
                line[at] = Word(written.to_ascii_lowercase().into());
            }
        }
        // "A: B" is an answer, as in "Q: … A: …".
        if let [first @ Letter { written: 'A', bracketed: false }, Colon, Letter { .. }, ..] = line.as_mut_slice() {
            *first = Word("answer".into());
        }
    }
    lines
}
