fn main() -> std::process::ExitCode {
    tableserver::run("table-tcp", netmaps::Tcp::default())
}
