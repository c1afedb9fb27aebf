use super::*;
use crate::{LoadError, fault};
use envelope::{Diagnostic, Happened, parse_control};
use nix::errno::Errno;
use status::Enhanced;

fn diagnostic(recipient: u32) -> Diagnostic {
    Diagnostic {
        recipient,
        time: 1_700_000_000,
        happened: Happened::Deferred,
        attempts: 1,
        next_attempt: 1_700_000_300,
        status: Enhanced::transient(4, 1),
        remote: "mx.example.org".into(),
        text: "busy".into(),
    }
}

#[test]
fn marks_stay_and_diagnostics_gather() {
    let mut office = office();
    let id = office.queued(3);
    let offsets: Vec<u32> = office.spool.load(id).unwrap().parsed.control.recipients.iter().map(|r| r.offset).collect();
    office.spool.mark(id, &[(offsets[0], RecipientState::Delivered)], &[]).unwrap();
    office.spool.mark(id, &[(offsets[2], RecipientState::Failing)], &[diagnostic(offsets[1]), diagnostic(offsets[2])]).unwrap();
    let parsed = office.spool.load(id).unwrap().parsed;
    let states: Vec<_> = parsed.control.recipients.iter().map(|r| r.state).collect();
    assert_eq!(states, [RecipientState::Delivered, RecipientState::Queued, RecipientState::Failing]);
    assert_eq!(parsed.diagnostics, [diagnostic(offsets[1]), diagnostic(offsets[2])]);
}

#[test]
fn a_mark_beside_a_recipient_is_refused_and_changes_nothing() {
    let mut office = office();
    let id = office.queued(1);
    let before = office.spool.read_control(id).unwrap();
    let offset = office.spool.load(id).unwrap().parsed.control.recipients[0].offset;
    for wrong in [offset + 1, offset - 1, 0, u32::MAX, u32::try_from(before.len()).unwrap()] {
        assert!(office.spool.mark(id, &[(wrong, RecipientState::Delivered)], &[]).is_err(), "{wrong}");
    }
    assert_eq!(office.spool.read_control(id).unwrap(), before);
}

#[test]
fn on_a_full_disk_the_state_is_kept_and_no_half_line() {
    let mut office = office();
    let id = office.queued(1);
    let offset = office.spool.load(id).unwrap().parsed.control.recipients[0].offset;
    fault::at(0, Some(Errno::ENOSPC));
    let error = office.spool.mark(id, &[(offset, RecipientState::Delivered)], &[diagnostic(offset)]).unwrap_err();
    assert!(fault::reset());
    assert_eq!(error.raw_os_error(), Some(Errno::ENOSPC as i32));
    let parsed = office.spool.load(id).unwrap().parsed;
    assert_eq!((parsed.control.recipients[0].state, parsed.diagnostics.len()), (RecipientState::Delivered, 0));
}

#[test]
fn a_torn_diagnostic_is_cut_before_the_next() {
    let mut office = office();
    let id = office.queued(1);
    let offset = office.spool.load(id).unwrap().parsed.control.recipients[0].offset;
    office.spool.mark(id, &[], &[diagnostic(offset)]).unwrap();
    let whole = office.spool.read_control(id).unwrap();
    std::fs::write(office.queue_path("transport", id), [&whole[..], b"d 17"].concat()).unwrap();
    assert_eq!(office.spool.load(id).unwrap().parsed.diagnostics.len(), 1);
    assert_eq!(office.spool.read_control(id).unwrap(), whole);
}

#[test]
fn crash_at_every_step_of_removing() {
    for k in 0.. {
        let mut office = office();
        let id = office.queued(1);
        fault::at(k, None);
        let removed = office.spool.remove(id);
        if !fault::reset() {
            removed.unwrap();
            break;
        }
        for found in office.scan() {
            match office.spool.load(found) {
                Ok(_) => assert_eq!(k, 0),
                Err(error) => assert!(matches!(error, LoadError::NoMessage), "step {k}: {error:?}"),
            }
        }
        office.spool.remove(id).unwrap();
        assert!(office.files().is_empty());
    }
}

/// Whatever of a control file reached the disk: the message is scheduled whole, or routed again; never lost.
#[test]
fn a_control_file_torn_anywhere_sends_the_message_back() {
    let mut office = office();
    let id = office.queued(2);
    let whole = office.spool.read_control(id).unwrap();
    let (queue, transport) = (office.queue_path("queue", id), office.queue_path("transport", id));
    let router = office.path.join("router").join(id.as_str());
    for length in (0..whole.len()).step_by(7) {
        std::fs::write(&transport, &whole[..length]).unwrap();
        match office.spool.load(id) {
            Ok(loaded) => assert_eq!(loaded.parsed, parse_control(&whole).unwrap(), "{length}"),
            Err(LoadError::Returned(_)) => {
                assert!(!transport.exists());
                std::fs::rename(&router, &queue).unwrap();
            }
            Err(other) => panic!("{length}: {other:?}"),
        }
    }
}

#[test]
fn the_other_states_are_mended_or_said() {
    let mut office = office();
    let (a, b) = (office.queued(1), office.queued(1));
    std::fs::copy(office.queue_path("transport", a), office.queue_path("transport", b)).unwrap();
    assert!(matches!(office.spool.load(b), Err(LoadError::Returned(_))));
    std::fs::remove_file(office.queue_path("queue", a)).unwrap();
    assert!(matches!(office.spool.load(a), Err(LoadError::NoMessage)));
    assert!(matches!(office.spool.load(a), Err(LoadError::Gone)));
    assert_eq!(office.files(), [format!("router/{b}")]);
}

#[test]
fn old_temporary_control_files_go_and_young_ones_stay() {
    let mut office = office();
    let (old, young) = (office.submitter.next_id(), office.submitter.next_id());
    for (id, seconds) in [(old, 7200), (young, 10)] {
        let path = office.path.join("transport").join(format!("{:02x}/.{id}", id.hash()));
        let file = std::fs::File::create(path).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(seconds)).unwrap();
    }
    assert!(office.scan().is_empty());
    assert_eq!(office.files(), [format!("transport/{:02x}/.{young}", young.hash())]);
}
