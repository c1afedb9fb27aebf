fn main() -> std::process::ExitCode {
    smtpclient::run()
}
