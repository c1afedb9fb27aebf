fn main() -> std::process::ExitCode {
    smtpserver::run()
}
