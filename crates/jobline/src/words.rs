//! The lines themselves.

use envelope::BodyType;
use ipc::agents::Job;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Longest line of an agent in bytes, its end included.
pub const MAX_LINE: usize = 16 * 1024;

/// A job as an agent gets it. `offset`: where the message begins in the descriptor it comes with.
pub fn job_line(job: &Job, offset: u64) -> String {
    let mut line = Map::new();
    let mut put = |key: &str, value: Value| drop(line.insert(key.to_owned(), value));
    put("job", job.number.into());
    put("message", job.message.clone().into());
    put("channel", job.channel.clone().into());
    put("host", job.host.clone().into());
    put("sender", job.sender.clone().into());
    put("offset", offset.into());
    put("size", job.size.into());
    put("arrived", (job.arrived / 1000).into());
    let body = match job.bodytype {
        BodyType::SevenBit => "7BIT",
        BodyType::EightBit => "8BITMIME",
        BodyType::Binary => "BINARYMIME",
    };
    put("body", body.into());
    put("smtputf8", job.smtputf8.into());
    put("priority", job.terms.priority.into());
    if let Some(envid) = &job.envid {
        put("envid", envid.clone().into());
    }
    if let Some(ret) = job.ret {
        put("ret", ret.as_str().into());
    }
    let recipients = job.recipients.iter().map(|recipient| {
        let mut one = Map::new();
        one.insert("recipient".to_owned(), recipient.index.into());
        one.insert("address".to_owned(), recipient.user.clone().into());
        if job.verp {
            one.insert("sender".to_owned(), envelope::verp(&job.sender, &recipient.user).into());
        }
        if let Some(original) = &recipient.original {
            one.insert("original".to_owned(), original.clone().into());
        }
        if let Some(orcpt) = &recipient.dsn.orcpt {
            one.insert("orcpt".to_owned(), orcpt.clone().into());
        }
        if let Some(notify) = &recipient.dsn.notify {
            one.insert("notify".to_owned(), notify.to_string().into());
        }
        Value::Object(one)
    });
    put("recipients", Value::Array(recipients.collect()));
    // serde_json escapes all control bytes, so it is one line.
    Value::Object(line).to_string()
}

/// What an agent may say.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    pub register: Option<String>,
    pub hungry: Option<u32>,
    /// The job's number.
    pub result: Option<u64>,
    /// Left out: the result is that of all recipients not answered for yet.
    pub recipient: Option<u32>,
    pub outcome: Option<String>,
    pub status: Option<String>,
    pub text: Option<String>,
    pub remote: Option<String>,
    /// Seconds.
    pub retry_after: Option<u32>,
}
