fn main() -> std::process::ExitCode {
    authserver::run()
}
