fn main() -> std::process::ExitCode {
    tableserver::run("table-postgresql", postgrestable::Postgresql::default())
}
