//! What becomes of content that a server does not take as it is.

use message::{Plan, Unconvertible};
use settings::Convert;
use smtp::client::{Form, Lacks, Verdict};
use status::Enhanced;

/// The form in which a message goes to a server that `lacks` something, or why it does not.
pub fn fit(plan: &Plan, lacks: Lacks, convert: Convert, size: u64) -> Result<Form, Verdict> {
    if lacks.utf8 && plan.eight_bit_header {
        let text = "the header needs SMTPUTF8, which the server does not offer";
        return Err(Verdict::failed(Enhanced::permanent(6, 7), text));
    }
    if !lacks.content || !plan.needed {
        return Ok(Form::Stored);
    }
    let needs = "the content needs 8BITMIME or BINARYMIME, which the server does not offer";
    let refusal = |why: &str| Err(Verdict::failed(Enhanced::permanent(6, 3), format!("{needs}, and {why}")));
    match (convert, plan.obstacle) {
        (Convert::Never, _) => refusal("nothing is converted here"),
        (_, Some(obstacle @ (Unconvertible::Signature | Unconvertible::Structure))) => refusal(&obstacle.to_string()),
        (_, None) => Ok(Form::Converted { size: plan.size.max(size) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let (content, utf8) = (Lacks { content: true, utf8: false }, Lacks { content: false, utf8: true });
        let plan = |content: &str| {
            let mut surveyor = message::Surveyor::new(false);
            surveyor.feed(content.as_bytes());
            surveyor.finish()
        };
        let (plain, needed) = (|| plan("A: b\n\nx\n"), || plan("A: b\n\n\u{fc}\n"));
        let (header, signed) = (|| plan("A: \u{fc}\n\nx\n"), || plan("DKIM-Signature: x\n\n\u{fc}\n"));
        let got = |plan: Plan, lacks, convert| match fit(&plan, lacks, convert, 10) {
            Ok(Form::Stored) => "stored".to_owned(),
            Ok(Form::Converted { .. }) => "converted".to_owned(),
            Err(verdict) => verdict.status.to_string(),
        };
        for (plan, lacks, convert, expected) in [
            (plain(), content, Convert::Auto, "stored"),
            (needed(), content, Convert::Auto, "converted"),
            (needed(), content, Convert::SendAnyway, "converted"),
            (needed(), content, Convert::Never, "5.6.3"),
            (signed(), content, Convert::Auto, "5.6.3"),
            (signed(), utf8, Convert::Auto, "stored"),
            (header(), utf8, Convert::Auto, "5.6.7"),
            // Eight-bit fields without SMTPUTF8 in the envelope are left as they are.
            (header(), content, Convert::Auto, "stored"),
        ] {
            assert_eq!(got(plan, lacks, convert), expected);
        }
    }
}
