//! Tables of kind `dns`: the conversation with the resolver.
//!
//! A key is a name; for `ptr` an address too. What no name can be, a name that does not exist and one without such records
//! are not in the table; no answer of DNS is trouble. What the resolver says is believed for what is left of the records' TTL
//! (or of that of their absence), and no longer than the table says.

use crate::conversation::{Frames, Heard};
use ipc::dns::{Answer, Ask, Question, RecordKind, Told, Trouble};
use ipc::tables;
use settings::Table;
use std::time::Duration;

/// Of the resolver, about records.
pub(crate) struct Records;

impl Frames for Records {
    type Ask = Ask;
    type Told = Told;

    fn ask(number: u64, table: &Table, key: &str) -> Ask {
        let kind = RecordKind::named(&table.record).unwrap_or(RecordKind::Txt);
        Ask { number, question: Question::Records { name: key.to_owned(), kind } }
    }

    fn heard(Told { number, answer }: Told) -> Heard {
        let (answer, ttl) = said(answer);
        Heard { number, answer, ttl }
    }
}

fn said(answer: Result<Answer, Trouble>) -> (tables::Answer, Option<Duration>) {
    let said = match answer {
        Ok(Answer::Records { texts, ttl }) => {
            return (if texts.is_empty() { tables::Answer::Absent } else { tables::Answer::Found(texts) }, Some(ttl));
        }
        Err(Trouble::NoSuchName | Trouble::NoRecords | Trouble::Invalid) => tables::Answer::Absent,
        // The resolver's words name the name that was asked for.
        Err(Trouble::Temporary(_)) => tables::Answer::Trouble("no answer from DNS".to_owned()),
        Ok(_) | Err(Trouble::NullMx) => tables::Answer::Trouble("the resolver says something else than it was asked".to_owned()),
    };
    (said, None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::conversation::{Conversation, Talk};
    use ipc::{Caller, Channel, ContactPoint};
    use std::time::Instant;

    const TTL: Duration = Duration::from_secs(77);

    fn records(texts: &[&str]) -> Answer {
        Answer::Records { texts: texts.iter().map(ToString::to_string).collect(), ttl: TTL }
    }

    /// One question of each kind, one answer of each.
    #[test]
    fn questions_and_what_answers_mean() {
        let (call, serve) = ipc::channel::pair().unwrap();
        let mut ours = Talk::<super::Records>::open(&Caller::new(call).unwrap()).unwrap();
        let mut resolver: Channel<Told, Ask> = ContactPoint::new(serve).unwrap().accept().unwrap().unwrap();
        let answers = [
            ("a", Ok(records(&["10.0.0.1"])), tables::Answer::Found(vec!["10.0.0.1".into()]), Some(TTL)),
            ("aaaa", Ok(records(&[])), tables::Answer::Absent, Some(TTL)),
            ("mx", Err(Trouble::Invalid), tables::Answer::Absent, None),
            ("ptr", Err(Trouble::Temporary("x.example".into())), tables::Answer::Trouble("no answer from DNS".into()), None),
            ("txt", Ok(Answer::Names(vec![])), tables::Answer::Trouble("the resolver says something else than it was asked".into()), None),
        ];
        for (number, (record, answer, expected, ttl)) in (1..).zip(answers) {
            let text = format!(
                "[identity]\nhostname = \"us.example\"\n[paths]\npostoffice = \"/x\"\n[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n\
                 [[table]]\nname = \"t\"\nkind = \"dns\"\nrecord = \"{record}\"\n"
            );
            ours.ask(number, &settings::parse(&text, "x").unwrap().tables[0], "x.example").unwrap();
            let (ask, _) = resolver.recv_by(Instant::now() + Duration::from_secs(10)).unwrap();
            let question = Question::Records { name: "x.example".into(), kind: RecordKind::named(record).unwrap() };
            assert_eq!((ask.number, ask.question), (number, question));
            resolver.send(&Told { number, answer }).unwrap();
            let late = Instant::now() + Duration::from_secs(10);
            let told = loop {
                if let Some(told) = ours.next().unwrap() {
                    break told;
                }
                assert!(Instant::now() < late);
            };
            assert_eq!(told, Heard { number, answer: expected, ttl });
        }
    }
}
