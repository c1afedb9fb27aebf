use super::*;
use crate::fault;
use envelope::parse_envelope;
use nix::errno::Errno;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

fn check_complete(text: &str, content: &[u8]) {
    let (envelope, at) = parse_envelope(text.as_bytes()).unwrap();
    assert_eq!(envelope.length, Some(text.len() as u64));
    assert_eq!(&text.as_bytes()[at..], content);
}

#[test]
fn a_small_message_goes_straight_to_router() {
    let mut office = office();
    let id = office.accepted();
    assert_eq!(office.files(), [format!("router/{id}")]);
    check_complete(&office.text(Place::Router, id.as_str()), CONTENT);
    let mode = std::fs::metadata(office.path.join("router").join(id.as_str())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn drafts_of_every_size_carry_their_length() {
    let mut office = office();
    for (pieces, piece) in [(0, 0), (1, 10), (3, 40_000), (1, 65_536), (5, 300_000), (1000, 77)] {
        let id = office.submitter.next_id();
        let mut draft = office.submitter.draft(id, &envelope()).unwrap();
        draft.write(CONTENT).unwrap();
        let mut content = CONTENT.to_vec();
        for n in 0..pieces {
            let bytes = vec![b'a' + u8::try_from(n % 26).unwrap(); piece];
            draft.write(&bytes).unwrap();
            content.extend(bytes);
        }
        assert_eq!(draft.commit().unwrap(), id);
        check_complete(&office.text(Place::Router, id.as_str()), &content);
    }
    let id = office.submitter.next_id();
    let content = [CONTENT, &vec![b'x'; 1_000_000]].concat();
    office.submitter.submit(id, &envelope(), &content).unwrap();
    check_complete(&office.text(Place::Router, id.as_str()), &content);
}

#[test]
fn a_dropped_draft_leaves_nothing() {
    let mut office = office();
    let id = office.submitter.next_id();
    let mut draft = office.submitter.draft(id, &envelope()).unwrap();
    draft.write(&[b'x'; 100_000]).unwrap();
    drop(draft);
    drop(office.submitter.stage(id, &envelope(), CONTENT).unwrap());
    assert!(office.files().is_empty());
}

/// What a content filter refuses for some recipients: nothing of them is left in the file, whatever its size.
#[test]
fn a_draft_is_narrowed_to_its_first_recipients() {
    let mut office = office();
    for (kept, others, size) in [(1, 1, 0), (1, 500, 300_000), (3, 2, 70_000), (2, 3000, 10)] {
        let all: Vec<EnvelopeRecipient> = (0..kept + others)
            .map(|n| {
                let address = if n < kept { format!("kept{n}@local.example") } else { format!("r{n}@b") };
                let dsn = RecipientDsn { orcpt: (n % 2 == 0).then(|| format!("rfc822;o{n}@x.example")), ..RecipientDsn::default() };
                EnvelopeRecipient { address: Address::parse(&address).unwrap(), dsn, via: None }
            })
            .collect();
        let whole = Envelope { recipients: all.clone(), ..envelope() };
        let narrow = Envelope { recipients: all[..kept].to_vec(), ..envelope() };
        let id = office.submitter.next_id();
        let mut draft = office.submitter.draft(id, &whole).unwrap();
        let content = [CONTENT, &vec![b'x'; size]].concat();
        draft.write(&content).unwrap();
        draft.flush().unwrap();
        draft.narrow(&narrow).unwrap();
        draft.commit().unwrap();
        let text = office.text(Place::Router, id.as_str());
        check_complete(&text, &content);
        assert_eq!(parse_envelope(text.as_bytes()).unwrap().0.recipients, narrow.recipients);
        assert!(!text.contains("@b") && text.lines().all(|line| line.len() < 200 || line.starts_with('x')), "{text}");
    }
}

#[test]
fn a_draft_is_never_widened_and_never_complete_before_it_is_narrow() {
    let mut office = office();
    let wide = Envelope { recipients: [envelope().recipients, envelope().recipients].concat(), ..envelope() };
    let id = office.submitter.next_id();
    let mut draft = office.submitter.draft(id, &envelope()).unwrap();
    assert!(draft.narrow(&wide).is_err());
    drop(draft);
    let mut draft = office.submitter.stage(id, &wide, CONTENT).unwrap();
    assert!(draft.narrow(&envelope()).is_err(), "complete already");
    drop(draft);
    // The power fails anywhere: the two recipients together are in no complete file.
    for steps in 0..20 {
        let mut office = super::office();
        fault::at(steps, None);
        let done = (|| {
            let mut draft = office.submitter.draft(id, &wide)?;
            draft.write(CONTENT)?;
            draft.flush()?;
            draft.narrow(&envelope())?;
            draft.commit()
        })();
        let came = fault::reset();
        for name in office.files() {
            let text = std::fs::read_to_string(office.path.join(&name)).unwrap();
            let whole = parse_envelope(text.as_bytes()).is_ok_and(|(e, _)| e.length == Some(text.len() as u64) && e.recipients.len() > 1);
            assert!(!whole, "after {steps} steps {name} is {text}");
        }
        assert!(came || done.is_ok());
        if !came {
            return assert!(steps > 5, "{steps} steps");
        }
    }
    panic!("never done");
}

#[test]
fn a_frozen_message_has_its_reason() {
    let mut office = office();
    let id = office.submitter.next_id();
    let mut staged = office.submitter.draft(id, &envelope()).unwrap();
    staged.write(CONTENT).unwrap();
    staged.flush().unwrap();
    assert!(office.spool.public_path(id).exists());
    staged.freeze("looks like a virus").unwrap();
    assert_eq!(office.files(), [format!("freezer/{id}"), format!("freezer/{id}.reason")]);
    assert_eq!(office.spool.read_reason(Place::Freezer, id.as_str()).unwrap(), "looks like a virus");
}

#[test]
fn a_name_that_is_taken_is_never_overwritten() {
    let mut office = office();
    let id = office.submitter.next_id();
    let squatter = office.path.join("router").join(id.as_str());
    std::fs::write(&squatter, "mine").unwrap();
    let error = office.submitter.submit(id, &envelope(), CONTENT).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&squatter).unwrap(), b"mine");
    assert_eq!(office.files(), [format!("router/{id}")]);
}

/// The power fails at each point of an acceptance: afterwards the message is there, whole, or not at all; and
/// never is it missing when the caller was told that it is accepted.
#[test]
fn crash_at_every_step_of_acceptance() {
    for large in [false, true] {
        for k in 0.. {
            let mut office = office();
            let id = office.submitter.next_id();
            let content = if large { [CONTENT, &vec![b'x'; 150_000]].concat() } else { CONTENT.to_vec() };
            fault::at(k, None);
            let accepted = if large {
                office.submitter.draft(id, &envelope()).and_then(|mut draft| {
                    content.chunks(50_000).try_for_each(|chunk| draft.write(chunk))?;
                    draft.commit().map(|_| ())
                })
            } else {
                office.submitter.submit(id, &envelope(), &content)
            };
            let came = fault::reset();
            office.spool.recover_public(Duration::ZERO).unwrap();
            match office.files().as_slice() {
                [] => assert!(accepted.is_err(), "step {k}: lost"),
                [one] => {
                    assert_eq!(*one, format!("router/{id}"), "step {k}");
                    check_complete(&office.text(Place::Router, id.as_str()), &content);
                }
                more => panic!("step {k}: {more:?}"),
            }
            if !came {
                assert!(accepted.is_ok() && k > 4);
                break;
            }
        }
    }
}

/// Whatever the moment, what was refused is never adopted.
#[test]
fn a_crash_at_every_step_of_freezing_leaves_nothing_to_be_routed() {
    for k in 0.. {
        let mut office = office();
        let id = office.submitter.next_id();
        let mut draft = office.submitter.draft(id, &envelope()).unwrap();
        draft.write(CONTENT).unwrap();
        draft.flush().unwrap();
        fault::at(k, None);
        let frozen = draft.freeze("looks like a virus");
        let came = fault::reset();
        // Until the client is told, a power cut may take the rename back, too, and the length line did not get there.
        let (public, freezer) = (office.spool.public_path(id), office.path.join("freezer").join(id.as_str()));
        if frozen.is_err() && freezer.exists() && office.text(Place::Freezer, id.as_str()).contains(&"0".repeat(20)) {
            std::fs::rename(&freezer, &public).unwrap();
        }
        assert!(office.spool.recover_public(LONG).unwrap().adopted.is_empty(), "step {k}");
        if !came {
            return check_complete(&office.text(Place::Freezer, id.as_str()), CONTENT);
        }
    }
}

/// A power cut may take back the last rename: the file of `public/` is then the message that was acknowledged.
#[test]
fn an_acknowledged_message_under_its_old_name_is_adopted() {
    let mut office = office();
    let id = office.accepted();
    let (public, router) = (office.spool.public_path(id), office.path.join("router").join(id.as_str()));
    std::fs::rename(&router, &public).unwrap();
    assert_eq!(office.spool.recover_public(LONG).unwrap().adopted, [id.as_str()]);
    assert!(router.exists());
}

#[test]
fn a_full_disk_at_every_step_leaves_nothing_and_is_told() {
    for k in 0.. {
        let mut office = office();
        let id = office.submitter.next_id();
        fault::at(k, Some(Errno::ENOSPC));
        let result = office.submitter.submit(id, &envelope(), CONTENT);
        if !fault::reset() {
            assert!(result.is_ok());
            break;
        }
        assert_eq!(result.unwrap_err().raw_os_error(), Some(Errno::ENOSPC as i32));
        // After the rename the message is accepted, whatever is said.
        assert!(office.files().is_empty() || office.files() == [format!("router/{id}")], "step {k}");
    }
}

#[test]
fn recovery_leaves_living_drafts_young_files_and_strange_ones_alone() {
    let mut office = office();
    let id = office.submitter.next_id();
    let staged = office.submitter.stage(id, &envelope(), CONTENT).unwrap();
    let public = office.path.join("public");
    std::fs::write(public.join("young"), "from <a@b>\n").unwrap();
    std::fs::create_dir(public.join("folder")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", public.join("link")).unwrap();
    nix::unistd::mkfifo(&public.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(office.spool.recover_public(LONG).unwrap(), crate::Recovered::default());
    let recovered = office.spool.recover_public(Duration::ZERO).unwrap();
    assert_eq!((recovered.adopted.len(), recovered.removed), (0, vec!["young".to_owned()]));
    staged.commit().unwrap();
    assert_eq!(office.spool.find(id).unwrap(), Some(Place::Router));
}

#[test]
fn only_what_is_complete_is_adopted() {
    let mut office = office();
    let id = office.accepted();
    let whole = office.text(Place::Router, id.as_str());
    let public = office.path.join("public");
    for (name, text) in [
        ("short", whole[..whole.len() - 1].to_owned()),
        ("long", format!("{whole}x")),
        ("zeros", "\0".repeat(whole.len())),
        ("nolength", whole.split_once('\n').unwrap().1.to_owned()),
        ("bad envelope", whole.clone()),
        ("broken", whole.replace("from <", "from\0<")),
    ] {
        std::fs::write(public.join(name), text).unwrap();
    }
    std::fs::write(public.join("linked"), &whole).unwrap();
    std::fs::hard_link(public.join("linked"), office.path.join("deferred/other")).unwrap();
    assert!(office.spool.recover_public(LONG).unwrap().adopted.is_empty());
    std::fs::write(public.join("whole"), &whole).unwrap();
    assert_eq!(office.spool.recover_public(LONG).unwrap().adopted, ["whole"]);
}

#[test]
fn a_large_envelope_is_adopted_too() {
    let mut office = office();
    let mut envelope = envelope();
    let recipient = envelope.recipients[0].clone();
    envelope.recipients = vec![recipient; 5000];
    let id = office.submitter.next_id();
    office.submitter.submit(id, &envelope, CONTENT).unwrap();
    std::fs::rename(office.path.join("router").join(id.as_str()), office.spool.public_path(id)).unwrap();
    assert_eq!(office.spool.recover_public(LONG).unwrap().adopted, [id.as_str()]);
}
