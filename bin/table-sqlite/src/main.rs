fn main() -> std::process::ExitCode {
    tableserver::run("table-sqlite", sqlitetable::Sqlite)
}
