//! Answers that are given again: to RCPT, for the few seconds of `[routing] answer_ttl`.
//!
//! What an answer depends on is the whole question, the tables and the configuration: the question is the key, the time
//! is short because of the tables, and a reload forgets everything. Trouble is never given again. Whose a domain is, the workers remember themselves.

use ipc::routing::{Answer, Question};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Answers of one generation; there are two.
const MOST: usize = 32 * 1024;
/// Bytes of one generation.
const BYTES: usize = 16 * 1024 * 1024;
/// What an entry costs beside its texts.
const ENTRY: usize = 300;

/// Answers by question, in two generations: a full one becomes the old one, and the old one goes as a whole.
#[derive(Debug, Default)]
pub struct Answers {
    ttl: Duration,
    new: HashMap<Question, (Instant, Answer)>,
    old: HashMap<Question, (Instant, Answer)>,
    bytes: usize,
}

impl Answers {
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, ..Self::default() }
    }

    /// For how long the answer to this question may be another's too; none: never.
    pub fn shares(&self, question: &Question) -> Option<Duration> {
        (!self.ttl.is_zero() && matches!(question, Question::Verify { .. })).then_some(self.ttl)
    }

    pub fn find(&self, question: &Question, now: Instant) -> Option<&Answer> {
        let (until, answer) = self.new.get(question).or_else(|| self.old.get(question))?;
        (*until > now).then_some(answer)
    }

    /// Keeps an answer that was asked for at `asked`: its age counts from there.
    pub fn keep(&mut self, question: Question, answer: &Answer, asked: Instant) {
        if self.shares(&question).is_none() || !is_lasting(answer) {
            return;
        }
        let weight = weight(&question, answer);
        if self.new.len() >= MOST || self.bytes.saturating_add(weight) > BYTES {
            self.old = std::mem::take(&mut self.new);
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(weight);
        self.new.insert(question, (asked + self.ttl, answer.clone()));
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.new.len() + self.old.len()
    }
}

fn is_lasting(answer: &Answer) -> bool {
    match answer {
        Answer::Routed { .. } => true,
        Answer::Kinship(_) => false,
        Answer::Refused { reply, .. } => reply.code >= 500,
    }
}

fn weight(question: &Question, answer: &Answer) -> usize {
    // No others are kept.
    let asked = if let Question::Verify { address, sender } = question { address.len() + sender.len() } else { 0 };
    let (quads, steps) = match answer {
        Answer::Routed { quads, steps } => (quads.as_slice(), steps.as_slice()),
        Answer::Refused { steps, .. } => (&[][..], steps.as_slice()),
        Answer::Kinship(_) => (&[][..], &[][..]),
    };
    let quads: usize = quads.iter().map(|q| 100 + q.channel.len() + q.host.len() + q.user.len() + q.attributes.len()).sum();
    let steps: usize = steps.iter().map(|step| 24 + step.len()).sum();
    ENTRY + asked + quads + steps
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use status::{Enhanced, Reply};

    const TTL: Duration = Duration::from_secs(5);

    fn verify(address: &str) -> Question {
        Question::Verify { address: address.into(), sender: "s@x".into() }
    }

    fn refused(code: u16) -> Answer {
        Answer::Refused { reply: Reply::new(code, Enhanced::permanent(1, 1), "no"), steps: Vec::new() }
    }

    fn routed(steps: Vec<String>) -> Answer {
        Answer::Routed { quads: Vec::new(), steps }
    }

    #[test]
    fn an_answer_lasts_from_the_time_of_its_question() {
        let (mut answers, asked) = (Answers::new(TTL), Instant::now());
        answers.keep(verify("a"), &routed(Vec::new()), asked);
        assert!(answers.find(&verify("a"), asked + TTL - Duration::from_millis(1)).is_some());
        assert!(answers.find(&verify("a"), asked + TTL).is_none());
        assert!(answers.find(&verify("b"), asked).is_none());
        let of_another = Question::Verify { address: "a".into(), sender: "other@x".into() };
        assert!(answers.find(&of_another, asked).is_none());
    }

    #[test]
    fn trouble_and_other_questions_are_never_kept() {
        let (mut answers, now) = (Answers::new(TTL), Instant::now());
        let explain = Question::Explain { address: "a".into(), sender: String::new() };
        answers.keep(explain, &routed(Vec::new()), now);
        answers.keep(Question::Expand { address: "a".into() }, &routed(Vec::new()), now);
        answers.keep(verify("a"), &refused(451), now);
        assert_eq!(answers.len(), 0);
        answers.keep(verify("a"), &refused(550), now);
        assert_eq!(answers.len(), 1);
        let mut off = Answers::new(Duration::ZERO);
        off.keep(verify("a"), &refused(550), now);
        assert!(off.len() == 0 && off.shares(&verify("a")).is_none());
    }

    #[test]
    fn memory_is_bounded_by_number_and_by_bytes() {
        let (mut answers, now) = (Answers::new(TTL), Instant::now());
        for n in 0..5 * MOST {
            answers.keep(verify(&n.to_string()), &routed(Vec::new()), now);
        }
        assert!(answers.len() <= 2 * MOST && answers.find(&verify(&(5 * MOST - 1).to_string()), now).is_some());
        let large = routed(vec!["x".repeat(64 * 1024)]);
        for n in 0..1000 {
            answers.keep(verify(&format!("large{n}")), &large, now);
            assert!(answers.bytes <= BYTES);
        }
        assert!(answers.len() <= 2 * BYTES / (64 * 1024));
    }
}
