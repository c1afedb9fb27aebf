#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::{Exchange, Login, Mechanism, ScramSecret};
use data_encoding::BASE64;
use proptest::prelude::*;

fn around(nonce: &str) -> Surroundings {
    let bindings = vec![("tls-exporter".to_owned(), vec![7; 32]), ("tls-server-end-point".to_owned(), vec![9; 32])];
    Surroundings { bindings, offers_plus: false, nonce: nonce.to_owned() }
}

fn begin(method: Method, initial: &str) -> (Server, Turn) {
    Server::begin(method, around("srv"), Some(initial.as_bytes()))
}

fn password(user: &str, password: &str) -> Turn {
    Turn::Need(Need::Password { user: user.into(), password: password.into() })
}

#[test]
fn plain_wants_two_nuls_and_nobody_elses_name() {
    for (message, turn) in [
        ("\0tim\0x", password("tim", "x")),
        ("tim\0tim\0pass word", password("tim", "pass word")),
        ("TIM\0tim\0p", password("tim", "p")),
        ("root\0tim\0p", Turn::Refused(Why::Authorization)),
        ("\0tim\0", Turn::Refused(Why::Malformed)),
        ("\0\0p", Turn::Refused(Why::Malformed)),
        ("\0tim\0p\0q", Turn::Refused(Why::Malformed)),
        ("tim\0p", Turn::Refused(Why::Malformed)),
        ("\0t\nm\0p", Turn::Refused(Why::Malformed)),
        ("", Turn::Refused(Why::Malformed)),
    ] {
        assert_eq!(begin(Method::Plain, message).1, turn, "{message:?}");
    }
    let long = format!("\0tim\0{}", "x".repeat(2000));
    assert_eq!(begin(Method::Plain, &long).1, Turn::Refused(Why::Malformed));
    assert_eq!(Server::begin(Method::Plain, around(""), Some(b"\0t\xff\0p")).1, Turn::Refused(Why::Malformed));
}

#[test]
fn plain_without_an_initial_response_gets_an_empty_challenge() {
    let (mut server, turn) = Server::begin(Method::Plain, around(""), None);
    assert_eq!(turn, Turn::Challenge(Vec::new()));
    assert_eq!(server.hear(b"\0tim\0x"), password("tim", "x"));
    assert_eq!(server.user(), Some("tim"));
    assert_eq!(server.decided(Some("tim@example.org".into())), Turn::Accepted("tim@example.org".into()));
    assert_eq!(server.decided(Some("tim".into())), Turn::Refused(Why::Malformed), "once");
}

#[test]
fn login_asks_for_both_or_for_what_is_missing() {
    let (mut server, turn) = Server::begin(Method::Login, around(""), None);
    assert_eq!(turn, Turn::Challenge(b"Username:".to_vec()));
    assert_eq!(server.hear(b"tim"), Turn::Challenge(b"Password:".to_vec()));
    assert_eq!(server.hear(b"x"), password("tim", "x"));
    assert_eq!(server.decided(None), Turn::Refused(Why::Credentials));
    let (mut server, turn) = begin(Method::Login, "tim");
    assert_eq!(turn, Turn::Challenge(b"Password:".to_vec()));
    assert_eq!(server.hear(b""), Turn::Refused(Why::Malformed));
    assert_eq!(server.hear(b"x"), Turn::Refused(Why::Malformed), "over is over");
}

/// The example of RFC 7677 section 3, from the other side.
#[test]
fn scram_as_in_its_rfc() {
    let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let (mut server, turn) = Server::begin(Method::ScramSha256, around(nonce), Some(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"));
    assert_eq!(turn, Turn::Need(Need::ScramSecret { user: "user".into() }));
    let secret = ScramSecret::derive("pencil", &BASE64.decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096);
    assert!(secret.is_of("pencil") && !secret.is_of("pencils"));
    assert_eq!(ScramSecret::parse(&secret.to_string()), Some(secret.clone()));
    let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    assert_eq!(server.secret(secret), Turn::Challenge(challenge.into()));
    let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(server.hear(last.as_bytes()), Turn::Challenge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_vec()));
    assert_eq!(server.hear(b""), Turn::Accepted("user".into()));
}

/// Our own client; gives the last turn.
fn scram_with_our_client(user: &str, password: &str, secret: ScramSecret) -> Turn {
    let (mut client, first) = Exchange::begin(Mechanism::ScramSha256, Login { user: user.into(), password: password.into() }, "cli");
    let first = BASE64.decode(first.unwrap().as_bytes()).unwrap();
    let (mut server, turn) = Server::begin(Method::ScramSha256, around("srv"), Some(&first));
    assert_eq!(turn, Turn::Need(Need::ScramSecret { user: user.into() }));
    let mut turn = server.secret(secret);
    while let Turn::Challenge(challenge) = &turn {
        let answer = client.respond(&BASE64.encode(challenge)).unwrap();
        turn = server.hear(&BASE64.decode(answer.as_bytes()).unwrap());
    }
    assert_eq!(client.succeeded().is_ok(), matches!(turn, Turn::Accepted(_)));
    turn
}

#[test]
fn scram_with_our_own_client() {
    let secret = || ScramSecret::derive("se,cr=et", b"salt", 4096);
    assert_eq!(scram_with_our_client("a,b=c", "se,cr=et", secret()), Turn::Accepted("a,b=c".into()));
    assert_eq!(scram_with_our_client("a", "other", secret()), Turn::Refused(Why::Credentials));
    assert_eq!(scram_with_our_client("a", "se,cr=et", ScramSecret::decoy(&[1; 32], "a")), Turn::Refused(Why::Credentials));
}

#[test]
fn a_decoy_is_always_the_same_for_the_same_name() {
    let decoy = |key, user| ScramSecret::decoy(&[key; 32], user);
    assert_eq!(decoy(1, "a"), decoy(1, "a"));
    assert_ne!(decoy(1, "a").salt, decoy(1, "b").salt);
    assert_ne!(decoy(1, "a").salt, decoy(2, "a").salt);
    assert_eq!((decoy(1, "a").salt.len(), decoy(1, "a").rounds), (16, crate::ROUNDS));
}

/// A client by hand: first message, and the last one's `c=`.
fn scram(method: Method, offers_plus: bool, header: &str, bound: &[u8]) -> Turn {
    let password = "pencil";
    let first = "n=user,r=abc";
    let around = Surroundings { offers_plus, ..around("srv") };
    let (mut server, turn) = Server::begin(method, around, Some(format!("{header}{first}").as_bytes()));
    if matches!(turn, Turn::Refused(_)) {
        return turn;
    }
    let secret = ScramSecret::derive(password, b"salt", 4096);
    let Turn::Challenge(challenge) = server.secret(secret) else { panic!("no challenge") };
    let challenge = String::from_utf8(challenge).unwrap();
    let last = format!("c={},r=abcsrv", BASE64.encode(&[header.as_bytes(), bound].concat()));
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<sha2::Sha256>(password.as_bytes(), b"salt", 4096, &mut salted);
    let client_key = crate::secret::keyed(&salted, b"Client Key");
    let stored: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(client_key).into();
    let signature = crate::secret::keyed(&stored, format!("{first},{challenge},{last}").as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    match server.hear(format!("{last},p={}", BASE64.encode(&proof)).as_bytes()) {
        Turn::Challenge(signature) if signature.starts_with(b"v=") => server.hear(b""),
        other => other,
    }
}

#[test]
fn channel_bindings() {
    let accepted = Turn::Accepted("user".into());
    let (plain, plus) = (Method::ScramSha256, Method::ScramSha256Plus);
    for (method, offered, header, bound, turn) in [
        (plain, false, "n,,", &[][..], accepted.clone()),
        (plain, true, "n,,", &[], accepted.clone()),
        (plain, false, "y,,", &[], accepted.clone()),
        (plain, true, "y,,", &[], Turn::Refused(Why::Binding)),
        (plain, true, "p=tls-exporter,,", &[7; 32], Turn::Refused(Why::Malformed)),
        (plus, true, "p=tls-exporter,,", &[7; 32], accepted.clone()),
        (plus, true, "p=tls-server-end-point,a=user,", &[9; 32], accepted),
        (plus, true, "p=tls-server-end-point,,", &[7; 32], Turn::Refused(Why::Binding)),
        (plus, true, "p=tls-unique,,", &[7; 32], Turn::Refused(Why::Binding)),
        (plus, true, "n,,", &[], Turn::Refused(Why::Malformed)),
        (plus, true, "p=tls-exporter,a=other,", &[7; 32], Turn::Refused(Why::Authorization)),
        (plain, false, "n,x,", &[], Turn::Refused(Why::Malformed)),
    ] {
        assert_eq!(scram(method, offered, header, bound), turn, "{method:?} {header}");
    }
}

#[test]
fn scram_messages_that_are_none() {
    for message in ["", "n,,", "n,,n=user", "n,,n=user,r=", "n,,n=us=er,r=abc", "n,,m=x,n=user,r=abc", "n,,n=,r=abc", "q,,n=u,r=abc"] {
        assert_eq!(begin(Method::ScramSha256, message).1, Turn::Refused(Why::Malformed), "{message}");
    }
    for last in ["", "c=biws,r=abcsrv", "c=biws,r=other,p=AAAA", "c=biws,r=abcsrv,p=%%", "r=abcsrv,c=biws,p=AAAA"] {
        let (mut server, _) = begin(Method::ScramSha256, "n,,n=user,r=abc");
        server.secret(ScramSecret::decoy(&[0; 32], "user"));
        assert_eq!(server.hear(last.as_bytes()), Turn::Refused(Why::Malformed), "{last}");
    }
    let (mut server, _) = begin(Method::ScramSha256, "n,,n=user,r=abc");
    server.secret(ScramSecret::decoy(&[0; 32], "user"));
    assert_eq!(server.hear(b"c=biws,r=abcsrv,p=AAAA"), Turn::Refused(Why::Credentials), "a proof that is too short");
}

#[test]
fn tokens() {
    let need = |user: Option<&str>, token: &str| Turn::Need(Need::Token { user: user.map(str::to_owned), token: token.into() });
    let malformed = Turn::Refused(Why::Malformed);
    let bearer = Method::OauthBearer;
    for (method, message, turn) in [
        // RFC 7628 section 4.1
        (
            bearer,
            "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
            need(Some("user@example.com"), "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="),
        ),
        (bearer, "n,,\x01auth=bearer abc\x01\x01", need(None, "abc")),
        (bearer, "n,a=x=2Cy,\x01auth=Bearer abc\x01\x01", need(Some("x,y"), "abc")),
        (bearer, "n,,\x01auth=Basic abc\x01\x01", malformed.clone()),
        (bearer, "n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01", malformed.clone()),
        (bearer, "n,,\x01auth=Bearer a b\x01\x01", malformed.clone()),
        (bearer, "n,,\x01auth=Bearer a\x01", malformed.clone()),
        (bearer, "\x01", malformed.clone()),
        (Method::Xoauth2, "user=tim@example.org\x01auth=Bearer ya29\x01\x01", need(Some("tim@example.org"), "ya29")),
        (Method::Xoauth2, "user=\x01auth=Bearer ya29\x01\x01", malformed),
    ] {
        assert_eq!(begin(method, message).1, turn, "{message:?}");
    }
}

#[test]
fn one_with_a_bad_token_is_told_before_it_is_refused() {
    let (mut server, _) = begin(Method::OauthBearer, "n,,\x01auth=Bearer abc\x01\x01");
    assert_eq!(server.decided(None), Turn::Challenge(b"{\"status\":\"invalid_token\"}".to_vec()));
    assert_eq!(server.hear(b"\x01"), Turn::Refused(Why::Credentials));
}

#[test]
fn nothing_prints_a_secret() {
    let (server, turn) = begin(Method::Plain, "\0tim\0hunter2");
    assert!(!format!("{server:?}{turn:?}").contains("hunter2"));
    let (server, turn) = begin(Method::OauthBearer, "n,,\x01auth=Bearer hunter2\x01\x01");
    assert!(!format!("{server:?}{turn:?}").contains("hunter2"));
}

proptest! {
    /// Whatever the client says, only a decision makes it somebody, and an exchange that is over stays so.
    #[test]
    fn any_messages(
        which in 0..METHODS.len(),
        initial in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60)),
        messages in proptest::collection::vec("\\PC{0,40}|[npy],,n=u,r=a|c=biws,r=asrv,p=[A-Za-z]{0,44}|\0t\0p|", 0..5),
    ) {
        let (mut server, mut turn) = Server::begin(METHODS[which], around("srv"), initial.as_deref());
        for message in &messages {
            turn = match turn {
                Turn::Challenge(_) => server.hear(message.as_bytes()),
                Turn::Need(Need::ScramSecret { .. }) => server.secret(ScramSecret::decoy(&[0; 32], "u")),
                Turn::Need(_) => server.decided(None),
                Turn::Refused(_) => {
                    prop_assert!(matches!(server.hear(message.as_bytes()), Turn::Refused(_)));
                    break;
                }
                Turn::Accepted(_) => panic!("nobody decided that"),
            };
        }
    }

    #[test]
    fn any_secret_text(text in "\\PC{0,60}|[0-9]{1,8}(,[A-Za-z0-9+/]{0,44}={0,2}){3}") {
        if let Some(secret) = ScramSecret::parse(&text) {
            prop_assert_eq!(ScramSecret::parse(&secret.to_string()), Some(secret));
        }
    }
}
