fn main() -> std::process::ExitCode {
    tableserver::run("table-lmdb", lmdbtable::Lmdb)
}
