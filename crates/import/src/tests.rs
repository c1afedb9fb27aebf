use super::*;
use proptest::prelude::*;

fn imported(system: System, files: &[(&str, &str)]) -> Imported {
    let first: Vec<Source> = files.iter().filter(|(path, _)| !path.starts_with("/ref/")).map(|(path, _)| Source::parse(path)).collect();
    let read = |path: &str| {
        let found = files.iter().find(|(name, _)| Source::parse(name).path == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "No such file".to_owned())
    };
    import(system, &first, "/etc/zpost/imported", &read)
}

/// What we read of it; it must be without faults.
fn settings(imported: &Imported) -> settings::Settings {
    let text = &imported.configuration;
    let has = |head: &str| text.lines().any(|line| line == head);
    let missing = [("[paths]", "[paths]\npostoffice = \"/p\"\n"), ("[identity]", "[identity]\nhostname = \"mx.example.org\"\n")];
    let whole = missing.into_iter().filter(|(head, _)| !has(head)).map(|(_, section)| section).collect::<String>() + text;
    settings::parse(&whole, "imported").unwrap_or_else(|faults| panic!("{faults:#?}\n{whole}"))
}

fn file<'i>(imported: &'i Imported, name: &str) -> &'i str {
    imported.files.iter().find(|file| file.name == name).map_or_else(|| panic!("{:?}", imported.files), |file| file.text.as_str())
}

fn remarks(imported: &Imported) -> Vec<String> {
    imported.remarks.iter().map(ToString::to_string).collect()
}

const MAIN: &str = "\
# a site
myhostname = mx.example.org
mydomain = example.org
mydestination = $myhostname, localhost.$mydomain,
    ${mydomain}
mynetworks = 127.0.0.0/8 [::1]/128, 192.0.2.0/24
relayhost = [relay.example.net]:submission
recipient_delimiter = +
home_mailbox = Maildir/
message_size_limit = 20480000
maximal_queue_lifetime = 3d
alias_maps = hash:/ref/aliases
virtual_alias_maps = hash:/ref/virtual, mysql:/ref/mysql.cf
virtual_mailbox_domains = boxes.example
virtual_mailbox_maps = lmdb:/ref/boxes
transport_maps = hash:/ref/transport regexp:/ref/transport.re
sender_dependent_relayhost_maps = inline:{ { @one.example = [a.example]:587 } }
relay_domains = partner.example, hash:/ref/relay
smtp_tls_security_level = may
smtpd_tls_cert_file = /etc/ssl/mx.pem
smtpd_tls_key_file = /etc/ssl/mx.key
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination,
    reject_rbl_client zen.example.net, check_policy_service inet:127.0.0.1:10023, reject_unknown_sender_domain
mailbox_command = /usr/bin/procmail
nonsense_parameter = 1
";

#[test]
fn a_postfix_site() {
    let files = [
        ("/etc/postfix/main.cf", MAIN),
        ("/ref/aliases", "root: ann\nteam: ann, bob\nbackup: \"|cat > /tmp/x\"\n"),
        (
            "/ref/virtual",
            "virt.example anything\n@virt.example ann@example.org\ninfo@virt.example bob, carol@far.example\nboss@example.org ann\n@old.example @new.example\nbare ann\n",
        ),
        (
            "/ref/mysql.cf",
            "hosts = db1 db2\nuser = mail\npassword = s3cret\ndbname = mail\nquery = SELECT goto FROM alias WHERE address='%s' AND d = '%d'\nexpansion_limit = 5\n",
        ),
        ("/ref/boxes", "joe@boxes.example boxes/joe/\n"),
        (
            "/ref/transport",
            "far.example smtp:[10.0.0.1]:2525\n.sub.example relay:\nlist.example mailman:\ngone.example error:5.1.2 gone\nlmtp.example lmtp:unix:/run/lmtp\nx@y.example smtp:z\n* smtp:[gw.example]\n",
        ),
        ("/ref/transport.re", "/^(.*)@re\\.example$/ smtp:[$1.example]\nif /x/\n/y/ z\nendif\n/(?!z)a/ b\n!/Odd/i smtp:[odd.example]\n"),
        ("/ref/relay", "hashed.example x\n"),
    ];
    let got = imported(System::Postfix, &files);
    let s = settings(&got);
    assert_eq!(s.identity.hostname, "mx.example.org");
    assert_eq!(s.local.domains, ["mx.example.org", "localhost.example.org", "example.org"]);
    assert_eq!((s.local.detail.as_str(), s.local.maildir.as_str()), ("+", "%h/Maildir"));
    assert_eq!((s.server.max_message_size, s.queue.expiry.as_secs()), (20_480_000, 3 * 86_400));
    assert_eq!(s.routing.smart_host, "[relay.example.net]:587");
    assert_eq!(s.relay.domains, [".partner.example", "partner.example"], "as parent_domain_matches_subdomains has it");
    assert_eq!((s.relay.networks.len(), s.routing.relay_domains.len(), s.certificates.len()), (3, 1, 1));
    assert_eq!(
        (s.virtual_domains.alias_domains.as_slice(), s.virtual_domains.mailbox_domains.as_slice()),
        (&["virt.example".to_owned()][..], &["boxes.example".to_owned()][..])
    );
    assert_eq!(s.virtual_domains.aliases, s.routing.fqdn_aliases, "boss@example.org is of no virtual domain");
    assert_eq!((s.routing.routes.len(), s.access.lists.len(), s.policy_services.len()), (2, 1, 1));
    let mysql = s.tables.iter().find(|table| table.kind == settings::TableKind::Mysql).unwrap();
    assert_eq!(mysql.query, "SELECT goto FROM alias WHERE address=%k AND d = %d");
    assert_eq!(
        (mysql.servers.len(), mysql.password_file.as_deref()),
        (2, Some(std::path::Path::new("/etc/zpost/imported/mysql.cf.password")))
    );
    assert!(got.files.iter().all(|file| file.secret == (file.text == "s3cret\n")), "and nobody may read it");
    assert_eq!(
        file(&got, "virtual"),
        "@virt.example ann@example.org\ninfo@virt.example bob, carol@far.example\nboss@example.org ann\n@old.example %1@new.example\n"
    );
    assert_eq!(
        file(&got, "transport"),
        "far.example smtp![10.0.0.1]:2525\n.sub.example smtp!\ngone.example error!5.1.2 gone\nlmtp.example lmtp!unix:/run/lmtp\n. smtp![gw.example]\n"
    );
    assert_eq!(file(&got, "transport.re"), "/^(.*)@re\\.example$/ smtp![%1.example]\n!/Odd/c smtp![odd.example]\n");
    let remarks = remarks(&got).join("\n");
    for wanted in [
        "main.cf:22: smtpd_recipient_restrictions: reject_unknown_sender_domain is not carried over",
        "main.cf:24: mailbox_command",
        "main.cf:25: nonsense_parameter is not carried over",
        "/ref/aliases:3: backup: its command needs a shell",
        "/ref/virtual:6: bare: a name without a domain",
        "/ref/mysql.cf:6: expansion_limit",
        "/ref/transport:3: list.example: mailman",
        "/ref/transport:6: x@y.example",
        "/ref/transport.re:5: left out: patterns that look ahead",
    ] {
        assert!(remarks.contains(wanted), "{wanted}\n{remarks}");
    }
}

#[test]
fn a_file_that_is_missing_or_unknown_is_said() {
    let got =
        imported(System::Postfix, &[("/etc/postfix/main.cf", "myhostname = a.example\nalias_maps = hash:/none\n"), ("/x/strange", "")]);
    settings(&got);
    let remarks = remarks(&got).join("\n");
    assert!(remarks.contains("main.cf:2: /none: No such file"), "{remarks}");
    assert!(got.unknown[0].to_string().contains("/x/strange: what this is its name does not say: write KIND=/x/strange"));
    let got = imported(System::Postfix, &[("virtual=/x/strange", "a@b.example c\n")]);
    assert_eq!(settings(&got).virtual_domains.aliases.len(), 1);
}

#[test]
fn a_sendmail_site() {
    let got = imported(
        System::Sendmail,
        &[
            ("/etc/mail/aliases", "root: ann\n"),
            (
                "/etc/mail/virtusertable",
                "info@virt.example ann\n@old.example %1@new.example\nx@virt.example a%2@b.example\nbad@virt.example error:nouser No such\nx@far.example y\n",
            ),
            ("/etc/mail/virtuserdomains", "virt.example\nold.example\n"),
            (
                "/etc/mail/mailertable",
                "far.example esmtp:[10.0.0.1]:[10.0.0.2]\n.sub.example relay:gw.example\n.bad.example error:nohost mail to %1%0 is prohibited\nhere.example local:ann\n.direct.example smtp:[%1%0]\nx.example error:nouser \"550 no such user\"\ny.example uucp-dom:z\n",
            ),
            ("/etc/mail/relay-domains", "partner.example\n"),
            ("/etc/mail/local-host-names", "example.org\n# none\nbad_domain..x\n"),
            (
                "/etc/mail/access",
                "Connect:192.0.2 RELAY\nspam.example REJECT\n10.1.2.3 OK\nTo:gone@example.org ERROR:5.1.1:\"550 gone\"\nFrom:good.example RELAY\nTLS_Srv:x ENCR\n",
            ),
        ],
    );
    let s = settings(&got);
    assert_eq!(
        (s.local.domains.as_slice(), s.relay.domains.as_slice()),
        (&["example.org".to_owned()][..], &["virt.example", "old.example", ".partner.example", "partner.example"].map(str::to_owned)[..])
    );
    assert_eq!(
        file(&got, "mailertable"),
        "far.example smtp![10.0.0.1]\n.sub.example smtp!gw.example\n.bad.example error!5.1.2 mail to %0 is prohibited\nhere.example local!-!ann\n.direct.example smtp!\nx.example error!5.1.1 no such user\n"
    );
    assert_eq!(file(&got, "virtusertable"), "info@virt.example ann\n@old.example %1@new.example\nx@virt.example a%2@b.example\n");
    let access = file(&got, "access.policy");
    for line in [
        "client:192.0.2.0/24 relay=true",
        "sender:spam.example refuse=\"Access denied\"",
        "client:10.1.2.3 trust=true",
        "recipient:gone@example.org refuse=\"5.1.1 gone\"",
    ] {
        assert!(access.lines().any(|l| l == line), "{line}\n{access}");
    }
    assert!(!access.contains("good.example relay"), "a sender would be an open relay: {access}");
    let remarks = remarks(&got).join("\n");
    for wanted in [
        "local-host-names:3:",
        "mailertable:1: far.example: only its first host",
        "mailertable:5: .direct.example: to the domain itself",
        "mailertable:7: y.example: uucp-dom",
        "access:5: good.example",
        "access:6: TLS_Srv",
        "virtusertable:3: x@virt.example: %2",
        "virtusertable:4: bad@virt.example: refusals",
        "virtusertable:5: x@far.example: its domain is neither in local-host-names nor in virtuserdomains",
        "virtuserdomains: mail to these domains is taken from everybody",
        "relay-domains: hosts of these domains",
    ] {
        assert!(remarks.contains(wanted), "{wanted}\n{remarks}");
    }
}

/// Whose addresses it is about another file says.
#[test]
fn a_virtusertable_alone() {
    let got = imported(System::Sendmail, &[("/etc/mail/virtusertable", "info@virt.example ann\n")]);
    settings(&got);
    assert_eq!(file(&got, "virtusertable"), "info@virt.example ann\n");
    assert!(remarks(&got).join("\n").contains("of class w (local-host-names) and of VIRTUSER_DOMAIN"));
}

#[test]
fn a_zmailer_site() {
    let got = imported(
        System::Zmailer,
        &[
            ("/opt/mail/db/aliases", "root: ann\n"),
            (
                "/opt/mail/db/routes",
                ".sub.example smtp!gw.example\nbad.example error!5.1.2\nslow.example delay!3600\nold.example usenet!x\n. dns!\n",
            ),
            ("/opt/mail/db/localnames", "mx.example.org mx.example.org\nexample.org mx.example.org\n"),
            ("/opt/mail/db/fqdnaliases", "info@virt.example: ann@example.org\n@old.example: %1@new.example\n"),
            ("/opt/mail/db/userdb", "ann:mailname Ann.Other@example.org\n"),
            ("/opt/mail/db/smtp-policy.src", "x"),
        ],
    );
    let s = settings(&got);
    assert_eq!(s.local.domains, ["mx.example.org", "example.org"]);
    assert_eq!(file(&got, "routes"), ".sub.example smtp!gw.example\nbad.example error!5.1.2\nslow.example delay!3600\n. smtp!\n");
    assert_eq!(file(&got, "fqdnaliases"), "info@virt.example ann@example.org\n@old.example %%1@new.example\n");
    assert_eq!((s.routing.routes.len(), s.routing.fqdn_aliases.len()), (1, 1));
    let remarks = remarks(&got).join("\n");
    assert!(remarks.contains("fqdnaliases:2: @old.example: its per cent sign"), "{remarks}");
    assert!(remarks.contains("routes:4: old.example: usenet") && remarks.contains("newdb --zmailer"), "{remarks}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever stands in a file, what comes out is a configuration that we read.
    #[test]
    fn what_comes_out_is_ours(text in "[a-z@.:=/$%\"'{}\\[\\]!| ,\t\n\u{e9}]{0,200}", which in 0..12_usize) {
        let files = [
            (System::Postfix, "main.cf"), (System::Postfix, "virtual"), (System::Postfix, "transport"), (System::Postfix, "aliases"),
            (System::Sendmail, "mailertable"), (System::Sendmail, "access"), (System::Sendmail, "virtusertable"), (System::Sendmail, "relay-domains"),
            (System::Zmailer, "routes"), (System::Zmailer, "localnames"), (System::Zmailer, "fqdnaliases"), (System::Zmailer, "userdb"),
        ];
        let (system, name) = files[which];
        settings(&imported(system, &[(name, &text)]));
    }

    #[test]
    fn parameters_of_main_cf_never_break_it(
        name in "(myhostname|mydestination|mynetworks|relayhost|alias_maps|virtual_alias_maps|transport_maps|home_mailbox|recipient_delimiter|message_size_limit|smtpd_recipient_restrictions|virtual_mailbox_domains|maximal_queue_lifetime)",
        value in "[a-z0-9@.:=/$%\"{}\\[\\], ]{0,60}",
    ) {
        settings(&imported(System::Postfix, &[("main.cf", &format!("myhostname = a.example\n{name} = {value}\n"))]));
    }
}

/// What Postfix assumes where nothing is said.
#[test]
fn a_main_cf_that_says_little() {
    let got = imported(System::Postfix, &[("/etc/postfix/main.cf", "myhostname = mx.example.org\n")]);
    let s = settings(&got);
    assert_eq!(s.local.domains, ["mx.example.org", "localhost.example.org", "localhost"]);
    assert_eq!((s.relay.networks.len(), format!("{:?}", s.local.delivery)), (2, "Mbox".to_owned()));
    let remarks = remarks(&got).join("\n");
    assert!(remarks.contains("mynetworks is not set") && remarks.contains("alias_maps is not set"), "{remarks}");
    let nothing =
        "myhostname = mx.example.org\nmydestination =\ninet_interfaces = localhost, 192.0.2.1, eth.example\nrelayhost = gw.example\n";
    let got = imported(System::Postfix, &[("/etc/postfix/main.cf", nothing), ("/etc/postfix/master.cf", "smtp inet n - y - - smtpd\n")]);
    let s = settings(&got);
    assert!(s.local.domains.is_empty(), "a null client has no local mail");
    let binds: Vec<String> = s.listeners.iter().map(|listener| format!("{:?}", listener.bind)).collect();
    assert_eq!(binds, ["Tcp(127.0.0.1:25)", "Tcp([::1]:25)", "Tcp(192.0.2.1:25)"]);
    let remarks = self::remarks(&got).join("\n");
    assert!(
        remarks.contains("write a [[listener]] with the address of eth.example") && remarks.contains("master.cf: services"),
        "{remarks}"
    );
}

/// A listener of ours has one family; one of Postfix's has those of inet_protocols.
#[test]
fn everywhere_is_everywhere_in_both_families() {
    let binds = |more: &str| -> Vec<String> {
        let got = imported(System::Postfix, &[("/etc/postfix/main.cf", &format!("myhostname = mx.example.org\n{more}"))]);
        settings(&got).listeners.iter().map(|listener| format!("{:?}", listener.bind)).collect()
    };
    assert_eq!(binds(""), ["Tcp(0.0.0.0:25)", "Tcp([::]:25)"]);
    assert_eq!(binds("inet_interfaces = all\ninet_protocols = ipv4, ipv6\n"), ["Tcp(0.0.0.0:25)", "Tcp([::]:25)"]);
    assert_eq!(binds("inet_protocols = ipv4\n"), ["Tcp(0.0.0.0:25)"]);
    assert_eq!(binds("inet_interfaces = loopback-only\ninet_protocols = ipv6\n"), ["Tcp([::1]:25)"]);
}

#[test]
fn where_names_without_a_domain_belong() {
    let with = |origin: &str| {
        let main = format!("myhostname = mx.example.org\nmydestination = example.org, {origin}\nmyorigin = /ref/mailname\n");
        let mailname = format!("{origin}\n");
        imported(System::Postfix, &[("/etc/postfix/main.cf", &main), ("/ref/mailname", &mailname)])
    };
    let got = with("second.example");
    assert_eq!(settings(&got).users_domain(), "second.example");
    let got = imported(System::Postfix, &[("main.cf", "myhostname = mx.example.org\nmyorigin = other.example\n")]);
    assert!(
        remarks(&got).join("\n").contains("main.cf:2: myorigin: names without a domain")
            && settings(&got).users_domain() == "mx.example.org"
    );
}

#[test]
fn old_domains_of_sendmail() {
    let got = imported(
        System::Sendmail,
        &[("/etc/mail/domaintable", "old.example new.example\n.x.example %0.y.example\n"), ("/etc/mail/sendmail.mc", "divert(0)\n")],
    );
    assert_eq!(settings(&got).routing.fqdn_aliases, ["domaintable"]);
    assert_eq!(file(&got, "domaintable"), "@old.example %1@new.example\n");
    let remarks = remarks(&got).join("\n");
    assert!(
        remarks.contains("domaintable:2: .x.example: only whole domains") && remarks.contains("sendmail.mc: it is a program"),
        "{remarks}"
    );
}
