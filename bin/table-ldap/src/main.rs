fn main() -> std::process::ExitCode {
    tableserver::run("table-ldap", ldaptable::Ldap::default())
}
