//! The form of an envelope's sender: `[routing] sender_canonical`, then the script's `rewrite`. Everything that is decided
//! by sender is decided by this form, of a message as of a question.

use crate::rules::Rules;
use crate::scripted::rewritten_sender;
use crate::steps::canonical_sender;
use crate::tables::Tables;
use crate::verdict::Verdict;
use address::Path;

/// The form, where it is another. `Err`: what becomes of the recipients while it cannot be known; never a refusal, since it
/// is not their fault.
pub(crate) fn formed_sender(sender: &Path, rules: &Rules, tables: &mut dyn Tables) -> Result<Option<Path>, Verdict> {
    let form = canonical_sender(sender, rules, tables).map_err(Verdict::from).and_then(|canonical| {
        let rewritten = rewritten_sender(canonical.as_ref().unwrap_or(sender), rules, tables)?;
        Ok(rewritten.or(canonical))
    });
    form.map_err(|verdict| match verdict {
        Verdict::Refused { text, .. } => Verdict::Temporary(text),
        other => other,
    })
}
