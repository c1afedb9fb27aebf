//! How mail leaves: logins and source addresses.

use super::{Kind, Parameter, count, optional, required};

pub const TABLE: &[Parameter] = &[
    required("credentials", "name", Kind::Line, "The name that clauses say."),
    required("credentials", "user", Kind::Line, "The user name at the next hop."),
    required(
        "credentials",
        "password_file",
        Kind::Path,
        "A file whose first line is the password. It belongs to root or the suite's user and nobody else may read it. zpost-master opens it and hands it to the agents when they start.",
    ),
    optional(
        "credentials",
        "without_tls",
        Kind::Bool,
        "false",
        "Whether the password may cross the network as it is (PLAIN, LOGIN) over a connection without TLS.",
    ),
    required("source", "pool", Kind::Line, "The name that clauses say; several sources with one name share the load."),
    required("source", "address", Kind::Ip, "An address of this host (with a proxy: of the proxy's host)."),
    optional("source", "weight", count(0, 1000), "1", "Share of the pool's connections; 0: none."),
    optional("source", "hello", Kind::Line, "", "Name given with EHLO from this address. Default: hello of [client]."),
    optional("source", "interface", Kind::Line, "", "Network interface that connections are bound to. Default: by the routing table."),
    optional(
        "source",
        "proxy",
        Kind::Proxy,
        "",
        "Connections go through this proxy: socks5://address:port or socks5://user@address:port (RFC 1928; the password in proxy_password_file), haproxy://address:port (PROXY protocol version 2 says where from and where to), haproxy1://address:port (version 1). Default: none.",
    ),
    optional("source", "proxy_password_file", Kind::Path, "", "As password_file of [[credentials]], for the proxy's user. Default: none."),
];
