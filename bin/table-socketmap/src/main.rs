fn main() -> std::process::ExitCode {
    tableserver::run("table-socketmap", netmaps::Socketmap::default())
}
